"""GoogLeNet, of Szegedy et al., "Going deeper with convolutions" (arXiv 1409.4842): Table 1, Figure 3, section 5.

Made of Keras's own layers and operations, so that a saved net loads without this code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from etils import epy

with epy.lazy_imports():  # names are checked before libraries are loaded
    import numpy as np
    import tensorflow as tf

Shape: TypeAlias = tuple[int, int, int]

AUXILIARY_WEIGHT = 0.3  # of an auxiliary classifier's loss beside that of the net
_NEIGHBORS = 5  # channels whose squares the normalization sums
_PIXEL_RANGE = 255.0  # the constants of the normalization below are for pixels in [0, 255]

# Filters of 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5 and pool projection.
_MODULES = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
_POOLED = ("3b", "4e")  # modules before a max pooling
_WITH_AUXILIARY = ("4a", "4d")


def build(
    input_shape: Shape, num_classes: int, mean: Sequence[float], width: float = 1.0, small: bool = False
) -> tf.keras.Model:
    """Builds an untrained GoogLeNet without its auxiliary classifiers, which `with_auxiliaries` adds for training.

    The first layer brings pixels to [0, 255] and subtracts the mean. The paper leaves the constants of its local
    response normalization open; they are those of Krizhevsky et al. (2012), whom it follows: k = 2, n = 5,
    alpha = 1e-4, beta = 0.75. The first convolution is depthwise separable, with 8 filters a channel: so are the 2.7K
    parameters and 34M multiplications that Table 1 counts (see also Chollet, arXiv 1610.02357, section 2).

    Args:
      input_shape: `(H, W, C)`, in the paper (224, 224, 3).
      num_classes: K, in the paper 1,000.
      mean: `[C]`, of the pixels of the training images, in [0, 1].
      width: above 0; times the paper's numbers of filters, rounded, at least 1.
      small: whether the first convolution is one for small images, such as 32x32: 3x3 without a stride, so that the
        first module sees a quarter of the height and width and not an eighth.

    Returns:
      A model, not compiled, from float32 `[B, H, W, C]` in [0, 1] to softmax probabilities `[B, K]`.
    """
    images = tf.keras.Input(input_shape)
    offset = [-_PIXEL_RANGE * value for value in mean]
    net = tf.keras.layers.Rescaling(_PIXEL_RANGE, offset, name="mean_subtraction")(images)
    net = _stem(net, width, small)
    for name, filters in _MODULES.items():
        net = _inception(net, name, [_filters(count, width) for count in filters])
        if name in _POOLED:
            net = _max_pool(net, 2)
    net = tf.keras.layers.GlobalAveragePooling2D(name="average_pool")(net)
    net = tf.keras.layers.Dropout(0.4)(net)
    return tf.keras.Model(images, _softmax(net, num_classes, "softmax"), name="googlenet")


def with_auxiliaries(net: tf.keras.Model) -> tf.keras.Model:
    """Returns a net of `build` with its two auxiliary classifiers, for training: they share its layers.

    Returns:
      A model to three times `[B, K]`: the net's softmax, and those beside the modules 4a and 4d.
    """
    num_classes = net.output_shape[-1]
    width = net.get_layer("inception_4a").output.shape[-1] / 512
    outputs = [
        _auxiliary(net.get_layer(f"inception_{name}").output, name, num_classes, width) for name in _WITH_AUXILIARY
    ]
    return tf.keras.Model(net.input, [*net.outputs, *outputs], name="googlenet_with_auxiliaries")


def _stem(net: tf.Tensor, width: float, small: bool) -> tf.Tensor:
    count, name = _filters(64, width), "convolution_1"
    if small:
        net = _convolution(net, count, 3, name)
    else:
        net = tf.keras.layers.SeparableConv2D(
            count, 7, 2, padding="same", depth_multiplier=8, activation="relu", name=name
        )(net)
    net = _normalized(_max_pool(net, 2))
    net = _convolution(net, count, 1, "convolution_2_reduce")
    net = _convolution(net, _filters(192, width), 3, "convolution_2")
    return _max_pool(_normalized(net), 2)


def _inception(net: tf.Tensor, name: str, filters: Sequence[int]) -> tf.Tensor:
    ones, threes_reduced, threes, fives_reduced, fives, projected = filters
    branches = [
        _convolution(net, ones, 1, f"{name}_1x1"),
        _convolution(_convolution(net, threes_reduced, 1, f"{name}_3x3_reduce"), threes, 3, f"{name}_3x3"),
        _convolution(_convolution(net, fives_reduced, 1, f"{name}_5x5_reduce"), fives, 5, f"{name}_5x5"),
        _convolution(_max_pool(net, 1), projected, 1, f"{name}_pool_projection"),
    ]
    return tf.keras.layers.Concatenate(name=f"inception_{name}")(branches)


def _auxiliary(net: tf.Tensor, name: str, num_classes: int, width: float) -> tf.Tensor:
    sizes = [min(5, size) for size in net.shape[1:3]]
    net = tf.keras.layers.AveragePooling2D(sizes, 3, name=f"auxiliary_{name}_pool")(net)
    net = _convolution(net, _filters(128, width), 1, f"auxiliary_{name}_1x1")
    net = tf.keras.layers.Flatten()(net)
    net = tf.keras.layers.Dense(_filters(1024, width), activation="relu", name=f"auxiliary_{name}_dense")(net)
    return _softmax(tf.keras.layers.Dropout(0.7)(net), num_classes, f"auxiliary_{name}_softmax")


def _filters(count: int, width: float) -> int:
    return max(1, round(count * width))


def _convolution(net: tf.Tensor, filters: int, kernel: int, name: str) -> tf.Tensor:
    return tf.keras.layers.Conv2D(filters, kernel, padding="same", activation="relu", name=name)(net)


def _max_pool(net: tf.Tensor, stride: int) -> tf.Tensor:
    return tf.keras.layers.MaxPooling2D(3, stride, padding="same")(net)


def _softmax(net: tf.Tensor, num_classes: int, name: str) -> tf.Tensor:
    return tf.keras.layers.Dense(num_classes, activation="softmax", dtype="float32", name=name)(net)


def _normalized(net: tf.Tensor) -> tf.Tensor:
    """Divides by (2 + 1e-4 * s)**0.75, where s is the sum of squares over a channel and the two on either side.

    The sums are a product with a banded matrix and the power is made of square roots: on a CPU the whole net trains
    nearly twice as fast as with sums of slices and a power.
    """
    net = tf.keras.ops.cast(net, "float32")  # squares are too large for float16
    place = np.arange(net.shape[-1])
    band = (np.abs(place[:, None] - place) <= _NEIGHBORS // 2).astype(np.float32)
    root = tf.keras.ops.rsqrt(2.0 + 1e-4 * tf.keras.ops.matmul(tf.keras.ops.square(net), band))
    return net * (root * tf.keras.ops.sqrt(root))

"""How much a layer can stretch a change of its input: upper bounds of Lipschitz constants, by the 2-norm."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from scipy.sparse import linalg

from models.errors import InputError

_STEEPEST = {"linear": 1.0, "relu": 1.0, "tanh": 1.0, "softmax": 1.0, "sigmoid": 0.25}
_ONE = (tf.keras.layers.Flatten, tf.keras.layers.Reshape, tf.keras.layers.Dropout)  # none changes a length when asked
_POOLING = (tf.keras.layers.MaxPooling2D, tf.keras.layers.AveragePooling2D)


class Bound(NamedTuple):
    """An upper bound of a layer's Lipschitz constant.

    Attributes:
      kind: what it is, "Dense".
      linear: of what it does before its activation.
      activation: of its activation.
      circular: that of the same convolution on a torus that holds the padded image, which `linear` cannot exceed; NaN
        for other layers.
    """

    kind: str
    linear: float
    activation: float
    circular: float = math.nan

    @property
    def weighs(self) -> bool:
        """Whether the layer has weights."""
        return self.kind in ("Dense", "Conv2D")

    @property
    def whole(self) -> float:
        """Of the layer with its activation."""
        return self.linear * self.activation


def bounds(net: tf.keras.Model) -> list[Bound]:
    """Returns a bound of each layer, in order; their product is one of the net.

    Raises:
      InputError: the net is no sequence of layers, or has a layer or an activation that there is no bound for.
    """
    if not isinstance(net, tf.keras.Sequential):
        raise InputError(f"net '{net.name}' is no sequence of layers; name a task with nets by architecture.")
    return [_bound(layer) for layer in net.layers]


def _bound(layer: tf.keras.layers.Layer) -> Bound:
    kind = type(layer).__name__
    if isinstance(layer, _ONE):
        return Bound(kind, 1.0, 1.0)
    if isinstance(layer, _POOLING):
        return Bound(kind, pooling_bound(layer.pool_size, layer.strides), 1.0)
    if isinstance(layer, tf.keras.layers.Dense):
        return Bound(kind, float(np.linalg.norm(_kernel(layer), 2)), _steepest(layer))
    if isinstance(layer, tf.keras.layers.Conv2D) and layer.groups == 1 and set(layer.dilation_rate) == {1}:
        shape = layer.input.shape[1:]
        kernel = _kernel(layer)
        linear = convolution_norm(kernel, shape, layer.strides, layer.padding)
        padded = shape[0] + kernel.shape[0] - 1, shape[1] + kernel.shape[1] - 1
        return Bound(kind, linear, _steepest(layer), circular_norm(kernel, padded))
    raise InputError(f"layer '{layer.name}' is a {kind} that there is no bound for; leave its net out of the task.")


def _kernel(layer: tf.keras.layers.Layer) -> np.ndarray:
    return layer.get_weights()[0].astype(np.float64)


def _steepest(layer: tf.keras.layers.Layer) -> float:
    name = layer.activation.__name__
    if name not in _STEEPEST:
        raise InputError(
            f"layer '{layer.name}' has the activation '{name}', expected one of {', '.join(_STEEPEST)}; leave its net "
            "out of the task."
        )
    return _STEEPEST[name]


def pooling_bound(windows: tuple[int, int], strides: tuple[int, int]) -> float:
    """Returns a bound of pooling, by maximum or mean: the root of the number of windows that a pixel can be in.

    A window's result changes by no more than its most changed pixel does, and where no windows overlap, each pixel is
    in one of them at most: the bound is 1.
    """
    return math.sqrt(math.prod(-(-window // stride) for window, stride in zip(windows, strides, strict=True)))


def convolution_norm(kernel: np.ndarray, shape: tuple[int, int, int], strides: tuple[int, int], padding: str) -> float:
    """Returns the largest singular value of a convolution of zero padded images, by Lanczos' method, a power iteration.

    Args:
      kernel: `[h, w, C, F]`.
      shape: `(H, W, C)` of its input.
      strides: down and across.
      padding: "same" or "valid".
    """
    filters = tf.constant(kernel, tf.float64)

    def forward(values: np.ndarray) -> tf.Tensor:
        return tf.nn.conv2d(values.reshape(1, *shape), filters, strides, padding.upper())

    def back(values: np.ndarray) -> tf.Tensor:
        results = tf.constant(values.reshape(there))
        return tf.nn.conv2d_transpose(results, filters, (1, *shape), strides, padding.upper())

    there = forward(np.zeros(shape)).shape
    return largest_singular_value(forward, back, (math.prod(there), math.prod(shape)))


def largest_singular_value(
    forward: Callable[[np.ndarray], tf.Tensor], back: Callable[[np.ndarray], tf.Tensor], sizes: tuple[int, int]
) -> float:
    """Returns the largest singular value of a linear function of vectors.

    Args:
      forward: the function, of float64 `[n]`.
      back: its transpose, of float64 `[m]`.
      sizes: m and n, both at least 2.
    """
    operator = linalg.LinearOperator(
        sizes,
        matvec=lambda values: np.ravel(forward(values)),
        rmatvec=lambda values: np.ravel(back(values)),
        dtype=np.float64,
    )
    start = np.random.default_rng(0).normal(size=min(sizes))
    (value,) = linalg.svds(operator, k=1, v0=start, return_singular_vectors=False)
    return float(value)


def circular_norm(kernel: np.ndarray, size: tuple[int, int]) -> float:
    """Returns the largest singular value of a convolution on a torus, `[h, w, C, F]` on images of a size, by Fourier.

    Each frequency is mapped for itself, by a matrix `[C, F]`. Source: Sedghi, Gupta, Long, "The Singular Values of
    Convolutional Layers" (arXiv 1805.10408).
    """
    frequencies = np.fft.fft2(kernel, size, axes=(0, 1))
    return float(np.linalg.norm(frequencies, 2, axis=(-2, -1)).max())


def certified(features: np.ndarray, kernel: np.ndarray, bias: np.ndarray, before: float) -> np.ndarray:
    """Returns how far images have to be moved at least, by the 2-norm, before a net gives them another class.

    Two logits differ by a linear function of the features, which changes by no more than the exact length of the
    difference of their two columns of weights times what the features change by.

    Args:
      features: `[B, U]`, what the last layer of the net is given.
      kernel: its weights `[U, K]`.
      bias: `[K]`.
      before: a Lipschitz bound of all layers before it.

    Returns:
      float64 `[B]`, pixels in [0, 1]; 0 where two classes are the likeliest.
    """
    logits = features.astype(np.float64) @ kernel + bias
    classes = logits.argmax(axis=1)
    leads = logits.max(axis=1, keepdims=True) - logits
    apart = np.linalg.norm(kernel[:, classes, None] - kernel[:, None, :], axis=0)  # `[B, K]`
    others = np.arange(logits.shape[1]) != classes[:, None]
    return np.divide(leads, before * apart, out=np.full_like(leads, np.inf), where=others).min(axis=1)

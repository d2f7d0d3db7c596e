"""Random changes of training images: crops, mirroring and colours, by TensorFlow's own image operations.

After section 6 of Szegedy et al., "Going deeper with convolutions" (arXiv 1409.4842). What happens to an image is a
function of (run seed, the image's place, the number of the epoch), never of batch, order or worker.
"""

from __future__ import annotations

import tensorflow as tf

from models.recipe import Training

_ASPECT = (3 / 4, 4 / 3)  # of a crop, width to height
_ATTEMPTS = 100  # to draw a crop that fits into the image; after them it stays whole


def changes(training: Training) -> bool:
    """Tells whether the settings change images at all."""
    return training.smallest_crop < 1 or training.flip or training.photometric > 0


def augment(images: tf.Tensor, places: tf.Tensor, epoch: tf.Tensor, run_seed: int, training: Training) -> tf.Tensor:
    """Changes each image at random, as `smallest_crop`, `flip` and `photometric` of [training] say.

    Args:
      images: float32 `[B, H, W, C]` in [0, 1].
      places: int64 `[B]`, of the images in the training set.
      epoch: int64 scalar, from 0.
      run_seed: uint32.
      training: the settings.

    Returns:
      float32 `[B, H, W, C]` in [0, 1].
    """
    of_epoch = tf.random.fold_in(tf.constant([run_seed, 0], tf.int64), epoch)

    def one(image_and_place: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        image, place = image_and_place
        return _changed(image, tf.random.fold_in(of_epoch, place), training)

    return tf.map_fn(one, (images, places), fn_output_signature=tf.TensorSpec(images.shape[1:], tf.float32))


def _changed(image: tf.Tensor, image_seed: tf.Tensor, training: Training) -> tf.Tensor:
    crop, flip, colours = tf.unstack(tf.random.split(image_seed, 3))
    if training.smallest_crop < 1:
        image = _cropped(image, crop, training.smallest_crop)
    if training.flip:
        image = tf.image.stateless_random_flip_left_right(image, flip)
    if training.photometric:
        image = _recoloured(image, colours, training.photometric)
    return image


def _cropped(image: tf.Tensor, crop_seed: tf.Tensor, smallest: float) -> tf.Tensor:
    """Returns a crop of `smallest` to 1 of the area, resized (bilinear) to the size of the image, `[H, W, C]`."""
    begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
        image.shape,
        tf.zeros([1, 0, 4]),
        crop_seed,
        min_object_covered=0.0,
        aspect_ratio_range=_ASPECT,
        area_range=(smallest, 1.0),
        max_attempts=_ATTEMPTS,
        use_image_if_no_bounding_boxes=True,
    )
    return tf.ensure_shape(tf.image.resize(tf.slice(image, begin, size), image.shape[:2]), image.shape)


def _recoloured(image: tf.Tensor, colours_seed: tf.Tensor, strength: float) -> tf.Tensor:
    """Changes brightness, of colour images saturation and hue, and contrast; in the order of TensorFlow's Inception."""
    brightness, saturation, hue, contrast = tf.unstack(tf.random.split(colours_seed, 4))
    factors = 1 - strength, 1 + strength
    image = tf.image.stateless_random_brightness(image, strength / 4, brightness)
    if image.shape[-1] == 3:
        image = tf.image.stateless_random_saturation(image, *factors, saturation)
        image = tf.image.stateless_random_hue(image, 0.4 * strength, hue)
    image = tf.image.stateless_random_contrast(image, *factors, contrast)
    return tf.clip_by_value(image, 0.0, 1.0)

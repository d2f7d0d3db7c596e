"""Garbage to learn from: a pool that grows between epochs, and noise."""

from __future__ import annotations

import numpy as np
import tensorflow as tf


class Pool:
    """Images of which a compiled step draws; it sees what was added since.

    Args:
      shape: `(H, W, C)`.
      capacity: how many images there can be, at least one.
    """

    def __init__(self, shape: tuple[int, int, int], capacity: int):
        # Floats, for which every kind of device has kernels of variables.
        self._images = tf.Variable(tf.zeros([capacity, *shape]), trainable=False)
        self._size = tf.Variable(0.0, trainable=False)

    def __len__(self) -> int:
        """How many images there are."""
        return int(self._size.numpy())

    @property
    def images(self) -> np.ndarray:
        """Those that there are, float32 `[B, H, W, C]` in [0, 1]."""
        return self._images.numpy()[: len(self)]

    def add(self, images: np.ndarray) -> None:
        """Adds images, uint8 `[B, H, W, C]`."""
        size = len(self)
        self._images[size : size + len(images)].assign(images.astype(np.float32) / 255.0)
        self._size.assign(float(size + len(images)))

    def draw(self, count: int, seed: tf.Tensor) -> tf.Tensor:
        """Returns random ones, with replacement, float32 `[count, H, W, C]`; a function of the seed, int32 `[2]`."""
        places = tf.random.stateless_uniform([count], seed) * self._size
        return tf.gather(self._images, tf.cast(tf.minimum(places, self._size - 1.0), tf.int32))


def static(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Returns images of independent pixels, uniform in [0, 1), of the shape of others, float32 `[B, H, W, C]`."""
    return tf.random.stateless_uniform(images.shape, seed)


def permuted(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Returns images float32 `[B, H, W, C]` whose pixels are in random order, another for each image."""
    count, height, width, channels = images.shape
    order = tf.argsort(tf.random.stateless_uniform([count, height * width], seed), axis=1)
    pixels = tf.reshape(images, [count, height * width, channels])
    return tf.reshape(tf.gather(pixels, order, batch_dims=1), images.shape)

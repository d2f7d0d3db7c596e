"""Small trained nets on real digits to attack."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import sklearn.datasets
import tensorflow as tf

from pipeline.search.attacks import gradient
from pipeline.search.attacks.gradient import Originals

SHAPE, CLASSES = (8, 8, 1), 10


@functools.cache
def digits() -> tuple[np.ndarray, np.ndarray]:
    """Returns scikit-learn's digits on the uint8 grid, float32 `[B, 8, 8, 1]` in [0, 1], and labels."""
    data = sklearn.datasets.load_digits()
    grey = np.round(data.images / 16.0 * 255.0).astype(np.uint8)
    return (grey[..., None] / np.float32(255.0)).astype(np.float32), data.target.astype(np.int32)


@functools.cache
def net(*hidden: int) -> tf.keras.Model:
    """Returns a trained softmax regression, or a net with sigmoid units in hidden layers."""
    tf.keras.utils.set_random_seed(3)
    dense = tf.keras.layers.Dense
    layers = [tf.keras.layers.Flatten(), *(dense(width, "sigmoid") for width in hidden), dense(CLASSES, "softmax")]
    model = tf.keras.Sequential([tf.keras.Input(SHAPE), *layers])
    model.compile(tf.keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", jit_compile=True)
    model.fit(*digits(), epochs=15, batch_size=64, verbose=0)
    return model


def originals(model: tf.keras.Model, count: int, targeted: bool = True) -> Originals:
    """Returns images that the net reads right; each aims at its label plus 1 to 9, or at any other class."""
    images, labels = digits()
    right = np.flatnonzero(model(images).numpy().argmax(-1) == labels)[:count]
    aims = (labels[right] + 1 + np.arange(count) % (CLASSES - 1)) % CLASSES
    words = np.stack([right, right + 7], axis=-1).astype(np.uint32)
    aimed = aims if targeted else np.full(count, gradient.UNTARGETED)
    return Originals(*(tf.constant(part) for part in (images[right], labels[right], aimed.astype(np.int32), words)))


def attack(attack: Any, model: tf.keras.Model, start: Originals) -> gradient.Twins:
    """Runs an attack compiled; NumPy."""
    compiled = tf.function(
        lambda *parts: attack.attack(model, tf.constant(5, tf.uint32), Originals(*parts)), jit_compile=True
    )
    return gradient.Twins(*(field.numpy() for field in compiled(*start)))

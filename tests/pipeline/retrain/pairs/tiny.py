"""What the tests of retraining on pairs share: a tiny net, images and pairs."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.retrain.pairs.paired import Paired
from pipeline.retrain.recipe import STREAMS, Lesson, Moment, Recipe, Start
from pipeline.seeds.source import SeedBatch

SIDE, UNITS, CLASSES, COUNT, BATCH = 5, 6, 3, 24, 8
_RNG = np.random.default_rng(0)
IMAGES = _RNG.integers(0, 256, (COUNT, SIDE, SIDE, 1), np.uint8)
LABELS = _RNG.integers(0, CLASSES, COUNT).astype(np.int32)
SEEDS = SeedBatch("train", [], [str(place) for place in range(COUNT)], IMAGES, LABELS, [])
PAIRED = Paired(_RNG.integers(0, 256, (10, SIDE, SIDE, 1), np.uint8), IMAGES[:10], LABELS[:10])


def net(*, convolution: bool = False) -> tf.keras.Model:
    """Returns a net with two hidden layers with weights, the same whenever it is asked for."""
    tf.keras.utils.set_random_seed(1)
    first = (
        [tf.keras.layers.Conv2D(4, 3, activation="relu", name="convolution"), tf.keras.layers.Flatten(name="flat")]
        if convolution
        else [tf.keras.layers.Flatten(name="flat"), tf.keras.layers.Dense(7, activation="tanh", name="lower")]
    )
    dense = [
        tf.keras.layers.Dense(UNITS, activation="sigmoid", name="upper"),
        tf.keras.layers.Dense(CLASSES, "softmax"),
    ]
    return tf.keras.Sequential([tf.keras.Input((SIDE, SIDE, 1)), *first, *dense])


def start(model: tf.keras.Model, *, steps: int = 40, seed: int = 3) -> Start:
    return Start(model, SEEDS, PAIRED, {}, BATCH, steps, seed)


def moment(step: int, *, seed: int = 3, steps: int = 40) -> Moment:
    return Moment(tf.constant(step / steps), tf.constant([seed, STREAMS * step]))


def batch(first: int = 0) -> dict[str, tf.Tensor]:
    rows = np.arange(first, first + BATCH) % COUNT
    return {"image": tf.constant(IMAGES[rows]), "label": tf.constant(LABELS[rows])}


def lesson(recipe: Recipe, model: tf.keras.Model) -> Lesson:
    return recipe.lesson(start(model))


def extra(taught: Lesson) -> Any:
    return None if taught.stream is None else next(iter(taught.stream))


def loss(taught: Lesson, model: tf.keras.Model, step: int = 0, given: Any = None) -> tf.Tensor:
    """Returns the loss of a step on the first images."""
    given = extra(taught) if given is None else given
    return taught.loss(lambda images: model(images, training=True), batch(step), given, moment(step))

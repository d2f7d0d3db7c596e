"""Tiny nets that the tests of `models` share."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from models import zoo
from models.classifier import Classifier

SHAPE = (6, 5, 1)
CLASSES = 3


def images(count: int) -> np.ndarray:
    """Returns random uint8 `[count, 6, 5, 1]`, the same every time."""
    return np.random.default_rng(7).integers(0, 256, (count, *SHAPE), np.uint8)


def seeded(architecture: str, init_seed: int) -> tf.keras.Model:
    """Returns an untrained net of the zoo."""
    tf.keras.utils.set_random_seed(init_seed)
    return zoo.build(architecture, SHAPE, CLASSES)


def sequential(*layers: Any, init_seed: int = 1) -> tf.keras.Model:
    """Returns an untrained net of given layers on images of `SHAPE`."""
    tf.keras.utils.set_random_seed(init_seed)
    return tf.keras.Sequential([tf.keras.Input(SHAPE), *layers])


def classifier(predict: Callable[[tf.Tensor], tf.Tensor], name: str = "net", **changes: Any) -> Classifier:
    """Returns a classifier around a function."""
    fields: dict[str, Any] = {"input_shape": SHAPE, "num_classes": CLASSES, "source": "test"}
    return Classifier(**{**fields, "name": name, "predict": predict, "digest": _digest(name), **changes})


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()

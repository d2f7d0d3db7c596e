"""Linear nets on 8x8 images, and seed images for them, that the tests of `pipeline` share."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from models.classifier import Classifier, PeerGroup
from models.kernels import TENSORFLOW
from pipeline.search.moves.unit import SeedArrays
from pipeline.seeding import seed_key

SHAPE = (8, 8, 1)
CLASSES = 3
NETS = 3


def images(count: int, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """Returns smooth random uint8 `[count, *shape]`, the same every time."""
    noise = np.random.default_rng(11).normal(size=(count, shape[0] + 2, shape[1] + 2, shape[2]))
    windows = np.lib.stride_tricks.sliding_window_view(noise, (3, 3), axis=(1, 2)).sum((-2, -1))
    return np.clip(128 + 45 * windows, 0, 255).astype(np.uint8)


def weights() -> np.ndarray:
    """Returns float32 `[N, H * W * C, K]`: the nets have most of their weights in common."""
    numbers = np.random.default_rng(5)
    common = numbers.normal(size=(1, int(np.prod(SHAPE)), CLASSES))
    own = numbers.normal(size=(NETS, int(np.prod(SHAPE)), CLASSES))
    return (0.5 * (common + 0.5 * own)).astype(np.float32)


def classifier(predict: Callable[[tf.Tensor], tf.Tensor], name: str, **changes: Any) -> Classifier:
    """Returns a classifier around a function."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    fields: dict[str, Any] = {"input_shape": SHAPE, "num_classes": CLASSES, "digest": digest, "source": "test"}
    return Classifier(**{**fields, "name": name, "predict": predict, **changes})


def linear(matrix: np.ndarray, name: str, **changes: Any) -> Classifier:
    """Returns a net with one layer; the images' mean grey tells nothing."""

    def predict(batch: tf.Tensor) -> tf.Tensor:
        flat = tf.reshape(batch, [batch.shape[0], -1]) - 0.5
        return tf.nn.softmax(tf.linalg.matmul(flat, tf.constant(matrix)))

    return classifier(predict, name, **changes)


def group() -> PeerGroup:
    """Returns the linear nets as peers."""
    return PeerGroup(tuple(linear(matrix, f"net-{place}") for place, matrix in enumerate(weights())))


def costly(of: PeerGroup) -> PeerGroup:
    """Returns a group whose nets are taken for convolutional ones."""
    return PeerGroup(tuple(dataclasses.replace(net, kernels=TENSORFLOW) for net in of.classifiers))


def probabilities(batch: np.ndarray) -> np.ndarray:
    """Returns, from NumPy alone, float64 `[N, B, K]`: what `group` says of uint8 `[B, H, W, C]`."""
    logits = (batch.reshape(len(batch), -1) / 255.0 - 0.5) @ weights().astype(np.float64)
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def seeds(count: int) -> SeedArrays:
    """Returns seed images labelled by the first net, so that the others hold most of them and not all."""
    batch = images(count)
    words = np.array([seed_key(f"seed-{number}") for number in range(count)], np.uint32)
    return SeedArrays(batch, probabilities(batch)[0].argmax(-1).astype(np.int32), words)

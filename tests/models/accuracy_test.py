from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from models import accuracy
from models.preflight import Asked
from tests.models import nets

LEVELS = np.array([0.2, 0.5, 0.8], np.float32)
NAMES = ["dark", "grey", "light"]
LABELS = np.arange(60) % 3
SHAPE = (4, 4, 3)


def _by_level(levels: np.ndarray):
    """Returns a net that takes images for the class whose level is nearest."""
    scale = np.abs(levels).max()

    def predict(images: tf.Tensor) -> tf.Tensor:
        brightness = tf.reduce_mean(images, axis=(1, 2, 3))[:, None]
        return tf.nn.softmax(-100.0 * ((brightness - tf.constant(levels, tf.float32)) / scale) ** 2)

    return Asked(nets.classifier(predict, input_shape=SHAPE))


def _by_channel(images: tf.Tensor) -> tf.Tensor:
    return tf.nn.softmax(20.0 * tf.reduce_mean(images, axis=(1, 2))[:, ::-1] / tf.reduce_max(images))


GREY = np.ones((60, *SHAPE), np.float32) * LEVELS[LABELS][:, None, None, None]
COLOURED = np.ones((60, *SHAPE), np.float32) * np.eye(3, dtype=np.float32)[LABELS][:, None, None, :] * 0.5 + 0.1


def test_accuracy_is_the_share_of_labels_given():
    answers = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3]])
    assert accuracy.accuracy(answers, np.array([0, 1, 1, 0])) == 0.75


@pytest.mark.parametrize(
    ("value", "best", "images", "classes", "low"),
    [
        (0.48, 0.95, 128, 10, False),
        (0.47, 0.95, 128, 10, True),  # half of the best peer
        (0.16, 0.16, 128, 10, False),
        (0.15, 0.15, 128, 10, True),  # chance
        (0.58, 0.58, 128, 2, True),
        (0.60, 0.60, 128, 2, False),
        (0.15, 0.15, 20, 10, False),  # too few images to tell
        (0.0, 0.0, 128, 1000, True),
    ],
)
def test_low_is_below_half_of_the_best_or_near_chance(value, best, images, classes, low):
    assert accuracy.is_low(value, best, images, classes) == low


@pytest.mark.parametrize(
    ("levels", "how", "cure"),
    [
        (255.0 * LEVELS, "with pixels from 0 to 255", "set input_range = [0.0, 255.0]"),
        (2.0 * LEVELS - 1.0, "with pixels from -1 to 1", "set input_range = [-1.0, 1.0]"),
        (LEVELS[::-1], "with black and white exchanged", "set input_range = [1.0, 0.0]"),
    ],
)
def test_a_net_that_wants_other_pixels_is_told_what_to_set(levels, how, cure):
    asked = _by_level(levels)
    assert accuracy.accuracy(asked.batches(GREY), LABELS) < 0.5
    cause = accuracy.likely_cause(asked, GREY, LABELS, NAMES)
    assert cause.startswith(f"shown images {how} it gets 1.00 right: set ")
    assert cause.endswith(cure)


def test_reversed_channels_are_found():
    asked = Asked(nets.classifier(_by_channel, input_shape=SHAPE))
    cause = accuracy.likely_cause(asked, COLOURED, LABELS, NAMES)
    assert cause.startswith("shown images with their channels in reverse order it gets 1.00 right: reverse them")


def test_labels_in_another_order_are_found_where_there_are_images_enough():
    asked = _by_level(LEVELS[[1, 2, 0]])
    cause = accuracy.likely_cause(asked, GREY, LABELS, NAMES)
    assert cause == (
        "under other names for its classes it gets 1.00 right: they are in another order than those of the seed images "
        "(dark, grey, light)"
    )
    assert "other names" not in accuracy.likely_cause(asked, GREY[:29], LABELS[:29], NAMES)


def test_a_net_that_knows_nothing_of_the_images_gets_the_list_of_causes():
    asked = Asked(nets.classifier(lambda images: tf.fill([images.shape[0], 3], 1 / 3), input_shape=SHAPE))
    cause = accuracy.likely_cause(asked, GREY, LABELS, NAMES)
    assert cause.startswith("it may take another range of pixels than 0 to 1") and "another dataset" in cause

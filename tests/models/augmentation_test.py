from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from models import augmentation
from models.recipe import Training

ALL = Training(smallest_crop=0.08, flip=True, photometric=0.5)


def _images(count: int, shape: tuple[int, int, int] = (12, 10, 3)) -> np.ndarray:
    return np.random.default_rng(5).random((count, *shape)).astype(np.float32)


def _augment(images, places, epoch: int = 0, run_seed: int = 3, training: Training = ALL) -> np.ndarray:
    where = tf.constant(places, tf.int64)
    return augmentation.augment(tf.constant(images), where, tf.constant(epoch, tf.int64), run_seed, training).numpy()


def test_what_happens_to_an_image_depends_on_no_other_image_and_on_no_order():
    images, places = _images(6), np.arange(6)
    together = _augment(images, places)
    order = [4, 1, 3]
    np.testing.assert_array_equal(_augment(images[order], places[order]), together[order])


@pytest.mark.parametrize("other", [{"epoch": 1}, {"run_seed": 4}, {"places": [1]}])
def test_another_epoch_seed_or_place_changes_an_image_otherwise(other):
    image = _images(1)
    usual = _augment(image, [0])
    np.testing.assert_array_equal(usual, _augment(image, [0]))
    assert np.abs(usual - _augment(image, **{"places": [0], **other})).max() > 0.05


def test_all_changes_leave_float32_images_of_the_same_shape_in_0_to_1():
    for shape in ((12, 10, 3), (9, 9, 1)):
        changed = _augment(_images(40, shape), np.arange(40))
        assert changed.shape == (40, *shape) and changed.dtype == np.float32
        assert changed.min() >= 0 and changed.max() <= 1


def test_crops_have_8_to_100_percent_of_the_area_and_an_aspect_of_3_4_to_4_3():
    """Of a picture of its own coordinates a crop, resized, shows from where to where it goes."""
    size, count = 64, 300
    ramp = (np.arange(size, dtype=np.float32) + 0.5) / size
    picture = np.stack(np.broadcast_arrays(ramp[:, None], ramp[None, :]), axis=-1)
    crops = _augment(np.stack([picture] * count), np.arange(count), training=Training(smallest_crop=0.08))
    heights, widths = (np.ptp(crops[..., axis], axis=(1, 2)) + 1 / size for axis in (0, 1))
    areas, aspects = heights * widths, widths / heights
    assert areas.min() > 0.06 and areas.max() <= 1.0001  # a pixel in 64 is 3% of a side
    assert (areas < 0.2).mean() > 0.1 and (areas > 0.8).mean() > 0.05
    assert aspects.min() > 0.75 * 0.9 and aspects.max() < 4 / 3 * 1.1 and aspects.std() > 0.1
    corners = crops[:, 0, 0]
    assert corners.min() < 0.05 and corners.max() > 0.5


def test_half_of_the_images_are_mirrored_left_and_right():
    images = _images(200)
    changed = _augment(images, np.arange(200), training=Training(flip=True))
    mirrored = np.array([np.array_equal(one, was[:, ::-1]) for one, was in zip(changed, images, strict=True)])
    same = np.array([np.array_equal(one, was) for one, was in zip(changed, images, strict=True)])
    assert (mirrored ^ same).all() and 0.4 < mirrored.mean() < 0.6


def test_brightness_goes_up_to_a_quarter_of_the_strength():
    """Nothing else changes an even grey."""
    grey = np.full((200, 4, 4, 3), 0.5, np.float32)
    shifts = _augment(grey, np.arange(200), training=Training(photometric=0.4))[:, 0, 0, 0] - 0.5
    assert np.abs(shifts).max() <= 0.1 + 1e-6 and shifts.min() < -0.08 and shifts.max() > 0.08


def test_contrast_is_multiplied_by_1_minus_to_1_plus_the_strength():
    """Of grey images, which have no hue and no saturation; the mean is left out, which is the brightness's."""
    grey = np.repeat(np.linspace(0.4, 0.6, 16, dtype=np.float32).reshape(1, 4, 4, 1), 200, axis=0)
    changed = _augment(grey, np.arange(200), training=Training(photometric=0.4))
    factors = np.ptp(changed, axis=(1, 2, 3)) / 0.2
    assert 0.6 - 1e-3 <= factors.min() < 0.65 and 1.35 < factors.max() <= 1.4 + 1e-3


def test_hue_and_saturation_of_colours_change():
    red = np.broadcast_to(np.float32([0.7, 0.3, 0.3]), (50, 4, 4, 3))
    changed = _augment(red, np.arange(50), training=Training(photometric=0.5))[:, 0, 0]
    saturations = np.ptp(changed, axis=1)
    assert saturations.min() < 0.3 and saturations.max() > 0.5
    assert (changed.argmax(axis=1) != 0).any()


@pytest.mark.parametrize(
    ("training", "expected"),
    [
        (Training(), False),
        (Training(smallest_crop=0.5), True),
        (Training(flip=True), True),
        (Training(photometric=0.1), True),
    ],
)
def test_the_defaults_change_nothing(training, expected):
    assert augmentation.changes(training) is expected

from __future__ import annotations

import numpy as np
import pytest

from pipeline.studies import noise
from tests.pipeline import nets


def test_noise_belongs_to_its_seed_image_and_draw_alone():
    both, one = noise.gaussian(["a", "b"], (28, 28, 1)), noise.gaussian(["b"], (28, 28, 1))
    np.testing.assert_array_equal(both[1], one[0])
    assert abs(both.mean()) < 0.1 and abs(both.std() - 1) < 0.05 and abs((both[0] * both[1]).mean()) < 0.15


def test_every_draw_is_another():
    first, second = (noise.gaussian(["a"], (28, 28, 1), draw) for draw in (0, 1))
    assert (first != second).all() and abs((first * second).mean()) < 0.15


SIZES = [0.002, 0.02, 0.1, 0.3]


def _dark_images() -> np.ndarray:
    """Half of the pixels are black, as in a digit."""
    images = nets.images(6, (16, 16, 3))
    return np.where(nets.images(12, (16, 16, 3))[6:] > 128, images, 0).astype(np.uint8)


@pytest.mark.parametrize("size", SIZES)
def test_noise_has_its_size_after_clipping_and_rounding(size):
    images = _dark_images()
    shown = noise.moved(images, noise.gaussian("abcdef", images.shape[1:]), np.full(6, size))
    assert shown.dtype == np.uint8
    np.testing.assert_allclose(noise.distortions(shown, images), size, rtol=0.02 if size < 0.01 else 1e-3)


def test_every_image_has_a_size_of_its_own():
    images, sizes = _dark_images(), np.array([0.0, 0.01, 0.02, 0.05, 0.1, 0.2])
    directions = noise.gaussian("abcdef", images.shape[1:])
    shown = noise.moved(images, directions, sizes)
    np.testing.assert_allclose(noise.distortions(shown, images), sizes, rtol=2e-3)
    np.testing.assert_array_equal(shown[2:4], noise.moved(images[2:4], directions[2:4], sizes[2:4]))


@pytest.mark.parametrize("size", SIZES)
def test_a_move_is_a_multiple_of_its_direction_clipped_and_rounded(size):
    images = _dark_images()
    directions = noise.gaussian("abcdef", images.shape[1:])
    change = noise.moved(images, directions, np.full(6, size)).astype(float) - images
    for one, image, way in zip(change, images, directions):
        free = image + one != np.where(way > 0, 255, 0)
        most, least = ((abs(one[free]) + half) / abs(way[free]) for half in (0.5, -0.5))
        low, high = least.max(), most.min()
        assert low <= high * (1 + 1e-9)
        np.testing.assert_array_equal(one, np.rint(np.clip(image + way * (low + high) / 2, 0, 255)) - image)


def test_how_many_images_are_moved_at_a_time_changes_none(monkeypatch):
    images = _dark_images()
    directions, sizes = noise.gaussian("abcdef", images.shape[1:]), np.linspace(0.01, 0.2, 6)
    wanted = noise.moved(images, directions, sizes)
    for pixels in (1, 4 * images[0].size + 1):
        monkeypatch.setattr(noise, "_TOGETHER", pixels)
        np.testing.assert_array_equal(noise.moved(images, directions, sizes), wanted)


@pytest.mark.parametrize("length", [1e-9, 1.0, 1e6])
def test_the_length_of_a_direction_makes_no_difference(length):
    images = _dark_images()
    directions = noise.gaussian("abcdef", images.shape[1:])
    wanted = noise.moved(images, directions, np.full(6, 0.1))
    np.testing.assert_allclose(noise.moved(images, length * directions, np.full(6, 0.1)), wanted, atol=1)


def test_of_a_size_too_large_there_is_as_much_as_the_range_lets():
    images = _dark_images()
    directions = noise.gaussian("abcdef", images.shape[1:])
    shown = noise.moved(images, directions, np.full(6, 0.99))
    np.testing.assert_array_equal(shown, np.where(directions > 0, 255, 0))
    np.testing.assert_array_equal(noise.moved(images, -1.0 * images, np.full(6, 1.0)), np.zeros_like(images))


def test_pixels_without_a_direction_stay_and_without_any_the_image_does():
    images = _dark_images()
    directions = noise.gaussian("abcdef", images.shape[1:]) * (np.arange(16) % 2)[:, None]
    directions[0] = 0
    shown = noise.moved(images, directions, np.full(6, 0.05))
    np.testing.assert_array_equal(shown[directions == 0], images[directions == 0])
    np.testing.assert_allclose(noise.distortions(shown, images)[1:], 0.05, rtol=2e-3)


def test_a_size_between_two_that_uint8_can_hold_gives_the_nearer():
    images = np.full((4, 4, 4, 1), 100, np.uint8)
    sizes = np.array([7.4, 7.6, 0.4, 0.6]) / 255
    shown = noise.moved(images, np.ones_like(images), sizes)
    assert [(one.min(), one.max()) for one in shown] == [(107, 107), (108, 108), (100, 100), (101, 101)]


def test_distortion_is_the_root_of_the_mean_squared_change():
    images = np.zeros((2, 8, 8, 1), np.uint8)
    images[1, :4] = 255
    np.testing.assert_allclose(noise.distortions(images, np.zeros_like(images)), [0.0, np.sqrt(0.5)])

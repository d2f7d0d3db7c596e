from __future__ import annotations

import numpy as np

from pipeline import noise
from tests.pipeline import nets


def test_noise_belongs_to_its_seed_image_and_draw_alone():
    both, one = noise.gaussian(["a", "b"], (28, 28, 1)), noise.gaussian(["b"], (28, 28, 1))
    np.testing.assert_array_equal(both[1], one[0])
    assert abs(both.mean()) < 0.1 and abs(both.std() - 1) < 0.05 and abs((both[0] * both[1]).mean()) < 0.15


def test_every_draw_is_another():
    first, second = (noise.gaussian(["a"], (28, 28, 1), draw) for draw in (0, 1))
    assert (first != second).all() and abs((first * second).mean()) < 0.15


def test_noisy_images_are_clipped_and_no_change_leaves_them():
    images = nets.images(3)
    np.testing.assert_array_equal(noise.on_grid(images, np.zeros(images.shape)), images)
    far = noise.on_grid(images, np.where(images > 128, 2.0, -2.0))
    np.testing.assert_array_equal(far, np.where(images > 128, 255, 0))
    np.testing.assert_array_equal(noise.on_grid(images // 2, np.full(images.shape, 3 / 255)), images // 2 + 3)


def test_distortion_is_the_root_of_the_mean_squared_change():
    images = np.zeros((2, 8, 8, 1), np.uint8)
    images[1, :4] = 255
    np.testing.assert_allclose(noise.distortions(images, np.zeros_like(images)), [0.0, np.sqrt(0.5)])

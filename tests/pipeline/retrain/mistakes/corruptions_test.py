from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage

from pipeline.retrain.mistakes import corruptions
from pipeline.retrain.mistakes.corruptions import CORRUPTIONS, STRENGTHS

EACH = pytest.mark.parametrize("corrupt", CORRUPTIONS.values(), ids=CORRUPTIONS)
DRAWN = pytest.mark.parametrize("corrupt", [CORRUPTIONS[name] for name in CORRUPTIONS if name != "blur"])


def _strokes(count: int, height: int, width: int, channels: int = 1) -> np.ndarray:
    """Images of bright smooth blobs on black, as strokes are."""
    noise = np.random.default_rng(0).normal(size=(count, height, width, channels))
    smooth = scipy.ndimage.gaussian_filter(noise, (0, height / 14, width / 14, 0))
    return np.rint(255.0 * np.clip(smooth / smooth.std(), 0.0, 1.0)).astype(np.uint8)


IMAGES = _strokes(24, 28, 28)
IDS = [f"test/{place}" for place in range(24)]
COLOURED = _strokes(5, 12, 17, 3)


@EACH
def test_an_image_comes_out_the_same_alone_in_company_and_in_another_order(corrupt):
    together = corrupt(IMAGES, IDS, 3, 1.0)
    order = np.random.default_rng(1).permutation(len(IDS))
    np.testing.assert_array_equal(corrupt(IMAGES[order], [IDS[row] for row in order], 3, 1.0), together[order])
    for row in (0, 7, 23):
        np.testing.assert_array_equal(corrupt(IMAGES[row : row + 1], [IDS[row]], 3, 1.0)[0], together[row])


@EACH
def test_the_same_seed_gives_the_same_images(corrupt):
    np.testing.assert_array_equal(corrupt(IMAGES, IDS, 3, 1.0), corrupt(IMAGES.copy(), list(IDS), 3, 1.0))


@DRAWN
def test_another_seed_and_another_id_change_the_same_image_otherwise(corrupt):
    same = np.repeat(IMAGES[:1], len(IDS), axis=0)
    first = corrupt(same, IDS, 3, 1.0)
    assert len(np.unique(first.reshape(len(IDS), -1), axis=0)) > 1
    assert (first != corrupt(same, IDS, 4, 1.0)).any()


@EACH
@pytest.mark.parametrize("images", [IMAGES, COLOURED], ids=["grey", "coloured"])
def test_at_severity_0_images_stay_as_they_are(corrupt, images):
    np.testing.assert_array_equal(corrupt(images, IDS[: len(images)], 3, 0.0), images)


@EACH
@pytest.mark.parametrize("images", [IMAGES, COLOURED], ids=["grey", "coloured"])
def test_most_images_are_changed_and_the_given_ones_are_not(corrupt, images):
    before = images.copy()
    changed = corrupt(images, IDS[: len(images)], 3, 1.0)
    assert changed.dtype == np.uint8 and changed.shape == images.shape
    assert (changed != images).any(axis=(1, 2, 3)).mean() > 0.9
    np.testing.assert_array_equal(images, before)


@EACH
def test_the_more_severe_the_further_from_the_image(corrupt):
    apart = [np.abs(corrupt(IMAGES, IDS, 3, by).astype(int) - IMAGES).mean() for by in (0.25, 0.5, 1.0)]
    assert 0.0 < apart[0] < apart[1] < apart[2]


@pytest.mark.parametrize("value", [0, 255])
@pytest.mark.parametrize("name", [name for name in CORRUPTIONS if name != "noise"])
def test_an_image_of_one_grey_stays_one(name, value):
    """What lies outside is the nearest pixel, not black."""
    flat = np.full((4, 9, 13, 3), value, np.uint8)
    np.testing.assert_array_equal(CORRUPTIONS[name](flat, IDS[:4], 0, 1.0), flat)


@pytest.mark.parametrize("name", ["elastic", "perspective", "thickness", "blur"])
def test_strengths_grow_with_the_image(name):
    """An image twice as large, changed and made small again, is about as far from the one it was."""
    small, large = _strokes(24, 28, 28), np.kron(_strokes(24, 28, 28), np.ones((1, 2, 2, 1), np.uint8))
    apart = [np.abs(CORRUPTIONS[name](images, IDS, 0, 1.0).astype(int) - images).mean() for images in (small, large)]
    assert 0.75 < apart[1] / apart[0] < 1.33


def test_elastic_moves_are_of_the_size_that_is_stated():
    """Of an image that rises by 6 a pixel from left to right, a move across is a sixth of the change."""
    slope = np.broadcast_to(20 + 6 * np.arange(28, dtype=np.uint8)[None, None, :, None], (200, 28, 28, 1))
    changed = corruptions.elastic(slope, [str(row) for row in range(200)], 0).astype(int) - slope
    moved = changed[:, 6:-6, 6:-6] / 6.0
    assert abs(moved.std() - 1.38) < 0.1 and abs(moved.mean()) < 0.1


def test_a_perspective_takes_the_corners_to_where_they_were_drawn():
    corners = np.array([[0, 0], [27, 0], [27, 27], [0, 27]], np.float64)
    drawn = corners + np.array([[1, 2], [-3, 1], [0, -2], [2, 2]])
    x, y, z = corruptions._homography(corners, drawn) @ np.vstack([corners.T, np.ones(4)])
    np.testing.assert_allclose(np.stack([x / z, y / z], axis=1), drawn, atol=1e-9)
    np.testing.assert_allclose(corruptions._homography(corners, corners), np.eye(3), atol=1e-12)


def test_strokes_become_thicker_or_thinner_each_about_as_often():
    ids = [str(row) for row in range(400)]
    bar = np.zeros((400, 28, 28, 1), np.uint8)
    bar[:, 4:24, 12:16] = 255
    widths = corruptions.thickness(bar, ids, 0)[:, 14, :, 0].sum(axis=1) / 255.0
    thick, thin = widths > 4.0, widths < 4.0
    np.testing.assert_allclose(widths[thick], 4.0 + 2.0 * STRENGTHS["thicker_pixels"], atol=0.02)
    np.testing.assert_allclose(widths[thin], 4.0 - 2.0 * STRENGTHS["thinner_pixels"], atol=0.02)
    assert 150 < thick.sum() < 250 and thick.sum() + thin.sum() == 400


def test_a_whole_disk_is_scipys_grey_dilation():
    """With a radius of one pixel and shifts of whole pixels, it is the dilation by a cross and its corners' values."""
    axes = scipy.ndimage.grey_dilation(IMAGES[..., 0], footprint=scipy.ndimage.generate_binary_structure(2, 1)[None])
    square = scipy.ndimage.grey_dilation(IMAGES[..., 0], size=(1, 3, 3))
    ours = corruptions._extreme(IMAGES, np.maximum, 1.0)[:, 1:-1, 1:-1, 0]
    assert (axes[:, 1:-1, 1:-1] <= ours).all() and (ours <= square[:, 1:-1, 1:-1]).all()


def test_noise_is_normal_and_of_the_stated_width():
    grey = np.full((50, 28, 28, 1), 128, np.uint8)
    values = (corruptions.noise(grey, [str(row) for row in range(50)], 0).astype(float) - 128.0) / 255.0
    inside = np.abs(values) < 0.45
    assert abs(values.mean()) < 0.005 and abs(values.std() - STRENGTHS["noise_sd"]) < 0.01
    assert abs(np.mean(np.abs(values) < STRENGTHS["noise_sd"]) - 0.683) < 0.01 and inside.mean() > 0.95


def test_noise_is_clipped_and_does_not_wrap_around():
    for value in (0, 255):
        flat = np.full((4, 9, 9, 1), value, np.uint8)
        moved = np.abs(corruptions.noise(flat, IDS[:4], 0).astype(int) - value)
        assert np.median(moved) < 10 and moved.max() < 255 and 0.3 < np.mean(moved == 0) < 0.7


def test_blur_keeps_what_is_bright_as_a_whole():
    changed = corruptions.blur(IMAGES, IDS, 0)
    np.testing.assert_allclose(changed.sum(axis=(1, 2, 3)) / IMAGES.sum(axis=(1, 2, 3)), 1.0, atol=0.05)
    assert (changed.std(axis=(1, 2, 3)) < IMAGES.std(axis=(1, 2, 3))).all()

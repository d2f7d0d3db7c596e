"""Swapped pixels: which ones a number names, in float32 and in float64, and what swaps leave of an image."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import seeding
from pipeline.kinds.mistakes.methods import MovedGrading
from pipeline.operators.pixel_swap import PixelSwap
from tests.pipeline import nets

SWAP = PixelSwap()
SIDES = (1, 2, 3, 7, 8, 16, 28, 31, 32, 127, 128, 224, 1000, 4096, 10_007)
UNIT = 2.0**-24  # numbers are multiples of it


@tf.function(jit_compile=True)
def _swapped(images: tf.Tensor, rows: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
    """What a search sees after the moves drawn by float32 `[L, M, 4]`."""
    sources = SWAP.sources(images)
    pose = SWAP.identity(rows.shape[0], sources)
    for move in range(uniform.shape[1]):
        pose = SWAP.then(pose, uniform[:, move], sources)
    return SWAP.apply(sources, rows, pose)


@tf.function(jit_compile=True)
def _first_places(uniform: tf.Tensor, sources: tf.Tensor) -> tf.Tensor:
    """The first pixels of swaps with the image's last pixel, as places in a row of pixels, by numbers `[L, 4]`."""
    return SWAP.then(SWAP.identity(uniform.shape[0], sources), uniform, sources)[:, -1]


def _words(side: int) -> np.ndarray:
    """Numbers times 2**24, where a side's pixels end and begin: rounding shows there or nowhere."""
    edges = -(-np.arange(side + 1, dtype=np.int64) * 2**24 // side)
    near = (edges[:, None] + np.arange(-40, 41)).ravel()
    return near[(near >= 0) & (near < 2**24)]


@pytest.mark.parametrize("side", SIDES)
def test_search_and_record_name_the_pixel_that_whole_numbers_name(side):
    words = _words(side)[:: max(1, side // 64)]
    words = np.concatenate([words, [0, 2**24 - 1]])
    expected = words * side >> 24  # in int64, with no rounding at all
    assert expected.max() == side - 1
    uniform = np.zeros((len(words), 4))
    uniform[:, 1], uniform[:, 3] = words * UNIT, 1.0 - UNIT
    recorded = SWAP.parameters(uniform, 1, side)
    np.testing.assert_array_equal(recorded[:, 1], expected)
    sources = tf.zeros([1, 1, side, 1])
    chunk = max(1, 2_000_000 // side)  # a pose is as large as an image
    uniform, expected = uniform[:chunk].astype(np.float32), expected[:chunk]
    np.testing.assert_array_equal(_first_places(tf.constant(uniform), sources), expected)


def test_every_number_that_can_be_drawn_names_a_pixel_and_the_one_of_whole_numbers():
    words = np.arange(2**24).reshape(-1, 4)
    np.testing.assert_array_equal(SWAP.parameters(words * UNIT, 28, 28), words * 28 >> 24)


def test_float32_alone_would_name_other_pixels():
    words = _words(28)
    wrong = np.floor((words * UNIT).astype(np.float32) * np.float32(28)) != words * 28 >> 24
    assert wrong.any(), "otherwise float64 is not needed"


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(0, 2**31 - 1))
def test_what_is_rendered_has_the_bytes_of_the_search(run_seed, step):
    images, lanes, moves = nets.images(4, (7, 16, 3)), 8, 5
    words = np.random.default_rng(run_seed).integers(0, 2**32, (lanes, 2), np.uint32)
    numbers = seeding.draws(run_seed, words, np.zeros(lanes), np.full(lanes, step), 4 * moves).reshape(lanes, moves, 4)
    rows = (np.arange(lanes) % 4).astype(np.int32)
    seen = _swapped(images, rows, numbers.astype(np.float32)).numpy()
    rendered = SWAP.render(images[rows], [SWAP.parameters(each, 7, 16) for each in numbers])
    np.testing.assert_array_equal(seen, rendered)


def test_a_swap_exchanges_two_pixels_with_all_their_channels_and_no_others():
    image = nets.images(1, (7, 16, 3))
    swapped = SWAP.render(image, [np.array([[2.0, 3.0, 6.0, 15.0]])])
    assert (swapped[0, 2, 3] == image[0, 6, 15]).all() and (swapped[0, 6, 15] == image[0, 2, 3]).all()
    changed = (swapped != image).any(axis=-1)
    assert changed.sum() <= 2 and changed[0, [2, 6], [3, 15]].all()


def test_swaps_follow_one_another_on_the_image_so_far():
    image = np.arange(6, dtype=np.uint8).reshape(1, 1, 6, 1)
    round_trip = np.array([[0.0, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 2.0]])
    assert SWAP.render(image, [round_trip]).ravel().tolist() == [1, 2, 0, 3, 4, 5]
    assert SWAP.render(image, [round_trip[::-1]]).ravel().tolist() == [2, 0, 1, 3, 4, 5]
    assert SWAP.render(image, [np.repeat(round_trip[:1], 2, axis=0)]).ravel().tolist() == [0, 1, 2, 3, 4, 5]


def test_grey_levels_stay_as_often_as_they_were_and_the_image_given_is_left_alone():
    images = nets.images(3)
    before = images.copy()
    chains = [SWAP.parameters(np.random.default_rng(row).random((50, 4)), 8, 8) for row in range(3)]
    swapped = SWAP.render(images, chains)
    np.testing.assert_array_equal(np.sort(swapped.reshape(3, -1)), np.sort(images.reshape(3, -1)))
    np.testing.assert_array_equal(images, before)
    assert (swapped != images).any(axis=(1, 2, 3)).all()


def test_pixels_are_drawn_uniformly():
    words = np.arange(5000, dtype=np.uint32)[:, None] * np.array([[1, 0]], np.uint32)
    moves = SWAP.parameters(seeding.draws(5, words, np.zeros(5000), np.zeros(5000), 4), 4, 5).astype(int)
    for rows, columns in ((moves[:, 0], moves[:, 1]), (moves[:, 2], moves[:, 3])):
        counts = np.bincount(rows * 5 + columns, minlength=20)
        assert ((counts - 250) ** 2 / 250).sum() < 43.8  # chi-square, 19 degrees of freedom: one in a thousand is above


def test_what_a_search_with_composed_images_goes_on_from_is_what_is_stored():
    images = nets.images(2)
    shown = tf.constant(images, tf.float32) / 255.0
    np.testing.assert_array_equal(SWAP.sources(shown * 255.0), images)


def test_numbers_beyond_the_range_name_pixels_at_the_edge():
    images = nets.images(1)
    beyond = _swapped(images, np.zeros(1, np.int32), np.array([[[-0.25, -0.25, 1.25, 1.25]]], np.float32))
    rendered = SWAP.render(images, [np.array([[0.0, 0.0, 7.0, 7.0]])])
    np.testing.assert_array_equal(beyond, rendered)


def test_no_chain_is_realistic_whatever_the_limits():
    widest = MovedGrading(0.0, 180.0, 1000.0, 1000.0, 1000.0, 90.0)
    assert not SWAP.realistic(np.array([[0.0, 0.0, 0.0, 1.0]]), 8, 8, widest)


def test_amounts_are_the_pixels_that_are_not_in_their_places():
    there, on = [0.0, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 2.0]
    for chain, moved in (([], 0), ([there], 2), ([there, on], 3), ([there, there], 0), ([[0.0, 3.0, 0.0, 3.0]], 0)):
        assert SWAP.amounts(np.reshape(chain, (-1, 4)), 8, 8) == {"pixels_moved": moved}

"""How much of a change uint8 can hold within a bound."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from pipeline.search.attacks.balls import L2Ball, LinfBall, most_squares, whole_levels

SHAPE = (5, 4, 6, 3)
PIXELS = 72


def _changes(eps: float) -> np.ndarray:
    """Returns changes at the edge of the ball of distortion `eps`, in grey levels; the last lane's are half as far."""
    changes = np.random.default_rng(4).normal(size=SHAPE).astype(np.float32)
    changes *= eps * 255 / np.sqrt((changes**2).mean(axis=(1, 2, 3), keepdims=True))
    changes[-1] /= 2
    return changes


def test_a_bound_of_n_grey_levels_lets_n_of_them_through_however_it_was_rounded():
    for levels in range(1, 256):
        assert whole_levels(levels / 255) == levels
        assert whole_levels(levels / 255 + 1e-9) == levels and whole_levels(levels / 255 - 1e-9) == levels - 1
    assert whole_levels(0.1) == 25 and whole_levels(0.003) == 0


@pytest.mark.parametrize("pixels", [1, 3, 64, 784, 150_528])
def test_the_squares_of_a_bound_are_the_most_whose_distortion_it_holds(pixels):
    for eps in (0.002, 8 / 255, 0.1, 0.2, 1.0):
        most = most_squares(eps, pixels)
        assert np.sqrt(most / pixels) / 255 <= eps < np.sqrt((most + 1) / pixels) / 255
    for levels in range(1, 256):
        assert most_squares(levels / 255, pixels) == levels**2 * pixels


@pytest.mark.parametrize("eps", [0.002, 0.01, 8 / 255, 0.1, 0.5])
def test_whole_changes_are_in_the_ball_of_the_distortion_and_fill_it(eps):
    changes = _changes(eps)
    whole = L2Ball(eps).whole(tf.constant(changes)).numpy()
    np.testing.assert_array_equal(whole, np.round(whole))
    squares = (whole.astype(np.int64) ** 2).sum(axis=(1, 2, 3))
    most = most_squares(eps, PIXELS)
    assert (squares <= most).all()
    one_more = 2 * abs(whole).max(axis=(1, 2, 3)) + 1
    assert (squares >= np.minimum((np.round(changes) ** 2).sum(axis=(1, 2, 3)), most - 2 * one_more)).all()


@pytest.mark.parametrize("eps", [0.01, 8 / 255, 0.1])
def test_whole_changes_are_the_nearest_or_the_next_towards_no_change(eps):
    changes = _changes(eps)
    whole = L2Ball(eps).whole(tf.constant(changes)).numpy()
    assert ((whole == np.round(changes)) | (whole == np.trunc(changes))).all()
    assert (whole != np.trunc(changes)).any()


def test_what_fits_is_rounded_to_the_nearest():
    changes = _changes(0.1)
    whole = L2Ball(0.2).whole(tf.constant(changes)).numpy()
    np.testing.assert_array_equal(whole, np.round(changes))


def test_float_rounding_at_the_edge_of_the_ball_does_not_leave_it():
    """Changes that are whole, but for the last bits, at a bound that has no room for them or exactly enough."""
    changes = tf.fill([1, 1, 5, 1], 8.0 + 5e-6)
    exactly, too_small = L2Ball(8 / 255), L2Ball(8 / 255 - 1e-9)
    assert exactly.whole(changes).numpy().ravel().tolist() == [8.0] * 5
    assert (too_small.whole(changes).numpy() ** 2).sum() < 5 * 64


def test_projected_changes_are_the_nearest_in_the_ball():
    changes = tf.constant(_changes(0.1) / 255)
    inside = L2Ball(0.2).project(changes).numpy()
    np.testing.assert_array_equal(inside, changes)
    outside = L2Ball(0.06).project(changes).numpy()
    np.testing.assert_allclose(outside[:-1], 0.6 * changes[:-1], rtol=1e-5)
    np.testing.assert_array_equal(outside[-1], changes[-1])
    clipped = LinfBall(0.1).project(changes).numpy()
    np.testing.assert_allclose(clipped, np.clip(changes, -25 / 255, 25 / 255), rtol=1e-6)

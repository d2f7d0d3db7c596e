"""Affine moves: which way each part goes, how far, and how all of them in one come apart again."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.kinds.mistakes.methods import MovedGrading
from pipeline.operators import affine, warp
from pipeline.operators.affine import Affine
from tests.pipeline import nets
from tests.pipeline.operators import moves

STILL = Affine(rotation_degrees=0.0, translation_pixels=0.0, scale=0.0, stretch=0.0, shear_degrees=0.0)


def _drawn(operator: Affine, uniform: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """The matrices, `[L, 6]`, of a first move in a search."""
    sources = operator.sources(tf.zeros([1, height, width, 1], tf.uint8))
    return tf.stack(operator.then(operator.identity(len(uniform), sources), uniform, sources), axis=1)


@pytest.mark.parametrize("shape", moves.SHAPES)
@pytest.mark.parametrize(("right", "down"), [(1, 0), (-2, 0), (0, 1), (0, -3), (2, -1), (20, 0), (0, -20)])
def test_a_positive_shift_moves_the_content_right_and_down(shape, right, down):
    images = nets.images(2, shape)
    expected = [moves.shifted(image, right, down) for image in images]
    for result in moves.rendered_and_warped(images, moves.matrix(shape, translate_x=right, translate_y=down)):
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("border", moves.BORDERS)
@pytest.mark.parametrize("shape", [(8, 8, 1), (9, 9, 3)])
@pytest.mark.parametrize("quarters", [1, 2, -1])
def test_a_positive_rotation_turns_the_content_clockwise(shape, quarters, border):
    images = nets.images(2, shape)
    for result in moves.rendered_and_warped(images, moves.matrix(shape, rotation_degrees=90.0 * quarters), border):
        np.testing.assert_array_equal(result, np.rot90(images, -quarters, axes=(1, 2)))


def test_a_scale_above_1_enlarges_about_the_centre():
    image = np.zeros((1, 9, 9, 1), np.uint8)
    image[0, 3:6, 3:6] = 200
    for result in moves.rendered_and_warped(image, moves.matrix((9, 9), scale=3.0)):
        assert (result > 0).sum() > 49 and (result[0, 1:8, 1:8] > 0).all()


def test_a_stretch_widens_and_flattens():
    image = np.zeros((1, 9, 9, 1), np.uint8)
    image[0, 3:6, 3:6] = 200
    rendered = warp.render(image, moves.matrix((9, 9), stretch=1.5))[0, ..., 0]
    widths = (rendered > 100).any(axis=0).sum(), (rendered > 100).any(axis=1).sum()
    assert widths[0] > 3 >= widths[1]


def test_a_shear_leaves_the_middle_row_as_it_is():
    images = nets.images(2, (9, 9, 1))
    rendered = warp.render(images, np.repeat(moves.matrix((9, 9), shear_degrees=30.0), 2, axis=0))
    np.testing.assert_array_equal(rendered[:, 4], images[:, 4])
    assert (rendered != images).any()


@pytest.mark.parametrize("shape", moves.SHAPES)
def test_ranges_of_zero_draw_the_identity(shape):
    identity = np.repeat([warp.IDENTITY], 5, axis=0)
    np.testing.assert_allclose(moves.random_matrices(5, shape, STILL), identity, atol=1e-12)
    drawn = _drawn(STILL, tf.random.stateless_uniform([5, 6], (1, 2)), *shape[:2])
    np.testing.assert_allclose(drawn, identity.reshape(5, 6), atol=1e-6)
    images = nets.images(5, shape)
    np.testing.assert_array_equal(warp.render(images, moves.random_matrices(5, shape, STILL)), images)


@pytest.mark.parametrize("part", ["rotation_degrees", "translation_pixels", "scale", "stretch", "shear_degrees"])
def test_a_range_of_zero_switches_its_own_part_off_and_no_other(part):
    drawn = dataclasses.replace(moves.AFFINE, **{part: 0.0}).parameters(np.full((1, 6), 0.9), 8, 8)[0]
    names = {"translation_pixels": ("translate_x", "translate_y")}.get(part, (part,))
    for name, value in zip(moves.AFFINE.parameter_names, drawn):
        still = 1.0 if name in ("scale", "stretch") else 0.0
        assert (value == still) == (name in names)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=6, max_size=6))
def test_parameters_stay_within_their_ranges(numbers):
    turn, right, down, scale, stretch, shear = moves.AFFINE.parameters(np.array([numbers]), 8, 8)[0]
    assert abs(turn) <= 40 and abs(right) <= 3 and abs(down) <= 3 and abs(shear) <= 20
    for factor in (scale, stretch):
        assert 1 / 1.3 - 1e-12 <= factor <= 1.3 + 1e-12


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=6, max_size=6), st.integers(1, 60), st.integers(1, 60))
def test_a_matrix_splits_into_the_parameters_that_made_it(numbers, height, width):
    wild = Affine(rotation_degrees=179.0, translation_pixels=30.0, scale=2.0, stretch=2.0, shear_degrees=80.0)
    parameters = wild.parameters(np.array([numbers]), 8, 8)
    parts = affine.decompose(wild.matrices(parameters, height, width)[0], height, width)
    assert parts._fields == Affine.parameter_names
    np.testing.assert_allclose(parts, parameters[0], rtol=1e-7, atol=1e-7)


def test_a_mirror_is_a_scale_below_0():
    assert affine.decompose(np.array([[1.0, 0, 0], [0, -1.0, 9]]), 10, 20) == (0, 0, 0, -1, 1, 0)


def test_the_ends_of_the_uniform_numbers_reach_the_ends_of_the_ranges():
    least = moves.AFFINE.parameters(np.zeros((1, 6)), 8, 8)[0]
    np.testing.assert_allclose(least, [-40, -3, -3, 1 / 1.3, 1 / 1.3, -20])
    most = moves.AFFINE.parameters(np.ones((1, 6)), 8, 8)[0]
    np.testing.assert_allclose(most, [40, 3, 3, 1.3, 1.3, 20])


def test_the_search_draws_the_matrices_that_the_record_gives():
    uniform = np.random.default_rng(4).random((32, 6)).astype(np.float32)
    recorded = moves.AFFINE.matrices(moves.AFFINE.parameters(uniform.astype(np.float64), 12, 9), 12, 9)
    drawn = _drawn(moves.AFFINE, tf.constant(uniform), 12, 9)
    np.testing.assert_allclose(drawn, recorded.reshape(-1, 6), rtol=1e-5, atol=1e-5)


def test_scale_and_stretch_keep_what_they_promise_of_the_area():
    scaled = moves.matrix(nets.SHAPE, scale=1.2)[0, :, :2]
    stretched = moves.matrix(nets.SHAPE, stretch=1.2)[0, :, :2]
    assert math.isclose(np.linalg.det(scaled), 1.2**-2)
    assert math.isclose(np.linalg.det(stretched), 1.0)


WIDE, LEAST = (20, 40), np.array([0, 0, 0, 1, 1, 0], np.float64)  # height and width; the parameters of no move
LIMITS = MovedGrading(rotation_degrees=30, translation=0.1, scale=0.25, stretch=0.15, shear_degrees=16)
MOST = [  # parameter, the largest and the least value within the limits
    ("rotation_degrees", 30, -30),
    ("translate_x", 4, -4),
    ("translate_y", 2, -2),
    ("scale", 1.25, 1 / 1.25),
    ("stretch", 1.15, 1 / 1.15),
    ("shear_degrees", 16, -16),
]


def _realistic(limits: MovedGrading, *found: dict[str, float]) -> bool:
    """Tells whether moves, given by what is not still, are realistic together."""
    names = Affine.parameter_names
    chain = np.array([[move.get(name, still) for name, still in zip(names, LEAST)] for move in found]).reshape(-1, 6)
    return Affine().realistic(chain, *WIDE, limits)


@pytest.mark.parametrize(("part", "most", "least"), MOST)
def test_a_move_is_realistic_up_to_its_limit_either_way_and_no_further(part, most, least):
    middle = 1 if part in ("scale", "stretch") else 0
    for end in (most, least):
        assert _realistic(LIMITS, {part: end})
        assert not _realistic(LIMITS, {part: middle + (end - middle) * 1.001})


@pytest.mark.parametrize(("part", "most", "least"), MOST)
def test_what_counts_is_what_the_moves_do_together(part, most, least):
    assert not _realistic(LIMITS, {part: most}, {part: most})
    assert _realistic(LIMITS, {part: most}, {part: most}, {part: least})


def test_upside_down_is_not_realistic_and_a_full_turn_is():
    turns = [{"rotation_degrees": 30.0}] * 12
    assert not _realistic(MovedGrading(), *turns[:6])
    assert _realistic(MovedGrading(), *turns)


def test_no_moves_are_realistic_whatever_the_limits():
    assert _realistic(MovedGrading(0, 0, 0, 0, 0, 0))


def _realistic_matrix(limits: MovedGrading, matrix: np.ndarray) -> bool:
    """Tells whether a move of a sampling matrix of any kind is realistic."""

    class Given(Affine):
        def matrices(self, parameters: np.ndarray, height: int, width: int) -> np.ndarray:
            return np.asarray(matrix, np.float64)[None]

    return Given().realistic(LEAST[None], *WIDE, limits)


@pytest.mark.parametrize("matrix", [[[-1, 0, 39], [0, 1, 0]], [[1, 0, 0], [0, -1, 19]], [[0, 1, 0], [1, 0, 0]]])
def test_a_mirrored_image_is_not_realistic_however_wide_the_limits(matrix):
    wide = MovedGrading(0, 180, 1000, 1000, 1000, 90)
    assert not _realistic_matrix(wide, np.array(matrix))
    assert _realistic_matrix(wide, np.array(matrix) * [[-1], [1]]), "mirrored once more"


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_a_matrix_without_inverse_is_not_realistic(value):
    assert not _realistic_matrix(MovedGrading(), np.full((2, 3), value))

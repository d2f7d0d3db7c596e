from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import transforms
from pipeline.transforms import IDENTITY, Affine
from tests.pipeline import nets

SHAPES = [(8, 8, 1), (12, 9, 1), (7, 16, 3)]
BORDERS = ["constant", "edge"]
AFFINE = Affine(rotation_degrees=40.0, translation_pixels=3.0, scale=0.3, stretch=0.3, shear_degrees=20.0)
STILL = Affine(rotation_degrees=0.0, translation_pixels=0.0, scale=0.0, stretch=0.0, shear_degrees=0.0)


@tf.function(jit_compile=True)
def _warp_compiled(sources: tf.Tensor, rows: tf.Tensor, matrices: transforms.Entries) -> tf.Tensor:
    return transforms.warp_tf(sources, rows, matrices)


def _entries(matrices: np.ndarray) -> list[tf.Tensor]:
    return tf.unstack(tf.constant(np.reshape(matrices, (-1, 6)), tf.float32), axis=1)


def _warp(images: np.ndarray, matrices: np.ndarray, border: transforms.Border = "constant") -> np.ndarray:
    rows = tf.range(len(images))
    return _warp_compiled(transforms.pad_tf(tf.constant(images), border), rows, _entries(matrices)).numpy()


def _matrices(count: int, shape: tuple[int, ...], operator: Affine = AFFINE) -> np.ndarray:
    uniform = np.random.default_rng(2).random((count, 6))
    return operator.matrices(np.stack(operator.parameters(uniform), axis=-1), shape[0], shape[1])


def _matrix(shape: tuple[int, ...], **parameters: float) -> np.ndarray:
    """The matrix of one move; what is not named is off."""
    values = {"scale": 1.0, "stretch": 1.0, **parameters}
    return AFFINE.matrices(np.array([[values.get(name, 0.0) for name in AFFINE.parameter_names]]), *shape[:2])


def _shifted(image: np.ndarray, right: int, down: int) -> np.ndarray:
    """Moves an image's content by whole pixels; what comes in is black."""
    height, width = image.shape[:2]
    result = np.zeros_like(image)
    for y in range(max(down, 0), min(height + down, height)):
        for x in range(max(right, 0), min(width + right, width)):
            result[y, x] = image[y - down, x - right]
    return result


def _render_and_warp(images: np.ndarray, matrices: np.ndarray, border: transforms.Border = "constant"):
    matrices = np.broadcast_to(matrices, (len(images), 2, 3))
    return transforms.render(images, matrices, border), _warp(images, matrices, border)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("border", BORDERS)
def test_the_identity_leaves_images_as_they_are(shape, border):
    images = nets.images(3, shape)
    for result in _render_and_warp(images, IDENTITY, border):
        np.testing.assert_array_equal(result, images)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("right", "down"), [(1, 0), (-2, 0), (0, 1), (0, -3), (2, -1), (20, 0), (0, -20)])
def test_a_positive_shift_moves_the_content_right_and_down(shape, right, down):
    images = nets.images(2, shape)
    expected = [_shifted(image, right, down) for image in images]
    for result in _render_and_warp(images, _matrix(shape, translate_x=right, translate_y=down)):
        np.testing.assert_array_equal(result, expected)


def test_a_shift_over_the_edge_repeats_the_outermost_pixels():
    images = nets.images(2)
    for result in _render_and_warp(images, _matrix(nets.SHAPE, translate_x=3.0), "edge"):
        np.testing.assert_array_equal(result[:, :, 3:], images[:, :, :-3])
        np.testing.assert_array_equal(result[:, :, :3], np.repeat(images[:, :, :1], 3, axis=2))


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("shape", [(8, 8, 1), (9, 9, 3)])
@pytest.mark.parametrize("quarters", [1, 2, -1])
def test_a_positive_rotation_turns_the_content_clockwise(shape, quarters, border):
    images = nets.images(2, shape)
    for result in _render_and_warp(images, _matrix(shape, rotation_degrees=90.0 * quarters), border):
        np.testing.assert_array_equal(result, np.rot90(images, -quarters, axes=(1, 2)))


def test_a_scale_above_1_enlarges_about_the_centre():
    image = np.zeros((1, 9, 9, 1), np.uint8)
    image[0, 3:6, 3:6] = 200
    for result in _render_and_warp(image, _matrix((9, 9), scale=3.0)):
        assert (result > 0).sum() > 49 and (result[0, 1:8, 1:8] > 0).all()


def test_a_stretch_widens_and_flattens():
    image = np.zeros((1, 9, 9, 1), np.uint8)
    image[0, 3:6, 3:6] = 200
    rendered = transforms.render(image, _matrix((9, 9), stretch=1.5))[0, ..., 0]
    widths = (rendered > 100).any(axis=0).sum(), (rendered > 100).any(axis=1).sum()
    assert widths[0] > 3 >= widths[1]


def test_a_shear_leaves_the_middle_row_as_it_is():
    images = nets.images(2, (9, 9, 1))
    rendered = transforms.render(images, np.repeat(_matrix((9, 9), shear_degrees=30.0), 2, axis=0))
    np.testing.assert_array_equal(rendered[:, 4], images[:, 4])
    assert (rendered != images).any()


@pytest.mark.parametrize("shape", SHAPES)
def test_whole_shifts_compose_to_one_exact_shift(shape):
    images = nets.images(2, shape)
    shifts = [(3, 0), (-5, 2), (1, -4)]
    moves = np.concatenate([_matrix(shape, translate_x=right, translate_y=down) for right, down in shifts])
    expected = [_shifted(image, -1, -2) for image in images]
    for result in _render_and_warp(images, transforms.compose(moves)):
        np.testing.assert_array_equal(result, expected)


def test_a_composed_matrix_applies_its_moves_in_order():
    images = nets.images(2)
    turn, shift = _matrix(nets.SHAPE, rotation_degrees=90.0), _matrix(nets.SHAPE, translate_x=2.0)
    expected = [_shifted(np.rot90(image, -1), 2, 0) for image in images]
    for result in _render_and_warp(images, transforms.compose(np.concatenate([turn, shift]))):
        np.testing.assert_array_equal(result, expected)


def test_no_moves_compose_to_the_identity():
    np.testing.assert_array_equal(transforms.compose(np.zeros((0, 2, 3))), IDENTITY)


def test_matrices_compose_alike_in_both():
    first, then = _matrices(6, nets.SHAPE)[:3], _matrices(6, nets.SHAPE)[3:]
    composed = tf.stack(transforms.compose_tf(_entries(first), _entries(then)), axis=1)
    expected = [transforms.compose(np.stack(pair)) for pair in zip(first, then)]
    np.testing.assert_allclose(composed, np.reshape(expected, (-1, 6)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("border", BORDERS)
def test_the_search_and_the_stored_image_differ_by_at_most_one_grey_level(shape, border):
    images, matrices = nets.images(64, shape), _matrices(64, shape)
    rendered, warped = _render_and_warp(images, matrices, border)
    difference = np.abs(rendered.astype(int) - warped)
    assert difference.max() <= 1 and (difference == 0).mean() > 0.95


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("far", [5.0, -5.0, 1e4, -1e4])
def test_content_far_outside_is_the_border_in_both(far, border):
    images = nets.images(2)
    rendered, warped = _render_and_warp(images, _matrix(nets.SHAPE, translate_x=far, translate_y=far), border)
    np.testing.assert_array_equal(rendered, warped)
    if abs(far) > nets.SHAPE[0]:
        corner = images[:, 0, 0] if far > 0 else images[:, -1, -1]
        expected = corner[:, None, None] if border == "edge" else 0
        np.testing.assert_array_equal(rendered, np.broadcast_to(expected, rendered.shape))


@pytest.mark.parametrize("size", [7, 8, 9, 16])
def test_the_warp_never_reaches_beyond_its_source(size):
    images = nets.images(1, (size, size, 1))
    matrix = _matrix((size, size), translate_x=-2.0, translate_y=-2.0)
    source = transforms.pad_tf(tf.constant(images), "constant")
    warped = transforms.warp_tf(source, tf.constant([0]), _entries(matrix))
    np.testing.assert_array_equal(warped, [_shifted(images[0], -2, -2)])


def test_each_lane_warps_its_own_source():
    images, matrices, rows = nets.images(4), _matrices(6, nets.SHAPE), [3, 0, 0, 2, 1, 3]
    source = transforms.pad_tf(tf.constant(images), "constant")
    warped = _warp_compiled(source, tf.constant(rows), _entries(matrices))
    np.testing.assert_array_equal(warped, _warp(images[rows], matrices))


def _position_types(*shape: int) -> set[tf.DType]:
    """The integers by which `warp_tf` finds pixels in sources of a shape; nothing is allocated."""
    specs = [tf.TensorSpec(shape), tf.TensorSpec([2], tf.int32), [tf.TensorSpec([2])] * 6]
    graph = tf.function(transforms.warp_tf).get_concrete_function(*specs).graph
    return {gather.inputs[1].dtype for gather in graph.get_operations() if gather.type == "GatherV2"}


def test_positions_in_more_pixels_than_32_bits_can_count_have_64():
    assert _position_types(1100, 1402, 1402, 1) == {tf.int64}
    assert _position_types(2**15, 2**8, 2**8, 1) == {tf.int64}
    assert _position_types(2**15 - 1, 2**8, 2**8, 1) == {tf.int32}


def test_64_bit_positions_find_the_same_pixels(monkeypatch):
    images, matrices = nets.images(4, (9, 8, 3)), _matrices(4, (9, 8, 3))
    source, rows = transforms.pad_tf(tf.constant(images), "constant"), tf.range(4)
    monkeypatch.setattr(transforms, "_position_type", lambda elements: tf.int64)
    compiled = tf.function(transforms.warp_tf, jit_compile=True)
    np.testing.assert_array_equal(compiled(source, rows, _entries(matrices)), _warp(images, matrices))


def test_a_row_alone_renders_to_the_bytes_of_the_row_in_a_batch():
    images, matrices = nets.images(9, (12, 9, 3)), _matrices(9, (12, 9, 3))
    together = transforms.render(images, matrices)
    for row in range(9):
        alone = transforms.render(images[row : row + 1], matrices[row : row + 1])
        assert alone.tobytes() == together[row].tobytes()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("border", "mode"), [("constant", "grid-constant"), ("edge", "nearest")])
def test_render_agrees_with_scipy(shape, border, mode):
    images, matrices = nets.images(8, shape), _matrices(8, shape)
    rendered = transforms.render(images, matrices, border).astype(np.float64)
    for image, matrix, result in zip(images.astype(np.float64), matrices, rendered):
        by_row = matrix[::-1][:, [1, 0, 2]]  # SciPy's axes are (y, x)
        for channel in range(shape[2]):
            expected = scipy.ndimage.affine_transform(
                image[..., channel], by_row[:, :2], by_row[:, 2], order=1, mode=mode
            )
            np.testing.assert_allclose(result[..., channel], expected, atol=0.5 + 1e-6)


def test_channels_are_rendered_one_by_one():
    images, matrices = nets.images(4, (9, 8, 3)), _matrices(4, (9, 8, 3))
    rendered, warped = _render_and_warp(images, matrices)
    for channel in range(3):
        single = _render_and_warp(images[..., channel : channel + 1], matrices)
        np.testing.assert_array_equal(rendered[..., channel], single[0][..., 0])
        np.testing.assert_array_equal(warped[..., channel], single[1][..., 0])


def test_no_images_render_to_none():
    assert transforms.render(nets.images(0), np.zeros((0, 2, 3))).shape == (0, *nets.SHAPE)


@pytest.mark.parametrize("shape", SHAPES)
def test_ranges_of_zero_draw_the_identity(shape):
    np.testing.assert_allclose(_matrices(5, shape, STILL), np.repeat(IDENTITY[None], 5, axis=0), atol=1e-12)
    drawn = tf.stack(STILL.draw_tf(tf.random.stateless_uniform([5, 6], (1, 2)), *shape[:2]), axis=1)
    np.testing.assert_allclose(drawn, np.tile(IDENTITY.reshape(1, 6), (5, 1)), atol=1e-6)
    images = nets.images(5, shape)
    np.testing.assert_array_equal(transforms.render(images, _matrices(5, shape, STILL)), images)


@pytest.mark.parametrize("part", ["rotation_degrees", "translation_pixels", "scale", "stretch", "shear_degrees"])
def test_a_range_of_zero_switches_its_own_part_off_and_no_other(part):
    drawn = np.stack(dataclasses.replace(AFFINE, **{part: 0.0}).parameters(np.full((1, 6), 0.9)), axis=-1)[0]
    names = {"translation_pixels": ("translate_x", "translate_y")}.get(part, (part,))
    for name, value in zip(AFFINE.parameter_names, drawn):
        still = 1.0 if name in ("scale", "stretch") else 0.0
        assert (value == still) == (name in names)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=6, max_size=6))
def test_parameters_stay_within_their_ranges(numbers):
    turn, right, down, scale, stretch, shear = (value[0] for value in AFFINE.parameters(np.array([numbers])))
    assert abs(turn) <= 40 and abs(right) <= 3 and abs(down) <= 3 and abs(shear) <= 20
    for factor in (scale, stretch):
        assert 1 / 1.3 - 1e-12 <= factor <= 1.3 + 1e-12


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=6, max_size=6), st.integers(1, 60), st.integers(1, 60))
def test_a_matrix_splits_into_the_parameters_that_made_it(numbers, height, width):
    wild = Affine(rotation_degrees=179.0, translation_pixels=30.0, scale=2.0, stretch=2.0, shear_degrees=80.0)
    parameters = np.stack(wild.parameters(np.array([numbers])), axis=-1)
    parts = transforms.decompose(wild.matrices(parameters, height, width)[0], height, width)
    assert parts._fields == Affine.parameter_names
    np.testing.assert_allclose(parts, parameters[0], rtol=1e-7, atol=1e-7)


def test_a_mirror_is_a_scale_below_0():
    assert transforms.decompose(np.array([[1.0, 0, 0], [0, -1.0, 9]]), 10, 20) == (0, 0, 0, -1, 1, 0)


def test_the_ends_of_the_uniform_numbers_reach_the_ends_of_the_ranges():
    least = [value[0] for value in AFFINE.parameters(np.zeros((1, 6)))]
    np.testing.assert_allclose(least, [-40, -3, -3, 1 / 1.3, 1 / 1.3, -20])
    most = [value[0] for value in AFFINE.parameters(np.ones((1, 6)))]
    np.testing.assert_allclose(most, [40, 3, 3, 1.3, 1.3, 20])


def test_the_search_draws_the_matrices_that_the_record_gives():
    uniform = np.random.default_rng(4).random((32, 6)).astype(np.float32)
    recorded = AFFINE.matrices(np.stack(AFFINE.parameters(uniform.astype(np.float64)), axis=-1), 12, 9)
    drawn = tf.stack(AFFINE.draw_tf(tf.constant(uniform), 12, 9), axis=1)
    np.testing.assert_allclose(drawn, recorded.reshape(-1, 6), rtol=1e-5, atol=1e-5)


def test_scale_and_stretch_keep_what_they_promise_of_the_area():
    scaled = _matrix(nets.SHAPE, scale=1.2)[0, :, :2]
    stretched = _matrix(nets.SHAPE, stretch=1.2)[0, :, :2]
    assert math.isclose(np.linalg.det(scaled), 1.2**-2)
    assert math.isclose(np.linalg.det(stretched), 1.0)

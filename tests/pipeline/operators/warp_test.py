"""Sampling by matrices: both ways agree with each other, with SciPy, and with moves by hand."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf

from pipeline.operators import warp
from tests.pipeline import nets
from tests.pipeline.operators import moves


@pytest.mark.parametrize("shape", moves.SHAPES)
@pytest.mark.parametrize("border", moves.BORDERS)
def test_the_identity_leaves_images_as_they_are(shape, border):
    images = nets.images(3, shape)
    for result in moves.rendered_and_warped(images, warp.IDENTITY, border):
        np.testing.assert_array_equal(result, images)


def test_a_shift_over_the_edge_repeats_the_outermost_pixels():
    images = nets.images(2)
    for result in moves.rendered_and_warped(images, moves.matrix(nets.SHAPE, translate_x=3.0), "edge"):
        np.testing.assert_array_equal(result[:, :, 3:], images[:, :, :-3])
        np.testing.assert_array_equal(result[:, :, :3], np.repeat(images[:, :, :1], 3, axis=2))


@pytest.mark.parametrize("shape", moves.SHAPES)
def test_whole_shifts_compose_to_one_exact_shift(shape):
    images = nets.images(2, shape)
    shifts = [(3, 0), (-5, 2), (1, -4)]
    chain = np.concatenate([moves.matrix(shape, translate_x=right, translate_y=down) for right, down in shifts])
    expected = [moves.shifted(image, -1, -2) for image in images]
    for result in moves.rendered_and_warped(images, warp.compose(chain)):
        np.testing.assert_array_equal(result, expected)


def test_a_composed_matrix_applies_its_moves_in_order():
    images = nets.images(2)
    turn, shift = moves.matrix(nets.SHAPE, rotation_degrees=90.0), moves.matrix(nets.SHAPE, translate_x=2.0)
    expected = [moves.shifted(np.rot90(image, -1), 2, 0) for image in images]
    for result in moves.rendered_and_warped(images, warp.compose(np.concatenate([turn, shift]))):
        np.testing.assert_array_equal(result, expected)


def test_no_moves_compose_to_the_identity():
    np.testing.assert_array_equal(warp.compose(np.zeros((0, 2, 3))), warp.IDENTITY)


def test_chains_compose_together_as_they_do_alone():
    matrices, counts = moves.random_matrices(9, nets.SHAPE), [4, 0, 1, 3, 0, 1]
    parts = np.split(matrices, np.cumsum(counts))[:-1]
    together = warp.compose_each(matrices, counts)
    assert [each.tobytes() for each in together] == [warp.compose(part).tobytes() for part in parts]
    expected = functools.reduce(np.matmul, (np.vstack([matrix, [0.0, 0.0, 1.0]]) for matrix in parts[0]))
    np.testing.assert_allclose(together[0], expected[:2], rtol=1e-12)
    assert warp.compose_each(matrices[:0], []).shape == (0, 2, 3)


def test_matrices_compose_alike_in_both():
    first, then = moves.random_matrices(6, nets.SHAPE)[:3], moves.random_matrices(6, nets.SHAPE)[3:]
    composed = tf.stack(warp.compose_entries(moves.entries(first), moves.entries(then)), axis=1)
    expected = [warp.compose(np.stack(pair)) for pair in zip(first, then)]
    np.testing.assert_allclose(composed, np.reshape(expected, (-1, 6)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", moves.SHAPES)
@pytest.mark.parametrize("border", moves.BORDERS)
def test_the_search_and_the_stored_image_differ_by_at_most_one_grey_level(shape, border):
    images, matrices = nets.images(64, shape), moves.random_matrices(64, shape)
    rendered, warped = moves.rendered_and_warped(images, matrices, border)
    difference = np.abs(rendered.astype(int) - warped)
    assert difference.max() <= 1 and (difference == 0).mean() > 0.95


@pytest.mark.parametrize("border", moves.BORDERS)
@pytest.mark.parametrize("far", [5.0, -5.0, 1e4, -1e4])
def test_content_far_outside_is_the_border_in_both(far, border):
    images = nets.images(2)
    rendered, warped = moves.rendered_and_warped(
        images, moves.matrix(nets.SHAPE, translate_x=far, translate_y=far), border
    )
    np.testing.assert_array_equal(rendered, warped)
    if abs(far) > nets.SHAPE[0]:
        corner = images[:, 0, 0] if far > 0 else images[:, -1, -1]
        expected = corner[:, None, None] if border == "edge" else 0
        np.testing.assert_array_equal(rendered, np.broadcast_to(expected, rendered.shape))


@pytest.mark.parametrize("size", [7, 8, 9, 16])
def test_the_warp_never_reaches_beyond_its_source(size):
    images = nets.images(1, (size, size, 1))
    matrix = moves.matrix((size, size), translate_x=-2.0, translate_y=-2.0)
    source = warp.pad_tf(tf.constant(images), "constant")
    warped = warp.warp_tf(source, tf.constant([0]), moves.entries(matrix))
    np.testing.assert_array_equal(warped, [moves.shifted(images[0], -2, -2)])


def test_each_lane_warps_its_own_source():
    images, matrices, rows = nets.images(4), moves.random_matrices(6, nets.SHAPE), [3, 0, 0, 2, 1, 3]
    source = warp.pad_tf(tf.constant(images), "constant")
    warped = moves.warp_compiled(source, tf.constant(rows), moves.entries(matrices))
    np.testing.assert_array_equal(warped, moves.warped(images[rows], matrices))


def _position_types(*shape: int) -> set[tf.DType]:
    """The integers by which `warp_tf` finds pixels in sources of a shape; nothing is allocated."""
    specs = [tf.TensorSpec(shape), tf.TensorSpec([2], tf.int32), [tf.TensorSpec([2])] * 6]
    graph = tf.function(warp.warp_tf).get_concrete_function(*specs).graph
    return {gather.inputs[1].dtype for gather in graph.get_operations() if gather.type == "GatherV2"}


def test_positions_in_more_pixels_than_32_bits_can_count_have_64():
    assert _position_types(1100, 1402, 1402, 1) == {tf.int64}
    assert _position_types(2**15, 2**8, 2**8, 1) == {tf.int64}
    assert _position_types(2**15 - 1, 2**8, 2**8, 1) == {tf.int32}


def test_64_bit_positions_find_the_same_pixels(monkeypatch):
    images, matrices = nets.images(4, (9, 8, 3)), moves.random_matrices(4, (9, 8, 3))
    source, rows = warp.pad_tf(tf.constant(images), "constant"), tf.range(4)
    monkeypatch.setattr(warp, "_position_type", lambda elements: tf.int64)
    compiled = tf.function(warp.warp_tf, jit_compile=True)
    np.testing.assert_array_equal(compiled(source, rows, moves.entries(matrices)), moves.warped(images, matrices))


def test_a_row_alone_renders_to_the_bytes_of_the_row_in_a_batch():
    images, matrices = nets.images(9, (12, 9, 3)), moves.random_matrices(9, (12, 9, 3))
    together = warp.render(images, matrices)
    for row in range(9):
        alone = warp.render(images[row : row + 1], matrices[row : row + 1])
        assert alone.tobytes() == together[row].tobytes()


@pytest.mark.parametrize("shape", moves.SHAPES)
@pytest.mark.parametrize(("border", "mode"), [("constant", "grid-constant"), ("edge", "nearest")])
def test_render_agrees_with_scipy(shape, border, mode):
    images, matrices = nets.images(8, shape), moves.random_matrices(8, shape)
    rendered = warp.render(images, matrices, border).astype(np.float64)
    for image, matrix, result in zip(images.astype(np.float64), matrices, rendered):
        by_row = matrix[::-1][:, [1, 0, 2]]  # SciPy's axes are (y, x)
        for channel in range(shape[2]):
            expected = scipy.ndimage.affine_transform(
                image[..., channel], by_row[:, :2], by_row[:, 2], order=1, mode=mode
            )
            np.testing.assert_allclose(result[..., channel], expected, atol=0.5 + 1e-6)


def test_channels_are_rendered_one_by_one():
    images, matrices = nets.images(4, (9, 8, 3)), moves.random_matrices(4, (9, 8, 3))
    rendered, warped = moves.rendered_and_warped(images, matrices)
    for channel in range(3):
        single = moves.rendered_and_warped(images[..., channel : channel + 1], matrices)
        np.testing.assert_array_equal(rendered[..., channel], single[0][..., 0])
        np.testing.assert_array_equal(warped[..., channel], single[1][..., 0])


def test_no_images_render_to_none():
    assert warp.render(nets.images(0), np.zeros((0, 2, 3))).shape == (0, *nets.SHAPE)

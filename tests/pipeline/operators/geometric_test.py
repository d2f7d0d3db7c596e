"""Crop, flip, shear and rotation: what each part does, in which order, and that a crop never leaves the image."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.kinds.mistakes.methods import MovedGrading
from pipeline.operators import warp
from pipeline.operators.affine import Affine
from pipeline.operators.geometric import Geometric
from tests.pipeline import nets
from tests.pipeline.operators import moves

SHAPES = [(28, 28, 1), (32, 32, 3), (7, 16, 3)]
WILD = Geometric(rotation_degrees=40.0, shear_degrees=20.0, crop=0.92, aspect=1 / 3, flip=0.5)
NUMBERS = st.lists(st.integers(0, 2**24 - 1), min_size=7, max_size=7)


def _drawn(numbers: list[int], operator: Geometric = WILD) -> dict[str, float]:
    """The parameters of a move, drawn by multiples of 2**-24."""
    return dict(zip(Geometric.parameter_names, operator.parameters(np.array([numbers]) / 2**24, 8, 8)[0], strict=True))


def _rendered(images: np.ndarray, *chain: dict[str, float]) -> np.ndarray:
    return WILD.render(images, [moves.chain(Geometric, *chain)] * len(images))


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3), (8, 16, 3)])
@pytest.mark.parametrize(("left", "top"), [(0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.5, 0.5), (0.25, 0.25)])
def test_a_crop_of_half_the_sides_is_a_part_of_the_image_at_twice_its_size(shape, left, top):
    images, (height, width) = nets.images(3, shape), shape[:2]
    twice = np.rint(tf.image.resize(images.astype(np.float32), (2 * height, 2 * width)))
    across, down = int(2 * width * left), int(2 * height * top)
    cropped = _rendered(images, {"crop_width": 0.5, "crop_height": 0.5, "crop_left": left, "crop_top": top})
    np.testing.assert_array_equal(cropped, twice[:, down : down + height, across : across + width])


@pytest.mark.parametrize("shape", SHAPES)
def test_a_flip_mirrors_left_and_right_and_two_of_them_are_none(shape):
    images = nets.images(3, shape)
    np.testing.assert_array_equal(_rendered(images, {"flip": 1}), images[:, :, ::-1])
    np.testing.assert_array_equal(_rendered(images, {"flip": 1}, {"flip": 1}), images)


@pytest.mark.parametrize("shape", SHAPES)
def test_shear_and_rotation_are_those_of_affine_moves(shape):
    parts = {"shear_degrees": 12.0, "rotation_degrees": -25.0}
    found = WILD.matrices(moves.chain(Geometric, parts), *shape[:2])
    np.testing.assert_allclose(found, moves.matrix(shape, **parts), atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_within_a_move_come_crop_and_flip_and_shear_and_rotation(shape):
    crop = {"crop_width": 0.7, "crop_height": 0.8, "crop_left": 0.3, "crop_top": 0.1}
    parts = [crop, {"flip": 1}, {"shear_degrees": 10.0}, {"rotation_degrees": 20.0}]
    together = {name: value for part in parts for name, value in part.items()}
    one, by_one = (WILD.totals([moves.chain(Geometric, *each)], *shape[:2]) for each in ([together], parts))
    np.testing.assert_allclose(one, by_one, atol=1e-12)
    other = WILD.totals([moves.chain(Geometric, *parts[::-1])], *shape[:2])
    assert np.abs(other - one).max() > 0.1, "the order is of consequence"


@settings(max_examples=100, deadline=None, derandomize=True)
@given(NUMBERS)
def test_a_crop_lies_in_the_image_and_keeps_the_area_and_aspect_that_are_set(numbers):
    drawn = _drawn(numbers)
    wide, high = drawn["crop_width"], drawn["crop_height"]
    assert 0 <= drawn["crop_left"] <= 1 - wide + 1e-12 and 0 <= drawn["crop_top"] <= 1 - high + 1e-12
    assert 0 < wide <= 1 and 0 < high <= 1 and wide * high <= 1
    if max(wide, high) < 1:  # else a side was cut to the image's
        assert wide * high >= 0.08 - 1e-12 and 3 / 4 - 1e-12 <= wide / high <= 4 / 3 + 1e-12


def test_the_ends_of_the_uniform_numbers_reach_the_ends_of_the_ranges():
    last = 2**24
    assert _drawn([last, last // 2, 0, 0, 0, 0, 0]) == pytest.approx(
        {
            **{"crop_width": 0.08**0.5, "crop_height": 0.08**0.5, "crop_left": 0, "crop_top": 0, "flip": 1},
            **{"shear_degrees": -20, "rotation_degrees": -40},
        }
    )
    wide, high = (0.08 * 4 / 3) ** 0.5, (0.08 * 3 / 4) ** 0.5
    assert _drawn([last] * 7) == pytest.approx(
        {
            **{"crop_width": wide, "crop_height": high, "crop_left": 1 - wide, "crop_top": 1 - high, "flip": 0},
            **{"shear_degrees": 20, "rotation_degrees": 40},
        }
    )


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(NUMBERS, min_size=1, max_size=4))
def test_a_crop_of_a_crop_shows_nothing_but_the_image(numbers):
    crops = Geometric(rotation_degrees=0.0, shear_degrees=0.0, crop=0.92, aspect=1 / 3, flip=0.5)
    white = np.full((1, 9, 14, 1), 255, np.uint8)
    assert (crops.render(white, [crops.parameters(np.array(numbers) / 2**24, 9, 14)]) == 255).all()


def test_beyond_a_rotated_image_it_is_black():
    turned = _rendered(np.full((1, 21, 21, 3), 255, np.uint8), {"rotation_degrees": 45.0})[0]
    assert (turned[[0, 0, -1, -1], [0, -1, 0, -1]] == 0).all() and (turned[5:16, 5:16] == 255).all()


@pytest.mark.parametrize("probability", [0.1, 0.3, 0.5, 0.7, 1 - 2**-20, 1.0])
def test_search_and_record_agree_which_moves_mirror(probability):
    operator, edge = Geometric(flip=probability), round(probability * 2**24)
    near = np.clip(np.arange(edge - 3, edge + 4), 0, 2**24 - 1) / 2**24
    uniform = np.full((len(near), 7), 0.5)
    uniform[:, 4] = near
    recorded = operator.parameters(uniform, 8, 8)[:, 4]
    searched = operator.columns(tf.constant(uniform, tf.float32), tf)[4]
    np.testing.assert_array_equal(searched, recorded)
    np.testing.assert_array_equal(recorded, near < probability)


def test_the_search_draws_the_matrices_that_the_record_gives():
    uniform = np.random.default_rng(4).integers(0, 2**24, (32, 7)) / 2**24
    recorded = WILD.matrices(WILD.parameters(uniform, 12, 9), 12, 9)
    sources = WILD.sources(tf.zeros([1, 12, 9, 1], tf.uint8))
    drawn = tf.stack(WILD.then(WILD.identity(32, sources), tf.constant(uniform, tf.float32), sources), axis=1)
    np.testing.assert_allclose(drawn, recorded.reshape(-1, 6), rtol=1e-5, atol=1e-5)


def test_ranges_of_zero_draw_the_identity():
    still = Geometric(rotation_degrees=0.0, shear_degrees=0.0, crop=0.0, aspect=0.0, flip=0.0)
    matrices = still.matrices(still.parameters(np.random.default_rng(1).random((5, 7)), 8, 6), 8, 6)
    np.testing.assert_allclose(matrices, np.repeat([warp.IDENTITY], 5, axis=0), atol=1e-12)


def test_amounts_are_a_flip_and_then_an_affine_move():
    chain = moves.chain(Geometric, {"rotation_degrees": 10.0}, {"flip": 1}, {"rotation_degrees": 25.0})
    told = WILD.amounts(chain, 20, 40)
    assert told.keys() == {"flip", *Affine.parameter_names} and told["flip"] == 1
    assert told["rotation_degrees"] == pytest.approx(15.0), "the first turn is seen in the mirror"
    assert told["scale"] == pytest.approx(1) and told["translate_x"] == pytest.approx(0, abs=1e-9)
    right = {"crop_width": 0.5, "crop_height": 0.5, "crop_left": 0.5, "crop_top": 0.25}
    cropped = WILD.amounts(moves.chain(Geometric, right), 20, 40)
    assert (cropped["flip"], cropped["scale"], cropped["translate_x"]) == pytest.approx((0, 2, -20))


def test_a_flip_is_realistic_and_so_are_turns_and_crops_within_their_limits():
    limits = MovedGrading(rotation_degrees=30, translation=0.1, scale=0.25, stretch=0.15, shear_degrees=16)

    def realistic(*chain: dict[str, float]) -> bool:
        return WILD.realistic(moves.chain(Geometric, *chain), 20, 40, limits)

    middle = {"crop_width": 0.8, "crop_height": 0.8, "crop_left": 0.1, "crop_top": 0.1}
    assert realistic({"flip": 1}) and realistic({"flip": 1, "rotation_degrees": 30}, middle)
    assert not realistic({"flip": 1, "rotation_degrees": 30.1}) and not realistic(middle, middle)
    assert not realistic({**middle, "crop_left": 0.2}), "its centre is 0.1 / 0.8 of the width aside"
    assert not realistic({"crop_width": 0.7, "crop_left": 0.15}), "stretched"

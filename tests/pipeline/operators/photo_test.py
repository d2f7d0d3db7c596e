"""Geometric and photometric moves in one: each part as it is alone, and black beyond the image whatever the light."""

from __future__ import annotations

import numpy as np
import pytest

from models.errors import InputError
from pipeline.kinds.mistakes.methods import MovedGrading
from pipeline.operators.geometric import Geometric
from pipeline.operators.photo import Photo
from pipeline.operators.photometric import Photometric
from tests.pipeline import nets
from tests.pipeline.operators import moves

SHAPES = [(28, 28, 1), (32, 32, 3)]
FRAMED = {"crop_width": 0.8, "crop_height": 0.9, "crop_left": 0.1, "shear_degrees": 7.0, "rotation_degrees": 20.0}
LIT = {"gamma": 1.2, "brightness": 1.3, "contrast": 0.6, "saturation": 1.4, "hue_degrees": 20.0}


def _rendered(images: np.ndarray, operator: type, *chain: dict[str, float]) -> np.ndarray:
    return operator().render(images, [moves.chain(operator, *chain)] * len(images))


@pytest.mark.parametrize("shape", SHAPES)
def test_without_the_one_part_it_is_the_other(shape):
    images = nets.images(2, shape)
    for operator, part in ((Geometric, FRAMED), (Photometric, LIT)):
        np.testing.assert_array_equal(_rendered(images, Photo, part), _rendered(images, operator, part))


@pytest.mark.parametrize("shape", SHAPES)
def test_an_image_is_moved_first_and_then_lit(shape):
    images = nets.images(2, shape)
    expected = _rendered(_rendered(images, Geometric, {"flip": 1}), Photometric, LIT)
    np.testing.assert_array_equal(_rendered(images, Photo, {"flip": 1, **LIT}), expected)
    np.testing.assert_array_equal(_rendered(images, Photo, LIT, {"flip": 1}), expected)
    lit_first = _rendered(_rendered(images, Photometric, {"gamma": 3.0}), Geometric, FRAMED)
    assert (_rendered(images, Photo, {**FRAMED, "gamma": 3.0}) != lit_first).any(), "the order is of consequence"


def test_nothing_is_rounded_between_the_parts():
    images = np.array([[[[0], [1]]]], np.uint8)  # between them are values that brightness makes visible
    half = {"crop_width": 0.5, "crop_left": 0.25, "brightness": 100.0}
    np.testing.assert_array_equal(_rendered(images, Photo, half)[0, 0, :, 0], [25, 75])


@pytest.mark.parametrize("light", [{"contrast": 0.1}, {"gamma": 0.1}, {"brightness": 5.0}])
def test_beyond_the_image_it_is_black_whatever_the_light(light):
    turned = _rendered(np.full((1, 21, 21, 3), 200, np.uint8), Photo, {"rotation_degrees": 45.0, **light})[0]
    assert (turned[[0, 0, -1, -1], [0, -1, 0, -1]] == 0).all() and (turned[10, 10] > 0).all()


def test_a_record_has_what_both_parts_have():
    chains = [moves.chain(Photo, {**FRAMED, **LIT}, FRAMED), moves.chain(Photo)]
    found = Photo().composed(chains, 32, 32)
    assert list(found) == ["composed_matrix", "composed_light"]
    alone = Geometric().composed([moves.chain(Geometric, FRAMED, FRAMED)], 32, 32)["composed_matrix"]
    np.testing.assert_array_equal(found["composed_matrix"][0], alone[0])
    np.testing.assert_allclose(found["composed_light"], [[1.2, 1.3, 0, 0.6, 1.4, 20], [1, 1, 0, 1, 1, 0]])


def test_it_is_realistic_where_both_parts_are():
    def realistic(move: dict[str, float]) -> bool:
        return Photo().realistic(moves.chain(Photo, move), 32, 32, MovedGrading())

    turned, bright = {"rotation_degrees": 10.0}, {"brightness": 1.2}
    assert realistic({**turned, **bright})
    assert not realistic({**turned, "brightness": 2.0}) and not realistic({"rotation_degrees": 50.0, **bright})
    told = Photo().amounts(moves.chain(Photo, {**turned, **bright}), 32, 32)
    assert (told["rotation_degrees"], told["brightness"], told["flip"]) == pytest.approx((10, 1.2, 0))


def test_grey_images_are_refused_where_their_colour_would_be_changed():
    grey = nets.images(1, (8, 8, 1))
    assert Photo(**moves.NO_COLOUR).sources(grey).shape == (1, 10, 10, 1)
    with pytest.raises(InputError, match="saturation"):
        Photo().sources(grey)

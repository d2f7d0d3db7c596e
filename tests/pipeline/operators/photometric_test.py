"""Lighting: each part against others' definitions of it, their order, and that moves add up without a trace."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance

from models.errors import InputError
from pipeline.kinds.mistakes.methods import MovedGrading
from pipeline.operators import photometric
from pipeline.operators.photometric import Photometric
from tests.pipeline import nets
from tests.pipeline.operators import moves

COLOUR = (16, 12, 3)
SHAPES = [(28, 28, 1), (32, 32, 3)]
NAMES = Photometric.parameter_names
FACTORS = ("gamma", "brightness", "contrast", "saturation")


def _rendered(images: np.ndarray, *chain: dict[str, float]) -> np.ndarray:
    return Photometric().render(images, [moves.chain(Photometric, *chain)] * len(images))


def _on_all_colours() -> np.ndarray:
    """An image of 17 levels of each channel, `[1, 289, 17, 3]`."""
    levels = np.rint(np.linspace(0, 255, 17)).astype(np.uint8)
    return np.stack(np.meshgrid(levels, levels, levels), -1).reshape(1, 289, 17, 3)


@pytest.mark.parametrize("factor", [0.5, 0.9, 1.3, 2.0])
def test_brightness_is_that_of_pillow(factor):
    image = nets.images(1, COLOUR)[0]
    theirs = np.asarray(ImageEnhance.Brightness(Image.fromarray(image)).enhance(factor))
    assert np.abs(_rendered(image[None], {"brightness": factor})[0] - theirs.astype(int)).max() <= 1  # it cuts decimals


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.4, 3.0])
def test_saturation_is_that_of_pillow(factor):
    image = nets.images(1, COLOUR)[0]
    theirs = np.asarray(ImageEnhance.Color(Image.fromarray(image)).enhance(factor))
    most = 1 + abs(1 - factor) / 2  # it rounds luma
    assert np.abs(_rendered(image[None], {"saturation": factor})[0] - theirs.astype(int)).max() <= most


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("factor", [0.5, 1.5])
def test_contrast_is_that_of_tensorflow_on_images_that_are_grey_on_average(shape, factor):
    image = nets.images(1, shape)
    image = np.concatenate([image, 255 - image], axis=1)
    theirs = np.clip(tf.image.adjust_contrast(image.astype(np.float32), factor), 0, 255)
    assert np.abs(_rendered(image, {"contrast": factor}) - theirs).max() <= 0.5 + 1e-3


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("gamma", [0.5, 1.7])
def test_gamma_is_that_of_tensorflow(shape, gamma):
    images = nets.images(2, shape)
    theirs = 255 * tf.image.adjust_gamma(images / 255.0, gamma)
    np.testing.assert_array_equal(_rendered(images, {"gamma": gamma}), np.rint(theirs))


@pytest.mark.parametrize("degrees", [-90.0, 20.0, 120.0])
def test_hue_turns_the_chroma_of_yiq(degrees):
    image = _on_all_colours()
    luma, first, second = tf.unstack(tf.image.rgb_to_yiq(image / 255.0), axis=-1)
    turned = tf.complex(first, second) * np.exp(-1j * np.radians(degrees))  # I is orange, Q purple: yellow is behind
    yiq = tf.stack([luma, tf.math.real(turned), tf.math.imag(turned)], -1)
    theirs = np.clip(255 * tf.image.yiq_to_rgb(yiq).numpy(), 0, 255)
    assert np.abs(_rendered(image, {"hue_degrees": degrees}) - theirs).max() <= 0.52  # its matrices invert to 1e-4


def test_hue_turns_as_tensorflows_does_from_red_by_yellow_to_green():
    image = np.array([[[[200, 60, 60], [60, 200, 60], [60, 60, 200]]]], np.uint8)
    theirs = tf.image.adjust_hue(image / 255.0, 20 / 360).numpy() - image / 255.0
    ours = _rendered(image, {"hue_degrees": 20.0}) - image.astype(float)
    assert (np.sum(ours * theirs, axis=-1) > 0).all()


def test_a_full_turn_of_hue_is_none():
    image = _on_all_colours()
    np.testing.assert_array_equal(_rendered(image, {"hue_degrees": 360.0}), image)
    np.testing.assert_array_equal(_rendered(image, *[{"hue_degrees": 90.0}] * 4), image)


def test_greys_have_no_hue_and_no_saturation():
    greys = np.repeat(np.arange(256, dtype=np.uint8)[None, None, :, None], 3, axis=-1)
    np.testing.assert_array_equal(_rendered(greys, {"hue_degrees": 77.0, "saturation": 3.0}), greys)


@pytest.mark.parametrize("mired", [-40.0, 15.0, 60.0])
def test_colour_temperature_is_that_of_black_bodies(mired):
    def light(kelvin: float) -> np.ndarray:
        """Planck's law at the wavelengths of red, green and blue."""
        wavelengths = np.array([611.4e-9, 549.1e-9, 464.3e-9])
        return wavelengths**-5 / np.expm1(1.438777e-2 / (wavelengths * kelvin))

    change = light(1e6 / (1e6 / 6500 + mired)) / light(6500)
    expected = 100 * (change / change[1]) ** (1 / 2.2)
    found = _rendered(np.full((1, 1, 1, 3), 100, np.uint8), {"temperature_mired": mired})[0, 0, 0]
    np.testing.assert_allclose(found, expected, atol=0.5 + 0.01 * abs(mired))
    assert found[1] == 100 and (found[0] > found[2]) == (mired > 0), "warmer is redder"


def test_the_parts_come_in_their_order_and_are_clipped_once():
    parts = {"gamma": 1.3, "brightness": 1.8, "contrast": 0.6}
    values = np.arange(256, dtype=np.uint8)[None, :, None, None]
    lit = ((values / 255) ** 1.3 * 1.8 - 0.5) * 0.6 + 0.5
    assert lit.max() > 1, "brightness alone would be clipped"
    np.testing.assert_array_equal(_rendered(values, parts), np.rint(255 * np.clip(lit, 0, 1)))


@pytest.mark.parametrize("shape", SHAPES)
def test_moves_there_and_back_leave_no_trace(shape):
    images = nets.images(2, shape)
    there = {"gamma": 1.7, "brightness": 3.0, "contrast": 2.5, "hue_degrees": 50.0, "temperature_mired": 80.0}
    back = {name: 1 / value if name in FACTORS else -value for name, value in there.items()}
    assert (_rendered(images, there) != images).any()
    np.testing.assert_array_equal(_rendered(images, there, back), images)


def test_the_order_of_moves_is_of_no_consequence():
    images = nets.images(1, COLOUR)
    chain = Photometric().parameters(np.random.default_rng(5).random((6, 6)), *COLOUR[:2])
    one, other = (Photometric().render(images, [each]) for each in (chain, chain[::-1]))
    np.testing.assert_array_equal(one, other)
    assert (one != images).any()


def test_the_ends_of_the_uniform_numbers_reach_the_ends_of_the_ranges():
    operator = Photometric(
        brightness=0.1, contrast=0.2, saturation=0.3, hue_degrees=40.0, gamma=0.5, temperature_mired=60.0
    )
    least, most = (operator.parameters(np.full((1, 6), end), 8, 8)[0] for end in (0.0, 1.0))
    np.testing.assert_allclose(most, [1.5, 1.1, 60, 1.2, 1.3, 40])
    np.testing.assert_allclose(least, [1 / 1.5, 1 / 1.1, -60, 1 / 1.2, 1 / 1.3, -40])


@pytest.mark.parametrize("key", [field.name for field in dataclasses.fields(Photometric)])
def test_a_range_of_zero_switches_its_own_part_off_and_no_other(key):
    drawn = dataclasses.replace(Photometric(), **{key: 0.0}).parameters(np.full((1, 6), 0.9), 8, 8)[0]
    still = {name: value == (name in FACTORS) for name, value in zip(NAMES, drawn, strict=True)}
    assert still == {name: name == key for name in NAMES}


@pytest.mark.parametrize("shape", SHAPES)
def test_black_and_white_are_seen_in_the_search_as_they_are_stored(shape):
    images = (nets.images(4, shape) // 128 * 255).astype(np.uint8)
    parameters = moves.chain(Photometric, *({"gamma": gamma, "contrast": 1.1} for gamma in (0.2, 0.7, 1.4, 5.0)))
    totals = [tf.constant(column, tf.float32) for column in parameters.T]
    lit = tf.function(lambda values: photometric.relight(values, totals, tf), jit_compile=True)(
        tf.cast(images, tf.float32)
    )
    rendered = Photometric().render(images, list(parameters[:, None]))
    assert np.abs(lit - rendered.astype(np.float32)).max() <= 0.5 + 1e-3


@pytest.mark.parametrize("key", ["saturation", "hue_degrees", "temperature_mired"])
def test_grey_images_have_no_colour_to_change(key):
    grey = tf.zeros([1, 8, 8, 1], tf.uint8)
    assert Photometric(**moves.NO_COLOUR).sources(grey).shape == grey.shape
    told = rf"^\[operator\] {key}: only images of 3 channels.*, these have 1; set it to 0\.$"
    with pytest.raises(InputError, match=told):
        Photometric(**{**moves.NO_COLOUR, key: 0.1}).sources(grey)
    with pytest.raises(InputError, match=r"saturation, hue_degrees, temperature_mired: .* set them to 0"):
        Photometric().sources(grey)


@pytest.mark.parametrize("name", NAMES)
def test_a_move_is_realistic_up_to_its_limit_either_way_and_no_further(name):
    limits, operator = MovedGrading(), Photometric()
    limit = getattr(limits, name)
    for sign in (1, -1):
        most, more = ((1 + part * limit) ** sign if name in FACTORS else sign * part * limit for part in (1, 1.001))
        assert operator.realistic(moves.chain(Photometric, {name: most}), 8, 8, limits)
        assert not operator.realistic(moves.chain(Photometric, {name: more}), 8, 8, limits)


def test_what_counts_is_what_the_moves_do_together():
    bright = {"brightness": 1.4}
    assert not Photometric().realistic(moves.chain(Photometric, bright, bright), 8, 8, MovedGrading())
    chain = moves.chain(Photometric, bright, bright, {"brightness": 1 / 1.4, "hue_degrees": -7.0})
    assert Photometric().realistic(chain, 8, 8, MovedGrading())
    told = Photometric().amounts(chain, 8, 8)
    assert told.keys() == set(NAMES) and told["hue_degrees"] == -7.0
    assert math.isclose(told["brightness"], 1.4)

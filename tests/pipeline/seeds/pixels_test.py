from __future__ import annotations

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from models.errors import InputError
from pipeline.seeds import pixels

GREYS = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)


def _picture(data: bytes) -> pixels.Converted:
    with Image.open(io.BytesIO(data)) as picture:
        mode, reason = pixels.plain_mode(picture)
        image, told = pixels.of_picture(picture)
        if reason:
            assert told == reason
        elif not told:
            bands = Image.getmodebands(mode)
            assert image.shape == pixels.kept_shape((picture.height, picture.width, bands)), "known before decoding"
        return image, told


def _saved(picture: Image.Image, kind: str = "PNG", **options) -> pixels.Converted:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return _picture(stream.getvalue())


def _same(converted: pixels.Converted, expected: np.ndarray) -> None:
    image, reason = converted
    assert reason == "" and image.dtype == np.uint8
    np.testing.assert_array_equal(image, expected)


def _refused(converted: pixels.Converted, reason: str) -> None:
    assert converted[1] == reason and converted[0].size == 0


def test_eight_bits_are_as_they_are():
    _same(pixels.as_uint8(GREYS), GREYS)


def test_of_sixteen_bits_the_upper_eight_count():
    every = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    _same(pixels.as_uint8(every), np.repeat(np.arange(256), 256).reshape(256, 256, 1))


def test_floats_from_0_to_1_go_to_the_nearest_level():
    levels = GREYS / np.float32(255)
    _same(pixels.as_uint8(levels.astype(np.float32)), GREYS)
    for nearly in (GREYS + 0.4, GREYS - 0.4):
        _same(pixels.as_uint8((nearly / 255).astype(np.float32)), GREYS)


@pytest.mark.parametrize("value", [-0.01, 1.01, 255.0, -1e30])
def test_floats_outside_0_to_1_are_not_clipped(value):
    image = np.full((2, 2, 1), 0.5, np.float32)
    image[1, 1] = value
    _refused(pixels.as_uint8(image), "the image has floating-point values outside 0 to 1")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_floats_that_are_not_finite_are_told(value):
    image = np.full((2, 2, 1), 0.5, np.float32)
    image[0, 1] = value
    _refused(pixels.as_uint8(image), "the image has NaN or infinity")


@pytest.mark.parametrize("dtype", ["int32", "float64", "int8", "uint32"])
def test_values_without_a_rule_are_not_cast(dtype):
    for ask in (lambda: pixels.rule(dtype), lambda: pixels.as_uint8(GREYS.astype(dtype))):
        with pytest.raises(InputError, match=f"images of {dtype} values are not read; expected uint8, uint16, float32"):
            ask()


@pytest.mark.parametrize(("channels", "kept"), [(1, 1), (2, 1), (3, 3), (4, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_alpha_is_left_out_where_all_is_opaque_and_nowhere_else(channels, kept, dtype):
    most = np.iinfo(dtype).max
    image = np.random.default_rng(1).integers(0, most, (5, 4, channels), dtype)
    assert pixels.kept_shape(image.shape) == (5, 4, kept)
    if channels != kept:
        image[..., -1] = most
    _same(pixels.as_uint8(image), image[..., :kept] if dtype == np.uint8 else image[..., :kept] >> 8)
    image[2, 3, -1] = most // 2
    if channels == kept:
        assert pixels.as_uint8(image)[1] == ""
    else:
        _refused(pixels.as_uint8(image), "the image has transparent pixels")


def test_a_picture_of_sixteen_bits_of_grey_or_colour_keeps_the_upper_eight():
    for channels in (1, 3):
        values = np.random.default_rng(channels).integers(0, 65536, (9, 8, channels), np.uint16)
        _same(_picture(tf.io.encode_png(values).numpy()), values >> 8)


def test_a_picture_of_one_bit_is_black_and_white():
    bits = np.random.default_rng(2).integers(0, 2, (9, 8)).astype(bool)
    _same(_saved(Image.fromarray(bits)), 255 * bits[..., None])


def test_a_palette_gives_its_colours():
    grey = Image.fromarray(GREYS[..., 0])
    _same(_saved(grey.convert("P")), np.repeat(GREYS, 3, -1))


COLOURS = Image.fromarray(np.random.default_rng(3).integers(0, 256, (9, 8, 3), np.uint8))


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_a_picture_with_alpha_is_used_where_all_is_opaque_and_nowhere_else(mode):
    picture = COLOURS.convert(mode)
    plain = np.asarray(COLOURS.convert("L"))[..., None] if mode == "LA" else np.asarray(COLOURS)
    _same(_saved(picture), plain)
    alpha = Image.new("L", picture.size, 255)
    alpha.putpixel((3, 4), 254)
    picture.putalpha(alpha)
    _refused(_saved(picture), "the image has transparent pixels")


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_a_colour_that_is_said_to_be_transparent_is_transparent_where_it_comes(mode):
    picture = COLOURS.convert(mode)
    there = picture.getpixel((0, 0))
    _refused(_saved(picture, transparency=there), "the image has transparent pixels")
    if mode == "RGB":
        _same(_saved(picture, transparency=(1, 2, 3)), np.asarray(picture))


@pytest.mark.parametrize(
    ("mode", "kind", "told"), [("CMYK", "JPEG", "CMYK"), ("I", "TIFF", "I"), ("F", "TIFF", "F"), ("LAB", "TIFF", "LAB")]
)
def test_a_picture_whose_colours_or_range_are_not_certain_is_refused_by_its_mode(mode, kind, told):
    picture = Image.new(mode, (8, 9)) if mode in ("LAB",) else COLOURS.convert("L").convert(mode)
    expected = f"the picture's mode is {told}, expected 8 or 16 bits of grey, or colour"
    _refused(_saved(picture, kind), expected)


def test_a_transparent_grey_of_sixteen_bits_is_refused():
    picture = Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000)
    assert "I;16 with a transparent colour" in _saved(picture, transparency=1000)[1]

"""Images in sheets, and out of them again."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.report import sprites


@given(count=st.integers(1, 40), height=st.integers(1, 12), width=st.integers(1, 12), channels=st.sampled_from([1, 3]))
def test_every_tile_lies_in_its_sheet_where_the_page_looks_for_it(count, height, width, channels):
    tiles = np.random.default_rng(count).integers(0, 256, (count, height, width, channels), np.uint8)
    with Image.open(io.BytesIO(sprites.sheet(list(tiles)))) as opened:
        whole = np.asarray(opened).reshape(opened.height, opened.width, channels)
    across = sprites.columns(count)
    for place, tile in enumerate(tiles):
        top, left = place // across * height, place % across * width
        np.testing.assert_array_equal(whole[top : top + height, left : left + width], tile)


@pytest.mark.parametrize(("size", "expected"), [((28, 28), (28, 28)), ((96, 40), (96, 40)), ((192, 96), (96, 48))])
@pytest.mark.parametrize("channels", [1, 3])
def test_only_images_that_are_larger_than_a_tile_are_made_smaller(size, expected, channels):
    image = np.random.default_rng(0).integers(0, 256, (*size, channels), np.uint8)
    tile = sprites.tile(image)
    assert tile.shape == (*expected, channels)
    assert size != expected or np.array_equal(tile, image)


def test_an_image_that_is_nearly_a_line_keeps_a_pixel():
    assert sprites.tile(np.zeros((1000, 1, 3), np.uint8)).shape == (96, 1, 3)

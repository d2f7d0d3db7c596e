"""Many small images in few large ones, so that a page of thousands of examples stays one small file."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

LARGEST = 96  # pixels of a tile's longer side: larger images are made smaller


def tile_size(height: int, width: int) -> tuple[int, int]:
    """Returns the size of a tile, (H, W), for images of a size: theirs, or with the longer side `LARGEST`."""
    shrink = min(1.0, LARGEST / max(height, width))
    return max(1, round(height * shrink)), max(1, round(width * shrink))


def tile(image: np.ndarray) -> np.ndarray:
    """Returns an image, uint8 `[H, W, C]`, as a tile, uint8 `[h, w, C]` of `tile_size`."""
    height, width = tile_size(*image.shape[:2])
    if (height, width) == image.shape[:2]:
        return image
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    small = np.asarray(picture.resize((width, height), Image.Resampling.LANCZOS))
    return small[..., None] if small.ndim == 2 else small


def columns(count: int) -> int:
    """Returns how many tiles stand beside each other in a sheet of so many."""
    return max(1, math.isqrt(max(count, 1) - 1) + 1)


def sheet(tiles: Sequence[np.ndarray]) -> bytes:
    """Returns tiles, uint8 `[h, w, C]` all of one size, as one PNG, row by row, `columns` in a row."""
    across = columns(len(tiles))
    down = -(-len(tiles) // across)
    height, width, channels = tiles[0].shape
    whole = np.zeros((down, height, across, width, channels), np.uint8)
    for place, each in enumerate(tiles):
        whole[place // across, :, place % across] = each
    pixels = whole.reshape(down * height, across * width, channels)
    stream = io.BytesIO()
    Image.fromarray(pixels[..., 0] if channels == 1 else pixels).save(stream, "PNG", optimize=False)
    return stream.getvalue()

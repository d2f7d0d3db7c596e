"""Noise on images: a function of the seed image and the number of the draw, of a given size as it is shown.

Nets are shown uint8 images, as twins are stored, so the size of noise is what is left of it when it is clipped to the
range and rounded to uint8. Gaussian noise that is made larger to make up for clipping is no longer Gaussian.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pipeline import seeding

_STREAM = 2**32 - 1  # no net's place: the noise's own random numbers
_NONE = np.float32(1e-30)  # a length that counts as none
_STEPS = 12  # to a scale; more bring the distortions of digits no nearer than a ten-thousandth
_MARGIN = 0.02  # a step leaves at least this share of what is between the ends
_LEAST_OFF = np.float32(1e-3)  # of a grey level, where a logarithm is taken
_TOGETHER = 200_000  # pixels that are moved at a time: so many stay in a core's cache


def gaussian(seed_ids: Sequence[str], shape: Sequence[int], draw: int = 0) -> np.ndarray:
    """Returns standard normal float32 `[B, *shape]` (Box-Muller), a function of each seed image's id and `draw`."""
    count = int(np.prod(shape))
    words = np.array([seeding.seed_key(seed_id) for seed_id in seed_ids], np.uint32)
    stream, step = np.full(len(words), _STREAM), np.full(len(words), draw)
    uniform = seeding.draws(0, words, stream, step, 2 * count)
    radius = np.sqrt(-2.0 * np.log1p(-uniform[:, :count]))
    return (radius * np.cos(2.0 * np.pi * uniform[:, count:])).reshape(-1, *shape).astype(np.float32)


def moved(images: np.ndarray, directions: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Moves images along directions as far as gives them a distortion after clipping to [0, 1] and rounding to uint8.

    No move reaches more than every pixel at the end of the range that its direction leads to: where that is less than
    the distortion wanted, it is what comes out. Otherwise the distortion is the nearest to the wanted one that uint8
    can hold on the way, or off by as little.

    Args:
      images: uint8 `[B, ...]`.
      directions: `[B, ...]`, of any length; where one is 0, the pixel stays.
      sizes: `[B]`, the distortions wanted, at least 0; see `distortions`.

    Returns:
      uint8 `[B, ...]`.
    """
    result = np.empty_like(images)
    together = max(1, _TOGETHER // max(1, math.prod(images.shape[1:])))
    for start in range(0, len(images), together):
        rows = slice(start, start + together)
        result[rows] = _moved(images[rows], directions[rows], sizes[rows])
    return result


def _moved(images: np.ndarray, directions: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    levels = images.reshape(len(images), -1).astype(np.float32)
    ways = directions.reshape(levels.shape).astype(np.float32)
    room, far = np.where(ways > 0, 255 - levels, levels), np.abs(ways)
    far /= np.maximum(far.max(axis=-1, keepdims=True, initial=0.0), _NONE)
    changes = _changes(room, far, _scale(room, far, (255.0 * sizes).astype(np.float32)))
    return (levels + np.copysign(changes, ways)).astype(np.uint8).reshape(images.shape)


def _scale(room: np.ndarray, far: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Returns the scales `[B]` that come nearest to the sizes, in grey levels.

    By regula falsi, in logarithms, with the Illinois rule (Dowell and Jarratt, 1971): of an end that stays twice, what
    it is off by counts half.
    """
    low, high = _bracket(room, far, sizes)
    reached_low, reached_high = _reached(room, far, low), _reached(room, far, high)
    off_low, off_high = _off(reached_low, sizes), _off(reached_high, sizes)
    went_up = went_down = np.zeros(len(sizes), bool)
    for _ in range(_STEPS):
        share = np.clip(off_low / np.minimum(off_low - off_high, -_LEAST_OFF), _MARGIN, 1 - _MARGIN)
        middle = low * (high / low) ** share
        reached = _reached(room, far, middle)
        off, up = _off(reached, sizes), reached <= sizes
        off_low = np.where(up, off, np.where(went_down, off_low / 2, off_low))
        off_high = np.where(up, np.where(went_up, off_high / 2, off_high), off)
        low, reached_low = np.where(up, middle, low), np.where(up, reached, reached_low)
        high, reached_high = np.where(up, high, middle), np.where(up, reached_high, reached)
        went_up, went_down = up, ~up
    return np.where(np.abs(reached_high - sizes) < np.abs(reached_low - sizes), high, low)


def _off(reached: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(reached, _LEAST_OFF)) - np.log(np.maximum(sizes, _LEAST_OFF))


def _bracket(room: np.ndarray, far: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns scales `[B]` that give at most, and at least, the sizes in grey levels; or all there is room for."""
    root_mean_square = np.sqrt(np.einsum("bp,bp->b", far, far) / far.shape[-1])
    unclipped = (sizes - 0.5) / np.maximum(root_mean_square, _NONE)  # rounding adds half a level at most
    fullest = np.max(room / np.maximum(far, _NONE), axis=-1, where=far > 0, initial=0.0)
    low = np.maximum(unclipped, np.float32(0.25))  # the longest way is 1
    return low, np.maximum(fullest, low)


def _changes(room: np.ndarray, far: np.ndarray, scale: np.ndarray) -> np.ndarray:
    changes = scale[:, None] * far
    np.minimum(changes, room, out=changes)
    return np.rint(changes, out=changes)


def _reached(room: np.ndarray, far: np.ndarray, scale: np.ndarray) -> np.ndarray:
    changes = _changes(room, far, scale)
    return np.sqrt(np.einsum("bp,bp->b", changes, changes) / far.shape[-1])


def distortions(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Returns sqrt(mean((x' - x)^2)), float64 `[B]`, of uint8 images `[B, H, W, C]`, pixels as in [0, 1]."""
    change = (images.astype(np.float64) - others) / 255.0
    return np.sqrt(np.mean(change**2, axis=(1, 2, 3)))

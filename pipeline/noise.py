"""Gaussian noise on images: a function of the seed image and the number of the draw, shown on the uint8 grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline import seeding

_STREAM = 2**32 - 1  # no net's place: the noise's own random numbers


def gaussian(seed_ids: Sequence[str], shape: Sequence[int], draw: int = 0) -> np.ndarray:
    """Returns standard normal float64 `[B, *shape]` (Box-Muller), a function of each seed image's id and `draw`."""
    count = int(np.prod(shape))
    words = np.array([seeding.seed_key(seed_id) for seed_id in seed_ids], np.uint32)
    stream, step = np.full(len(words), _STREAM), np.full(len(words), draw)
    uniform = seeding.draws(0, words, stream, step, 2 * count)
    radius = np.sqrt(-2.0 * np.log1p(-uniform[:, :count]))
    return (radius * np.cos(2.0 * np.pi * uniform[:, count:])).reshape(-1, *shape)


def on_grid(images: np.ndarray, changes: np.ndarray) -> np.ndarray:
    """Returns uint8 images `[B, ...]` with changes, in units of the full range, added: clipped and rounded, uint8."""
    return np.rint(np.clip(images / 255.0 + changes, 0.0, 1.0) * 255.0).astype(np.uint8)


def distortions(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Returns sqrt(mean((x' - x)^2)), float64 `[B]`, of uint8 images `[B, H, W, C]`, pixels as in [0, 1]."""
    change = (images.astype(np.float64) - others) / 255.0
    return np.sqrt(np.mean(change**2, axis=(1, 2, 3)))

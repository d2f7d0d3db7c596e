"""Swapped pixels: the images that Table 2 of "The Virtues of Peer Pressure" searches, and that nobody would take.

A pixel is drawn by two numbers, its row's and its column's. The search draws in float32 and the record in float64, and
both have to name the same pixel. Numbers are multiples of 2**-24, so that their product with a side is exact in float64
and, rounded down, below the side; in float32 it may round up to the next pixel, or beyond the last one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from etils import epy

with epy.lazy_imports():  # see `warp`
    import numpy as np
    import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class PixelSwap:
    """[operator]: two pixels change places at each move, all channels together.

    See `operator.Operator`. Both pixels are drawn uniformly from the whole image. Once in H * W draws they are the same
    one, and nothing changes. A pose is a permutation, int32 `[L, H * W]`: which pixel of the source, counted row
    by row, each pixel comes from.
    """

    name: ClassVar[str] = "pixel_swap"
    parameter_names: ClassVar[Sequence[str]] = ("first_row", "first_column", "second_row", "second_column")
    composed_shapes: ClassVar[Mapping[str, tuple[int, ...]]] = {}  # a permutation is as large as the image
    has_gradient: ClassVar[bool] = False

    def sources(self, images: tf.Tensor) -> tf.Tensor:
        """Returns the images on the uint8 grid, off which [0, 1] takes those of a search by their last bits."""
        return tf.round(tf.cast(images, tf.float32))

    def identity(self, lanes: int, sources: tf.Tensor) -> tf.Tensor:
        """Returns the permutations that leave images as they are."""
        height, width = sources.shape[1:3]
        return tf.tile(tf.range(height * width)[None], [lanes, 1])

    def then(self, pose: tf.Tensor, uniform: tf.Tensor, sources: tf.Tensor) -> tf.Tensor:
        """Returns the permutations after one more swap, of pixels of the image so far."""
        height, width = sources.shape[1:3]
        # Retraining goes beyond ranges by numbers beyond [0, 1); beyond the image there is no pixel.
        exact = tf.clip_by_value(tf.cast(uniform, tf.float64), 0.0, 1.0 - 2.0**-24)
        top, left, bottom, right = (tf.cast(whole, tf.int32) for whole in _whole(exact, height, width, tf.floor))
        first, second = (top * width + left)[:, None], (bottom * width + right)[:, None]
        from_first, from_second = (tf.gather(pose, place, batch_dims=1) for place in (first, second))
        places = tf.range(height * width)[None]
        return tf.where(places == first, from_second, tf.where(places == second, from_first, pose))

    def apply(self, sources: tf.Tensor, rows: tf.Tensor, pose: tf.Tensor) -> tf.Tensor:
        """Gathers the pixels of one source a lane."""
        count, height, width, channels = sources.shape
        pixels = tf.reshape(sources, [count * height * width, channels])
        moved = tf.gather(pixels, rows[:, None] * (height * width) + pose)
        return tf.reshape(moved, [-1, height, width, channels])

    def parameters(self, uniform: np.ndarray, height: int, width: int) -> np.ndarray:
        """Returns the swaps, float64 `[M, 4]`: whole numbers from 0, rows below `height` and columns below `width`."""
        return np.stack(_whole(uniform, height, width, np.floor), axis=-1)

    def render(self, images: np.ndarray, chains: Sequence[np.ndarray]) -> np.ndarray:
        """Swaps pixels, one swap after the other."""
        swapped = images.copy()
        for image, chain in zip(swapped, chains, strict=True):
            for top, left, bottom, right in chain.astype(np.int64):
                image[[top, bottom], [left, right]] = image[[bottom, top], [right, left]]
        return swapped

    def composed(self, chains: Sequence[np.ndarray], height: int, width: int) -> dict[str, np.ndarray]:
        """Returns nothing: the swaps say it all, and in less room."""
        return {}

    def realistic(self, chain: np.ndarray, height: int, width: int, limits: Any) -> bool:
        """Denies it: no camera and no pen swaps pixels, however few; so every mistake is of low value."""
        return False

    def amounts(self, chain: np.ndarray, height: int, width: int) -> dict[str, float]:
        """Returns how many pixels are not in their places."""
        places = np.arange(height * width).reshape(1, height, width, 1)
        return {"pixels_moved": float((self.render(places, [chain]) != places).sum())}


def _whole(uniform: Any, height: int, width: int, floor: Any) -> list[Any]:
    """Returns rows and columns, each float64 `[B]`, from float64 `[B, 4]` in [0, 1) (NumPy or TensorFlow)."""
    return [floor(uniform[:, place] * side) for place, side in enumerate((height, width, height, width))]

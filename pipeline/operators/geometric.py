"""Moves of natural photographs: crop with resize, horizontal flip, shear and rotation, black beyond the image."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, ClassVar

from etils import epy

from models.settings import setting
from pipeline.operators import affine, warp
from pipeline.operators.affine import Limits
from pipeline.operators.matrices import MatrixMoves
from pipeline.operators.warp import Entries

with epy.lazy_imports():  # see `warp`
    import numpy as np
    import tensorflow as tf

_GRID = 2**24  # uniform numbers are multiples of its inverse


@dataclasses.dataclass(frozen=True)
class GeometricRanges:
    """How far one move goes. 0 switches a part off."""

    rotation_degrees: float = setting(5.0, "largest rotation either way, in degrees", low=0, high=180)
    shear_degrees: float = setting(5.0, "largest horizontal shear angle either way, in degrees", low=0, high=80)
    crop: float = setting(
        0.05, "largest share of the area that a crop leaves off; 0.92 keeps from 8 to 100%", low=0, high=0.99
    )
    aspect: float = setting(
        0.05, "largest relative change of a crop's width over height; 0.1 draws from 1/1.1 to 1.1", low=0, high=10
    )
    flip: float = setting(
        0.0, "probability that a move mirrors left and right; 0 where that makes another thing, as of digits",
        low=0, high=1,
    )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Geometric(MatrixMoves, GeometricRanges):
    """[operator]: a move crops and resizes, mirrors, shears and rotates, in this order.

    See `operator.Operator`. Of a crop, area and aspect are drawn first, their logarithms uniformly; a side that would
    be longer than the image's is the image's. Then its place, uniformly of all inside the image. So a crop of a crop is
    a crop, and only shear and rotation, about the centre, bring in what is beyond the image, which is black.
    """

    name: ClassVar[str] = "geometric"
    parameter_names: ClassVar[Sequence[str]] = (
        "crop_width",  # shares of the image's width and height
        "crop_height",
        "crop_left",
        "crop_top",
        "flip",  # 1 if the move mirrors, else 0
        "shear_degrees",
        "rotation_degrees",
    )

    def columns(self, uniform: Any, xp: Any) -> list[Any]:
        """See `MatrixMoves`."""
        area, aspect, across, down, flip, shear, rotation = (uniform[:, place] for place in range(7))
        log_area, log_aspect = math.log1p(-self.crop) * area, math.log1p(self.aspect) * (2.0 * aspect - 1.0)
        wide, high = (xp.minimum(xp.exp((log_area + change) / 2.0), 1.0) for change in (log_aspect, -log_aspect))
        mirrored = flip < math.ceil(self.flip * _GRID) / _GRID  # exact in float32 too
        return [
            wide,
            high,
            across * (1.0 - wide),
            down * (1.0 - high),
            xp.where(mirrored, xp.ones_like(flip), xp.zeros_like(flip)),
            self.shear_degrees * (2.0 * shear - 1.0),
            self.rotation_degrees * (2.0 * rotation - 1.0),
        ]

    def entries(self, columns: Sequence[Any], height: int, width: int, xp: Any) -> list[Any]:
        """See `MatrixMoves`."""
        *cropped, shear, rotation = columns
        moved = affine.entries([rotation, 0.0, 0.0, 1.0, 1.0, shear], height, width, xp)
        return warp.compose_entries(_crop_entries(cropped, height, width), moved)

    def sources(self, images: tf.Tensor) -> tf.Tensor:
        """Returns the images with a border of one pixel, as `warp.on_black` needs it."""
        return warp.pad_tf(images, "edge")

    def apply(self, sources: tf.Tensor, rows: tf.Tensor, pose: Entries) -> tf.Tensor:
        """Samples one source a lane."""
        return warp.on_grid(warp.on_black(warp.sample_tf(sources, rows, pose), pose, tf))

    def render(self, images: np.ndarray, chains: Sequence[np.ndarray]) -> np.ndarray:
        """Samples each image once, by the matrix of its whole chain."""
        totals = self.totals(chains, *images.shape[1:3])
        framed = warp.on_black(warp.sample(images, totals, "edge"), warp.entries_of(totals), np)
        return np.rint(framed).astype(np.uint8)

    def amounts(self, chain: np.ndarray, height: int, width: int) -> dict[str, float]:
        """Returns all moves in one, as a flip (1 or 0) and then an affine move; not finite where it cannot be told."""
        flipped, matrix = self._unflipped(chain, height, width)
        return {"flip": float(flipped), **affine.decompose(matrix, height, width)._asdict()}

    def realistic(self, chain: np.ndarray, height: int, width: int, limits: Limits) -> bool:
        """Tells whether all moves in one are within all limits; of a mirrored image, but for the flip."""
        return affine.within(self._unflipped(chain, height, width)[1], height, width, limits)

    def _unflipped(self, chain: np.ndarray, height: int, width: int) -> tuple[bool, np.ndarray]:
        """Returns whether all moves together mirror, and their matrix on an image that was mirrored before if so."""
        matrix = warp.compose(self.matrices(chain, height, width))
        mirrored = bool(np.linalg.det(matrix[:, :2]) < 0)
        mirror = np.array([[-1.0, 0.0, width - 1.0], [0.0, 1.0, 0.0]])
        return mirrored, warp.compose(np.stack([mirror, matrix])) if mirrored else matrix


def _crop_entries(columns: Sequence[Any], height: int, width: int) -> list[Any]:
    """Returns the sampling matrices of crops, resized to the image's size, and mirrored where `flip` is 1."""
    wide, high, left, top, flip = columns
    from_left, from_top = left * width + (wide - 1.0) / 2.0, top * height + (high - 1.0) / 2.0
    none = 0.0 * wide
    return [wide * (1.0 - 2.0 * flip), none, from_left + flip * wide * (width - 1.0), none, high, from_top]

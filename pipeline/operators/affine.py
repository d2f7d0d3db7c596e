"""Random affine moves about the image's centre: rotation, translation, scale, stretch and shear."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple, Protocol

from etils import epy

from models.settings import setting
from pipeline.operators import warp
from pipeline.operators.matrices import MatrixMoves
from pipeline.operators.operator import all_within
from pipeline.operators.warp import Border, Entries

with epy.lazy_imports():  # see `warp`
    import numpy as np
    import tensorflow as tf


class Limits(Protocol):
    """How far all moves in one may go; the section [grade] has these keys."""

    rotation_degrees: float
    translation: float
    scale: float
    stretch: float
    shear_degrees: float


@dataclasses.dataclass(frozen=True)
class Affine(MatrixMoves):
    """[operator] of affine moves; see `operator.Operator`. Every range is symmetric, and 0 switches its part off."""

    rotation_degrees: float = setting(5.0, "largest rotation either way, in degrees", low=0, high=180)
    translation_pixels: float = setting(1.0, "largest shift along x and along y, in pixels", low=0, high=10_000)
    scale: float = setting(0.05, "largest relative change of size; 0.1 draws factors from 1/1.1 to 1.1", low=0, high=10)
    stretch: float = setting(
        0.05, "largest relative change of width, paid for by height; same form as `scale`", low=0, high=10
    )
    shear_degrees: float = setting(5.0, "largest horizontal shear angle either way, in degrees", low=0, high=80)
    border: Border = setting(
        "constant", 'what lies beyond the image, black ("constant") or its outermost pixels ("edge")'
    )

    name: ClassVar[str] = "affine"
    parameter_names: ClassVar[Sequence[str]] = (
        "rotation_degrees",
        "translate_x",
        "translate_y",
        "scale",
        "stretch",
        "shear_degrees",
    )

    def columns(self, uniform: Any, xp: Any) -> list[Any]:
        """See `MatrixMoves`."""
        logs = [math.log1p(self.scale), math.log1p(self.stretch)]
        bounds = [self.rotation_degrees, *[self.translation_pixels] * 2, *logs, self.shear_degrees]
        values = [bound * (2.0 * uniform[:, place] - 1.0) for place, bound in enumerate(bounds)]
        return [*values[:3], xp.exp(values[3]), xp.exp(values[4]), values[5]]

    def entries(self, columns: Sequence[Any], height: int, width: int, xp: Any) -> list[Any]:
        """See `MatrixMoves`."""
        return entries(columns, height, width, xp)

    def sources(self, images: tf.Tensor) -> tf.Tensor:
        """Returns the images with a border of one pixel."""
        return warp.pad_tf(images, self.border)

    def apply(self, sources: tf.Tensor, rows: tf.Tensor, pose: Entries) -> tf.Tensor:
        """Samples one source a lane."""
        return warp.warp_tf(sources, rows, pose)

    def render(self, images: np.ndarray, chains: Sequence[np.ndarray]) -> np.ndarray:
        """Samples each image once, by the matrix of its whole chain."""
        return warp.render(images, self.totals(chains, *images.shape[1:3]), self.border)

    def amounts(self, chain: np.ndarray, height: int, width: int) -> dict[str, float]:
        """Returns all moves in one, as one move's parameters; not finite where they cannot be split."""
        return decompose(warp.compose(self.matrices(chain, height, width)), height, width)._asdict()

    def realistic(self, chain: np.ndarray, height: int, width: int, limits: Limits) -> bool:
        """Tells whether all moves in one are within all limits; a mirrored image is not."""
        return within(warp.compose(self.matrices(chain, height, width)), height, width, limits)


def within(matrix: np.ndarray, height: int, width: int, limits: Limits) -> bool:
    """Tells whether a sampling matrix, float64 `[2, 3]`, is within all limits; one that mirrors is not."""
    parts = decompose(matrix, height, width)
    if not (np.isfinite(parts).all() and parts.scale > 0):
        return False
    changes = [
        (abs(parts.rotation_degrees), limits.rotation_degrees),
        (abs(parts.translate_x) / width, limits.translation),
        (abs(parts.translate_y) / height, limits.translation),
        (abs(np.log(parts.scale)), np.log1p(limits.scale)),
        (abs(np.log(parts.stretch)), np.log1p(limits.stretch)),
        (abs(parts.shear_degrees), limits.shear_degrees),
    ]
    return all_within(changes)


def entries(columns: Sequence[Any], height: int, width: int, xp: Any) -> list[Any]:
    """Returns the inverse of: scale and stretch, shear, rotate about the centre, translate; six `[B]`.

    Args:
      columns: the parameters in the order of `Affine.parameter_names`, `[B]` each or a number.
      height, width: of the images.
      xp: NumPy or TensorFlow.
    """
    rotation, shift_x, shift_y, scale, stretch, shear = columns
    angle, slope = rotation * (math.pi / 180.0), xp.tan(shear * (math.pi / 180.0))
    cos, sin = xp.cos(angle), xp.sin(angle)
    shrink_x, shrink_y = 1.0 / (scale * stretch), stretch / scale
    xx, xy = shrink_x * (cos + slope * sin), shrink_x * (sin - slope * cos)
    yx, yy = -shrink_y * sin, shrink_y * cos
    middle_x, middle_y = (width - 1) / 2.0, (height - 1) / 2.0
    from_x, from_y = middle_x + shift_x, middle_y + shift_y
    return [xx, xy, middle_x - xx * from_x - xy * from_y, yx, yy, middle_y - yx * from_x - yy * from_y]


class Parts(NamedTuple):
    """What a sampling matrix does to an image's content, in the order of `Affine.parameter_names`.

    Attributes:
      rotation_degrees: clockwise, in (-180, 180].
      translate_x, translate_y: how far the image's centre moves, in pixels.
      scale: the factor of size, below 0 where the image is mirrored.
      stretch: the factor of width, and the divisor of height, above 0.
      shear_degrees: the horizontal shear, in (-90, 90).
    """

    rotation_degrees: float
    translate_x: float
    translate_y: float
    scale: float
    stretch: float
    shear_degrees: float


def decompose(matrix: np.ndarray, height: int, width: int) -> Parts:
    """Splits a sampling matrix, float64 `[2, 3]`, composed or of one move, into the parts of one move.

    The content's matrix is a rotation times an upper triangle (its QR decomposition with a positive width), and the
    triangle is shear, stretch and scale: what `Affine.matrices` makes of the parameters comes back as them. Not finite
    where the matrix cannot be inverted.
    """
    with np.errstate(all="ignore"):
        (xx, xy, from_left), (yx, yy, from_top) = np.asarray(matrix, np.float64)
        content = np.array([[yy, -xy], [-yx, xx]]) / (xx * yy - xy * yx)
        middle = np.array([(width - 1) / 2.0, (height - 1) / 2.0])
        shift = content @ (middle - [from_left, from_top]) - middle
        wide = np.hypot(*content[:, 0])
        cos, sin = content[:, 0] / wide
        sheared, high = cos * content[0, 1] + sin * content[1, 1], cos * content[1, 1] - sin * content[0, 1]
        scale, stretch = np.copysign(np.sqrt(np.abs(wide * high)), high), np.sqrt(np.abs(wide / high))
        turned, slanted = np.degrees(np.arctan2(sin, cos)), np.degrees(np.arctan(sheared / high))
    return Parts(*map(float, (turned, *shift, scale, stretch, slanted)))

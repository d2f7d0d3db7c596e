"""Small image transforms: how one is drawn, how it is composed, and how it is applied.

A transform is a 2x3 sampling matrix: output pixel (x, y) takes the bilinear value of the source at
`matrix @ (x, y, 1)`. `warp_tf` applies it inside the search; `render` is the one plain NumPy float64 function
from which every stored image comes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import tensorflow as tf

Border = Literal["constant", "edge"]
IDENTITY = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])

# Sampling matrices in a graph: six float32 `[L]`, row by row. Stacked into one tensor, XLA would work out the sines of
# every entry anew.
Entries = Sequence[tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Affine:
    """Random affine moves about the image's centre; every range is symmetric and 0 switches its part off.

    Attributes:
      rotation_degrees: largest rotation either way, in degrees.
      translation_pixels: largest shift along x and along y, in pixels.
      scale: largest relative change of size; 0.1 draws factors from 1/1.1 to 1.1.
      stretch: largest relative change of width, paid for by height; same form as `scale`.
      shear_degrees: largest horizontal shear angle either way, in degrees.
      border: what lies beyond the image, black ("constant") or its outermost pixels ("edge").
    """

    rotation_degrees: float = 5.0
    translation_pixels: float = 1.0
    scale: float = 0.05
    stretch: float = 0.05
    shear_degrees: float = 5.0
    border: Border = "constant"

    name = "affine"
    parameter_names = ("rotation_degrees", "translate_x", "translate_y", "scale", "stretch", "shear_degrees")

    def _ranges(self) -> list[float]:
        logs = [math.log1p(self.scale), math.log1p(self.stretch)]
        return [self.rotation_degrees, self.translation_pixels, self.translation_pixels, *logs, self.shear_degrees]

    def parameters(self, uniform: Any, exp: Any = np.exp) -> list[Any]:
        """Returns the six parameters, each `[B]`, from uniform numbers `[B, 6]` in [0, 1) (NumPy or TensorFlow)."""
        values = [bound * (2.0 * uniform[:, place] - 1.0) for place, bound in enumerate(self._ranges())]
        return [*values[:3], exp(values[3]), exp(values[4]), values[5]]

    def matrices(self, parameters: np.ndarray, height: int, width: int) -> np.ndarray:
        """Returns float64 `[B, 2, 3]` sampling matrices of `[B, 6]` parameters (in `parameter_names`' order)."""
        columns = [np.asarray(column, np.float64) for column in np.asarray(parameters).T]
        entries = _affine_entries(columns, height, width, np.cos, np.sin, np.tan)
        return np.stack(entries, axis=-1).reshape(-1, 2, 3)

    def draw_tf(self, uniform: tf.Tensor, height: int, width: int) -> Entries:
        """Returns the sampling matrices drawn by uniform numbers `[L, 6]`."""
        return _affine_entries(self.parameters(uniform, exp=tf.exp), height, width, tf.cos, tf.sin, tf.tan)


def _affine_entries(parameters: list[Any], height: int, width: int, cos: Any, sin: Any, tan: Any) -> list[Any]:
    """The inverse of: scale and stretch, shear, rotate about the centre, translate."""
    rotation, shift_x, shift_y, scale, stretch, shear = parameters
    angle, slope = rotation * (math.pi / 180.0), tan(shear * (math.pi / 180.0))
    shrink_x, shrink_y = 1.0 / (scale * stretch), stretch / scale
    xx, xy = shrink_x * (cos(angle) + slope * sin(angle)), shrink_x * (sin(angle) - slope * cos(angle))
    yx, yy = -shrink_y * sin(angle), shrink_y * cos(angle)
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


def compose_tf(first: Entries, then: Entries) -> Entries:
    """Returns the sampling matrices of: apply `first`, then `then`."""
    entries: list[tf.Tensor] = []
    for left, right, shift in (first[:3], first[3:]):
        entries += [left * column + right * below for column, below in zip(then[:3], then[3:], strict=True)]
        entries[-1] += shift
    return entries


def compose(matrices: np.ndarray) -> np.ndarray:
    """Returns the float64 `[2, 3]` matrix of applying `[M, 2, 3]` sampling matrices one after the other."""
    total = np.eye(3)
    for matrix in matrices:
        total = total @ np.vstack([matrix, [0.0, 0.0, 1.0]])
    return total[:2]


def pad_tf(images: tf.Tensor, border: Border) -> tf.Tensor:
    """Returns `warp_tf`'s sources, float32 `[B, H + 2, W + 2, C]` in 0 to 255, of uint8-valued `[B, H, W, C]`."""
    mode = {"constant": "CONSTANT", "edge": "SYMMETRIC"}[border]
    return tf.pad(tf.cast(images, tf.float32), [[0, 0], [1, 1], [1, 1], [0, 0]], mode=mode)


def warp_tf(sources: tf.Tensor, rows: tf.Tensor, matrices: Entries) -> tf.Tensor:
    """Warps one source image a lane, as one fused gather.

    Args:
      sources: float32 `[S, H + 2, W + 2, C]` from `pad_tf`.
      rows: int32 `[L]`, each lane's source.
      matrices: the sampling matrix of each lane.

    Returns:
      float32 `[L, H, W, C]` on the uint8 grid, values 0 to 255.
    """
    padded_height, padded_width, channels = sources.shape[1:]
    height, width = padded_height - 2, padded_width - 2
    xx, xy, from_left, yx, yy, from_top = (tf.reshape(entry, [-1, 1, 1, 1]) for entry in matrices)
    ys = tf.reshape(tf.range(height, dtype=tf.float32), [1, height, 1, 1])
    xs = tf.reshape(tf.range(width, dtype=tf.float32), [1, 1, width, 1])
    # Positions in the padded source. The upper bound keeps the right and lower neighbours inside it.
    from_x = tf.clip_by_value(xx * xs + xy * ys + from_left + 1.0, 0.0, _below(width + 1))
    from_y = tf.clip_by_value(yx * xs + yy * ys + from_top + 1.0, 0.0, _below(height + 1))
    kind = _position_type(sources.shape.num_elements())
    left, top = tf.cast(from_x, kind), tf.cast(from_y, kind)
    across, down = from_x - tf.cast(left, tf.float32), from_y - tf.cast(top, tf.float32)
    flat = tf.reshape(sources, [-1])
    first = tf.reshape(tf.cast(rows, kind) * (padded_height * padded_width * channels), [-1, 1, 1, 1])
    corner = first + (top * padded_width + left) * channels + tf.range(channels, dtype=kind)
    upper_left, upper_right, lower_left, lower_right = (
        tf.gather(flat, corner + offset)
        for offset in (0, channels, padded_width * channels, (padded_width + 1) * channels)
    )
    upper = upper_left + (upper_right - upper_left) * across
    lower = lower_left + (lower_right - lower_left) * across
    return tf.round(upper + (lower - upper) * down)


def _position_type(elements: int) -> tf.DType:
    """The integers that count so many elements; XLA takes a position that overflowed for one outside, and gives 0."""
    return tf.int32 if elements <= tf.int32.max else tf.int64


def _below(size: int) -> float:
    return float(np.nextafter(np.float32(size), np.float32(0)))


def render(images: np.ndarray, matrices: np.ndarray, border: Border = "constant") -> np.ndarray:
    """Applies sampling matrices in NumPy float64; what is stored comes from here.

    Only additions, multiplications and roundings act on the numbers, each exact in IEEE arithmetic's sense, so the
    same arguments give the same bytes on every machine, whatever the batch.

    Args:
      images: uint8 `[B, H, W, C]`.
      matrices: float64 `[B, 2, 3]`, one for each image.
      border: as in `Affine`.

    Returns:
      uint8 `[B, H, W, C]`.
    """
    count, height, width, _ = images.shape
    mode: Any = {"constant": "constant", "edge": "edge"}[border]
    padded = np.pad(images, [(0, 0), (1, 1), (1, 1), (0, 0)], mode=mode).astype(np.float64)
    entries = np.asarray(matrices, np.float64).reshape(count, 6, 1, 1)
    ys, xs = np.arange(height, dtype=np.float64)[:, None], np.arange(width, dtype=np.float64)[None, :]
    from_x = np.clip(entries[:, 0] * xs + entries[:, 1] * ys + entries[:, 2], -1.0, width) + 1.0
    from_y = np.clip(entries[:, 3] * xs + entries[:, 4] * ys + entries[:, 5], -1.0, height) + 1.0
    left = np.minimum(from_x.astype(np.int64), width)
    top = np.minimum(from_y.astype(np.int64), height)
    across, down = (from_x - left)[..., None], (from_y - top)[..., None]
    rows = np.arange(count)[:, None, None]
    upper_left, upper_right = padded[rows, top, left], padded[rows, top, left + 1]
    lower_left, lower_right = padded[rows, top + 1, left], padded[rows, top + 1, left + 1]
    upper = upper_left + (upper_right - upper_left) * across
    lower = lower_left + (lower_right - lower_left) * across
    return np.rint(upper + (lower - upper) * down).astype(np.uint8)

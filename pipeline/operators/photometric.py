"""Lighting: gamma, brightness, colour temperature, contrast, saturation and hue, all moves in one on the seed image.

A move multiplies factors and adds angles, so that all moves together are one of the same kind whatever their order, and
an image is clipped and rounded once. What they come to is applied in a fixed order, to values from 0 to 1:

1. gamma: the value to the power of gamma; above 1 darkens.
2. brightness: times a factor.
3. colour temperature: red and blue times factors, green stays. A black body's light, by Wien's law, at the wavelengths
   of the sRGB primaries, becomes warmer by so many mired (millions over kelvin); values are encoded by 1 / 2.2.
4. contrast: the difference from mid-grey (0.5) times a factor.
5. saturation: the difference from luma (Rec. 601: 0.299 R + 0.587 G + 0.114 B) times a factor.
6. hue: turned by an angle in the plane of chroma of YIQ, luma stays; from red by yellow to green.

Contrast, saturation and hue give the same in any order, as brightness and temperature do.

Powers, exponentials and cosines are not exact in IEEE arithmetic's sense: from machine to machine they may differ in
their last bits, by some 1e-13 of a grey level. A stored value would differ only where it lies so close to a half.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

from etils import epy

from models.errors import InputError
from models.settings import setting
from pipeline.operators import warp
from pipeline.operators.operator import all_within

with epy.lazy_imports():  # see `warp`
    import numpy as np
    import tensorflow as tf

_LUMA = (0.299, 0.587, 0.114)
_QUARTER_TURN = (  # of hue by 90 degrees in YIQ: from RGB to RGB, without luma; greys become 0
    (-0.167723746, -0.329277056, 0.497000802),
    (0.328128709, -0.035503289, -0.29262542),
    (-1.249668003, 1.046440968, 0.203227035),
)
_WAVELENGTHS = (611.4e-9, 549.1e-9, 464.3e-9)  # metres, dominant ones of the sRGB primaries
_SECOND_RADIATION = 1.438777e-2  # Planck's second radiation constant, metres times kelvin
_ENCODING = 2.2
_BLACK = 1e-37  # instead of 0, near the least float32 that has a logarithm
_IS_FACTOR = (True, True, False, True, True, False)  # of `Photometric.parameter_names`; the others are added
_COLOURED = ("saturation", "hue_degrees", "temperature_mired")  # keys that mean nothing to grey images


class Limits(Protocol):
    """How far all moves in one may go; the section [grade] has these keys."""

    brightness: float
    contrast: float
    saturation: float
    hue_degrees: float
    gamma: float
    temperature_mired: float


@dataclasses.dataclass(frozen=True)
class PhotometricRanges:
    """How far one move goes. Every range is symmetric, and 0 switches its part off."""

    brightness: float = setting(
        0.05, "largest relative change of brightness; 0.1 draws factors from 1/1.1 to 1.1", low=0, high=10
    )
    contrast: float = setting(0.05, "largest relative change of contrast; same form as `brightness`", low=0, high=10)
    saturation: float = setting(0.1, "largest relative change of saturation; likewise", low=0, high=10)
    hue_degrees: float = setting(5.0, "largest turn of hue either way, in degrees", low=0, high=180)
    gamma: float = setting(0.05, "largest relative change of gamma; same form as `brightness`", low=0, high=10)
    temperature_mired: float = setting(
        10.0, "largest change of colour temperature either way, in mired (millions over kelvin)", low=0, high=500
    )


@dataclasses.dataclass(frozen=True)
class Photometric(PhotometricRanges):
    """[operator]: a move changes gamma, brightness, colour temperature, contrast, saturation and hue.

    See `operator.Operator`, and above for what they are. A pose is six float32 `[L]`: the sums of the moves' logarithms
    of factors, and of their angles and mired. Grey images (one channel) have no colour: saturation, hue_degrees and
    temperature_mired have to be 0 for them.
    """

    name: ClassVar[str] = "photometric"
    parameter_names: ClassVar[Sequence[str]] = (
        "gamma",
        "brightness",
        "temperature_mired",
        "contrast",
        "saturation",
        "hue_degrees",
    )
    composed_shapes: ClassVar[Mapping[str, tuple[int, ...]]] = {"composed_light": (6,)}
    has_gradient: ClassVar[bool] = True

    def sums(self, uniform: Any) -> list[Any]:
        """Returns what moves add to a pose, six `[B]`, drawn by uniform numbers `[B, 6]` (NumPy or TensorFlow)."""
        bounds = [
            math.log1p(bound) if factor else bound
            for factor, bound in zip(_IS_FACTOR, (getattr(self, name) for name in self.parameter_names), strict=True)
        ]
        return [bound * (2.0 * uniform[:, place] - 1.0) for place, bound in enumerate(bounds)]

    def check(self, channels: int) -> None:
        """Raises InputError where images of so many channels are to be changed as only colour can be."""
        changed = [key for key in _COLOURED if getattr(self, key)]
        if channels != len(_LUMA) and changed:
            raise InputError(
                f"[operator] {', '.join(changed)}: only images of 3 channels have a colour to change, these have "
                f"{channels}; set {'it' if len(changed) == 1 else 'them'} to 0."
            )

    def sources(self, images: tf.Tensor) -> tf.Tensor:
        """Returns the images in floating point; raises InputError as `check` does."""
        self.check(images.shape[-1])
        return tf.cast(images, tf.float32)

    def identity(self, lanes: int, sources: tf.Tensor) -> list[tf.Tensor]:
        """Returns the sums of no move."""
        return [tf.zeros([lanes]) for _ in self.parameter_names]

    def then(self, pose: list[tf.Tensor], uniform: tf.Tensor, sources: tf.Tensor) -> list[tf.Tensor]:
        """Returns the sums after one more move."""
        return [old + new for old, new in zip(pose, self.sums(uniform), strict=True)]

    def apply(self, sources: tf.Tensor, rows: tf.Tensor, pose: list[tf.Tensor]) -> tf.Tensor:
        """Lights one source a lane."""
        return warp.on_grid(relight(tf.gather(sources, rows), told(pose, tf), tf))

    def parameters(self, uniform: np.ndarray, height: int, width: int) -> np.ndarray:
        """Returns the moves, float64 `[M, 6]`: factors, mired and degrees."""
        return np.stack(told(self.sums(uniform), np), axis=-1)

    def render(self, images: np.ndarray, chains: Sequence[np.ndarray]) -> np.ndarray:
        """Lights each image once, by all moves of its chain in one."""
        totals = self.totals(chains)
        return np.rint(relight(images.astype(np.float64), list(totals.T), np)).astype(np.uint8)

    def totals(self, chains: Sequence[np.ndarray]) -> np.ndarray:
        """Returns all moves of each of B chains in one, float64 `[B, 6]`, as one move's parameters."""
        each = [np.where(_IS_FACTOR, chain.prod(axis=0), chain.sum(axis=0)) for chain in chains]
        return np.array(each).reshape(-1, len(self.parameter_names))

    def composed(self, chains: Sequence[np.ndarray], height: int, width: int) -> dict[str, np.ndarray]:
        """Returns all moves of a chain in one, as one move's parameters."""
        return {"composed_light": self.totals(chains)}

    def amounts(self, chain: np.ndarray, height: int, width: int) -> dict[str, float]:
        """Returns all moves in one, as one move's parameters."""
        return dict(zip(self.parameter_names, self.totals([chain])[0].tolist(), strict=True))

    def realistic(self, chain: np.ndarray, height: int, width: int, limits: Limits) -> bool:
        """Tells whether all moves in one are within all limits."""
        changes = self.amounts(chain, height, width)
        return all_within(
            (abs(math.log(changes[name])), math.log1p(getattr(limits, name)))
            if factor
            else (abs(changes[name]), getattr(limits, name))
            for name, factor in zip(self.parameter_names, _IS_FACTOR, strict=True)
        )


def told(sums: Sequence[Any], xp: Any) -> list[Any]:
    """Returns six sums of a pose as a move's parameters; `xp` is NumPy or TensorFlow."""
    return [xp.exp(value) if factor else value for factor, value in zip(_IS_FACTOR, sums, strict=True)]


def relight(values: Any, parameters: Sequence[Any], xp: Any) -> Any:
    """Applies all parts in their order.

    Args:
      values: floating-point `[B, H, W, C]`, from 0 to 255.
      parameters: in the order of `Photometric.parameter_names`, six `[B]`.
      xp: NumPy or TensorFlow.

    Returns:
      the same shape, from 0 to 255, not rounded.
    """
    gamma, *_, contrast, _, _ = parameters
    toned = _power(values / 255.0, xp.reshape(gamma, [-1, 1, 1, 1]))
    columns = _colour_columns(parameters, values.shape[-1], xp)
    lit = xp.reshape(0.5 * (1.0 - contrast), [-1, 1, 1, 1])
    for channel, column in enumerate(columns):
        lit = lit + toned[..., channel : channel + 1] * column
    return 255.0 * xp.minimum(xp.maximum(lit, 0.0), 1.0)


def _power(values: Any, exponents: Any) -> Any:
    if isinstance(values, np.ndarray):
        return values**exponents
    # Under XLA twice as fast as powers. Black stays black: what 0 is raised to is far below half a grey level, and its
    # slope is finite.
    return tf.exp(exponents * tf.math.log(tf.maximum(values, _BLACK)))


def _colour_columns(parameters: Sequence[Any], channels: int, xp: Any) -> list[Any]:
    """Returns what each of C channels of a pixel adds to all of them: C times `[B, 1, 1, C]`."""
    _, brightness, temperature, contrast, saturation, hue = parameters
    factor = brightness * contrast
    if channels != len(_LUMA):
        eye = np.eye(channels, dtype=np.float32)
        return [xp.reshape(factor, [-1, 1, 1, 1]) * eye[channel] for channel in range(channels)]
    angle = hue * (math.pi / 180.0)
    straight, turned = saturation * xp.cos(angle), saturation * xp.sin(angle)
    columns = []
    for channel, wavelength in enumerate(_WAVELENGTHS):
        exponent = 1e-6 * _SECOND_RADIATION / _ENCODING * (1.0 / _WAVELENGTHS[1] - 1.0 / wavelength)
        gain = factor * xp.exp(temperature * exponent)
        column = [
            gain * (_LUMA[channel] * (1.0 - straight) + float(row == channel) * straight + quarter[channel] * turned)
            for row, quarter in enumerate(_QUARTER_TURN)
        ]
        columns.append(xp.stack(column, -1)[:, None, None, :])
    return columns

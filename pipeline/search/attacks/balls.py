"""How far projected descent may change an image: balls, and what of them images can hold that are stored as uint8."""

from __future__ import annotations

import dataclasses
import math
from typing import Protocol

from etils import epy

with epy.lazy_imports():  # a configuration's `eps` is checked before libraries are loaded
    import tensorflow as tf

TINY = 1e-30  # keeps the logarithm of a probability that underflowed finite, and divisors above 0
_STEEP = 1e15  # the squares of steeper derivatives might overflow, summed over an image
_FAINT = 1e-9  # the squares of fainter ones would be lost beside `TINY`
_HALVINGS = 7  # of the share of a grey level that is rounded up


def whole_levels(eps: float) -> int:
    """Returns how many grey levels a pixel of a uint8 image may change by to stay within `eps` of the full range.

    8 for eps = 8 / 255, whichever way that quotient was rounded.
    """
    levels = math.floor(eps * 255.0) + 1
    while levels / 255.0 > eps:
        levels -= 1
    return levels


def most_squares(eps: float, pixels: int) -> int:
    """Returns the largest sum of squared changes, in grey levels, of an image whose distortion is at most `eps`."""
    squares = math.floor((eps * 255.0) ** 2 * pixels) + 1
    while math.sqrt(squares / pixels) / 255.0 > eps:
        squares -= 1
    return squares


def mean_square(changes: tf.Tensor) -> tf.Tensor:
    """Returns the mean of the squares, float32 `[L]`, of `[L, ...]`."""
    return tf.reduce_mean(tf.square(tf.reshape(changes, [changes.shape[0], -1])), axis=-1)


def eased(gradient: tf.Tensor) -> tf.Tensor:
    """Divides, of finite gradients `[L, H, W, C]`, each whose norm might over- or underflow by its largest derivative.

    The others stay as they are, to the bit.
    """
    steepest = tf.reduce_max(tf.abs(gradient), axis=[1, 2, 3], keepdims=True)
    extreme = (steepest > _STEEP) | ((steepest < _FAINT) & (steepest > 0.0))
    return gradient / tf.where(extreme, steepest, 1.0)


class Ball(Protocol):
    """The changes that are allowed. Changes are float32 `[L, H, W, C]`, in units of the full range but in `whole`."""

    @property
    def radius(self) -> float:
        """How large a change of every pixel alike can be."""

    def unit(self, gradient: tf.Tensor) -> tf.Tensor:
        """Returns the steepest direction, of length 1 in the ball's norm; 0 where a gradient is 0 everywhere."""

    def project(self, changes: tf.Tensor) -> tf.Tensor:
        """Returns the nearest changes in the ball."""

    def whole(self, changes: tf.Tensor) -> tf.Tensor:
        """Rounds changes, in grey levels, to whole ones in the ball: each to the nearest or towards 0."""


@dataclasses.dataclass(frozen=True)
class LinfBall:
    """No pixel changes by more than eps, that is, by more than its whole grey levels."""

    eps: float

    @property
    def radius(self) -> float:
        """See `Ball`; between this and eps nothing can be stored."""
        return whole_levels(self.eps) / 255.0

    def unit(self, gradient: tf.Tensor) -> tf.Tensor:
        """See `Ball`."""
        return tf.sign(gradient)

    def project(self, changes: tf.Tensor) -> tf.Tensor:
        """See `Ball`."""
        return tf.clip_by_value(changes, -self.radius, self.radius)

    def whole(self, changes: tf.Tensor) -> tf.Tensor:
        """See `Ball`; the nearest are in the ball, since it ends at a whole grey level."""
        return tf.round(changes)


@dataclasses.dataclass(frozen=True)
class L2Ball:
    """The distortion, that is, the norm over the root of the number of pixels, is at most eps."""

    eps: float

    @property
    def radius(self) -> float:
        """See `Ball`."""
        return self.eps

    def unit(self, gradient: tf.Tensor) -> tf.Tensor:
        """See `Ball`."""
        gradient = eased(gradient)
        return gradient * tf.math.rsqrt(mean_square(gradient) + TINY)[:, None, None, None]

    def project(self, changes: tf.Tensor) -> tf.Tensor:
        """See `Ball`."""
        size = tf.sqrt(mean_square(changes))
        return changes * tf.minimum(1.0, self.eps / tf.maximum(size, TINY))[:, None, None, None]

    def whole(self, changes: tf.Tensor) -> tf.Tensor:
        """See `Ball`: as much is rounded up as the ball has room for.

        Changes go up where what they are past a whole number is large enough. From which share of a grey level on is
        found by halving between all that are nearer to the next level and a level less for each, which always fits.
        """
        far, most = tf.abs(changes), most_squares(self.eps, math.prod(changes.shape[1:]))

        def fits(share: tf.Tensor) -> tf.Tensor:
            squares = tf.cast(tf.square(_rounded(far, share)), tf.float64)  # whose sums of whole numbers are exact
            return tf.reduce_sum(squares, axis=[1, 2, 3], keepdims=True) <= most

        low, high = (tf.fill([changes.shape[0], 1, 1, 1], share) for share in (-1.0, 0.5))
        nearest = fits(high)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2.0
            fitting = fits(middle)
            low, high = tf.where(fitting, middle, low), tf.where(fitting, high, middle)
        return tf.sign(changes) * _rounded(far, tf.where(nearest, 0.5, low))


def _rounded(far: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    """Rounds up what lacks `share` of a level or less, and down the rest; with share < 0, down to even less, but 0."""
    return tf.maximum(tf.floor(far + share), 0.0)

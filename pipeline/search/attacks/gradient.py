"""Gradient attacks: what they minimise, the fast gradient sign, and projected gradient descent.

An attack moves images that a net reads right until it misreads them. It is judged on the uint8 grid, as the twin will
be stored: an image that fools the net only between two grey levels is no result.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Literal, NamedTuple, Protocol

import tensorflow as tf

from pipeline import seeding
from pipeline.criteria import class_and_rival
from pipeline.search.attacks.balls import TINY, Ball, L2Ball, LinfBall, mean_square, whole_levels

Net = Callable[[tf.Tensor], tf.Tensor]
Norm = Literal["linf", "l2"]
UNTARGETED = -1
_BALLS: dict[str, Callable[[float], Ball]] = {"linf": LinfBall, "l2": L2Ball}


class Originals(NamedTuple):
    """Images to be changed, one a lane.

    Attributes:
      images: float32 `[L, H, W, C]` in [0, 1], on the uint8 grid.
      labels: int32 `[L]`, the class that the net gives them.
      aimed_classes: int32 `[L]`, the class that it is to give; `UNTARGETED` for any other.
      seed_words: uint32 `[L, 2]`, the images' words in counters (`seeding.seed_key`).
    """

    images: tf.Tensor
    labels: tf.Tensor
    aimed_classes: tf.Tensor
    seed_words: tf.Tensor


class Twins(NamedTuple):
    """What an attack made of `Originals`; one row a lane.

    Attributes:
      images: float32 `[L, H, W, C]` in [0, 1], on the uint8 grid: the twin with the least distortion, or the last try
        where there is none; never the original passed off as a twin.
      misread: bool `[L]`, the net misreads `images` as it was to.
      unrounded_distortion: float32 `[L]`, the least distortion of any misread image before rounding to the grid, which
        need not be the one that `images` was rounded from; NaN where there was none. Projected descent is judged on the
        grid alone, and gives the twin's own distortion.
      broken_by_rounding: bool `[L]`, the misread image of `unrounded_distortion` is no longer misread once rounded, so
        that `images` is another one. Never so in projected descent.
      evaluations: int32 `[L]`, how often the net was asked about the lane's image.
      c: float32 `[L]`, L-BFGS: the weight of the squared change; else 0.
      flat: bool `[L]`, the loss has no gradient at the original, so that nothing could be climbed.
    """

    images: tf.Tensor
    misread: tf.Tensor
    unrounded_distortion: tf.Tensor
    broken_by_rounding: tf.Tensor
    evaluations: tf.Tensor
    c: tf.Tensor
    flat: tf.Tensor


class Attack(Protocol):
    """A frozen dataclass whose fields are its configuration."""

    def attack(self, net: Net, run_seed: tf.Tensor, originals: Originals) -> Twins:
        """Changes images; made of operations that XLA compiles.

        Args:
          net: float32 `[L, H, W, C]` in [0, 1] -> probabilities `[L, K]`, with a gradient.
          run_seed: uint32 scalar.
          originals: what to change.
        """


class Evaluation(NamedTuple):
    """A net's word on images: `loss` float32 `[L]`, its `gradient` `[L, H, W, C]`, and `misread` bool `[L]`."""

    loss: tf.Tensor
    gradient: tf.Tensor
    misread: tf.Tensor


def evaluate(net: Net, images: tf.Tensor, originals: Originals) -> Evaluation:
    """Returns the loss that falls as images `[L, H, W, C]` come nearer to being misread, with its gradient.

    The loss is -log p(aimed class), or -log(1 - p(label)) where any other class will do. The latter has the direction
    of the customary log p(label), but bends the other way: c |r|^2 + log p(label) has no minimum near the boundary.
    A derivative that is not finite counts as 0.
    """
    with tf.GradientTape() as tape:
        tape.watch(images)
        probabilities = net(images)
        aimed, wanted = _wanted(originals)
        chosen = tf.one_hot(wanted, probabilities.shape[-1], on_value=True, off_value=False, dtype=tf.bool)
        sought = tf.reduce_sum(tf.where(chosen == aimed[:, None], probabilities, 0.0), axis=-1)
        loss = -tf.math.log(sought + TINY)
        total = tf.reduce_sum(loss)
    return Evaluation(loss, finite(tape.gradient(total, images)), misread(probabilities, originals))


def finite(gradient: tf.Tensor) -> tf.Tensor:
    """Returns a gradient with 0 for every derivative that is not finite: one of them would spoil the whole image."""
    return tf.where(tf.math.is_finite(gradient), gradient, 0.0)


def misread(probabilities: tf.Tensor, originals: Originals) -> tf.Tensor:
    """Tells, bool `[L]`, which `[L, K]` answers are the wanted mistake: the aimed class, or any but the label."""
    aimed, wanted = _wanted(originals)
    own, rival = (values[0] for values in class_and_rival(probabilities[None], wanted))
    return tf.where(aimed, own > rival, rival > own)


def _wanted(originals: Originals) -> tuple[tf.Tensor, tf.Tensor]:
    aimed = originals.aimed_classes != UNTARGETED
    return aimed, tf.where(aimed, originals.aimed_classes, originals.labels)


def is_flat(slope: tf.Tensor) -> tf.Tensor:
    """Tells, bool `[L]`, where a gradient `[L, ...]` is zero everywhere, as where a sigmoid is saturated."""
    return tf.reduce_all(tf.reshape(slope, [slope.shape[0], -1]) == 0.0, axis=-1)


def to_grid(images: tf.Tensor) -> tf.Tensor:
    """Rounds images in [0, 1] to the grey levels that uint8 can hold."""
    return tf.round(images * 255.0) / 255.0


def distortion(images: tf.Tensor, originals: tf.Tensor) -> tf.Tensor:
    """Returns sqrt(mean((x' - x)^2)), float32 `[L]`, of images `[L, ...]` in [0, 1]: the paper's measure."""
    return tf.sqrt(mean_square(images - originals))


@dataclasses.dataclass(frozen=True)
class FastGradientSign:
    """One step along the sign of the gradient (Goodfellow, Shlens, Szegedy, arXiv 1412.6572).

    Attributes:
      eps: the step of every pixel, in (0, 1] (pixels are in [0, 1]); on the grid, its whole grey levels.
    """

    eps: float = 0.1

    def attack(self, net: Net, run_seed: tf.Tensor, originals: Originals) -> Twins:
        """See `Attack`; asks the net three times: for the gradient, off the grid, and on it."""
        del run_seed  # nothing is drawn
        slope = evaluate(net, originals.images, originals).gradient
        moved, stored = (
            tf.clip_by_value(originals.images - step * tf.sign(slope), 0.0, 1.0)
            for step in (self.eps, whole_levels(self.eps) / 255.0)
        )
        unrounded = evaluate(net, moved, originals).misread
        images = to_grid(stored)
        fooled = evaluate(net, images, originals).misread
        before = tf.where(unrounded, distortion(moved, originals.images), float("nan"))
        zeros = tf.zeros_like(before)
        return Twins(images, fooled, before, unrounded & ~fooled, tf.fill(zeros.shape, 3), zeros, is_flat(slope))


class _Descent(NamedTuple):
    position: tf.Tensor  # [L, H, W, C], off the grid
    best: tf.Tensor  # [L, H, W, C], on the grid: the nearest misread one, or the last try
    distance: tf.Tensor  # [L], of the best; infinity while there is none
    flat: tf.Tensor  # bool [L], no gradient so far


@dataclasses.dataclass(frozen=True)
class ProjectedGradient:
    """Projected gradient descent (Madry et al., arXiv 1706.06083); of all misread steps, the nearest is kept.

    Attributes:
      norm: "linf" (no pixel changes by more than eps) or "l2" (the distortion is at most eps); true of the twin as it
        is stored, in whole grey levels.
      eps: the ball's size, in (0, 1]; for "l2" as a distortion, that is, the norm over the root of the pixels' number.
      step_size: one step, in the same unit.
      steps: how many.
      random_start: start at random in the ball instead of at the original. Every pixel moves by up to eps; for "l2",
        too: a distortion of about eps / sqrt(3), from where nearer twins are found than from the edge.
    """

    norm: Norm = "linf"
    eps: float = 0.1
    step_size: float = 0.01
    steps: int = 40
    random_start: bool = True

    def attack(self, net: Net, run_seed: tf.Tensor, originals: Originals) -> Twins:
        """See `Attack`; asks the net `steps` + 1 times. The gradient is taken where the net is judged: on the grid."""
        lanes = originals.images.shape[0]
        start = originals.images
        if self.random_start:
            start = self._project(start + self._noise(run_seed, originals), originals.images)
        state = _Descent(
            start, self._stored(start, originals.images), tf.fill([lanes], float("inf")), tf.ones([lanes], tf.bool)
        )

        def body(step: tf.Tensor, state: _Descent) -> tuple[tf.Tensor, _Descent]:
            return step + 1, self._step(net, state, originals)

        last = tf.while_loop(lambda step, _: step < self.steps, body, (tf.constant(0), state))[1]
        last = self._step(net, last, originals)  # judges the last position
        found = tf.math.is_finite(last.distance)
        before = tf.where(found, last.distance, float("nan"))
        evaluations, zeros = tf.fill([lanes], self.steps + 1), tf.zeros([lanes])
        return Twins(last.best, found, before, tf.zeros([lanes], tf.bool), evaluations, zeros, last.flat)

    def _step(self, net: Net, state: _Descent, originals: Originals) -> _Descent:
        stored = self._stored(state.position, originals.images)
        answer = evaluate(net, stored, originals)
        distance = tf.where(answer.misread, distortion(stored, originals.images), float("inf"))
        kept = (distance < state.distance) | tf.math.is_inf(state.distance)
        moved = self._project(state.position - self.step_size * self._ball.unit(answer.gradient), originals.images)
        return _Descent(
            moved,
            tf.where(kept[:, None, None, None], stored, state.best),
            tf.minimum(distance, state.distance),
            state.flat & is_flat(answer.gradient),
        )

    @property
    def _ball(self) -> Ball:
        return _BALLS[self.norm](self.eps)

    def _project(self, images: tf.Tensor, originals: tf.Tensor) -> tf.Tensor:
        return tf.clip_by_value(originals + self._ball.project(images - originals), 0.0, 1.0)

    def _stored(self, images: tf.Tensor, originals: tf.Tensor) -> tf.Tensor:
        """Rounds images in the ball and the box to grey levels, without leaving either."""
        levels = tf.round(originals * 255.0)
        return (levels + self._ball.whole(images * 255.0 - levels)) / 255.0

    def _noise(self, run_seed: tf.Tensor, originals: Originals) -> tf.Tensor:
        lanes, *shape = originals.images.shape
        zeros = tf.zeros([lanes], tf.int32)
        uniform = seeding.draws_tf(run_seed, originals.seed_words, zeros, zeros, math.prod(shape))
        return self._ball.radius * (2.0 * tf.reshape(uniform, [lanes, *shape]) - 1.0)

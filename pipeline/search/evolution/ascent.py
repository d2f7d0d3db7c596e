"""Garbage images by gradient ascent from noise, after Simonyan et al. (arXiv 1312.6034) and Nguyen et al.

Every class has a walker that climbs the logarithm of the net's probability of it; L2 decay or blur (Yosinski et al.,
arXiv 1506.06579) keeps the pixels from running off.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pipeline.search.attacks.balls import TINY, eased
from pipeline.search.attacks.gradient import finite, to_grid
from pipeline.search.evolution import elites
from pipeline.search.evolution.elites import NOBODY, Draws, Elites, Generation, Key, Net, State

_GREY = 0.5  # where decay leads


class Walkers(NamedTuple):
    """Where the walkers are, float32 `[K, H, W, C]` in [0, 1], off the grid, and which way is up, likewise."""

    positions: tf.Tensor
    slopes: tf.Tensor


@dataclasses.dataclass(frozen=True)
class GradientAscent:
    """One walker a class; like evolution's images, each is tried on every class at every step.

    Attributes:
      shape: (H, W, C).
      walkers: K, the number of classes.
      step_size: root mean square of the pixels' change in a step, in (0, 1] (pixels are in [0, 1]).
      decay: share of the distance to mid-grey that is lost at every step, in [0, 1).
      blur: standard deviation, in pixels, of the Gaussian blur; 0 for none.
      blur_every: steps from blur to blur.
    """

    shape: tuple[int, int, int]
    walkers: int
    step_size: float = 0.02
    decay: float = 0.01
    blur: float = 0.0
    blur_every: int = 4

    @property
    def population(self) -> int:
        """See `elites.Search`: a walker for each class."""
        return self.walkers

    def begin(self, net: Net, key: Key, classes: tuple[int, ...]) -> tuple[State, Generation]:
        """See `elites.Search`: noise, every pixel uniform in [0, 1)."""
        noise = Draws(key, tf.range(self.walkers), tf.constant(0)).uniform(int(np.prod(self.shape)))
        positions = tf.reshape(noise, [self.walkers, *self.shape])
        empty = elites.empty(positions, len(classes))
        nobody = tf.fill([self.walkers, 2], NOBODY)
        return self._try(net, classes, tf.constant(0), empty, positions, nobody)

    def step(
        self, net: Net, key: Key, classes: tuple[int, ...], generation: tf.Tensor, state: State
    ) -> tuple[State, Generation]:
        """See `elites.Search`; nothing is drawn."""
        walkers: Walkers = state.carried
        size = tf.sqrt(tf.reduce_mean(tf.square(walkers.slopes), axis=[1, 2, 3], keepdims=True))
        moved = walkers.positions + self.step_size * walkers.slopes / (size + TINY)
        moved = _GREY + (1.0 - self.decay) * (moved - _GREY)
        if self.blur > 0.0:
            moved = tf.where(generation % self.blur_every == 0, self._blurred(moved), moved)
        before = elites.births(generation - 1, self.walkers)
        parents = tf.stack([before, tf.fill([self.walkers], NOBODY)], axis=-1)
        return self._try(net, classes, generation, state.elites, tf.clip_by_value(moved, 0.0, 1.0), parents)

    def _try(
        self,
        net: Net,
        classes: tuple[int, ...],
        generation: tf.Tensor,
        old: Elites,
        positions: tf.Tensor,
        parents: tf.Tensor,
    ) -> tuple[State, Generation]:
        stored = to_grid(positions)  # the gradient is taken where the net is judged
        with tf.GradientTape() as tape:
            tape.watch(stored)
            probabilities = tf.gather(net(stored), list(classes), axis=-1)
            height = tf.reduce_sum(tf.math.log(tf.linalg.diag_part(probabilities) + TINY))
        slopes = eased(finite(tape.gradient(height, stored)))
        births = elites.births(generation, self.walkers)
        new, cells = elites.take(old, tf.round(stored * 255.0), probabilities, births, parents)
        return State(new, Walkers(positions, slopes)), Generation(parents, cells)

    def _blurred(self, images: tf.Tensor) -> tf.Tensor:
        down, across = (tf.constant(_blur_matrix(count, self.blur)) for count in self.shape[:2])
        return tf.einsum("hi,wj,kijc->khwc", down, across, images)

    def image(self, genome: np.ndarray) -> np.ndarray:
        """See `elites.Search`; an elite's genome is float32 `[H, W, C]` in grey levels."""
        return genome.astype(np.uint8)

    def text(self, genome: np.ndarray) -> str:
        """See `elites.Search`: the image is the genome."""
        return ""


def _blur_matrix(count: int, sigma: float) -> np.ndarray:
    """Returns float32 `[count, count]`: Gaussian weights along one axis, cut off and normalised at the edges."""
    places = np.arange(count)
    weights = np.exp(-0.5 * ((places[:, None] - places) / sigma) ** 2)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)

"""The direct encoding of Nguyen, Yosinski and Clune (arXiv 1412.1897): every pixel is a gene."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Direct:
    """Images themselves as genomes, float32 `[B, H, W, C]`, in whole grey levels 0 to 255.

    The paper's genes are real numbers; on the grid, the image that is judged is the genome.

    Attributes:
      shape: (H, W, C).
      mutation_rate: share of the pixels that mutate, in [0, 1].
      mutation_eta: index of polynomial mutation; the larger, the smaller the steps.
      crossover_rate: share of the children that have two parents, in [0, 1].
      crossover_eta: index of simulated binary crossover; the larger, the nearer to the parents.
    """

    shape: tuple[int, int, int]
    mutation_rate: float = 0.1
    mutation_eta: float = 15.0
    crossover_rate: float = 0.5
    crossover_eta: float = 10.0

    @property
    def first_draws(self) -> int:
        """One number a pixel."""
        return int(np.prod(self.shape))

    @property
    def child_draws(self) -> int:
        """Two numbers a pixel, and whether there are two parents."""
        return 1 + 2 * int(np.prod(self.shape))

    def first(self, uniform: tf.Tensor) -> tf.Tensor:
        """Returns images of independent pixels, every grey level equally likely; see `Encoding`."""
        return tf.floor(tf.reshape(uniform, [-1, *self.shape]) * 256.0)

    def child(self, one: tf.Tensor, other: tf.Tensor, uniform: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Crosses, then mutates; see `Encoding`."""
        crossed = uniform[:, 0] < self.crossover_rate
        crossing, mutation = (tf.reshape(part, one.shape) for part in tf.split(uniform[:, 1:], 2, axis=1))
        genes = tf.where(crossed[:, None, None, None], self._cross(one, other, crossing), one)
        return tf.round(tf.clip_by_value(self._mutate(genes, mutation), 0.0, 255.0)), crossed

    def _cross(self, one: tf.Tensor, other: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
        """Simulated binary crossover (Deb, Agrawal 1995), one of the two children at random, gene by gene.

        Half of the genes cross. One number tells whether, to which of the two children, and how far: of the four
        quarters of [0, 1) two leave the gene alone.
        """
        quarter = tf.floor(uniform * 4.0)
        spread = sbx_spread(uniform * 4.0 - quarter, self.crossover_eta)
        half_way = (one - other) * 0.5
        away = tf.where(quarter == 0.0, spread, -spread) * half_way
        return tf.where(quarter < 2.0, one - half_way + away, one)

    def _mutate(self, genes: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
        """Polynomial mutation; a number below the rate says that the gene mutates, and where below it, how far."""
        step = polynomial_step(uniform / max(self.mutation_rate, 1e-9), self.mutation_eta)
        return tf.where(uniform < self.mutation_rate, genes + 255.0 * step, genes)

    def render(self, genomes: tf.Tensor) -> tf.Tensor:
        """See `Encoding`."""
        return genomes / 255.0

    def image(self, genome: np.ndarray) -> np.ndarray:
        """See `Encoding`."""
        return genome.astype(np.uint8)

    def text(self, genome: np.ndarray) -> str:
        """See `Encoding`: the image is the genome."""
        return ""


def polynomial_step(uniform: tf.Tensor, eta: float) -> tf.Tensor:
    """Polynomial mutation's step, in (-1, 1), of a gene that ranges over 1, for numbers in [0, 1).

    (2r)^(1/(eta+1)) - 1 if r < 0.5, else 1 - (2(1-r))^(1/(eta+1)) (Deb; as in the paper).
    """
    low = uniform < 0.5
    magnitude = 1.0 - tf.pow(tf.maximum(2.0 * tf.where(low, uniform, 1.0 - uniform), 0.0), 1.0 / (eta + 1.0))
    return tf.where(low, -magnitude, magnitude)


def sbx_spread(uniform: tf.Tensor, eta: float) -> tf.Tensor:
    """Simulated binary crossover's spread factor, at least 0, for numbers in [0, 1).

    (2u)^(1/(eta+1)) if u <= 0.5, else (1/(2(1-u)))^(1/(eta+1)).
    """
    base = tf.where(uniform <= 0.5, 2.0 * uniform, 0.5 / tf.maximum(1.0 - uniform, 2.0**-24))
    return tf.pow(base, 1.0 / (eta + 1.0))

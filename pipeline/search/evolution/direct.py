"""The direct encoding of Nguyen, Yosinski and Clune (arXiv 1412.1897): every pixel is a gene."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from pipeline.search.evolution.elites import Draws

_PIXELS = 4  # of a word
_CROSSING, _MUTATION = 14, 18  # bits of a random word for each


@dataclasses.dataclass(frozen=True)
class Direct:
    """Images themselves as genomes: pixels in whole grey levels 0 to 255, row by row, four to a uint32 `[B, words]`.

    The paper's genes are real numbers; on the grid, the image that is judged is the genome. A pixel's 32 random bits
    choose in two tables how it is crossed and how it mutates; four pixels are one turn of a compiled loop.

    Attributes:
      shape: (H, W, C).
      mutation_rate: share of the pixels that mutate, in [0, 1], rounded to a multiple of 2**-18, if not 0 then up.
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
    def _words(self) -> int:
        return -(-int(np.prod(self.shape)) // _PIXELS)

    def first(self, draws: Draws) -> tf.Tensor:
        """Returns images of independent pixels, every grey level equally likely; see `Encoding`."""
        return _packed([_right(word, 24) for word in draws.words(self._words)])

    def child(self, one: tf.Tensor, other: tf.Tensor, draws: Draws) -> tuple[tf.Tensor, tf.Tensor]:
        """Crosses, then mutates; see `Encoding`."""
        crossed = draws.uniform(1)[:, 0] < self.crossover_rate
        other = tf.where(crossed[:, None], other, one)
        spreads, steps = tf.constant(self._spreads()), tf.constant(self._steps())
        levels = []
        for place, word in enumerate(draws.words(self._words)):
            gene, half_way = _level(one, place), (_level(one, place) - _level(other, place)) * 0.5
            crossing, mutation = _right(word, _MUTATION), word & tf.constant(2**_MUTATION - 1, tf.uint32)
            gene += half_way * tf.gather(spreads, tf.cast(crossing, tf.int32))
            gene += tf.gather(steps, tf.minimum(tf.cast(mutation, tf.int32), steps.shape[0] - 1))
            levels.append(tf.cast(tf.cast(tf.round(tf.clip_by_value(gene, 0.0, 255.0)), tf.int32), tf.uint32))
        return _packed(levels), crossed

    def _spreads(self) -> np.ndarray:
        """Simulated binary crossover (Deb, Agrawal 1995), one of the two children at random, gene by gene.

        Returns what the first of two parents moves by, in half its distance to the other, float32 `[2**14]`, all
        equally likely. Half of the genes do not cross.
        """
        spread = sbx_spread(middles(2 ** (_CROSSING - 2)), self.crossover_eta)
        return np.concatenate([spread - 1.0, -spread - 1.0, np.zeros(2 ** (_CROSSING - 1))]).astype(np.float32)

    def _steps(self) -> np.ndarray:
        """Polynomial mutation's steps in grey levels, float32 `[N + 1]`; numbers from N on do not mutate."""
        count = int(np.ceil(self.mutation_rate * 2**_MUTATION))
        return np.append(255.0 * polynomial_step(middles(count), self.mutation_eta), 0.0).astype(np.float32)

    def render(self, genomes: tf.Tensor) -> tf.Tensor:
        """See `Encoding`."""
        pixels = tf.reshape(tf.bitcast(genomes, tf.uint8), [genomes.shape[0], -1])[:, : int(np.prod(self.shape))]
        return tf.reshape(tf.cast(pixels, tf.float32), [-1, *self.shape]) / 255.0

    def image(self, genome: np.ndarray) -> np.ndarray:
        """See `Encoding`."""
        return genome.astype("<u4").view(np.uint8)[: int(np.prod(self.shape))].reshape(self.shape)

    def text(self, genome: np.ndarray) -> str:
        """See `Encoding`: the image is the genome."""
        return ""


def _right(words: tf.Tensor, bits: int) -> tf.Tensor:
    return tf.bitwise.right_shift(words, tf.constant(bits, tf.uint32))


def _level(words: tf.Tensor, place: int) -> tf.Tensor:
    """Returns the grey level at one of the four places of each word, as float32."""
    level = _right(words, 8 * place) & tf.constant(255, tf.uint32)
    return tf.cast(tf.cast(level, tf.int32), tf.float32)


def _packed(levels: list[tf.Tensor]) -> tf.Tensor:
    """Returns words of four grey levels, uint32 of equal shape, the first in the lowest bits."""
    first, *others = levels
    for place, level in enumerate(others, 1):
        first |= tf.bitwise.left_shift(level, tf.constant(8 * place, tf.uint32))
    return first


def middles(count: int) -> np.ndarray:
    """Returns the middles of `count` equal parts of [0, 1): numbers for a table."""
    return (np.arange(count) + 0.5) / max(count, 1)


def polynomial_step(uniform: np.ndarray, eta: float) -> np.ndarray:
    """Polynomial mutation's step, in (-1, 1), of a gene that ranges over 1, for numbers in [0, 1).

    (2r)^(1/(eta+1)) - 1 if r < 0.5, else 1 - (2(1-r))^(1/(eta+1)) (Deb; as in the paper).
    """
    low = uniform < 0.5
    magnitude = 1.0 - (2.0 * np.where(low, uniform, 1.0 - uniform)) ** (1.0 / (eta + 1.0))
    return np.where(low, -magnitude, magnitude)


def sbx_spread(uniform: np.ndarray, eta: float) -> np.ndarray:
    """Simulated binary crossover's spread factor, at least 0, for numbers in [0, 1).

    (2u)^(1/(eta+1)) if u <= 0.5, else (1/(2(1-u)))^(1/(eta+1)).
    """
    return np.where(uniform <= 0.5, 2.0 * uniform, 0.5 / (1.0 - uniform)) ** (1.0 / (eta + 1.0))

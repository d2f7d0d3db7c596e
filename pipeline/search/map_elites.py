"""MAP-Elites with one cell a class, after Nguyen, Yosinski and Clune (arXiv 1412.1897), for any encoding of images."""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from pipeline.search import elites
from pipeline.search.elites import NOBODY, Elites, Generation, Key, Net, State


class Encoding(Protocol):
    """How images are made of genomes: a frozen dataclass whose fields are its configuration.

    Genomes are a structure of `[B, ...]` tensors; a genome's row never depends on another row. Methods up to `render`
    are made of operations that XLA compiles.
    """

    @property
    def first_draws(self) -> int:
        """Random numbers that a first genome takes."""

    @property
    def child_draws(self) -> int:
        """Random numbers that a child takes."""

    def first(self, uniform: tf.Tensor) -> Any:
        """Returns genomes for float32 `[B, first_draws]` in [0, 1)."""

    def child(self, one: Any, other: Any, uniform: tf.Tensor) -> tuple[Any, tf.Tensor]:
        """Returns a child of each genome, for float32 `[B, child_draws]` in [0, 1), and which have the other's too.

        A child that is not crossed, False in bool `[B]`, comes of the first genome alone.
        """

    def render(self, genomes: Any) -> tf.Tensor:
        """Returns float32 `[B, H, W, C]` in [0, 1], on the uint8 grid."""

    def image(self, genome: Any) -> np.ndarray:
        """Returns the image, uint8 `[H, W, C]`, of one genome in NumPy: what is stored and judged."""

    def text(self, genome: Any) -> str:
        """Returns one genome in NumPy as JSON; "" where the image is the genome."""


@dataclasses.dataclass(frozen=True)
class MapElites:
    """Evolution: parents are drawn uniformly from the filled cells; every child is tried on every cell.

    Attributes:
      encoding: what is evolved.
      population: images of a generation, at least 1.
    """

    encoding: Encoding
    population: int = 200

    def begin(self, net: Net, key: Key, classes: tuple[int, ...]) -> tuple[State, Generation]:
        """See `elites.Search`."""
        genomes = self.encoding.first(key.draws(self.population, tf.constant(0), self.encoding.first_draws))
        nobody = tf.fill([self.population, 2], NOBODY)
        return self._try(net, classes, tf.constant(0), elites.empty(genomes, len(classes)), genomes, nobody)

    def step(
        self, net: Net, key: Key, classes: tuple[int, ...], generation: tf.Tensor, state: State
    ) -> tuple[State, Generation]:
        """See `elites.Search`."""
        uniform = key.draws(self.population, generation, 2 + self.encoding.child_draws)
        old = state.elites
        cells = [_filled_cell(old, uniform[:, place]) for place in range(2)]
        one, other = (tf.nest.map_structure(lambda field, at=at: tf.gather(field, at), old.genomes) for at in cells)
        children, crossed = self.encoding.child(one, other, uniform[:, 2:])
        mother, father = (tf.gather(old.births, at) for at in cells)
        parents = tf.stack([mother, tf.where(crossed, father, NOBODY)], axis=-1)
        return self._try(net, classes, generation, old, children, parents)

    def image(self, genome: Any) -> np.ndarray:
        """See `elites.Search`."""
        return self.encoding.image(genome)

    def text(self, genome: Any) -> str:
        """See `elites.Search`."""
        return self.encoding.text(genome)

    def _try(
        self,
        net: Net,
        classes: tuple[int, ...],
        generation: tf.Tensor,
        old: Elites,
        genomes: Any,
        parents: tf.Tensor,
    ) -> tuple[State, Generation]:
        probabilities = tf.gather(net(self.encoding.render(genomes)), list(classes), axis=-1)
        births = generation * self.population + tf.range(self.population)
        new, cells = elites.take(old, genomes, probabilities, births, parents)
        return State(new, ()), Generation(parents, cells)


def _filled_cell(old: Elites, uniform: tf.Tensor) -> tf.Tensor:
    """Draws filled cells, int32 `[B]`, with numbers `[B]` in [0, 1); the first cell where none is filled."""
    filled = tf.cast(old.births != NOBODY, tf.int32)
    count = tf.reduce_sum(filled)
    wanted = tf.cast(uniform * tf.cast(count, tf.float32), tf.int32)
    return tf.argmax(tf.cumsum(filled)[None] > wanted[:, None], axis=-1, output_type=tf.int32)

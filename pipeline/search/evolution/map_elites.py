"""MAP-Elites with one cell a class, after Nguyen, Yosinski and Clune (arXiv 1412.1897), for any encoding of images."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from models import kernels
from pipeline.search.evolution import elites
from pipeline.search.evolution.elites import NOBODY, Draws, Elites, Generation, Key, Net, State

_PARENTS = 2  # that are drawn for each child


class Encoding(Protocol):
    """How images are made of genomes: a frozen dataclass whose fields are its configuration.

    Genomes are a structure of `[B, ...]` tensors; a genome's row never depends on another row. Methods up to `render`
    are made of operations that XLA compiles.
    """

    def first(self, draws: Draws) -> Any:
        """Returns first genomes."""

    def child(self, one: Any, other: Any, draws: Draws) -> tuple[Any, tf.Tensor]:
        """Returns a child of each genome, and which have the other's genes too.

        A child that is not crossed, False in bool `[B]`, comes of the first genome alone.
        """

    def render(self, genomes: Any) -> tf.Tensor:
        """Returns float32 `[B, H, W, C]` in [0, 1], on the uint8 grid."""

    def image(self, genome: Any) -> np.ndarray:
        """Returns the image, uint8 `[H, W, C]`, of one genome in NumPy: what is stored and judged."""

    def text(self, genome: Any) -> str:
        """Returns one genome in NumPy as JSON; "" where the image is the genome."""


class Brood(NamedTuple):
    """Children that no net has seen yet.

    They are bred at the end of a generation, and judged in the next: what goes from one turn of XLA's loop to the next
    is worked out once, and not anew for each of its uses.

    Attributes:
      genomes: structure of `[B, ...]` tensors.
      parents: int32 `[B, 2]`, births.
    """

    genomes: Any
    parents: tf.Tensor


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
        generation, genomes = tf.constant(0), self.first(key)
        first = Brood(genomes, tf.fill([self.population, 2], NOBODY))
        return self.step(net, key, classes, generation, State(elites.empty(genomes, len(classes)), first))

    def step(
        self, net: Net, key: Key, classes: tuple[int, ...], generation: tf.Tensor, state: State
    ) -> tuple[State, Generation]:
        """See `elites.Search`."""
        answers = net(kernels.cluster(self.encoding.render)(state.carried.genomes))

        def settle(key: Key, generation: tf.Tensor, state: State, answers: tf.Tensor) -> tuple[State, Generation]:
            brood: Brood = state.carried
            probabilities = tf.gather(answers, list(classes), axis=-1)
            births = elites.births(generation, self.population)
            new, cells = elites.take(state.elites, brood.genomes, probabilities, births, brood.parents)
            return State(new, self._breed(key, generation + 1, new)), Generation(brood.parents, cells)

        return kernels.cluster(settle)(key, generation, state, answers)

    def first(self, key: Key) -> Any:
        """Returns the genomes of generation 0."""
        return self.encoding.first(Draws(key, tf.range(self.population), tf.constant(0)))

    def child(self, key: Key, births: tf.Tensor, one: Any, other: Any) -> Any:
        """Breeds images of one generation again, without a net.

        Args:
          key: the island's.
          births: int32 `[B]`, all of one generation, at least 1.
          one: genomes of the parents that give a child all genes but those it gets by crossing.
          other: genomes of the parents that it may be crossed with; of a child that was not, any.

        Returns:
          Genomes, `[B, ...]`; what a child becomes is a matter of its birth and its parents alone.
        """
        draws = Draws(key, births % self.population, births[0] // self.population)
        return self.encoding.child(one, other, draws.after(_PARENTS))[0]

    def _breed(self, key: Key, generation: tf.Tensor, old: Elites) -> Brood:
        draws = Draws(key, tf.range(self.population), generation)
        uniform = draws.uniform(_PARENTS)
        cells = [_filled_cell(old, uniform[:, place]) for place in range(_PARENTS)]
        one, other = (tf.nest.map_structure(lambda field, at=at: tf.gather(field, at), old.genomes) for at in cells)
        children, crossed = self.encoding.child(one, other, draws.after(_PARENTS))
        mother, father = (tf.gather(old.births, at) for at in cells)
        return Brood(children, tf.stack([mother, tf.where(crossed, father, NOBODY)], axis=-1))

    def image(self, genome: Any) -> np.ndarray:
        """See `elites.Search`."""
        return self.encoding.image(genome)

    def text(self, genome: Any) -> str:
        """See `elites.Search`."""
        return self.encoding.text(genome)


def _filled_cell(old: Elites, uniform: tf.Tensor) -> tf.Tensor:
    """Draws filled cells, int32 `[B]`, with numbers `[B]` in [0, 1); the first cell where none is filled."""
    filled = tf.cast(old.births != NOBODY, tf.int32)
    count = tf.reduce_sum(filled)
    wanted = tf.cast(uniform * tf.cast(count, tf.float32), tf.int32)
    return tf.argmax(tf.cumsum(filled)[None] > wanted[:, None], axis=-1, output_type=tf.int32)

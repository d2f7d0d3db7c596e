"""Elites, one cell a class, and the loop that every search for garbage images runs in.

A garbage image is nothing to a person and a class with near certainty to a net (Nguyen, Yosinski, Clune, "Deep neural
networks are easily fooled", arXiv 1412.1897).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from models.kernels import XLA, Kernels, compiled
from pipeline import seeding

Net = Callable[[tf.Tensor], tf.Tensor]
NOBODY = -1  # the parent of an image that has none
EMPTY = -1.0  # the confidence of a cell that nothing has taken


_WORDS = 2**30  # the first block of random words; numbers are made of those before


class Key(NamedTuple):
    """What an island's random numbers depend on: run seed, uint32 scalar, and the island's words, uint32 `[2]`."""

    run_seed: tf.Tensor
    words: tf.Tensor


class Draws(NamedTuple):
    """The random numbers of B images of a generation: functions of the key, the image and the generation alone.

    Attributes:
      key: the island's.
      images: int32 `[B]`, the images' places in the generation.
      generation: int32 scalar.
      taken: how many numbers of each image others have taken.
    """

    key: Key
    images: tf.Tensor
    generation: tf.Tensor
    taken: int = 0

    def uniform(self, count: int) -> tf.Tensor:
        """Returns the next numbers, float32 `[B, count]` in [0, 1)."""
        drawn = seeding.draws_tf(self.key.run_seed, *self._trials(), self.taken + count)
        return drawn[:, self.taken :]

    def after(self, count: int) -> Draws:
        """Returns the numbers that are left when so many were taken."""
        return self._replace(taken=self.taken + count)

    def words(self, blocks: int) -> list[tf.Tensor]:
        """Returns four uint32 `[B, blocks]`, other bits than any number's; all are taken at once."""
        return seeding.words_tf(self.key.run_seed, *self._trials(), _WORDS + tf.range(blocks))

    def _trials(self) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        count = self.images.shape[0]
        return tf.tile(self.key.words[None], [count, 1]), self.images, tf.fill([count], self.generation)


class Elites(NamedTuple):
    """The best image so far for each of K classes.

    Attributes:
      genomes: structure of `[K, ...]` tensors; what images are made of.
      confidences: float32 `[K]`, the net's probability of the cell's class; `EMPTY` where nothing has taken the cell.
      births: int32 `[K]`, generation * population + place in it: unique within an island.
      parents: int32 `[K, 2]`, births; `NOBODY` where there is none.
    """

    genomes: Any
    confidences: tf.Tensor
    births: tf.Tensor
    parents: tf.Tensor


class State(NamedTuple):
    """An island between two generations: its elites, and what else its search carries on, a structure of tensors."""

    elites: Elites
    carried: Any


class Generation(NamedTuple):
    """What is written down of one generation of B images.

    Attributes:
      parents: int32 `[B, 2]`, births.
      cells: int32 `[B]`, how many cells each image took.
    """

    parents: tf.Tensor
    cells: tf.Tensor


class Log(NamedTuple):
    """A block of at most G generations; rows after the last are zero.

    Attributes:
      done: int32 `[G]`, classes at or above the confidence at which they are done.
      medians: float32 `[G]`, median confidence over the classes.
      parents: int32 `[G, B, 2]`.
      cells: int32 `[G, B]`.
    """

    done: tf.Tensor
    medians: tf.Tensor
    parents: tf.Tensor
    cells: tf.Tensor


class Search(Protocol):
    """A frozen dataclass whose fields are its configuration; made of operations that XLA compiles."""

    @property
    def population(self) -> int:
        """Images that the net sees at a time."""

    def begin(self, net: Net, key: Key, classes: tuple[int, ...]) -> tuple[State, Generation]:
        """Returns generation 0, judged by the net; `classes` are those of the cells."""

    def step(
        self, net: Net, key: Key, classes: tuple[int, ...], generation: tf.Tensor, state: State
    ) -> tuple[State, Generation]:
        """Returns the state after generation `generation`, at least 1."""

    def image(self, genome: Any) -> np.ndarray:
        """Returns the image, uint8 `[H, W, C]`, of one genome in NumPy: what is stored and judged."""

    def text(self, genome: Any) -> str:
        """Returns one genome in NumPy as JSON; "" where the image is the genome."""


def births(generation: tf.Tensor, population: int) -> tf.Tensor:
    """Returns the births, int32 `[B]`, of all images of a generation, an int32 scalar; see `Elites`."""
    return generation * population + tf.range(population)


def take(
    elites: Elites, genomes: Any, probabilities: tf.Tensor, births: tf.Tensor, parents: tf.Tensor
) -> tuple[Elites, tf.Tensor]:
    """Lets B images take every cell where their confidence is strictly greater: Nguyen's rule.

    Of equally confident images the first takes the cell; an image whose probabilities are not finite takes none.

    Args:
      elites: of K cells.
      genomes: structure of `[B, ...]` tensors.
      probabilities: float32 `[B, K]`, of the cells' classes.
      births: int32 `[B]`.
      parents: int32 `[B, 2]`.

    Returns:
      The elites after it, and int32 `[B]`: how many cells each image took.
    """
    count, cells = probabilities.shape
    probabilities = tf.where(tf.math.is_finite(probabilities), probabilities, EMPTY)
    best = tf.argmax(probabilities, axis=0, output_type=tf.int32)
    confidences = tf.reduce_max(probabilities, axis=0)
    won = confidences > elites.confidences

    def replace(old: tf.Tensor, new: tf.Tensor) -> tf.Tensor:
        return tf.where(tf.reshape(won, [cells] + [1] * (len(old.shape) - 1)), tf.gather(new, best), old)

    taken = Elites(
        tf.nest.map_structure(replace, elites.genomes, genomes),
        tf.where(won, confidences, elites.confidences),
        replace(elites.births, births),
        replace(elites.parents, parents),
    )
    winners = tf.one_hot(best, count, dtype=tf.int32) * tf.cast(won, tf.int32)[:, None]
    return taken, tf.reduce_sum(winners, axis=0)


def empty(genomes: Any, cells: int) -> Elites:
    """Returns K empty cells for genomes like these, a structure of `[B, ...]` tensors."""
    blank = tf.nest.map_structure(lambda field: tf.zeros([cells, *field.shape[1:]], field.dtype), genomes)
    nobody = tf.fill([cells], NOBODY)
    return Elites(blank, tf.fill([cells], EMPTY), nobody, tf.fill([cells, 2], NOBODY))


def median(confidences: tf.Tensor) -> tf.Tensor:
    """Returns the median of float32 `[K]`, of an even number the mean of the middle two."""
    ordered, count = tf.sort(confidences), confidences.shape[0]
    return (ordered[(count - 1) // 2] + ordered[count // 2]) / 2.0


@dataclasses.dataclass(frozen=True)
class Island:
    """One island: a search on one net until every class is done, block by block, compiled once.

    Attributes:
      search: how images are made.
      net: float32 `[B, H, W, C]` in [0, 1] -> probabilities `[B, classes]`.
      classes: the class of each cell.
      confidence: a class is done at or above it, in (0, 1).
      generations: most generations, the 0th not counted.
      block: generations of one call at most; it changes no result.
      kernels: the net's.
    """

    search: Search
    net: Net
    classes: tuple[int, ...]
    confidence: float
    generations: int
    block: int
    kernels: Kernels = XLA

    def begin(self) -> Any:
        """Returns the compiled function of a `Key` that gives generation 0: the state and a `Log` of one row."""

        def begin(key: Key) -> tuple[State, Log]:
            state, first = self.search.begin(self.net, key, self.classes)
            done, middle = self._progress(state.elites)
            return state, Log(done[None], middle[None], first.parents[None], first.cells[None])

        return compiled(begin, self.kernels)

    def advance(self) -> Any:
        """Returns the compiled function of (key, state, int32 last generation), giving (state, generation, `Log`)."""
        return compiled(self._advance, self.kernels)

    def _progress(self, elites: Elites) -> tuple[tf.Tensor, tf.Tensor]:
        done = tf.reduce_sum(tf.cast(elites.confidences >= self.confidence, tf.int32))
        return done, median(elites.confidences)

    def _advance(self, key: Key, state: State, generation: tf.Tensor) -> tuple[State, tf.Tensor, Log]:
        images, last = self.search.population, tf.minimum(generation + self.block, self.generations)
        log = Log(
            tf.zeros([self.block], tf.int32),
            tf.zeros([self.block]),
            tf.zeros([self.block, images, 2], tf.int32),
            tf.zeros([self.block, images], tf.int32),
        )

        def goes_on(at: tf.Tensor, state: State, log: Log) -> tf.Tensor:
            return (at < last) & (self._progress(state.elites)[0] < len(self.classes))

        def body(at: tf.Tensor, state: State, log: Log) -> tuple[tf.Tensor, State, Log]:
            after, made = self.search.step(self.net, key, self.classes, at + 1, state)
            row = (at - generation)[None, None]
            entries = Log(*self._progress(after.elites), made.parents, made.cells)
            written = [tf.tensor_scatter_nd_update(old, row, new[None]) for old, new in zip(log, entries, strict=True)]
            return at + 1, after, Log(*written)

        at, state, log = tf.while_loop(goes_on, body, (generation, state, log))
        return state, at, log

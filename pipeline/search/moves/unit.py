"""One work unit through the nets: which seed images can be tried, and what became of each trial."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from models.classifier import PeerGroup
from pipeline import criteria
from pipeline.criteria import ClassFrom
from pipeline.search.moves import lanes as lane_runner

Report = Callable[[int, int], None]
_SECONDS = 2.0  # between two returns of the compiled search to Python
_GROWTH = 8  # a block is at most so many times as long as the last: the first one's time is that of compiling


class SeedArrays(NamedTuple):
    """The seed images of a unit: uint8 `[B, H, W, C]`, int32 `[B]` (-1: no label), uint32 `[B, 2]` words."""

    images: np.ndarray
    labels: np.ndarray
    words: np.ndarray


class UnitResult(NamedTuple):
    """What the search says of a unit, in NumPy.

    Attributes:
      probabilities: float32 `[N, B, K]`, every net on every seed image.
      classes: int32 `[B]`, the class that the peers have to hold.
      finite: bool `[B]`, no net gave NaN or infinity.
      held: bool `[B]`, every net puts the seed image in its class, so that it can be tried.
      trials: `[R]` fields, the search's results, seed by seed and target by target, for held seed images only.
    """

    probabilities: np.ndarray
    classes: np.ndarray
    finite: np.ndarray
    held: np.ndarray
    trials: Any


class Pace:
    """Finds how many steps take a few seconds; how many are taken at a time changes no result."""

    def __init__(self) -> None:
        self.steps = 1

    def took(self, steps: int, seconds: float) -> None:
        """Learns from a block of `steps`, at least 1, how long the next one may be."""
        wanted = steps * _SECONDS / max(seconds, 1e-6)
        self.steps = int(min(max(wanted, 1), self.steps * _GROWTH, 2**31 - 1))


class Compiled(NamedTuple):
    """A search's compiled functions, which begin a unit and go on with it, and the length of its blocks."""

    begin: Any
    advance: Any
    pace: Pace


@dataclasses.dataclass(frozen=True)
class UnitSearch:
    """Runs a searcher on work units of at most `unit_size` seed images, compiled once; in blocks of some seconds.

    Attributes:
      searcher: the search.
      group: the nets.
      target_nets: places in the group of the nets to mislead, one trial each for every seed image.
      class_from: "label", or "consensus" of all nets.
      run_seed: uint32.
      lanes: candidates that the nets see at a time.
      unit_size: seed images that the compiled graph has room for; smaller units are padded.
    """

    searcher: lane_runner.Searcher
    group: PeerGroup
    target_nets: tuple[int, ...]
    class_from: ClassFrom
    run_seed: int
    lanes: int
    unit_size: int

    def compiled(self) -> Compiled:
        """Returns the compiled functions of the search; keep them, compiling takes seconds."""
        return Compiled(
            tf.function(self._begin, jit_compile=True, autograph=False),
            tf.function(self._advance, jit_compile=True, autograph=False),
            Pace(),
        )

    def run(self, compiled: Compiled, seeds: SeedArrays, report: Report = lambda done, trials: None) -> UnitResult:
        """Searches a unit.

        Args:
          compiled: what `compiled` gave.
          seeds: at most `unit_size` seed images.
          report: called every few seconds with the number of trials that have ended, and of all; an error that it
            raises ends the search.
        """
        probabilities = self.group.probabilities(seeds.images, self.lanes)
        finite = np.isfinite(probabilities).all(axis=(0, 2))
        classes = seeds.labels if self.class_from == "label" else criteria.consensus(probabilities)[0].numpy()
        held = criteria.all_hold(probabilities, classes).numpy() & finite
        trials = self._trials(probabilities, classes, np.flatnonzero(held), seeds.words)
        results = self._search(compiled, seeds.images, trials, report)
        return UnitResult(probabilities, classes, finite, held, results)

    def _trials(
        self, probabilities: np.ndarray, classes: np.ndarray, held: np.ndarray, words: np.ndarray
    ) -> lane_runner.Trials:
        """The trials of the seed images `held`, seed by seed and target by target."""
        rows = np.repeat(held, len(self.target_nets)).astype(np.int32)
        target_nets = np.tile(np.array(self.target_nets, np.int32), len(held))
        confidences = probabilities[target_nets, rows, classes[rows]]
        return lane_runner.Trials(rows, words[rows], target_nets, classes[rows], confidences)

    def _search(self, compiled: Compiled, images: np.ndarray, trials: lane_runner.Trials, report: Report) -> Any:
        """Runs the trials block by block; the results' rows are theirs."""
        many, room = len(trials.row), self.unit_size * len(self.target_nets)
        padded = lane_runner.Trials(*(_pad_rows(column, room) for column in trials))
        queue, loop = compiled.begin(_pad_rows(images, self.unit_size), padded, tf.constant(many))
        while busy := int(np.count_nonzero(loop.busy)):
            report(int(loop.next_trial) - busy, many)
            start = time.perf_counter()
            loop = compiled.advance(queue, loop, tf.constant(compiled.pace.steps))
            compiled.pace.took(int(loop.steps), time.perf_counter() - start)
        return tf.nest.map_structure(lambda rows: rows.numpy()[:many], loop.results)

    def _begin(
        self, images: tf.Tensor, trials: lane_runner.Trials, count: tf.Tensor
    ) -> tuple[lane_runner.Queue, lane_runner.Loop]:
        queue = lane_runner.Queue(trials, count, self.searcher.sources(images))
        return queue, lane_runner.begin(self.searcher, self.lanes, queue)

    def _advance(self, queue: lane_runner.Queue, loop: lane_runner.Loop, most: tf.Tensor) -> lane_runner.Loop:
        seed = tf.constant(self.run_seed, tf.uint32)
        return lane_runner.advance(self.searcher, self.group, seed, queue, loop, most)


def _pad_rows(array: np.ndarray, rows: int) -> tf.Tensor:
    return tf.constant(np.pad(array, [(0, rows - len(array))] + [(0, 0)] * (array.ndim - 1)))

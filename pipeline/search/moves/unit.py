"""One work unit through the nets: which seed images can be tried, and what became of each trial."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from models import kernels
from models.classifier import PeerGroup
from pipeline import criteria
from pipeline.criteria import ClassFrom
from pipeline.search.moves.in_graph import InGraph
from pipeline.search.moves.lanes import Report, Runner, Searched, Searcher, Trials, pad_rows
from pipeline.search.moves.net_by_net import NetByNet


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
      trials: R of them, seed by seed and target by target, for held seed images only; in NumPy.
      searched: what became of them.
    """

    probabilities: np.ndarray
    classes: np.ndarray
    finite: np.ndarray
    held: np.ndarray
    trials: Trials
    searched: Searched


@dataclasses.dataclass(frozen=True)
class Unit:
    """Work units of at most `unit_size` seed images, and the trials that come of them.

    Attributes:
      group: the nets.
      target_nets: places in the group of the nets to mislead, one trial each for every seed image.
      class_from: "label", or "consensus" of all nets.
      run_seed: uint32.
      lanes: candidates that the nets see at a time.
      unit_size: seed images that the compiled graph has room for; smaller units are padded.
    """

    group: PeerGroup
    target_nets: tuple[int, ...]
    class_from: ClassFrom
    run_seed: int
    lanes: int
    unit_size: int

    def run(self, runner: Runner, seeds: SeedArrays, report: Report = lambda done, trials: None) -> UnitResult:
        """Searches a unit.

        Args:
          runner: of the search.
          seeds: at most `unit_size` seed images.
          report: called every few seconds with the number of trials that have ended, and of all; an error that it
            raises ends the search.
        """
        probabilities = self.group.probabilities(seeds.images, self.lanes)
        finite = np.isfinite(probabilities).all(axis=(0, 2))
        classes = seeds.labels if self.class_from == "label" else criteria.consensus(probabilities)[0].numpy()
        held = criteria.all_hold(probabilities, classes).numpy() & finite
        trials = self._trials(probabilities, classes, np.flatnonzero(held), seeds.words)
        searched = runner.run(pad_rows(seeds.images, self.unit_size), trials, report)
        return UnitResult(probabilities, classes, finite, held, trials, searched)

    def _trials(self, probabilities: np.ndarray, classes: np.ndarray, held: np.ndarray, words: np.ndarray) -> Trials:
        """The trials of the seed images `held`, seed by seed and target by target."""
        rows = np.repeat(held, len(self.target_nets)).astype(np.int32)
        target_nets = np.tile(np.array(self.target_nets, np.int32), len(held))
        confidences = probabilities[target_nets, rows, classes[rows]]
        return Trials(rows, words[rows], target_nets, classes[rows], confidences)


@dataclasses.dataclass(frozen=True)
class UnitSearch(Unit):
    """Runs a searcher on work units, compiled once; in blocks of some seconds.

    Attributes:
      searcher: the search, move by move.
    """

    searcher: Searcher

    def runner(self) -> Runner:
        """Returns what runs the search; keep it, compiling takes seconds.

        Nets with kernels of TensorFlow's own, convolutional ones on a CPU, take so long that they are asked one by one.
        """
        if kernels.TENSORFLOW in self.group.kernels:
            return NetByNet(self.searcher, self.group, self.run_seed, self.lanes)
        room = self.unit_size * len(self.target_nets)
        return InGraph(self.searcher, self.group, self.run_seed, self.lanes, room)

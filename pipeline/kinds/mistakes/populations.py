"""Mistakes by searches with populations of candidates; see `pipeline.search.moves.populations`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from pipeline import seeding
from pipeline.config.method import Sections
from pipeline.criteria import ClassFrom, PeerPressure
from pipeline.kinds import seeded
from pipeline.kinds.mistakes.finder import Find, Report, Setting, Tried
from pipeline.operators.operator import Compose, Operator
from pipeline.records import EXHAUSTED, FOUND
from pipeline.search.moves.populations import Outcome, PopulationRunner, PopulationSearch, Strategy
from pipeline.search.moves.unit import SeedArrays, Unit
from pipeline.seeds.source import SeedBatch


@dataclasses.dataclass(frozen=True)
class Populations:
    """See `finder.Finder`.

    Attributes:
      search: the search.
      class_from: where an image's class comes from.
      runner: what runs it.
    """

    search: PopulationSearch
    class_from: ClassFrom
    runner: type[PopulationRunner] = PopulationRunner
    compose: Compose = "matrix"

    @classmethod
    def of(
        cls, sections: Sections, strategy: Strategy, runner: type[PopulationRunner] = PopulationRunner
    ) -> Populations:
        """Returns the search that [search] and [operator] describe, by a strategy."""
        search = sections["search"]
        criterion = PeerPressure(search.peer_confidence, search.target_confidence)
        found = PopulationSearch(strategy, sections["operator"], criterion, search.chain, search.generations)
        return cls(found, search.class_from, runner)

    @property
    def operator(self) -> Operator:
        """The search's."""
        return self.search.operator

    @property
    def criterion(self) -> PeerPressure:
        """The search's."""
        return self.search.criterion

    def searcher(self, setting: Setting) -> Callable[[SeedBatch, Report], Tried]:
        """Returns what searches units; every net has to get a seed image right."""
        group, target_nets, run_seed, lanes, unit_size = setting
        unit = Unit(group, target_nets, self.class_from, run_seed, lanes, unit_size)
        runners: list[PopulationRunner] = []

        def seek(seeds: SeedBatch, report: Report) -> Tried:
            if not runners:
                runners.append(self.runner(self.search, group, run_seed, lanes))
            return self._tried(unit, runners[0], seeds, report)

        return seek

    def _tried(self, unit: Unit, runner: PopulationRunner, seeds: SeedBatch, report: Report) -> Tried:
        words = np.array([seeding.seed_key(seed_id) for seed_id in seeds.ids], np.uint32)
        result = unit.run(runner, SeedArrays(seeds.images, seeds.labels, words), report)
        given, outcome = result.trials, result.searched.results
        return Tried(
            probabilities=result.probabilities,
            finite=result.finite,
            usable=result.held,
            rows=given.row,
            target_nets=given.target_net,
            classes=given.target_class,
            outcomes=np.where(outcome.found, FOUND, EXHAUSTED),
            moves=outcome.length,
            candidates=outcome.generations.astype(np.int64) * self.search.strategy.population,
            confidences=outcome.confidence,
            finds=self._finds(outcome, seeds.images.shape[1:3]),
        )  # every net is asked about every candidate, and none refuses it alone

    def _finds(self, outcome: Outcome, size: Sequence[int]) -> list[Find]:
        none = np.zeros(0)
        return [
            Find(int(trial), self._chain(outcome, int(trial), size), none, none)
            for trial in np.flatnonzero(outcome.found)
        ]

    def _chain(self, outcome: Outcome, trial: int, size: Sequence[int]) -> np.ndarray:
        numbers = outcome.numbers[trial, : outcome.length[trial]].astype(np.float64)
        return self.operator.parameters(numbers, *size)

    def usable(self, probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Tells which seed images every net gets right."""
        return seeded.all_right(probabilities, labels, self.class_from)

    def drawn(
        self,
        run_seed: int,
        words: np.ndarray,
        target_nets: np.ndarray,
        steps: Sequence[np.ndarray],
        height: int,
        width: int,
    ) -> None:
        """Returns None: what a population came to cannot be drawn again without its nets."""

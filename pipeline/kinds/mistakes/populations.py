"""Mistakes by searches with populations of candidates; see `pipeline.search.moves.populations`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pipeline.config.method import Sections
from pipeline.criteria import PeerPressure
from pipeline.kinds.mistakes.finder import Find, Setting
from pipeline.kinds.mistakes.trying import Trying
from pipeline.operators.operator import Compose
from pipeline.records import EXHAUSTED, FOUND
from pipeline.search.moves.lanes import Runner
from pipeline.search.moves.populations import Outcome, PopulationRunner, PopulationSearch, Strategy
from pipeline.search.moves.unit import Unit, UnitResult


@dataclasses.dataclass(frozen=True)
class Populations(Trying[PopulationSearch]):
    """See `Trying`.

    Attributes:
      runner: what runs the search.
      compose: how the moves of a chain are rendered.
    """

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

    def _unit(self, setting: Setting) -> tuple[Unit, Callable[[], Runner]]:
        group, target_nets, run_seed, lanes, unit_size = setting
        unit = Unit(group, target_nets, self.class_from, run_seed, lanes, unit_size)
        return unit, lambda: self.runner(self.search, group, run_seed, lanes)

    def _ended(self, result: UnitResult, run_seed: int, height: int, width: int) -> dict[str, Any]:
        del run_seed  # a find keeps its numbers
        outcome = result.searched.results
        return {
            "outcomes": np.where(outcome.found, FOUND, EXHAUSTED),
            "moves": outcome.length,
            "candidates": outcome.generations.astype(np.int64) * self.search.strategy.population,
            "confidences": outcome.confidence,
            "finds": self._finds(outcome, (height, width)),
        }  # every net is asked about every candidate, and none refuses it alone

    def _finds(self, outcome: Outcome, size: Sequence[int]) -> list[Find]:
        none = np.zeros(0)
        return [
            Find(int(trial), self._chain(outcome, int(trial), size), none, none)
            for trial in np.flatnonzero(outcome.found)
        ]

    def _chain(self, outcome: Outcome, trial: int, size: Sequence[int]) -> np.ndarray:
        numbers = outcome.numbers[trial, : outcome.length[trial]].astype(np.float64)
        return self.operator.parameters(numbers, *size)

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

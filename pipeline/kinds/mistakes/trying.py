"""What the searches have in common that try, for each target net, the seed images that every net gets right."""

from __future__ import annotations

import abc
import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from pipeline import seeding
from pipeline.criteria import ClassFrom, PeerPressure
from pipeline.kinds import seeded
from pipeline.kinds.mistakes.finder import Report, Setting, Tried
from pipeline.operators.operator import Operator
from pipeline.search.moves.lanes import Runner
from pipeline.search.moves.unit import SeedArrays, Unit, UnitResult
from pipeline.seeds.source import SeedBatch


class Moving(Protocol):
    """A search by an operator's moves."""

    @property
    def operator(self) -> Operator:
        """Draws the moves."""

    @property
    def criterion(self) -> PeerPressure:
        """Says when an image is a mistake."""


Search = TypeVar("Search", bound=Moving)


@dataclasses.dataclass(frozen=True)
class Trying(abc.ABC, Generic[Search]):
    """See `finder.Finder`.

    Attributes:
      search: the search.
      class_from: where an image's class comes from.
    """

    search: Search
    class_from: ClassFrom

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
        unit, compiled = self._unit(setting)
        runner = functools.cache(compiled)  # with the first unit

        def seek(seeds: SeedBatch, report: Report) -> Tried:
            words = np.array([seeding.seed_key(seed_id) for seed_id in seeds.ids], np.uint32)
            result = unit.run(runner(), SeedArrays(seeds.images, seeds.labels, words), report)
            return Tried(
                probabilities=result.probabilities,
                finite=result.finite,
                usable=result.held,
                rows=result.trials.row,
                target_nets=result.trials.target_net,
                classes=result.trials.target_class,
                **self._ended(result, unit.run_seed, *seeds.images.shape[1:3]),
            )

        return seek

    @abc.abstractmethod
    def _unit(self, setting: Setting) -> tuple[Unit, Callable[[], Runner]]:
        """Returns work units, and what compiles the search."""

    @abc.abstractmethod
    def _ended(self, result: UnitResult, run_seed: int, height: int, width: int) -> dict[str, Any]:
        """Returns how a unit's trials ended: the fields of `Tried` from `outcomes` on."""

    def usable(self, probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Tells which seed images every net gets right."""
        return seeded.all_right(probabilities, labels, self.class_from)

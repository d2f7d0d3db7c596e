"""Mistakes by the peer-filtered hillclimb, many trials at once in the lane runner."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pipeline import seeding
from pipeline.config.method import Sections
from pipeline.criteria import PeerPressure
from pipeline.kinds.mistakes.finder import Find, Setting
from pipeline.kinds.mistakes.trying import Trying
from pipeline.operators.operator import Compose
from pipeline.records import EXHAUSTED, FOUND, MOVES_SPENT
from pipeline.search.moves.hillclimb import Hillclimb
from pipeline.search.moves.lanes import Runner
from pipeline.search.moves.unit import Unit, UnitResult, UnitSearch


@dataclasses.dataclass(frozen=True)
class Hillclimbing(Trying[Hillclimb]):
    """See `Trying`."""

    @classmethod
    def of(cls, sections: Sections) -> Hillclimbing:
        """Returns the search that [search] and [operator] describe."""
        search = sections["search"]
        criterion = PeerPressure(search.peer_confidence, search.target_confidence)
        climb = Hillclimb(sections["operator"], criterion, search.patience, search.max_moves, search.compose)
        return cls(climb, search.class_from)

    @property
    def compose(self) -> Compose:
        """The search's."""
        return self.search.compose

    def _unit(self, setting: Setting) -> tuple[Unit, Callable[[], Runner]]:
        group, target_nets, run_seed, lanes, unit_size = setting
        unit = UnitSearch(group, target_nets, self.class_from, run_seed, lanes, unit_size, self.search)
        return unit, unit.runner

    def _ended(self, result: UnitResult, run_seed: int, height: int, width: int) -> dict[str, Any]:
        given, trials = result.trials, result.searched.results
        spent = trials.moves >= self.search.max_moves
        found = np.flatnonzero(trials.found)
        steps = [trials.steps[trial, : trials.moves[trial]] for trial in found]
        drawn = self.drawn(run_seed, given.seed_words[found], given.target_net[found], steps, height, width)
        return {
            "outcomes": np.where(trials.found, FOUND, np.where(spent, MOVES_SPENT, EXHAUSTED)),
            "moves": trials.moves,
            "candidates": trials.drawn,
            "confidences": trials.confidence,
            "finds": [
                Find(int(trial), chain, accepted, trials.confidences[trial, : len(accepted)])
                for trial, chain, accepted in zip(found, drawn, steps, strict=True)
            ],
            "asked": result.searched.asked,
            "refused": result.searched.refused,
        }

    def drawn(
        self,
        run_seed: int,
        words: np.ndarray,
        target_nets: np.ndarray,
        steps: Sequence[np.ndarray],
        height: int,
        width: int,
    ) -> list[np.ndarray]:
        """Draws the accepted moves of trials again, of all trials at once."""
        counts, numbers = [len(of_trial) for of_trial in steps], np.concatenate([np.zeros(0, np.int32), *steps])
        words, target_nets = np.repeat(words, counts, axis=0), np.repeat(target_nets, counts)
        uniform = seeding.draws(run_seed, words, target_nets, numbers, len(self.operator.parameter_names))
        return np.split(self.operator.parameters(uniform, height, width), np.cumsum(counts, dtype=int))[:-1]

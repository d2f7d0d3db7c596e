"""Mistakes by the peer-filtered hillclimb, many trials at once in the lane runner."""

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
from pipeline.records import EXHAUSTED, FOUND, MOVES_SPENT
from pipeline.search.moves.hillclimb import Hillclimb
from pipeline.search.moves.lanes import Runner
from pipeline.search.moves.unit import SeedArrays, UnitSearch
from pipeline.seeds.source import SeedBatch


@dataclasses.dataclass(frozen=True)
class Hillclimbing:
    """See `finder.Finder`; `climb` is the search, `class_from` where an image's class comes from."""

    climb: Hillclimb
    class_from: ClassFrom

    @classmethod
    def of(cls, sections: Sections) -> Hillclimbing:
        """Returns the search that [search] and [operator] describe."""
        search = sections["search"]
        criterion = PeerPressure(search.peer_confidence, search.target_confidence)
        climb = Hillclimb(sections["operator"], criterion, search.patience, search.max_moves, search.compose)
        return cls(climb, search.class_from)

    @property
    def operator(self) -> Operator:
        """The climb's."""
        return self.climb.operator

    @property
    def compose(self) -> Compose:
        """The climb's."""
        return self.climb.compose

    @property
    def criterion(self) -> PeerPressure:
        """The climb's."""
        return self.climb.criterion

    def searcher(self, setting: Setting) -> Callable[[SeedBatch, Report], Tried]:
        """Returns what searches units; every net has to get a seed image right."""
        group, target_nets, run_seed, lanes, unit_size = setting
        search = UnitSearch(group, target_nets, self.class_from, run_seed, lanes, unit_size, self.climb)
        runners: list[Runner] = []

        def seek(seeds: SeedBatch, report: Report) -> Tried:
            if not runners:
                runners.append(search.runner())
            return self._tried(search, runners[0], seeds, report)

        return seek

    def _tried(self, search: UnitSearch, runner: Runner, seeds: SeedBatch, report: Report) -> Tried:
        words = np.array([seeding.seed_key(seed_id) for seed_id in seeds.ids], np.uint32)
        result = search.run(runner, SeedArrays(seeds.images, seeds.labels, words), report)
        given, trials = result.trials, result.searched.results
        spent = trials.moves >= self.climb.max_moves
        found = np.flatnonzero(trials.found)
        steps = [trials.steps[trial, : trials.moves[trial]] for trial in found]
        size = seeds.images.shape[1:3]
        drawn = self.drawn(search.run_seed, given.seed_words[found], given.target_net[found], steps, *size)
        finds = [
            Find(int(trial), chain, accepted, trials.confidences[trial, : len(accepted)])
            for trial, chain, accepted in zip(found, drawn, steps, strict=True)
        ]
        return Tried(
            probabilities=result.probabilities,
            finite=result.finite,
            usable=result.held,
            rows=given.row,
            target_nets=given.target_net,
            classes=given.target_class,
            outcomes=np.where(trials.found, FOUND, np.where(spent, MOVES_SPENT, EXHAUSTED)),
            moves=trials.moves,
            candidates=trials.drawn,
            confidences=trials.confidence,
            finds=finds,
            asked=result.searched.asked,
            refused=result.searched.refused,
        )

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
    ) -> list[np.ndarray]:
        """Draws the accepted moves of trials again, of all trials at once."""
        counts, numbers = [len(of_trial) for of_trial in steps], np.concatenate([np.zeros(0, np.int32), *steps])
        words, target_nets = np.repeat(words, counts, axis=0), np.repeat(target_nets, counts)
        uniform = seeding.draws(run_seed, words, target_nets, numbers, len(self.operator.parameter_names))
        return np.split(self.operator.parameters(uniform, height, width), np.cumsum(counts, dtype=int))[:-1]

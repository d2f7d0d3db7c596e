"""Mistakes by the peer filter alone: images, as they are, on which exactly one net disagrees with all others."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from pipeline.config.method import Sections
from pipeline.criteria import ClassFrom, PeerPressure
from pipeline.kinds.mistakes.finder import Find, Report, Setting, Tried
from pipeline.operators.affine import Affine
from pipeline.operators.operator import Compose, Operator
from pipeline.records import FOUND, NOT_ALONE
from pipeline.search.moves.scan import scan
from pipeline.seeds.source import SeedBatch


@dataclasses.dataclass(frozen=True)
class Scanning:
    """See `finder.Finder`; no move is made, so that the operator is only that of an empty chain."""

    criterion: PeerPressure
    class_from: ClassFrom
    operator: Operator = dataclasses.field(default_factory=Affine)
    compose: Compose = "matrix"

    @classmethod
    def of(cls, sections: Sections) -> Scanning:
        """Returns the scan that [search] describes."""
        search = sections["search"]
        return cls(PeerPressure(search.peer_confidence, search.target_confidence), search.class_from)

    def searcher(self, setting: Setting) -> Callable[[SeedBatch, Report], Tried]:
        """Returns what scans units: every image that the nets can judge, for every target net."""

        def seek(seeds: SeedBatch, report: Report) -> Tried:
            del report  # there is one look at each image
            return self._tried(setting, seeds)

        return seek

    def _tried(self, setting: Setting, seeds: SeedBatch) -> Tried:
        probabilities = setting.group.probabilities(seeds.images, setting.lanes)
        finite = self.usable(probabilities, seeds.labels)
        result = scan(probabilities, seeds.labels, self.class_from, self.criterion)
        usable, targets = np.flatnonzero(finite), np.array(setting.target_nets, np.int32)
        rows, target_nets = np.repeat(usable, len(targets)), np.tile(targets, len(usable))
        alone, classes = result.target_nets[rows] == target_nets, result.classes[rows]
        none = np.zeros(len(rows), np.int64)
        still, nothing = np.zeros((0, len(self.operator.parameter_names))), np.zeros(0)
        return Tried(
            probabilities=probabilities,
            finite=finite,
            usable=finite,
            rows=rows,
            target_nets=target_nets,
            classes=classes,
            outcomes=np.where(alone, FOUND, NOT_ALONE),
            moves=none,
            candidates=none,
            confidences=np.where(classes < 0, np.nan, probabilities[target_nets, rows, classes]),
            finds=[Find(int(trial), still, nothing, nothing) for trial in np.flatnonzero(alone)],
        )

    def usable(self, probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Tells which seed images all nets can judge."""
        return np.isfinite(probabilities).all(axis=(0, 2))

    def drawn(
        self,
        run_seed: int,
        words: np.ndarray,
        target_nets: np.ndarray,
        steps: Sequence[np.ndarray],
        height: int,
        width: int,
    ) -> list[np.ndarray]:
        """Returns chains of no moves."""
        return [np.zeros((0, len(self.operator.parameter_names)))] * len(steps)

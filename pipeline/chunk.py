"""The chunk of one work unit under construction: a row for every seed image set aside or skipped, and every trial."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from pipeline import records
from pipeline.seeds import SeedBatch

NOT_FINITE = "a net gave NaN or infinity"


class ChunkRows:
    """The rows of a chunk of a dataset, as they come."""

    def __init__(self, dataset: str, seeds: SeedBatch):
        self._dataset = dataset
        self._seeds = seeds
        self._columns: dict[str, list[Any]] = {name: [] for name in records.SCHEMAS[dataset].names}

    def __len__(self) -> int:
        return len(self._columns["seed_id"])

    def _extend(self, count: int, **values: Any) -> None:
        for name, column in self._columns.items():
            column.extend(values.get(name, [None] * count))

    def add_failure(self, seed_id: str, split: str, reason: str) -> None:
        """Sets aside a seed image that could not be read."""
        none = {"moves": [0], "candidates": [0], "inferences": [0], "target_net": [""], "seed_label": [-1]}
        self._extend(1, seed_id=[seed_id], split=[split], outcome=[records.SET_ASIDE], reason=[reason], **none)

    def add_seeds(self, rows: np.ndarray, outcome: str, reason: str) -> None:
        """Adds rows about images as a whole, with no target net."""
        nothing = np.zeros(len(rows), np.int64)
        self.add_trials(rows, [""] * len(rows), np.full(len(rows), outcome), nothing, nothing, None, reason)

    def add_trials(
        self,
        rows: np.ndarray,
        target_nets: list[str],
        outcomes: np.ndarray,
        moves: np.ndarray,
        candidates: np.ndarray,
        confidences: np.ndarray | None,
        reason: str = "",
    ) -> None:
        """Adds a row for each trial, `[R]` each; `rows` point into the batch."""
        count = len(rows)
        self._extend(
            count,
            seed_id=[self._seeds.ids[row] for row in rows],
            split=[self._seeds.split] * count,
            seed_label=self._seeds.labels[rows].tolist(),
            target_net=target_nets,
            outcome=outcomes.tolist(),
            reason=[reason] * count,
            moves=moves.tolist(),
            candidates=candidates.tolist(),
            inferences=(candidates + 1).tolist(),
            target_confidence=[None] * count if confidences is None else confidences.tolist(),
        )

    def drop(self, place: int, reason: str) -> None:
        """Turns a find into one that did not pass verification."""
        self._columns["outcome"][place] = records.DROPPED
        self._columns["reason"][place] = reason

    def fill(self, place: int, **values: Any) -> None:
        """Fills the find's columns in a trial's row."""
        for name, value in values.items():
            self._columns[name][place] = value

    def table(self) -> pa.Table:
        """Returns the chunk."""
        return records.chunk_table(self._dataset, self._columns, len(self))

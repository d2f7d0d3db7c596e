"""The chunk of one work unit under construction: a row for every seed image set aside or skipped, and every trial."""

from __future__ import annotations

import collections
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models.errors import InputError
from pipeline import records
from pipeline.seeds.source import SeedBatch

NOT_FINITE = "a net gave NaN or infinity"
UNIT_FAILED = "the unit failed twice"  # how the reason begins where a whole unit was set aside
_FEW = 10  # finds, of which most may be lost by rounding


class ChunkRows:
    """The rows of a chunk with a kind's columns, as they come."""

    def __init__(self, schema: pa.Schema, seeds: SeedBatch):
        self._schema = schema
        self._seeds = seeds
        self._columns: dict[str, list[Any]] = {name: [] for name in schema.names}

    def __len__(self) -> int:
        return len(self._columns["seed_id"])

    def _extend(self, count: int, **values: Any) -> None:
        for name, column in self._columns.items():
            column.extend(values.get(name, [None] * count))

    def add_unreadable(self) -> None:
        """Sets aside the seed images that could not be read."""
        none = {"moves": [0], "candidates": [0], "inferences": [0], "target_net": [""], "seed_label": [-1]}
        for seed_id, reason in self._seeds.failures:
            fields = {"seed_id": [seed_id], "split": [self._seeds.split], "reason": [reason], **none}
            self._extend(1, outcome=[records.SET_ASIDE], **fields)

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
        asked: np.ndarray | None = None,
        refused: np.ndarray | None = None,
    ) -> None:
        """Adds a row for each trial, `[R]` each (`asked` and `refused` `[R, N]`); `rows` point into the batch."""
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
            asked=[None] * count if asked is None else asked.tolist(),
            refused=[None] * count if refused is None else refused.tolist(),
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
        return records.chunk_table(self._schema, self._columns, len(self))


def as_stored(images: np.ndarray) -> tuple[list[bytes], np.ndarray]:
    """Returns uint8 images `[R, H, W, C]` as PNG `[R]`, and decoded again: those that nets are to judge."""
    encoded = [records.encode_png(image) for image in images]
    return encoded, np.array([records.decode_png(data) for data in encoded], np.uint8).reshape(images.shape)


def judge_columns(probabilities: np.ndarray | None) -> dict[str, Any]:
    """Returns what a find's row says of the judge, from its answer `[K]`; None where there is no judge."""
    if probabilities is None:
        return {"judge_class": -1, "judge_confidence": 0.0}
    return {"judge_class": int(probabilities.argmax()), "judge_confidence": float(probabilities.max())}


def check_kept(rows: pa.Table, where: str) -> None:
    """Checks that most finds were still finds when what is stored was judged again.

    Args:
      rows: of a chunk or of several, at least their outcomes and reasons.
      where: which rows these are, as a message says it.

    Raises:
      InputError: most of at least ten were dropped, so that the nets' answers are worth nothing.
    """
    dropped = rows.filter(pc.equal(rows["outcome"], records.DROPPED))["reason"].to_pylist()
    finds = len(dropped) + pc.sum(pc.equal(rows["outcome"], records.FOUND)).as_py() if len(rows) else 0
    if finds >= _FEW and len(dropped) > finds / 2:
        reasons = "; ".join(f"{count}: {why}" for why, count in collections.Counter(dropped).most_common())
        raise InputError(
            f"{len(dropped)} of {finds} finds of {where} were none when the stored images were judged again "
            f"({reasons}): a net is random, or answers by what else is in its batch; give nets exported for inference."
        )


def set_aside_whole(schema: pa.Schema, seeds: SeedBatch, reason: str) -> pa.Table:
    """Returns the chunk of a unit that failed: every seed image set aside."""
    rows = ChunkRows(schema, seeds)
    rows.add_unreadable()
    rows.add_seeds(np.arange(len(seeds.images)), records.SET_ASIDE, reason)
    return rows.table()

"""An island under way: its state, its curve and its lineage, from block to block and through a kill."""

from __future__ import annotations

import dataclasses
import io
import zipfile
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import tensorflow as tf
from etils import epath

from pipeline import ledger, records
from pipeline.plan import Unit
from pipeline.search.elites import NOBODY, Log, State

_FORMAT = 1  # of checkpoints
SPLIT = "train"  # islands have no split of their own


@dataclasses.dataclass(frozen=True)
class Island:
    """A work unit of garbage images: one target net (its place in the group), one of several independent runs."""

    unit: int
    net: int
    number: int
    nbytes: int = 0


@dataclasses.dataclass(frozen=True)
class Islands:
    """Where workers find islands, in place of seed images: a position is an island of one of the target nets."""

    target_nets: tuple[int, ...]

    def units(self, count: int) -> list[Unit]:
        """Returns a unit for each target net and each of `count` islands, the first island of all nets first."""
        return [Unit(number, SPLIT, range(number, number + 1)) for number in range(count * len(self.target_nets))]

    def read(self, split: str, positions: Sequence[int]) -> Island:
        """Returns the island at a position."""
        number, place = divmod(positions[0], len(self.target_nets))
        return Island(positions[0], self.target_nets[place], number)


@dataclasses.dataclass(frozen=True)
class Course:
    """How far an island has come.

    Attributes:
      state: after `generation`, a structure of tensors.
      generation: the last one.
      done: int32 `[generation + 1]`, classes done after each generation.
      medians: float32 `[generation + 1]`, median confidence over the classes.
      births: int32 `[T]`, the images that took a cell when they were born, in the order of birth.
      parents: int32 `[T, 2]`, births of their parents.
      cells: int32 `[T]`, how many cells they took.
    """

    state: State
    generation: int
    done: np.ndarray
    medians: np.ndarray
    births: np.ndarray
    parents: np.ndarray
    cells: np.ndarray

    @classmethod
    def begun(cls, state: State, log: Log) -> Course:
        """Returns the course of an island at generation 0, from its log."""
        nothing = np.zeros(0, np.int32)
        before = cls(state, -1, nothing, np.zeros(0, np.float32), nothing, np.zeros((0, 2), np.int32), nothing)
        return before.after(state, 0, log)

    def after(self, state: State, generation: int, log: Log) -> Course:
        """Returns the course after a block that led to `generation`."""
        rows = generation - self.generation
        done, medians, parents, cells = (field.numpy()[:rows] for field in log)
        births = (self.generation + 1) * cells.shape[1] + np.arange(cells.size, dtype=np.int32)
        took = cells.ravel() > 0
        return Course(
            state,
            generation,
            np.concatenate([self.done, done]),
            np.concatenate([self.medians, medians]),
            np.concatenate([self.births, births[took]]),
            np.concatenate([self.parents, parents.reshape(-1, 2)[took]]),
            np.concatenate([self.cells, cells.ravel()[took]]),
        )

    def save(self, path: epath.Path) -> None:
        """Writes a checkpoint, whole."""
        tensors = {f"state_{place}": tensor.numpy() for place, tensor in enumerate(tf.nest.flatten(self.state))}
        kept = {name: getattr(self, name) for name in _KEPT}
        stream = io.BytesIO()
        np.savez(stream, format=_FORMAT, **kept, **tensors)
        ledger.write_whole(path, stream.getvalue())

    @classmethod
    def load(cls, path: epath.Path, like: State) -> Course | None:
        """Reads a checkpoint with a state of the structure of `like`; None if there is none that can be read.

        An island begun anew comes to the same end, so a damaged checkpoint, or one of another version of this project,
        costs time alone.
        """
        if not path.exists():
            return None
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as saved:
                if int(saved["format"]) != _FORMAT:
                    return None
                flat = [_like(saved[f"state_{at}"], tensor) for at, tensor in enumerate(tf.nest.flatten(like))]
                kept = {name: saved[name] for name in _KEPT}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        return cls(tf.nest.pack_sequence_as(like, flat), **{**kept, "generation": int(kept["generation"])})

    def curve(self) -> str:
        """Returns the curve as CSV."""
        lines = [f"{place},{done},{median:.9g}" for place, (done, median) in enumerate(zip(self.done, self.medians))]
        return "\n".join(["generation,classes_done,median_confidence", *lines]) + "\n"

    def lineage(self, island: Island, target_net: str, population: int) -> pa.Table:
        """Returns the table of `records.LINEAGE_SCHEMA`."""
        columns = {
            "target_net": [target_net] * len(self.births),
            "island": [island.number] * len(self.births),
            "individual": [individual(island, birth) for birth in self.births],
            "parents": [individuals(island, pair) for pair in self.parents],
            "generation": self.births // population,
            "cells": self.cells,
        }
        return pa.Table.from_pydict(columns, schema=records.LINEAGE_SCHEMA)


_KEPT = ("generation", "done", "medians", "births", "parents", "cells")


def _like(array: np.ndarray, tensor: tf.Tensor) -> tf.Tensor:
    if array.shape != tuple(tensor.shape) or array.dtype != tensor.dtype.as_numpy_dtype:
        raise ValueError(f"a checkpoint of another search: {array.shape} for {tensor.shape}")
    return tf.constant(array)


def individual(island: Island, birth: int) -> str:
    """Returns what an image of an island is called."""
    return f"{island.number}-{birth}"


def individuals(island: Island, births: np.ndarray) -> list[str]:
    """Returns what parents `[2]` are called, those that there are."""
    return [individual(island, birth) for birth in births if birth != NOBODY]


def merge(chunks: Sequence[pa.Table]) -> pa.Table:
    """Merges islands: of every target net and class, the row of highest confidence, of equal ones the smallest id.

    Commutative, associative and idempotent, so that islands, and merged islands, may come in any order.
    """
    rows = pa.concat_tables(chunks)
    order = [("target_net", "ascending"), ("wrong_class", "ascending"), ("target_confidence", "descending")]
    rows = rows.sort_by([*order, ("id", "ascending")])
    cells = list(zip(rows["target_net"].to_pylist(), rows["wrong_class"].to_pylist(), strict=True))
    first = [at for at in range(len(cells)) if at == 0 or cells[at] != cells[at - 1]]
    return rows.take(pa.array(first, pa.int64()))

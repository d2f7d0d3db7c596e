"""An island under way: its state, its curve and its lineage, from block to block and through a kill."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import tensorflow as tf
from etils import epath

from pipeline import records, seeding
from pipeline.search.evolution.elites import NOBODY, Key, Log, State
from pipeline.seeds.plan import Unit
from pipeline.workdir import ledger

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


class History(NamedTuple):
    """What happened in G generations of an island in which T images took a cell when they were born.

    Attributes:
      done: int32 `[G]`, classes done after each generation.
      medians: float32 `[G]`, median confidence over the classes.
      births: int32 `[T]`, the images that took a cell, in the order of birth.
      parents: int32 `[T, 2]`, births of their parents.
      cells: int32 `[T]`, how many cells they took.
    """

    done: np.ndarray
    medians: np.ndarray
    births: np.ndarray
    parents: np.ndarray
    cells: np.ndarray


@dataclasses.dataclass(frozen=True)
class Course:
    """How far an island has come.

    Attributes:
      state: after `generation`, a structure of tensors.
      generation: the last one.
      blocks: generations 0 to `generation`, in pieces, none empty; joined only where all of them are written.
    """

    state: State
    generation: int
    blocks: tuple[History, ...]

    @classmethod
    def begun(cls, state: State, log: Log) -> Course:
        """Returns the course of an island at generation 0, from its log."""
        return cls(state, -1, ()).after(state, 0, log)

    def after(self, state: State, generation: int, log: Log) -> Course:
        """Returns the course after a block that led to `generation`, which may be the last one still."""
        rows = generation - self.generation
        if not rows:
            return dataclasses.replace(self, state=state)
        done, medians, parents, cells = (field.numpy()[:rows] for field in log)
        births = (self.generation + 1) * cells.shape[1] + np.arange(cells.size, dtype=np.int32)
        took = cells.ravel() > 0
        block = History(done, medians, births[took], parents.reshape(-1, 2)[took], cells.ravel()[took])
        return Course(state, generation, (*self.blocks, block))

    @property
    def classes_done(self) -> int:
        """How many classes are done after the last generation."""
        return int(self.blocks[-1].done[-1])

    def history(self) -> History:
        """Returns what happened from generation 0 on."""
        return History(*(np.concatenate(pieces) for pieces in zip(*self.blocks, strict=True)))

    def save(self, path: epath.Path) -> None:
        """Writes a checkpoint, whole."""
        tensors = {f"state_{place}": tensor.numpy() for place, tensor in enumerate(tf.nest.flatten(self.state))}
        stream = io.BytesIO()
        np.savez(stream, format=_FORMAT, generation=self.generation, **self.history()._asdict(), **tensors)
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
                generation, history = int(saved["generation"]), History(*(saved[name] for name in History._fields))
        except Exception:  # a damaged file can fail in any way
            return None
        return cls(tf.nest.pack_sequence_as(like, flat), generation, (history,))

    def curve(self) -> str:
        """Returns the curve as CSV."""
        done, medians = self.history()[:2]
        lines = [f"{place},{count},{median:.9g}" for place, (count, median) in enumerate(zip(done, medians))]
        return "\n".join(["generation,classes_done,median_confidence", *lines]) + "\n"

    def lineage(self, island: Island, target_net: str, population: int) -> pa.Table:
        """Returns the table of `records.LINEAGE_SCHEMA`."""
        _, _, births, parents, cells = self.history()
        columns = {
            "target_net": [target_net] * len(births),
            "island": [island.number] * len(births),
            "individual": [individual(island, birth) for birth in births],
            "parents": [individuals(island, pair) for pair in parents],
            "generation": births // population,
            "cells": cells,
        }
        return pa.Table.from_pydict(columns, schema=records.LINEAGE_SCHEMA)


def _like(array: np.ndarray, tensor: tf.Tensor) -> tf.Tensor:
    if array.shape != tuple(tensor.shape) or array.dtype != tensor.dtype.as_numpy_dtype:
        raise ValueError(f"a checkpoint of another search: {array.shape} for {tensor.shape}")
    return tf.constant(array)


def key(run_seed: int, target_digest: str, number: int) -> Key:
    """Returns what the random numbers of island `number` on a net depend on."""
    words = seeding.seed_key(f"{target_digest}/{number}")
    return Key(tf.constant(run_seed, tf.uint32), tf.constant(words, tf.uint32))


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

"""Published versions of our datasets, read with plain TFDS."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import operator
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_datasets as tfds
from etils import epath

from models import preflight, streams
from models.errors import InputError
from pipeline import formats
from pipeline.config.recorded import Recorded, recorded
from pipeline.formats import VERSION_FORMAT
from pipeline.kinds import registry
from pipeline.kinds.kind import Example, Kind
from pipeline.workdir import at_once, ledger
from tfds_builders.runs import told_of_run

_TOGETHER, _AHEAD = 64, 16  # examples that are read at a time; how many times that while nets are asked about others


@dataclasses.dataclass(frozen=True)
class Published:
    """A published version of one of our datasets.

    Attributes:
      builder: TFDS's.
      sample: how many examples are looked at, in parts spread evenly over all; 0 for all.
    """

    builder: Any
    sample: int = 0

    @property
    def kind(self) -> Kind:
        """What its examples are."""
        return registry.named(self.builder.info.name)

    @property
    def name(self) -> str:
        """ "dataset/task"."""
        return self.builder.info.full_name.rpartition("/")[0]

    @property
    def version(self) -> str:
        """Such as "1.0.0"."""
        return str(self.builder.info.version)

    @property
    def whole(self) -> int:
        """How many examples there are, in all splits."""
        return sum(split.num_examples for split in self.builder.info.splits.values())

    @property
    def count(self) -> int:
        """How many of them are looked at."""
        return min(self.sample or self.whole, self.whole)

    def examples(self, features: Collection[str] | None = None) -> Iterator[Example]:
        """Yields the examples of all splits, or the sample of them, NumPy values.

        Args:
          features: those to be read, others take their time; all if None. "seed/id" is a part of one, and one that this
            version has not got is left out.
        """
        once = tfds.ReadConfig(try_autocache=False)
        decoders = None if features is None else tfds.decode.PartialDecoding(self._specs(features))
        for part in self._parts():
            yield from _as_numpy(self.builder.as_dataset(split=part, read_config=once, decoders=decoders))

    def _parts(self) -> Iterator[Any]:
        """Yields what is read of each split, in TFDS's words."""
        before, spread = 0, _spread(self.count, self.whole)
        for split, told in self.builder.info.splits.items():
            rows = [range(max(rows.start - before, 0), min(rows.stop - before, told.num_examples)) for rows in spread]
            parts = [tfds.core.ReadInstruction(split, part.start, part.stop, unit="abs") for part in rows if part]
            if parts:
                yield split if self.count == self.whole else functools.reduce(operator.add, parts)
            before += told.num_examples

    def _specs(self, features: Collection[str]) -> dict[str, Any]:
        """Returns {"a": True, "b": {"c": True}} for "a" and "b/c"."""
        specs: dict[str, Any] = {}
        for whole, _, part in (name.partition("/") for name in features):
            if whole in self.builder.info.features:
                specs[whole] = {**specs.get(whole, {}), part: True} if part else True
        return specs

    def places_by_run(self, examples: Sequence[Example]) -> list[tuple[Recorded, list[int]]]:
        """Returns the runs that made examples, with the places of those that each made."""
        places: dict[str, list[int]] = {}
        for place, example in enumerate(examples):
            places.setdefault(_run_id(example), []).append(place)
        return [(self.runs[run_id], mine) for run_id, mine in places.items()]

    def run(self, example: Example) -> Recorded:
        """Returns the run that made an example."""
        return self.runs[_run_id(example)]

    @functools.cached_property
    def runs(self) -> dict[str, Recorded]:
        """The runs by run id."""
        methods = registry.methods()
        told = at_once.each(self._told, self.builder.info.metadata["runs"])
        return {run["run_id"]: recorded(run, methods) for run in told}

    def _told(self, run: dict[str, Any]) -> dict[str, Any]:
        """Returns what is told of a run, of which the metadata have the name, or (format 1) all."""
        if "config" in run:
            return run
        folder = epath.Path(self.builder.data_dir)
        path = told_of_run(folder, run["run_id"])
        told = ledger.read_json(path) if path.parent.parent == folder else None  # a name is no way elsewhere
        if told is None:
            raise InputError(f"{path} is lost; move that version away and package it again.")
        return told

    @property
    def image_shape(self) -> tuple[int, ...]:
        """`(H, W, C)` of the images, the same in all runs."""
        return tuple(next(iter(self.runs.values()))["image_shape"])

    @property
    def rechecks(self) -> list[dict[str, Any]]:
        """What is told of the rechecks that gave the examples their status, first made first."""
        return self.builder.info.metadata.get("rechecks", [])


def _spread(count: int, whole: int, parts: int = 16) -> list[range]:
    """Returns `count` of `whole` places, in at most so many parts with gaps of equal length."""
    parts, gaps = max(min(parts, count), 1), whole - count
    starts = [(place * count // parts, place * gaps // parts, (place + 1) * count // parts) for place in range(parts)]
    return [range(start + gap, end + gap) for start, gap, end in starts]


def together(
    examples: Iterable[Example], key: Callable[[Example], Hashable | None], most: int = 1024, waiting: int = 8192
) -> Iterator[list[Example]]:
    """Yields examples of one key together, such as all that the same nets are asked about, whatever run made them.

    Args:
      examples: all of them.
      key: of an example; what has None is left out.
      most: examples that are yielded at a time.
      waiting: examples that are held back so that others of their key can come; then the most of one key go.
    """
    held: dict[Hashable, list[Example]] = {}
    count = 0
    for example in examples:
        if (of := key(example)) is None:
            continue
        held.setdefault(of, []).append(example)
        count += 1
        if len(held[of]) == most or count == waiting:
            full = held.pop(max(held, key=lambda each: len(held[each])))
            count -= len(full)
            yield full
    yield from held.values()


def _as_numpy(dataset: tf.data.Dataset) -> Iterator[Example]:
    """Does what `tfds.as_numpy` does, many examples at a time: one by one, Python takes longer than most nets."""
    for batch in streams.untuned(dataset.ragged_batch(_TOGETHER).prefetch(_AHEAD)):
        yield from _rows(batch)


def _rows(batch: Any) -> Iterable[Any]:
    """Takes a batch of nested tensors apart into NumPy values."""
    if isinstance(batch, dict):
        return [dict(zip(batch, row, strict=True)) for row in zip(*map(_rows, batch.values()), strict=True)]
    if not isinstance(batch, tf.RaggedTensor):
        return batch.numpy()
    if batch.ragged_rank > 1:  # only so that it is read at all; our features have one length that varies
        return [row.to_tensor().numpy() for row in batch]
    values, starts = batch.values.numpy(), batch.row_splits.numpy()
    return [values[start:end] for start, end in itertools.pairwise(starts)]


def _run_id(example: Example) -> str:
    return example["run"]["id"].decode()


def _hint(dataset: str, data_dir: Any, expected: str) -> str:
    """Returns what to give in place of a dataset that is not there."""
    name, _, version = dataset.partition(":")
    folder = epath.Path(data_dir) / name
    names = [path.name for path in folder.iterdir()] if version and folder.is_dir() else []
    there = [each for each in names if tfds.core.Version.is_valid(each)]
    if there:
        return f"its newest version is {max(there, key=tfds.core.Version)}."
    return f"expected {expected}. Was it packaged?"


def open_dataset(dataset: str, data_dir: epath.Path) -> Published:
    """Opens "DATASET/TASK" or "DATASET/TASK:VERSION" of ours; without a version, the newest.

    Raises:
      InputError: there is no such dataset, or it has a format that this code does not read.
    """
    names = [kind.name for kind in registry.KINDS]
    expected = " or ".join(f"{name}/TASK[:VERSION]" for name in names)
    if not dataset.startswith(tuple(f"{name}/" for name in names)):
        raise InputError(f"dataset '{dataset}' cannot be checked; expected {expected}.")
    try:
        published = Published(tfds.builder(dataset, data_dir=data_dir))
        metadata = published.builder.info.metadata or {}
    except (tfds.core.DatasetNotFoundError, tf.errors.NotFoundError, ValueError, AssertionError) as error:
        raise InputError(
            f"dataset '{dataset}' was not found in {data_dir}; {_hint(dataset, data_dir, expected)}"
        ) from error
    except Exception as error:  # a damaged version can fail in any way
        raise InputError(
            f"dataset '{dataset}' in {data_dir} is damaged ({preflight.reason(error)}); move that version away and "
            "package it again."
        ) from error
    formats.check(
        metadata, f"dataset '{dataset}' in {data_dir}", "mine and package it anew, in a new workdir", VERSION_FORMAT
    )
    return published


def find(published: Published, example_id: str) -> Example:
    """Returns the example with an id, or the one whose id starts so; raises InputError if there is not exactly one."""
    matches = [example for example in published.examples() if example["id"].decode().startswith(example_id)]
    if len(matches) != 1:
        raise InputError(
            f"{len(matches)} examples have an id that starts with '{example_id}'; give the whole id of one."
        )
    return matches[0]

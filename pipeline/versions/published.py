"""Published versions of our datasets, read with plain TFDS."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import tensorflow as tf
import tensorflow_datasets as tfds
from etils import epath

from models import preflight, streams
from models.errors import InputError
from pipeline import formats
from pipeline.config.recorded import Recorded, recorded
from pipeline.kinds import registry
from pipeline.kinds.kind import Example, Kind

_TOGETHER, _AHEAD = 64, 16  # examples that are read at a time; how many times that while nets are asked about others


@dataclasses.dataclass(frozen=True)
class Published:
    """A published version of one of our datasets."""

    builder: Any

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
    def count(self) -> int:
        """How many examples there are, in all splits."""
        return sum(split.num_examples for split in self.builder.info.splits.values())

    def examples(self, features: Collection[str] | None = None) -> Iterator[Example]:
        """Yields the examples of all splits, NumPy values.

        Args:
          features: those to be read, others take their time; all if None. "seed/id" is a part of one, and one that this
            version has not got is left out.
        """
        once = tfds.ReadConfig(try_autocache=False)
        decoders = None if features is None else tfds.decode.PartialDecoding(self._specs(features))
        for split in self.builder.info.splits:
            if self.builder.info.splits[split].num_examples:
                yield from _as_numpy(self.builder.as_dataset(split=split, read_config=once, decoders=decoders))

    def _specs(self, features: Collection[str]) -> dict[str, Any]:
        """Returns {"a": True, "b": {"c": True}} for "a" and "b/c"."""
        specs: dict[str, Any] = {}
        for whole, _, part in (name.partition("/") for name in features):
            if whole in self.builder.info.features:
                specs[whole] = {**specs.get(whole, {}), part: True} if part else True
        return specs

    def by_run(self, features: Collection[str]) -> Iterator[tuple[str, list[Example]]]:
        """Yields the examples of all splits with their run's id, at most 1,024 of one run at a time.

        Args:
          features: those to be read besides; see `examples`.
        """
        examples = self.examples((*features, "run/id"))
        while chunk := list(itertools.islice(examples, 1024)):
            for run_id in sorted({_run_id(example) for example in chunk}):
                yield run_id, [example for example in chunk if _run_id(example) == run_id]

    def run(self, example: Example) -> Recorded:
        """Returns the run that made an example."""
        return self.runs[_run_id(example)]

    @functools.cached_property
    def runs(self) -> dict[str, Recorded]:
        """The runs by run id."""
        methods = registry.methods()
        return {run["run_id"]: recorded(run, methods) for run in self.builder.info.metadata["runs"]}

    @property
    def image_shape(self) -> tuple[int, ...]:
        """`(H, W, C)` of the images, the same in all runs."""
        return tuple(next(iter(self.runs.values()))["image_shape"])

    @property
    def rechecks(self) -> list[dict[str, Any]]:
        """What is told of the rechecks that gave the examples their status, first made first."""
        return self.builder.info.metadata.get("rechecks", [])


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
    formats.check(metadata, f"dataset '{dataset}' in {data_dir}", "mine and package it anew, in a new workdir")
    return published


def find(published: Published, example_id: str) -> Example:
    """Returns the example with an id, or the one whose id starts so; raises InputError if there is not exactly one."""
    matches = [example for example in published.examples() if example["id"].decode().startswith(example_id)]
    if len(matches) != 1:
        raise InputError(
            f"{len(matches)} examples have an id that starts with '{example_id}'; give the whole id of one."
        )
    return matches[0]

"""A run's examples, read from its chunks: what is there of them, though the run is not finished or not published."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from models.errors import InputError
from pipeline import formats, records
from pipeline.config.recorded import Recorded, recorded
from pipeline.kinds import registry
from pipeline.kinds.kind import Example, Kind
from pipeline.workdir.ledger import RunFolder

_IMAGES = ("image", "seed_image")


class RunExamples:
    """What `Published` tells of a version, of a run.

    Args:
      folder: the run's.

    Raises:
      InputError: there is no such run, or it is of another format.
    """

    def __init__(self, folder: RunFolder):
        self.folder, self.finished = folder, folder.manifest()
        self._plan = folder.plan()
        if self._plan is None:
            raise InputError(f"{folder.path} holds no run; `peerpressure list` tells which there are.")
        formats.check(self._plan, f"run '{folder.run_id}'", "mine it anew in a new workdir")

    @property
    def kind(self) -> Kind:
        """What its examples are."""
        return registry.named(self._identity["dataset"])

    @property
    def name(self) -> str:
        """ "dataset/task"."""
        return f"{self._identity['dataset']}/{self._identity['task']}"

    @property
    def units(self) -> tuple[int, int]:
        """How many units are finished, and how many there are."""
        return len(self.folder.finished_units()), len(self._identity["units"])

    @functools.cached_property
    def _identity(self) -> Mapping[str, Any]:
        """The manifest, or what the plan tells of it."""
        if self.finished:
            return self.finished
        assert self._plan is not None
        return {**self._plan, **self._plan["provenance"], "run_id": self.folder.run_id, "num_classes": self._classes()}

    def _classes(self) -> int:
        assert self._plan is not None
        if self._plan["class_names"]:
            return len(self._plan["class_names"])
        first = next(self._rows(), None)
        return len(first["probabilities_after"]) // len(self._plan["nets"]) if first else 0

    @functools.cached_property
    def run(self) -> Recorded:
        """The run."""
        return recorded(self._identity, registry.methods())

    @functools.cached_property
    def count(self) -> int:
        """How many examples are there."""
        if self.finished:
            return self.finished["examples"]
        return sum(records.count_found(self.folder.chunk(unit)) for unit in self.folder.finished_units())

    def _rows(self) -> Iterator[dict[str, Any]]:
        for unit in sorted(self.folder.finished_units()):
            yield from records.read_examples(self.folder.chunk(unit))

    def examples(self) -> Iterator[Example]:
        """Yields the examples that are there, as `Published` does."""
        builder = self.kind.builder()
        for row in self._rows():
            yield {**_decoded(builder.run_example(row, self._identity)), "status": b""}


def _decoded(values: Any) -> Any:
    """Returns an example as TFDS reads it back: text as bytes, lists as arrays, images as pixels."""
    if isinstance(values, dict):
        return {
            name: records.decode_png(value) if name in _IMAGES else _decoded(value) for name, value in values.items()
        }
    if isinstance(values, list):
        return np.array([_decoded(value) for value in values])
    return values.encode() if isinstance(values, str) else values

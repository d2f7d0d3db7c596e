"""The ledger of a workdir: which runs there are, what they are made of, and which are finished.

    WORKDIR/nets/                         trained nets, named by what made them
    WORKDIR/ledger/DATASET/TASK/RUN_ID/   one run
        plan.json                         what the run is: config, nets, sizes of the splits, units
        chunks/                           one file for each finished work unit
        checkpoints/, curves/, lineages/  garbage images: one file an island
        trials.parquet, set_aside.jsonl, manifest.json    written when all units are there
    WORKDIR/ledger/DATASET/TASK.lock      locked by the run that works on the task (`pipeline.lock`)
    WORKDIR/datasets/                     a TFDS data_dir

A file appears whole (written aside, flushed, renamed) or not at all, and a run is finished when its manifest exists.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import uuid
from typing import Any

import tensorflow as tf
from etils import epath

from models.errors import InputError

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_IO_ERRORS = (OSError, tf.errors.OpError)  # of a disk, of a bucket


def write_whole(path: epath.Path, data: bytes) -> None:
    """Writes a file so that a reader, or the next start, sees all of it or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if "://" in os.fspath(path):  # an object in a bucket appears whole
        path.write_bytes(data)
        return
    aside = f"{os.fspath(path)}.{uuid.uuid4().hex}.tmp"
    try:
        with open(aside, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(aside, path)
    except OSError:
        epath.Path(aside).unlink(missing_ok=True)
        raise


def write_json(path: epath.Path, value: Any) -> None:
    """Writes a JSON file whole, with sorted keys."""
    write_whole(path, (json.dumps(value, indent=1, sort_keys=True) + "\n").encode())


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """One run's folder."""

    path: epath.Path

    @property
    def run_id(self) -> str:
        return self.path.name

    @property
    def chunks(self) -> epath.Path:
        return self.path / "chunks"

    def chunk(self, unit: int) -> epath.Path:
        """Returns the path of a unit's chunk."""
        return self.chunks / f"{unit:06d}.parquet"

    def checkpoint(self, unit: int) -> epath.Path:
        """Returns the path where an island is kept while it is under way."""
        return self.path / "checkpoints" / f"{unit:06d}.npz"

    def curve(self, unit: int) -> epath.Path:
        """Returns the path of an island's progress, generation by generation."""
        return self.path / "curves" / f"{unit:06d}.csv"

    def lineage(self, unit: int) -> epath.Path:
        """Returns the path of the table of who descends from whom on an island."""
        return self.path / "lineages" / f"{unit:06d}.parquet"

    @property
    def trials(self) -> epath.Path:
        return self.path / "trials.parquet"

    def finished_units(self) -> set[int]:
        """Returns the numbers of the units whose chunks are there."""
        if not self.chunks.exists():
            return set()
        return {int(path.stem) for path in self.chunks.iterdir() if path.suffix == ".parquet"}

    def plan(self) -> dict[str, Any] | None:
        return _read_json(self.path / "plan.json")

    def manifest(self) -> dict[str, Any] | None:
        """Returns the manifest, None while the run is not finished."""
        return _read_json(self.path / "manifest.json")

    def sweep(self) -> None:
        """Removes what a killed start left half-written."""
        for folder in (self.path, *(self.path / name for name in ("chunks", "checkpoints", "curves", "lineages"))):
            if folder.exists():
                for path in folder.iterdir():
                    if path.suffix == ".tmp":
                        path.unlink(missing_ok=True)

    def start(self, plan: dict[str, Any]) -> None:
        """Opens the run, or goes on with it.

        Raises:
          InputError: the run id was used with another configuration, or the workdir cannot be written to.
        """
        there = self.plan()
        if there is not None and there != plan:
            changed = sorted(key for key in {*there, *plan} if there.get(key) != plan.get(key))
            raise InputError(
                f"run id '{self.run_id}' was already used with another configuration (different: "
                f"{', '.join(changed)}); give another --run_id."
            )
        try:
            self.sweep()
            if there is None:
                write_json(self.path / "plan.json", plan)
        except _IO_ERRORS as error:
            raise InputError(f"{self.path} cannot be written to ({_reason(error)}); mend that.") from error


def _reason(error: Exception) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error).split())


def _read_json(path: epath.Path) -> dict[str, Any] | None:
    return json.loads(path.read_text()) if path.exists() else None


@dataclasses.dataclass(frozen=True)
class Workdir:
    """A workdir, local or in a bucket."""

    path: epath.Path

    @classmethod
    def at(cls, path: str) -> Workdir:
        """Returns the workdir at a path; raises InputError if TensorFlow has no file system for it."""
        scheme = path.partition("://")[0] if "://" in path else ""
        if scheme == "file" or scheme not in tf.io.gfile.get_registered_schemes():
            raise InputError(f"--workdir {path} cannot be reached; expected a local folder or gs://BUCKET/FOLDER.")
        return cls(epath.Path(path))

    @property
    def datasets(self) -> epath.Path:
        return self.path / "datasets"

    @property
    def nets(self) -> epath.Path:
        return self.path / "nets"

    def run(self, dataset_name: str, run_id: str) -> RunFolder:
        """Returns the folder of a run for "dataset/task"; raises InputError if the id cannot be a folder name."""
        if not _RUN_ID.fullmatch(run_id):
            raise InputError(
                f"run id {run_id!r} is not usable: expected letters, digits, '.', '_' and '-', 100 at most."
            )
        return RunFolder(self.path / "ledger" / dataset_name / run_id)

    def lock(self, dataset_name: str) -> epath.Path:
        """Returns the file that a run for "dataset/task" locks."""
        return self.path / "ledger" / f"{dataset_name}.lock"

    def finished_runs(self, dataset_name: str) -> list[RunFolder]:
        """Returns the finished runs for "dataset/task", first finished first."""
        folder = self.path / "ledger" / dataset_name
        runs = [RunFolder(path) for path in folder.iterdir() if path.is_dir()] if folder.exists() else []
        numbered = [(manifest["sequence"], run.run_id, run) for run in runs if (manifest := run.manifest())]
        return [run for _, _, run in sorted(numbered, key=lambda entry: entry[:2])]

    def check_writable(self) -> None:
        """Raises InputError if the workdir cannot be made or written to."""
        probe = self.path / f".{uuid.uuid4().hex}.tmp"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(b"")
            probe.unlink()
        except _IO_ERRORS as error:
            raise InputError(
                f"--workdir {self.path} cannot be written to ({_reason(error)}); name another folder."
            ) from error


def file_digest(path: epath.Path) -> str:
    """Returns the SHA-256 (hex) of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()

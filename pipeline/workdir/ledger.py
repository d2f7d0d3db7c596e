"""The ledger of a workdir: which runs there are, what they are made of, and which are finished.

    WORKDIR/nets/                         trained nets, named by what made them
    WORKDIR/ledger/DATASET/TASK/RUN_ID/   one run
        plan.json                         what the run is: settings, nets, sizes of the splits, units
        chunks/                           one file for each finished work unit
        checkpoints/, curves/, lineages/  garbage images: one file an island
        progress/                         mistakes: one file a unit under way; there while the run mines
        failures/                         what failed since the last start (`pipeline.runs.failures`)
        trials.parquet, set_aside.jsonl, manifest.json    written when all units are there
        signatures.npy, dataset/, published.json, addition.json    what it adds (`pipeline.versions.additions`)
    WORKDIR/ledger/rechecks/DATASET/TASK/ what new nets said of published examples (`pipeline.versions.statuses`)
    WORKDIR/ledger/DATASET/TASK.lock      locked by the run that works on the task (`pipeline.workdir.lock`)
    WORKDIR/datasets/                     a TFDS data_dir

A file appears whole (written aside, flushed, renamed) or not at all, and a run is finished when its manifest exists.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import io
import json
import os
import re
import uuid
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
from etils import epath

from models.errors import InputError
from pipeline import formats
from pipeline.workdir import at_once

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_ASIDE = ".tmp"  # ending of files that are being written
_BUILT_ASIDE = "incomplete."  # start of folders of versions that are being made, TFDS's and ours
_NO_LINKS = {errno.EPERM, errno.EXDEV, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS}  # a disk's, or too many of a file
_IO_ERRORS = (OSError, tf.errors.OpError)  # of a disk, of a bucket


@contextlib.contextmanager
def io_errors() -> Iterator[None]:
    """Makes an OSError of what TensorFlow's file systems raise, also where TFDS has wrapped it in another error."""
    try:
        yield
    except (tf.errors.OpError, RuntimeError) as error:
        failed = error if isinstance(error, tf.errors.OpError) else error.__cause__
        if not isinstance(failed, tf.errors.OpError):
            raise
        raise OSError(" ".join(failed.message.split())) from error


def write_whole(path: epath.Path, data: bytes) -> None:
    """Writes a file so that a reader, or the next start, sees all of it or none; raises OSError if it cannot."""
    if "://" in os.fspath(path):  # an object in a bucket appears whole
        with io_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = f"{os.fspath(path)}.{uuid.uuid4().hex}{_ASIDE}"
    try:
        with open(aside, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(aside, path)
    except OSError:
        epath.Path(aside).unlink(missing_ok=True)
        raise


def link(source: epath.Path, target: epath.Path) -> None:
    """Gives a file another name as well, in a folder that is there; where a disk cannot, and in a bucket, copies it.

    Raises:
      OSError: it cannot be written.
    """
    if "://" in os.fspath(target):
        with io_errors():
            source.copy(target, overwrite=True)
        return
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        source.copy(target)


@contextlib.contextmanager
def appearing(folder: epath.Path) -> Iterator[epath.Path]:
    """Yields a folder that is filled in place of another, which it becomes when all went well.

    A bucket has no folders to rename: there it is the other itself, whose last file tells that it is whole.
    """
    if "://" in os.fspath(folder):
        yield folder
        return
    aside = folder.parent / f"{_BUILT_ASIDE}{uuid.uuid4().hex}_{folder.name}"
    aside.mkdir(parents=True)
    try:
        yield aside
        aside.rename(folder)
    except BaseException:
        aside.rmtree(missing_ok=True)
        raise


def sweep_builds(folder: epath.Path) -> None:
    """Removes what killed builds left in the folder of its versions."""
    for path in folder.iterdir() if folder.exists() else []:
        if path.name.startswith(_BUILT_ASIDE):
            path.rmtree()


def build(builder: Any, download_config: Any = None) -> None:
    """Builds a version of a TFDS dataset of ours; what TFDS prints of sizes to download is kept back, for none is."""
    with contextlib.redirect_stdout(io.StringIO()):
        builder.download_and_prepare(download_config=download_config)


def sweep_files(folder: epath.Path) -> None:
    """Removes what `write_whole` left in a folder when it was killed."""
    for path in folder.iterdir() if folder.exists() else []:
        if is_unfinished(path):
            path.unlink(missing_ok=True)


def is_unfinished(path: epath.Path) -> bool:
    """Tells whether a file is one that `write_whole` writes aside, and renames when it is whole."""
    return path.suffix == _ASIDE


def write_json(path: epath.Path, value: Any) -> None:
    """Writes a JSON file whole, with sorted keys."""
    write_whole(path, (json.dumps(value, indent=1, sort_keys=True) + "\n").encode())


def read_json(path: epath.Path) -> dict[str, Any] | None:
    """Reads a JSON file, None if it is not there; raises InputError if it is damaged."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except tf.errors.NotFoundError:  # in a bucket
        return None
    except ValueError as error:  # also of bytes that are no text
        raise InputError(f"{path} is damaged ({_reason(error)}); restore it.") from error


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """One run's folder."""

    path: epath.Path

    @property
    def run_id(self) -> str:
        """The run's name, which is its folder's."""
        return self.path.name

    @property
    def chunks(self) -> epath.Path:
        """The folder of the units' chunks."""
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

    @property
    def lineages(self) -> epath.Path:
        """The folder of the islands' lineages; there for garbage images alone."""
        return self.path / "lineages"

    def lineage(self, unit: int) -> epath.Path:
        """Returns the path of the table of who descends from whom on an island."""
        return self.lineages / f"{unit:06d}.parquet"

    @property
    def progress(self) -> epath.Path:
        """The folder of how far units under way have come; there while the run mines."""
        return self.path / "progress"

    @property
    def failures(self) -> epath.Path:
        """The folder of what failed since the last start; gone once the run is finished."""
        return self.path / "failures"

    def failure(self, unit: int) -> epath.Path:
        """Returns the path that says why a unit failed."""
        return self.failures / f"{unit:06d}.json"

    @property
    def trials(self) -> epath.Path:
        """The path of the table of every trial, there once the run is finished."""
        return self.path / "trials.parquet"

    def finished_units(self) -> set[int]:
        """Returns the numbers of the units whose chunks are there."""
        return _units_in(self.chunks, ".parquet")

    def failed_units(self) -> set[int]:
        """Returns the numbers of the units that failed since the last start."""
        return _units_in(self.failures, ".json")

    def begun_islands(self) -> set[int]:
        """Returns the numbers of the islands whose curves are there."""
        return _units_in(self.path / "curves", ".csv")

    def plan(self) -> dict[str, Any] | None:
        """Returns what the run was started with, None before it was."""
        return read_json(self.path / "plan.json")

    def manifest(self) -> dict[str, Any] | None:
        """Returns the manifest, None while the run is not finished."""
        return read_json(self.path / "manifest.json")

    def sweep(self) -> None:
        """Removes what a killed start left half-written, and what was told of units under way."""
        below = ("chunks", "checkpoints", "curves", "lineages", "failures")
        for folder in (self.path, *(self.path / name for name in below)):
            sweep_files(folder)
        self.progress.rmtree(missing_ok=True)

    def start(self, plan: dict[str, Any]) -> None:
        """Opens the run, or goes on with it; what its plan says under "provenance" makes it no other run.

        Raises:
          InputError: the run id was used with another configuration.
          OSError: the workdir cannot be written to.
        """
        there = self.plan()
        if there is not None:
            formats.check(there, f"run '{self.run_id}'", "go on with it there, or give another --run_id")
        if there is not None and (changed := _differing(_identity(there), _identity(plan))):
            raise InputError(
                f"run id '{self.run_id}' was already used with another configuration (different: "
                f"{', '.join(changed)}); give another --run_id."
            )
        with io_errors():
            self.sweep()
        if there is None:
            write_json(self.path / "plan.json", plan)


def _identity(plan: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in plan.items() if key != "provenance"}


def _differing(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Names the keys in which two plans differ, those of a section as "section.key"."""
    names = []
    for key in sorted({*one, *other}):
        ours, theirs = one.get(key), other.get(key)
        if isinstance(ours, dict) and isinstance(theirs, dict):
            names += [f"{key}.{name}" for name in _differing(ours, theirs)]
        elif ours != theirs:
            names.append(key)
    return names


def _units_in(folder: epath.Path, suffix: str) -> set[int]:
    if not folder.exists():
        return set()
    return {int(path.stem) for path in folder.iterdir() if path.suffix == suffix and path.stem.isdigit()}


def _reason(error: Exception) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error).split())


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
        """The folder of datasets, a TFDS data_dir."""
        return self.path / "datasets"

    @property
    def nets(self) -> epath.Path:
        """The folder of trained nets."""
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

    def rechecks(self, dataset_name: str) -> epath.Path:
        """Returns the folder of what new nets said of the examples of "dataset/task"."""
        return self.path / "ledger" / "rechecks" / dataset_name

    def next_sequence(self, dataset_name: str) -> int:
        """Returns the place of the next run for "dataset/task" to be finished; those of removed runs stay empty."""
        return max((manifest["sequence"] for _, manifest in self.with_manifests(dataset_name)), default=-1) + 1

    def newest_runs(self, dataset_name: str) -> Iterator[RunFolder]:
        """Yields the finished runs for "dataset/task", last written first by the clock, without reading any."""
        manifests = list((self.path / "ledger" / dataset_name).glob("*/manifest.json"))
        for path in sorted(manifests, key=lambda path: (-path.stat().mtime, path.parent.name)):
            yield RunFolder(path.parent)

    def finished_runs(self, dataset_name: str) -> list[RunFolder]:
        """Returns the finished runs for "dataset/task", first finished first."""
        return [run for run, _ in self.with_manifests(dataset_name)]

    def with_manifests(self, dataset_name: str) -> list[tuple[RunFolder, dict[str, Any]]]:
        """Returns the finished runs for "dataset/task" and their manifests, first finished first."""
        folder = self.path / "ledger" / dataset_name
        runs = [RunFolder(path) for path in folder.iterdir()] if folder.exists() else []
        manifests = at_once.each(lambda run: run.manifest() if run.path.is_dir() else None, runs)
        found = [(run, manifest) for run, manifest in zip(runs, manifests, strict=True) if manifest]
        return sorted(found, key=lambda entry: (entry[1]["sequence"], entry[0].run_id))

    def check_writable(self) -> None:
        """Raises InputError if the workdir cannot be made or written to, OSError if its disk is full."""
        probe = self.path / ".writable.tmp"  # one name, so that what a killed start leaves is gone with the next
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(b"")
            probe.unlink(missing_ok=True)
        except _IO_ERRORS as error:
            if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise InputError(
                f"--workdir {self.path} cannot be written to ({_reason(error)}); name another folder."
            ) from error


def file_digest(path: epath.Path) -> str:
    """Returns the SHA-256 (hex) of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()

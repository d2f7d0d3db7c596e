"""What each finished run of a task adds to its dataset, written once beside the run; versions are made of it.

Packaging night N so costs what night N found, however many nights there were. In a run's folder:

    signatures.npy       which finds are near-duplicates of earlier ones (`pipeline.versions.near_duplicates`)
    dataset/             a TFDS data_dir with the run's own dataset: the shards that versions are made of
    addition.json        what is told of them; written last

All of it can be made again of the run's chunks. Shards are written again where a recheck gave some of their examples
another status, or where another run became an earlier one of their task.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import tensorflow_datasets as tfds
from etils import epath

from models.errors import InputError
from pipeline import formats, records
from pipeline.kinds.kind import Kind
from pipeline.progress import Bar
from pipeline.versions import statuses
from pipeline.versions.near_duplicates import Earlier, Signatures, decided
from pipeline.versions.statuses import Kept
from pipeline.workdir import at_once, ledger
from pipeline.workdir.ledger import RunFolder
from tfds_builders.runs import RunsConfig

SUFFIX = "tfrecord"  # of shards
_READERS = 4  # threads that read signatures; of four runs each they are in memory at a time
_STEPS = 3  # an example is looked at, made, and written
# When a run was finished, how it was cut, where its nets lie and what it took say nothing about its examples.
_PRIVATE = ("units", "finished_at", "set_aside", "net_paths", "counters")


@dataclasses.dataclass(frozen=True)
class Split:
    """The shards of a split that a run adds to.

    Attributes:
      lengths: how many examples are in each.
      sizes: of each file, in bytes.
      bytes: of all examples, as TFDS counts them.
    """

    lengths: list[int]
    sizes: list[int]
    bytes: int


@dataclasses.dataclass(frozen=True)
class Addition:
    """What a run adds to its dataset.

    Attributes:
      manifest: what is published of the run's.
      told: the file that holds it.
      near_duplicates: how many of its finds are left out.
      classes: (number of a class, how many examples it adds), by the class that the kind counts by; commonest first.
      splits: name -> its shards; those with examples alone.
      folder: of the shards.
    """

    manifest: dict[str, Any]
    told: epath.Path
    near_duplicates: int
    classes: list[tuple[int, int]]
    splits: dict[str, Split]
    folder: epath.Path

    @property
    def examples(self) -> int:
        """How many examples the run adds."""
        return sum(count for _, count in self.classes)

    def shards(self, split: str) -> list[epath.Path]:
        """Returns the files of a split, in order."""
        return _paths(self.folder, self.manifest["dataset"], split, self.splits[split].lengths)

    def is_whole(self) -> bool:
        """Tells whether all files are there, and of the size that they were written with."""
        sizes = [
            (path, size)
            for name, split in self.splits.items()
            for path, size in zip(self.shards(name), split.sizes, strict=True)
        ]
        return self.told.exists() and all(path.exists() and path.stat().length == size for path, size in sizes)


def _paths(folder: epath.Path, dataset: str, split: str, lengths: list[int]) -> list[epath.Path]:
    """Returns the files of a split's shards, named as TFDS names them."""
    template = tfds.core.ShardedFileTemplate(folder, dataset_name=dataset, split=split, filetype_suffix=SUFFIX)
    return tfds.core.SplitInfo(split, lengths, 0, template).filepaths


@dataclasses.dataclass(frozen=True)
class _Files:
    """Where a run keeps what it adds."""

    run: RunFolder

    @property
    def signatures(self) -> epath.Path:
        return self.run.path / "signatures.npy"

    @property
    def data_dir(self) -> epath.Path:
        return self.run.path / "dataset"

    @property
    def told(self) -> epath.Path:
        return self.run.path / "published.json"

    @property
    def addition(self) -> epath.Path:
        return self.run.path / "addition.json"


class Additions:
    """What the finished runs of a task add, each by its place among them.

    Args:
      runs: their folders and manifests, first finished first.
      kind: of their examples.
      rechecks: of the task, first kept first.

    Raises:
      InputError: a run has a format that is not read here.
    """

    def __init__(self, runs: Sequence[tuple[RunFolder, dict[str, Any]]], kind: Kind, rechecks: Sequence[Kept]):
        for folder, manifest in runs:
            formats.check(manifest, f"run '{folder.run_id}' in {folder.path}", "begin the task in a new workdir")
        self.kind, self.rechecks = kind, rechecks
        self.manifests = [manifest for _, manifest in runs]
        self._folders = [folder for folder, _ in runs]
        self._chains = list(itertools.accumulate(self.manifests, _chained, initial=""))[1:]  # each and those before it
        self._told = list(at_once.each(lambda folder: ledger.read_json(_Files(folder).addition) or {}, self._folders))

    def written(self) -> list[Addition]:
        """Returns what each run adds; what is not written yet is.

        Raises:
          InputError: a chunk that is needed, or a recheck, was changed.
          OSError: the workdir cannot be written to.
        """
        places = range(len(self._folders))
        written = at_once.each(self._is_written, places)
        waiting = [place for place, there in zip(places, written, strict=True) if not there]
        count = sum(self.manifests[place]["examples"] for place in waiting)
        moves = 0
        with Bar("package", count, "example") as bar:

            def moved(count: int) -> None:
                nonlocal moves
                moves += count
                bar.show(moves // _STEPS)

            for place in waiting:
                self._write(place, moved)
        return [self._read(place) for place in places]

    def _asked_about(self, place: int) -> list[Kept]:
        """Returns the rechecks that were asked about the examples of a run."""
        return [recheck for recheck in self.rechecks if recheck.runs > place]

    def _made_of(self, place: int) -> dict[str, Any]:
        """Returns what `addition.json` says where it holds: what the addition was made of."""
        rechecks = [recheck.digest for recheck in self._asked_about(place)]
        return {"format": formats.FORMAT, "runs": self._chains[place], "rechecks": rechecks}

    def _is_written(self, place: int) -> bool:
        """Tells whether what a run adds is there whole, and made of what there is."""
        return self._is_whole(place) and self._made_of(place).items() <= self._told[place].items()

    def _is_whole(self, place: int) -> bool:
        """Tells whether what a run adds is there whole, but for what rechecks say since."""
        if self._told[place].get("runs") != self._chains[place]:
            return False
        return _Files(self._folders[place]).signatures.exists() and self._read(place).is_whole()

    def _tell(self, place: int, told: dict[str, Any]) -> None:
        """Writes `addition.json`."""
        self._told[place] = {**told, **self._made_of(place)}
        ledger.write_json(_Files(self._folders[place]).addition, self._told[place])

    def _read(self, place: int) -> Addition:
        """Returns what a run adds, once it is written."""
        files, told = _Files(self._folders[place]), self._told[place]
        splits = {name: Split(*split) for name, *split in told["splits"]}
        classes = [(number, count) for number, count in told["classes"]]
        published, folder = _publishable(self.manifests[place]), files.data_dir / told["folder"]
        return Addition(published, files.told, told["near_duplicates"], classes, splits, folder)

    def _write(self, place: int, moved: Callable[[int], None]) -> None:
        """Writes what a run adds; where rechecks changed no status of its examples, only that they did not."""
        files, manifest = _Files(self._folders[place]), self.manifests[place]
        ledger.sweep_files(files.run.path)
        if self._is_whole(place):
            said, told = self._statuses(place, Signatures.read(files.signatures)), self._told[place]
            if records.digest(said) == told["statuses"]:
                self._tell(place, told)
                return
        run = records.FinishedRun(_publishable(manifest), _chunks(files.run, manifest))
        signatures = self._signatures(place, run, moved)
        said = self._statuses(place, signatures)
        told = {"statuses": records.digest(said), **_built(run, self.kind, files, signatures, said, moved)}
        self._tell(place, told)

    def _signatures(self, place: int, run: records.FinishedRun, moved: Callable[[int], None]) -> Signatures:
        """Returns the signatures of a run, which are kept from its first packaging on."""
        path = _Files(self._folders[place]).signatures
        if self._told[place].get("runs") == self._chains[place] and path.exists():
            return Signatures.read(path)
        signatures = decided(run, self.kind, self._earlier(place), moved)
        ledger.write_whole(path, signatures.to_bytes())
        return signatures

    def _statuses(self, place: int, signatures: Signatures) -> dict[str, str]:
        """Returns what rechecks last said of the examples that a run adds, by id."""
        return statuses.newest(self._asked_about(place), [name.decode() for name in signatures.kept().ids.tolist()])

    def _earlier(self, place: int) -> Iterator[Earlier]:
        def read(earlier: int) -> Earlier:
            folder, units = self._folders[earlier], self.manifests[earlier]["units"]
            chunks = [str(folder.chunk(unit["number"])) for unit in units]
            return Earlier(Signatures.read(_Files(folder).signatures), chunks)

        return at_once.each(read, range(place), _READERS)


def _chained(before: str, manifest: dict[str, Any]) -> str:
    return records.digest([before, manifest["run_id"], [unit["sha256"] for unit in manifest["units"]]])


def _publishable(manifest: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in manifest.items() if key not in _PRIVATE}


def _chunks(folder: RunFolder, manifest: dict[str, Any]) -> dict[str, list[str]]:
    """Returns the paths of a run's chunks by split; raises InputError if one is not what the run wrote."""
    chunks: dict[str, list[str]] = collections.defaultdict(list)
    for unit in manifest["units"]:
        path = folder.chunk(unit["number"])
        if not path.exists() or ledger.file_digest(path) != unit["sha256"]:
            raise InputError(f"{path} is not the chunk that run '{folder.run_id}' wrote; restore it, or mine again.")
        chunks[unit["split"]].append(str(path))
    return dict(chunks)


def _built(
    run: records.FinishedRun,
    kind: Kind,
    files: _Files,
    signatures: Signatures,
    said: Mapping[str, str],
    moved: Callable[[int], None],
) -> dict[str, Any]:
    """Builds a run's own dataset in place of an earlier one, and returns what is told of it.

    Args:
      run: the run.
      kind: of its examples.
      files: where it keeps what it adds.
      signatures: of its finds.
      said: the statuses of its examples, by id.
      moved: called with how many examples more are made, or written.
    """
    run_id, task = run.manifest["run_id"], run.manifest["task"]
    config = RunsConfig(
        name=task,
        version="1.0.0",
        description=f"What run {run_id} adds to {kind.name}/{task}.",
        runs=(run,),
        left_out=frozenset((run_id, name.decode()) for name in signatures.ids[signatures.left_out].tolist()),
        near_duplicates=int(signatures.left_out.sum()),
        statuses=said,
        moved=lambda _: moved(1),
    )
    files.addition.unlink(missing_ok=True)
    files.data_dir.rmtree(missing_ok=True)
    ledger.write_json(files.told, run.manifest)
    builder = kind.builder()(config=config, data_dir=files.data_dir)
    nothing = bool(signatures.left_out.all())  # TFDS writes no split without examples
    ledger.build(builder, tfds.download.DownloadConfig(max_examples_per_split=0 if nothing else None))
    (files.data_dir / "downloads").rmtree(missing_ok=True)  # TFDS makes it, for nothing
    splits = [split for split in builder.info.splits.values() if split.num_examples]
    return {
        "near_duplicates": config.near_duplicates,
        "classes": _classes(run, kind, config.left_out),
        "splits": [
            [split.name, split.shard_lengths, [path.stat().length for path in split.filepaths], int(split.num_bytes)]
            for split in splits
        ],
        "folder": f"{builder.name}/{config.name}/{config.version}",
    }


def _classes(run: records.FinishedRun, kind: Kind, left_out: frozenset[tuple[str, str]]) -> list[tuple[int, int]]:
    """Returns the classes of which a run adds examples, and how many, the commonest first."""
    column, run_id = kind.class_column, run.manifest["run_id"]
    classes: collections.Counter[int] = collections.Counter()
    for path in (path for paths in run.chunks.values() for path in paths):
        rows = records.finds(records.read_table(path, ["id", "outcome", column])).to_pylist()
        classes.update(row[column] for row in rows if (run_id, row["id"]) not in left_out)
    return classes.most_common()

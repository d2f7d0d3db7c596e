"""Packaging: the finished runs of a task, and its rechecks, become the next version of its TFDS dataset."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_datasets as tfds
from etils import epath

from models.errors import InputError
from pipeline import records
from pipeline.kinds import registry
from pipeline.kinds.kind import Manifest
from pipeline.versions import statuses
from pipeline.versions.additions import SUFFIX, Addition, Additions
from pipeline.versions.release_notes import recheck_note, release_note
from pipeline.versions.statuses import Kept
from pipeline.workdir import at_once, ledger
from pipeline.workdir.ledger import Workdir
from tfds_builders.runs import RunsConfig, told_of_run

_NOTES = 100  # release notes that a version has: of the newest versions


@dataclasses.dataclass(frozen=True)
class Packaged:
    """A packaged version: "name/task:version", its examples by split, and whether it was there already."""

    dataset: str
    examples: dict[str, int]
    existed: bool

    def fields(self) -> dict[str, Any]:
        """Returns what the last line of a command tells of the version."""
        return {"dataset": self.dataset, "dataset_examples": sum(self.examples.values())}


def package(workdir: Workdir, dataset: str, task: str) -> Packaged:
    """Writes the version of a dataset of ours that holds all of a task, unless it is there whole.

    Version 1.N.0 holds the first N + 1 of its finished runs and rechecks. A run appends examples, without
    near-duplicates (`pipeline.versions.near_duplicates`); a recheck gives those that it asked about a status, in place
    of an earlier one. All else of earlier examples stays, and so do the files that hold them: a version has those of
    the versions before, under names of its own (`pipeline.versions.additions`).

    Raises:
      InputError: there is no finished run, a chunk or a recheck was changed, the runs do not fit into one dataset, or
        the version is there and was made of others.
      OSError: the version cannot be written.
    """
    name = f"{dataset}/{task}"
    adding = Additions(workdir.with_manifests(name), registry.named(dataset), statuses.read(workdir.rechecks(name)))
    if not adding.manifests:
        raise InputError(
            f"task '{task}' has no finished run for {dataset} in {workdir.path}; run `peerpressure mine` first."
        )
    _check_same_features(adding.manifests, task)
    _check_asked(adding.rechecks, adding.manifests, task)
    steps = list(_steps(adding.manifests, adding.rechecks))
    version = f"1.{len(steps) - 1}.0"
    root = workdir.datasets / dataset
    folder = root / task / version
    existed = _is_whole(folder)
    if existed:
        _check_made_of(folder, steps)
    else:
        with ledger.io_errors():
            ledger.sweep_builds(root / task)
            folder.rmtree(missing_ok=True)
            _build(workdir, task, adding, steps)
    _make_default(root, task)
    info = tfds.builder_from_directory(folder).info
    examples = {name: split.num_examples for name, split in info.splits.items()}
    return Packaged(f"{dataset}/{task}:{version}", examples, existed)


def _is_whole(folder: epath.Path) -> bool:
    """Tells whether a version is there with all its files: a bucket copies them one by one, where a disk renames."""
    if not (folder / "dataset_info.json").exists() or not (folder / "features.json").exists():
        return False
    try:
        info = tfds.builder_from_directory(folder).info
        splits = info.splits.values()
        runs = info.metadata["runs"] if info.metadata["format"] > 1 else []
    except (OSError, tf.errors.OpError):  # a disk or bucket that fails says nothing about the version
        raise
    except Exception:  # a damaged file can fail in any way
        return False
    shards = [path for split in splits if split.num_examples for path in split.filepaths]
    told = [told_of_run(folder, run["run_id"]) for run in runs]
    return all(at_once.each(lambda path: path.exists(), [*shards, *told]))


def _check_made_of(folder: epath.Path, steps: Sequence[Manifest | Kept]) -> None:
    """Raises InputError if a version is not the one that these runs and rechecks make."""

    def named(runs: Sequence[Manifest]) -> list[tuple[str, str]]:
        return [(run["run_id"], run["config_digest"]) for run in runs]

    told = tfds.builder_from_directory(folder).info.metadata
    runs = [step for step in steps if not isinstance(step, Kept)]
    rechecks = [_told(f"1.{place}.0", step) for place, step in enumerate(steps) if isinstance(step, Kept)]
    if named(told["runs"]) != named(runs) or told.get("rechecks", []) != rechecks:
        raise InputError(
            f"{folder} was made of {_listed(told['runs'], told.get('rechecks', []))}, and the ledger has "
            f"{_listed(runs, rechecks)}; restore what was removed there, or move that version away."
        )


def _listed(runs: Sequence[Manifest], rechecks: Sequence[dict[str, Any]]) -> str:
    names = [f"run '{run['run_id']}'" for run in runs] + [f"a recheck of {recheck['asked']}" for recheck in rechecks]
    return ", ".join(names)


def _check_asked(rechecks: Sequence[Kept], runs: Sequence[Manifest], task: str) -> None:
    for recheck in rechecks:
        if recheck.runs > len(runs):
            raise InputError(
                f"task '{task}': a recheck of {recheck.asked} asked about {recheck.runs} finished runs, and the ledger "
                f"has {len(runs)}; restore those that were removed."
            )


def _steps(runs: Sequence[Manifest], rechecks: Sequence[Kept]) -> Iterator[Manifest | Kept]:
    """Yields what made each minor version; a recheck comes after the runs whose examples it asked about."""
    for count, run in enumerate(runs, 1):
        yield run
        yield from (recheck for recheck in rechecks if recheck.runs == count)


def text(packaged: Packaged, datasets: epath.Path) -> str:
    """Says where a version is, and how it is loaded."""
    state = "is there already" if packaged.existed else "written"
    if not packaged.examples:
        return f"dataset {packaged.dataset} {state} in {datasets}; it is empty, so that TFDS knows no split of it."
    sizes = ", ".join(f"{split} {count}" for split, count in packaged.examples.items())
    split = max(packaged.examples, key=lambda name: packaged.examples[name])
    return "\n".join(
        [
            f"dataset {packaged.dataset} {state} in {datasets} ({sizes}). Load it with",
            "    import tensorflow_datasets as tfds",
            f'    tfds.load("{packaged.dataset}", data_dir="{datasets}", split="{split}")',
        ]
    )


def _check_same_features(runs: Sequence[Manifest], task: str) -> None:
    def key(run: Manifest) -> Any:
        operator = {name: told for name, told in (run.get("operator") or {}).items() if name != "compose"}
        return [run["image_shape"], run["class_names"], run["num_classes"], operator]

    for run in runs[1:]:
        if key(run) != key(runs[0]):
            raise InputError(
                f"task '{task}': run '{run['run_id']}' has other image sizes or classes than "
                f"'{runs[0]['run_id']}'; give the changed configuration another task name."
            )


def _build(workdir: Workdir, task: str, adding: Additions, steps: Sequence[Manifest | Kept]) -> None:
    """Makes a version of what each run adds."""
    additions, kind = adding.written(), adding.kind
    made_by = {f"1.{place}.0": step for place, step in enumerate(steps)}
    notes, of_run = {}, iter(additions)
    for version, step in made_by.items():
        notes[version] = recheck_note(step, kind) if isinstance(step, Kept) else release_note(next(of_run), kind)
    first = additions[0].manifest
    config = RunsConfig(
        name=task,
        version=list(made_by)[-1],
        description=f"{kind.noun.capitalize()} of {len(first['nets'])} nets for {first['seeds']}.",
        release_notes=dict(list(notes.items())[-_NOTES:]),
        runs=tuple(records.FinishedRun(addition.manifest, {}) for addition in additions),
        near_duplicates=sum(addition.near_duplicates for addition in additions),
        rechecks=tuple(_told(version, step) for version, step in made_by.items() if isinstance(step, Kept)),
    )
    _join(kind.builder()(config=config, data_dir=workdir.datasets), additions)


def _join(builder: Any, additions: Sequence[Addition]) -> None:
    """Makes a version's folder of the shards of its runs, in their order."""
    with ledger.appearing(epath.Path(builder.data_dir)) as folder:
        splits: list[tfds.core.SplitInfo] = []
        links: list[tuple[epath.Path, epath.Path]] = []
        for name in dict.fromkeys(split for addition in additions for split in addition.splits):
            mine = [addition for addition in additions if name in addition.splits]
            split = tfds.core.SplitInfo(
                name=name,
                shard_lengths=[length for addition in mine for length in addition.splits[name].lengths],
                num_bytes=sum(addition.splits[name].bytes for addition in mine),
                filename_template=tfds.core.ShardedFileTemplate(
                    data_dir=folder, dataset_name=builder.name, split=name, filetype_suffix=SUFFIX
                ),
            )
            shards = [path for addition in mine for path in addition.shards(name)]
            links += zip(shards, split.filepaths, strict=True)
            splits.append(split)
        links += [(addition.told, told_of_run(folder, addition.manifest["run_id"])) for addition in additions]
        _link(links)
        builder.info.set_splits(tfds.core.SplitDict(splits))
        builder.info.write_to_directory(folder)  # `dataset_info.json` last


def _link(links: Sequence[tuple[epath.Path, epath.Path]]) -> None:
    """Gives files, each (its name, another name), a further name, in folders that are made."""
    for folder in {target.parent for _, target in links}:
        folder.mkdir(parents=True, exist_ok=True)
    for _ in at_once.each(lambda names: ledger.link(*names), links):
        pass


def _told(version: str, recheck: Kept) -> dict[str, Any]:
    """Returns what the metadata tell of a recheck."""
    nets = [net._asdict() for net in recheck.nets]
    return {"version": version, "asked": recheck.asked, "nets": nets, "counts": recheck.counts()}


def _make_default(root: epath.Path, task: str) -> None:
    """Lets TFDS load the dataset by its name alone, without a task: the first is the default."""
    path = root / ".config" / "metadata.json"
    try:
        if not path.exists():
            ledger.write_whole(path, json.dumps({"default_config_name": task}).encode())
    except FileNotFoundError:
        if not path.exists():  # else another task, which holds another lock, was first and swept our half
            raise
    ledger.sweep_files(path.parent)

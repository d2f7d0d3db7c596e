"""Packaging: the finished runs of a task, and its rechecks, become the next version of its TFDS dataset."""

from __future__ import annotations

import collections
import dataclasses
import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from etils import epath

from models.errors import InputError
from pipeline import formats, records
from pipeline.kinds import registry, targets
from pipeline.kinds.kind import Kind
from pipeline.progress import Bar
from pipeline.report import rates
from pipeline.versions import statuses
from pipeline.versions.statuses import Recheck
from pipeline.workdir import ledger
from pipeline.workdir.ledger import RunFolder, Workdir
from tfds_builders.runs import RunsConfig, class_names

_LISTED = 20  # classes named in a release note, the commonest first
_DIGITS = 12  # of a digest, where people read it
_NEAR = 2.0 / 255.0  # root mean square difference, pixels in [0, 1], under which two images are the same find


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
    near-duplicates (see `near_duplicates`); a recheck gives those that it asked about a status, in place of an earlier
    one. All else of earlier examples stays.

    Raises:
      InputError: there is no finished run, a chunk or a recheck was changed, the runs do not fit into one dataset, or
        the version is there and was made of others.
      OSError: the version cannot be written.
    """
    runs = [_finished(folder) for folder in workdir.finished_runs(f"{dataset}/{task}")]
    if not runs:
        raise InputError(
            f"task '{task}' has no finished run for {dataset} in {workdir.path}; run `peerpressure mine` first."
        )
    _check_same_features(runs, task)
    rechecks = statuses.read(workdir.rechecks(f"{dataset}/{task}"))
    _check_asked(rechecks, runs, task)
    steps = list(_steps(runs, rechecks))
    version = f"1.{len(steps) - 1}.0"
    root = workdir.datasets / dataset
    folder = root / task / version
    existed = _is_whole(folder)
    if existed:
        _check_made_of(folder, steps)
    else:
        with ledger.io_errors():
            ledger.sweep_builds(root / task)
            if folder.exists():
                folder.rmtree()
            _build(workdir, dataset, task, runs, steps)
    _make_default(root, task)
    info = tfds.builder_from_directory(folder).info
    examples = {name: split.num_examples for name, split in info.splits.items()}
    return Packaged(f"{dataset}/{task}:{version}", examples, existed)


def _is_whole(folder: epath.Path) -> bool:
    """Tells whether a version is there with all its files: a bucket copies them one by one, where a disk renames."""
    if not (folder / "dataset_info.json").exists() or not (folder / "features.json").exists():
        return False
    try:
        splits = tfds.builder_from_directory(folder).info.splits.values()
    except (OSError, tf.errors.OpError):  # a disk or bucket that fails says nothing about the version
        raise
    except Exception:  # a damaged file can fail in any way
        return False
    return all(path.exists() for split in splits if split.num_examples for path in split.filepaths)


def _check_made_of(folder: epath.Path, steps: Sequence[records.FinishedRun | Recheck]) -> None:
    """Raises InputError if a version is not the one that these runs and rechecks make."""

    def named(runs: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
        return [(run["run_id"], run["config_digest"]) for run in runs]

    told = tfds.builder_from_directory(folder).info.metadata
    runs = [step.manifest for step in steps if not isinstance(step, Recheck)]
    rechecks = [_told(f"1.{place}.0", step) for place, step in enumerate(steps) if isinstance(step, Recheck)]
    if named(told["runs"]) != named(runs) or told.get("rechecks", []) != rechecks:
        raise InputError(
            f"{folder} was made of {_listed(told['runs'], told.get('rechecks', []))}, and the ledger has "
            f"{_listed(runs, rechecks)}; restore what was removed there, or move that version away."
        )


def _listed(runs: Sequence[dict[str, Any]], rechecks: Sequence[dict[str, Any]]) -> str:
    names = [f"run '{run['run_id']}'" for run in runs] + [f"a recheck of {recheck['asked']}" for recheck in rechecks]
    return ", ".join(names)


def _check_asked(rechecks: Sequence[Recheck], runs: Sequence[records.FinishedRun], task: str) -> None:
    for recheck in rechecks:
        if recheck.runs > len(runs):
            raise InputError(
                f"task '{task}': a recheck of {recheck.asked} asked about {recheck.runs} finished runs, and the ledger "
                f"has {len(runs)}; restore those that were removed."
            )


def _steps(runs: Sequence[records.FinishedRun], rechecks: Sequence[Recheck]) -> Iterator[records.FinishedRun | Recheck]:
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


def _finished(folder: RunFolder) -> records.FinishedRun:
    manifest = folder.manifest()
    assert manifest is not None
    formats.check(manifest, f"run '{folder.run_id}' in {folder.path}", "begin the task in a new workdir")
    chunks: dict[str, list[str]] = collections.defaultdict(list)
    for unit in manifest["units"]:
        path = folder.chunk(unit["number"])
        if not path.exists() or ledger.file_digest(path) != unit["sha256"]:
            raise InputError(f"{path} is not the chunk that run '{folder.run_id}' wrote; restore it, or mine again.")
        chunks[unit["split"]].append(str(path))
    return records.FinishedRun(_publishable(manifest), dict(chunks))


def _publishable(manifest: dict[str, Any]) -> dict[str, Any]:
    # When a run was finished, how it was cut, where its nets lie and what it took say nothing about its examples.
    private = ("units", "finished_at", "set_aside", "net_paths", "counters")
    return {key: value for key, value in manifest.items() if key not in private}


def _check_same_features(runs: list[records.FinishedRun], task: str) -> None:
    def key(run: records.FinishedRun) -> Any:
        manifest = run.manifest
        operator = {name: told for name, told in (manifest.get("operator") or {}).items() if name != "compose"}
        return [manifest["image_shape"], manifest["class_names"], manifest["num_classes"], operator]

    for run in runs[1:]:
        if key(run) != key(runs[0]):
            raise InputError(
                f"task '{task}': run '{run.manifest['run_id']}' has other image sizes or classes than "
                f"'{runs[0].manifest['run_id']}'; give the changed configuration another task name."
            )


def near_duplicates(runs: list[records.FinishedRun], kind: Kind) -> frozenset[tuple[str, str]]:
    """Returns (run id, example id) of examples nearer than 2/255 (RMS) to an earlier one.

    Only examples of the same target net, wrong class and seed image (if they have one) are compared: adversarial twins
    of one image can be near whatever they are taken for, and one that is taken for another class is another find. What
    has the id of an earlier one is left out too: the same trial, to which another device may have given other pixels.
    """
    columns = ["target_net", "wrong_class", *(["seed_id"] if kind.seeded else [])]
    chunks = [(run.manifest["run_id"], path) for run in runs for paths in run.chunks.values() for path in paths]
    times: collections.Counter[tuple[Any, ...]] = collections.Counter()
    ids, left_out = set(), set()
    for run_id, path in chunks:
        table = records.read_table(path, ["id", "outcome", *columns]).to_pylist()
        for row in (row for row in table if row["outcome"] == records.FOUND):
            times[tuple(row[name] for name in columns)] += 1
            if row["id"] in ids:
                left_out.add((run_id, row["id"]))
            ids.add(row["id"])
    kept: dict[tuple[Any, ...], list[np.ndarray]] = collections.defaultdict(list)
    for run_id, path in chunks if max(times.values(), default=0) > 1 else []:
        for row in records.read_examples(path):
            find = tuple(row[name] for name in columns)
            if times[find] < 2 or (run_id, row["id"]) in left_out:
                continue
            image = records.decode_png(row["image"]) / 255.0
            if any(np.sqrt(np.mean((image - other) ** 2)) < _NEAR for other in kept[find]):
                left_out.add((run_id, row["id"]))
            else:
                kept[find].append(image)
    return frozenset(left_out)


def _build(
    workdir: Workdir,
    dataset: str,
    task: str,
    runs: list[records.FinishedRun],
    steps: Sequence[records.FinishedRun | Recheck],
) -> None:
    kind, first = registry.named(dataset), runs[0].manifest
    left_out = near_duplicates(runs, kind)
    made_by = {f"1.{place}.0": step for place, step in enumerate(steps)}
    rechecks = {version: step for version, step in made_by.items() if isinstance(step, Recheck)}
    count = sum(run.manifest["examples"] for run in runs)
    bar = Bar("package", count - len(left_out), "example")
    config = RunsConfig(
        name=task,
        version=list(made_by)[-1],
        description=f"{kind.noun.capitalize()} of {len(first['nets'])} nets for {first['seeds']}.",
        release_notes={
            version: recheck_note(step, kind) if isinstance(step, Recheck) else release_note(step, kind, left_out)
            for version, step in made_by.items()
        },
        runs=tuple(runs),
        left_out=left_out,
        statuses=statuses.newest(list(rechecks.values())),
        rechecks=tuple(_told(version, recheck) for version, recheck in rechecks.items()),
        moved=lambda steps: bar.show(steps // 2),  # an example that is made is not written yet
    )
    builder = kind.builder()(config=config, data_dir=workdir.datasets)
    options = tfds.download.DownloadConfig(max_examples_per_split=None if count else 0)
    with bar:
        ledger.build(builder, options)


def _told(version: str, recheck: Recheck) -> dict[str, Any]:
    """Returns what the metadata tell of a recheck."""
    nets = [net._asdict() for net in recheck.nets]
    return {"version": version, "asked": recheck.asked, "nets": nets, "counts": recheck.counts()}


def recheck_note(recheck: Recheck, kind: Kind) -> str:
    """Returns what new nets said of the examples of a kind, in a few lines."""
    counts = recheck.counts()
    told = [
        f"{net} {', '.join(f'{of_net[status]} {status}' for status in kind.statuses if status in of_net)}"
        for net, of_net in counts.items()
    ]
    return "\n".join(
        [
            f"Recheck of {recheck.asked}: {len(recheck.found)} {kind.noun} shown to new nets.",
            f"Statuses by target net: {'; '.join(told)}.",
            f"New nets: {', '.join(f'{net.name} {net.digest[:_DIGITS]}' for net in recheck.nets)}.",
        ]
    )


def release_note(run: records.FinishedRun, kind: Kind, left_out: frozenset[tuple[str, str]]) -> str:
    """Returns what a run adds to its dataset, in a few lines.

    Args:
      run: the run.
      kind: of its examples.
      left_out: (run id, example id) of near-duplicates.
    """
    manifest = run.manifest
    names = class_names(manifest)
    classes = collections.Counter(names[number] for number in _classes(run, kind, left_out))
    added = sum(classes.values())
    seed, digest = manifest["run_seed"], manifest["config_digest"][:_DIGITS]
    found = ", ".join(_rate(net, *rates.rate(manifest, net)) for net in targets.names(manifest))
    nets = ", ".join(f"{net['name']} {net['digest'][:_DIGITS]}" for net in manifest["nets"])
    return "\n".join(
        [
            f"Run {manifest['run_id']} (run seed {seed}, config {digest}): {added} {kind.noun} for "
            f"{manifest['seeds']}, {manifest['examples'] - added} near-duplicates left out.",
            f"Found: {found}.",
            f"Added by class: {_commonest(classes) or 'none'}.",
            f"Nets: {nets}.",
        ]
    )


def _classes(run: records.FinishedRun, kind: Kind, left_out: frozenset[tuple[str, str]]) -> Iterator[int]:
    """Yields the classes of the examples that a run adds."""
    column, run_id = kind.class_column, run.manifest["run_id"]
    for path in (path for paths in run.chunks.values() for path in paths):
        for row in records.read_table(path, ["id", "outcome", column]).to_pylist():
            if row["outcome"] == records.FOUND and (run_id, row["id"]) not in left_out:
                yield row[column]


def _rate(target_net: str, found: int, trials: int) -> str:
    share = f" ({100 * found / trials:.1f}%)" if trials else ""
    return f"{target_net} {found} of {trials} trials{share}"


def _commonest(classes: collections.Counter[str]) -> str:
    listed = ", ".join(f"{name}: {count}" for name, count in classes.most_common(_LISTED))
    return listed + (f" and {len(classes) - _LISTED} classes more" if len(classes) > _LISTED else "")


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

"""The steps of the main job: train, mine, package; each does only what is missing."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import datetime
import importlib.metadata
import io
import json
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import tensorflow as tf
import tensorflow_datasets as tfds
from etils import epath
from tqdm import tqdm

from models import devices, preflight
from models.classifier import PeerGroup
from models.errors import InputError
from pipeline import criteria, garbage, ledger, mining, pairs, picture, plan, records, report, stages
from pipeline import nets as run_nets
from pipeline.chunk import UNIT_FAILED
from pipeline.config import Config
from pipeline.islands import Islands, merge
from pipeline.ledger import RunFolder, Workdir
from pipeline.nets import NetFiles
from pipeline.seeds import FolderSeeds, SeedSource, TfdsSeeds, has_split

_OURS = ("digits",)  # datasets that need no download
_NOTHING_FOUND = {
    records.MISTAKES: "no mistake was found: lower the thresholds in [search], or widen the ranges in [operator].",
    records.GARBAGE: "no class was done: raise generations, or lower confidence, in [garbage].",
    records.PAIRS: "no adversarial twin was found: change aim, or raise eps or the number of steps, in [attack].",
}


@dataclasses.dataclass(frozen=True)
class Job:
    """A task in a workdir, on a device, with its seed images."""

    config: Config
    workdir: Workdir
    source: SeedSource
    device: str


def open_job(config: Config, workdir: str, data_dir: str | None, device: str) -> Job:
    """Checks the workdir and finds the seed images; prepares them where that needs no download.

    Raises:
      InputError: the workdir cannot be written to, or the seed images, a split or their labels are not there.
    """
    directory = Workdir.at(workdir)
    directory.check_writable()
    devices.device_name(device)
    seeds = config.seeds
    if seeds.image_folder:
        if not epath.Path(seeds.image_folder).is_dir():
            raise InputError(f"[seeds] image_folder {seeds.image_folder} is not a folder; name one.")
        source: SeedSource = FolderSeeds(seeds.image_folder, seeds.labeled)
    else:
        source = TfdsSeeds(seeds.dataset, data_dir or _prepared(seeds.dataset, directory), seeds.labeled)
    for split in seeds.splits:
        source.count(split)
    if config.dataset != records.GARBAGE and config.search.class_from == "label" and not source.class_names():
        raise InputError(
            f"[seeds] {source.name} has no labels; set labeled = false and [search] class_from = 'consensus'."
        )
    return Job(config, directory, source, device)


def _prepared(dataset: str, workdir: Workdir) -> str | None:
    """Prepares one of our own datasets in the workdir; others stay where TFDS looks for them."""
    if dataset.split(":")[0] not in _OURS:
        return None
    importlib.import_module(f"tfds_builders.{dataset.split(':')[0]}.{dataset.split(':')[0]}_dataset_builder")
    tfds.builder(dataset, data_dir=workdir.datasets).download_and_prepare()
    return str(workdir.datasets)


def train(job: Job) -> NetFiles:
    """Trains the nets that are missing, with a bar for each, and returns the files of all."""
    bars: dict[str, Any] = {}

    def progress(name: str, epoch: int, epochs: int, accuracy: float) -> None:
        bar = bars.setdefault(
            name, tqdm(total=epochs, desc=f"train {name}", unit="epoch", mininterval=1.0, file=sys.stderr)
        )
        bar.update(epoch - bar.n)
        bar.set_postfix_str(f"accuracy {accuracy:.4f}", refresh=False)
        if epoch == epochs:
            bar.close()

    return run_nets.prepare(job.config, job.workdir, job.source, job.device, progress)


def mine(job: Job, run_id: str, beam_arguments: Sequence[str]) -> RunFolder:
    """Runs, or goes on with, a run; returns its folder, finished.

    Args:
      job: the task.
      run_id: "" for one derived from config, nets and run seed.
      beam_arguments: Beam's options.

    Raises:
      InputError: a net does not fit, the run id was used with another configuration, or too many seed images had to
        be set aside.
    """
    nets = train(job)
    group, judge = nets.load()
    identity = _identity(job, group, judge)
    folder = job.workdir.run(job.config.dataset_name, run_id or records.digest(identity)[:12])
    if (manifest := folder.manifest()) and folder.plan() and _same(folder.plan(), identity):
        print(f"run {folder.run_id} is finished already: {manifest['examples']} examples; nothing to do.")
        return folder
    task = task_of(job, group, identity["config_digest"], folder)
    units = _start(job, group, folder, identity)
    _forget_failed(folder)
    missing = [unit for unit in units if unit.number not in folder.finished_units()]
    bred = job.config.dataset == records.GARBAGE
    if missing:
        material = Islands(target_nets(job.config, group)) if bred else job.source
        with _progress(folder, len(units), job.config.garbage.generations if bred else 0):
            stages.mine(missing, material, task, nets, folder, job.device, beam_arguments)
    paths = {net.name: net.path for net in nets.peers}
    facts = {"num_classes": group.num_classes, "net_paths": paths}
    if bred:
        facts["natural_confidence"] = _natural_confidence(job, group)
        _draw_curves(folder, units)
    _finish(job, folder, units, {**identity, **facts})
    return folder


def _natural_confidence(job: Job, group: PeerGroup) -> dict[str, Any]:
    split = "test" if has_split(job.source, "test") else job.config.seeds.splits[0]
    medians = garbage.natural_confidence(group, job.source, split, job.config.garbage.population)
    return {"split": split, "images": job.source.count(split), "medians": medians}


def _start(job: Job, group: PeerGroup, folder: RunFolder, identity: dict[str, Any]) -> list[plan.Unit]:
    """Opens the run, or goes on with it, and returns its units; those of its plan, for drawing reads the splits."""
    # A folder of pictures keeps its name when it changes; its size tells most of that.
    sizes = {split: job.source.count(split) for split in job.config.seeds.splits}
    whole = {**identity, "split_sizes": sizes}
    if (there := folder.plan()) and _same(there, whole):
        units = [plan.Unit.from_json(unit) for unit in there["units"]]
    else:
        units = _units(job, group)
    folder.start({**whole, "units": [unit.to_json() for unit in units]})
    return units


def _forget_failed(folder: RunFolder) -> None:
    """Removes the chunks of units that were set aside whole, so that this start tries them again."""
    for unit in folder.finished_units():
        reasons = records.read_table(folder.chunk(unit), ["reason"])["reason"]
        if pc.any(pc.starts_with(reasons, UNIT_FAILED)).as_py():
            folder.chunk(unit).unlink()


def _same(plan_file: dict[str, Any] | None, identity: dict[str, Any]) -> bool:
    return plan_file is not None and all(plan_file.get(key) == value for key, value in identity.items())


def _identity(job: Job, group: PeerGroup, judge: PeerGroup | None) -> dict[str, Any]:
    """What the run is, apart from its units; JSON-able as it will be read back."""
    config, peers = job.config, [_net(group, place) for place in range(len(group.names))]
    judged = _net(judge, 0) if judge else None
    determining = {
        **config.result_determining(),
        "nets": [net["digest"] for net in peers],
        "judge": judged and judged["digest"],
    }
    identity = {
        "dataset": config.dataset,
        "task": config.task,
        "run_seed": config.run.run_seed,
        "config": _without_tolerance(config.to_json()),
        "config_digest": records.digest({**determining, "seeds": job.source.name}),
        "nets": peers,
        "judge": judged,
        "seeds": job.source.name,
        "image_shape": list(job.source.shape()),
        "class_names": job.source.class_names(),
        "operator": _operator(config) if config.dataset == records.MISTAKES else None,
        "code_version": importlib.metadata.version("peer-pressure"),
    }
    return json.loads(json.dumps(identity))


def _operator(config: Config) -> dict[str, Any]:
    return {"name": config.operator.name, "parameter_names": list(config.operator.parameter_names)}


def _without_tolerance(config: dict[str, Any]) -> dict[str, Any]:
    # So that a run that failed for too many bad seed images can go on with a larger [run] max_set_aside.
    return {**config, "run": {key: value for key, value in config["run"].items() if key != "max_set_aside"}}


def _net(group: PeerGroup, place: int) -> dict[str, str]:
    return {"name": group.names[place], "digest": group.digests[place]}


def task_of(job: Job, group: PeerGroup, config_digest: str, folder: RunFolder) -> stages.Task:
    """Returns what a configuration asks of each unit; raises InputError if it names a net or class there is none of."""
    config = job.config
    targets = target_nets(config, group)
    if config.dataset == records.GARBAGE:
        bred, names = config.garbage, job.source.class_names()
        classes = garbage.classes_of(bred.classes, names, group.num_classes)
        for net in targets:
            preflight.check_varies(group.classifiers[net])
            if config.search.method == "ascent":
                preflight.check_gradient(group.classifiers[net])
        return garbage.Task(
            search=bred.search(config.search.method, group.input_shape, len(classes)),
            classes=classes,
            confidence=bred.confidence,
            generations=bred.generations,
            batch=bred.population,
            run_seed=config.run.run_seed,
            config_digest=config_digest,
            folder=folder,
        )
    if config.dataset == records.PAIRS:
        aim = config.attack.aim
        if isinstance(aim, int) and not 0 <= aim < group.num_classes:
            raise InputError(f"[attack] aim is {aim}, expected a class from 0 to {group.num_classes - 1}.")
        for net in targets:
            preflight.check_gradient(group.classifiers[net])
        search, run = config.search, config.run
        return pairs.Task(
            config.attack.attacker(search.method),
            aim,
            targets,
            search.class_from,
            run.run_seed,
            run.lanes,
            config_digest,
        )
    return mining.Task(
        method=config.search.method,
        searcher=config.searcher(),
        target_nets=targets,
        class_from=config.search.class_from,
        grading=config.grade,
        run_seed=config.run.run_seed,
        lanes=config.run.lanes,
        unit_size=config.run.unit_size,
        config_digest=config_digest,
    )


def target_nets(config: Config, group: PeerGroup) -> tuple[int, ...]:
    """Returns the places in the group of the nets that [search] targets names."""
    targets = config.search.targets
    if targets == "all":
        return tuple(range(len(group.names)))
    wanted = (targets,) if isinstance(targets, str) else targets
    for name in wanted:
        if name not in group.names:
            raise InputError(f"[search] targets names '{name}', expected 'all' or some of {', '.join(group.names)}.")
    return tuple(place for place, name in enumerate(group.names) if name in wanted)


def _units(job: Job, group: PeerGroup) -> list[plan.Unit]:
    config = job.config
    targets = target_nets(config, group)
    if config.dataset == records.GARBAGE:
        return Islands(targets).units(config.garbage.islands)
    if not config.search.trials:
        return plan.whole_splits(job.source, config.seeds.splits, config.run.unit_size)

    def held(split: str, positions: Sequence[int]) -> np.ndarray:
        seeds = job.source.read(split, positions)
        probabilities = tf.constant(group.probabilities(seeds.images, config.run.lanes))
        classes = seeds.labels if config.search.class_from == "label" else criteria.consensus(probabilities)[0]
        good = dict(zip(seeds.positions, criteria.all_hold(probabilities, classes).numpy(), strict=True))
        return np.array([good.get(position, False) for position in positions])

    return plan.drawn_trials(
        job.source, config.seeds.splits, config.run.unit_size, config.search.trials, config.run.run_seed, held
    )


@contextlib.contextmanager
def _progress(folder: RunFolder, units: int, generations: int) -> Iterator[None]:
    """Shows a bar while the pipeline blocks: of finished chunk files, or of the islands' generations if there are."""

    def standing() -> tuple[int, str]:
        finished = folder.finished_units()
        return _bred(folder, finished, range(units), generations) if generations else (len(finished), "")

    def show() -> None:
        place, note = standing()
        bar.set_postfix_str(note, refresh=False)
        bar.update(place - bar.n)
        if sys.stderr.isatty():
            bar.refresh()  # the clock goes on while a unit takes its time

    total, unit = (units * generations, "generation") if generations else (units, "unit")
    bar = tqdm(total=total, initial=standing()[0], desc="mine", unit=unit, file=sys.stderr)
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.5):
            show()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        show()
        bar.close()


def _bred(folder: RunFolder, finished: set[int], units: Sequence[int], generations: int) -> tuple[int, str]:
    """Returns the generations that islands have behind them, those of finished ones all, and where they stand."""
    curves = {unit: folder.curve(unit) for unit in units}
    last = {unit: path.read_text().splitlines()[-1].split(",") for unit, path in curves.items() if path.exists()}
    behind = sum(generations if unit in finished else int(values[0]) for unit, values in last.items())
    done = sum(int(values[1]) for values in last.values())
    middle = np.median([float(values[2]) for values in last.values()]) if last else 0.0
    return behind, f"classes done {done}, median confidence {middle:.6f}"


def _draw_curves(folder: RunFolder, units: list[plan.Unit]) -> None:
    """Draws the islands' curves, of those that did not fail at once, into the run's folder."""
    paths = [path for unit in units if (path := folder.curve(unit.number)).exists()]
    curves = [np.loadtxt(path.open(), delimiter=",", skiprows=1, ndmin=2) for path in paths]
    stream = io.BytesIO()
    picture.draw_curves(curves, stream)
    ledger.write_whole(folder.path / "curves.png", stream.getvalue())


def _finish(job: Job, folder: RunFolder, units: list[plan.Unit], identity: dict[str, Any]) -> None:
    """Writes what sums up a run, the manifest last."""
    tables = [records.read_table(folder.chunk(unit.number), records.TRIALS_SCHEMA.names) for unit in units]
    trials = pa.concat_tables(tables) if tables else records.TRIALS_SCHEMA.empty_table()
    counts, reasons, set_aside = _counts(trials)
    bred = job.config.dataset == records.GARBAGE  # islands have no seed images: their classes are set aside
    tried = trials.num_rows if bred else len(set(trials["seed_id"].to_pylist()))
    if tried and len(set_aside) > job.config.run.max_set_aside * tried:
        first, what = set_aside[0], "classes of islands" if bred else "seed images"
        raise InputError(
            f"run {folder.run_id}: {len(set_aside)} of {tried} {what} had to be set aside (first: "
            f"{first['seed_id']}: {first['reason']}), more than [run] max_set_aside = "
            f"{job.config.run.max_set_aside:g}; mend them or raise it, and start the run again."
        )
    sink = pa.BufferOutputStream()
    pq.write_table(trials, sink, compression="zstd")
    ledger.write_whole(folder.trials, sink.getvalue().to_pybytes())
    lines = "".join(json.dumps(entry, sort_keys=True) + "\n" for entry in set_aside)
    ledger.write_whole(folder.path / "set_aside.jsonl", lines.encode())
    examples = sum(outcomes.get(records.FOUND, 0) for outcomes in counts.values())
    manifest = {
        **identity,
        "run_id": folder.run_id,
        "sequence": len(job.workdir.finished_runs(job.config.dataset_name)),
        "finished_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "examples": examples,
        "counts": counts,
        "reasons": reasons,
        "set_aside": len(set_aside),
        "units": [
            {"number": unit.number, "split": unit.split, "sha256": ledger.file_digest(folder.chunk(unit.number))}
            for unit in units
        ],
    }
    ledger.write_json(folder.path / "manifest.json", manifest)
    if (checkpoints := folder.path / "checkpoints").exists():
        checkpoints.rmtree()


def _counts(trials: pa.Table) -> tuple[dict[str, dict[str, int]], dict[str, int], list[dict[str, str]]]:
    """Counts trials by target net and outcome ("" for seed images), and reasons; lists what was set aside."""
    counts: dict[str, dict[str, int]] = collections.defaultdict(lambda: collections.defaultdict(int))
    grouped = trials.group_by(["target_net", "outcome", "reason"]).aggregate([("seed_id", "count")]).to_pylist()
    reasons: dict[str, int] = collections.defaultdict(int)
    for row in grouped:
        counts[row["target_net"]][row["outcome"]] += row["seed_id_count"]
        if row["reason"]:
            reasons[row["reason"]] += row["seed_id_count"]
    aside = trials.filter(pc.equal(trials["outcome"], records.SET_ASIDE)).select(["seed_id", "target_net", "reason"])
    return {net: dict(outcomes) for net, outcomes in counts.items()}, dict(reasons), aside.to_pylist()


def summary(folder: RunFolder) -> str:
    """Returns a finished run's table, and what was skipped, dropped or set aside and why."""
    manifest = folder.manifest()
    assert manifest is not None
    names = report.target_names(manifest)
    if manifest["dataset"] == records.PAIRS:
        nets, chunks = [net["name"] for net in manifest["nets"]], [folder.chunk(u["number"]) for u in manifest["units"]]
        lines = [report.pair_text(report.pair_table(chunks, nets, names), nets)]
    elif manifest["dataset"] == records.GARBAGE:
        lines = [_garbage_text(folder, manifest, names)]
    else:
        lines = [report.text(report.table(records.read_table(folder.trials), names))]
    lines += [f"{count} rows: {reason}" for reason, count in sorted(manifest["reasons"].items())]
    if not manifest["examples"]:
        lines.append(_NOTHING_FOUND[manifest["dataset"]])
    return "\n".join(lines)


def _garbage_text(folder: RunFolder, manifest: dict[str, Any], target_nets: list[str]) -> str:
    nets = [net["name"] for net in manifest["nets"]]
    chunks = [_trials_in(folder.chunk(unit["number"])) for unit in manifest["units"]]
    rows = report.garbage_table(pa.concat_tables(chunks), merge(chunks), nets, target_nets)
    natural = manifest["natural_confidence"]
    return report.garbage_text(rows, nets, natural["medians"], f"{natural['images']} of split {natural['split']}")


def _trials_in(chunk: epath.Path) -> pa.Table:
    """Reads the rows of a chunk that are not set aside or skipped."""
    rows = records.read_table(chunk)
    return rows.filter(pc.is_in(rows["outcome"], pa.array(records.TRIAL_OUTCOMES)))

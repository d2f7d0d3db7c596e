"""The steps of the main job: train, mine, package; each does only what is missing."""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import json
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from models import devices
from models.classifier import PeerGroup
from models.errors import InputError
from pipeline import (
    failures,
    finish,
    garbage,
    interruption,
    ledger,
    lock,
    plan,
    progress,
    records,
    sample,
    stages,
    tasks,
)
from pipeline import nets as run_nets
from pipeline.config import Config
from pipeline.islands import Islands
from pipeline.ledger import RunFolder, Workdir
from pipeline.nets import NetFiles
from pipeline.seeds import (
    FolderSeeds,
    SeedSource,
    TfdsSeeds,
    check_split_name,
    check_usable,
    find_builder,
    has_split,
)

_OURS = ("digits",)  # datasets that need no download


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
      InputError: the workdir cannot be written to, the seed images, a split or their labels are not there, the dataset
        leaves open which feature they are, or a split has a name that the dataset's cannot have.
    """
    directory = Workdir.at(workdir)
    directory.check_writable()
    devices.device_name(device)
    seeds = config.seeds
    if seeds.image_folder:
        source: SeedSource = FolderSeeds.look_at(seeds.image_folder, seeds.labeled, seeds.splits)
    else:
        prepared = data_dir or _prepared(seeds.dataset, directory)
        source = TfdsSeeds(seeds.dataset, prepared, seeds.labeled, seeds.image_key, seeds.label_key)
    source.reading()  # tells at once which choice a dataset leaves open
    for split in seeds.splits:
        source.count(split)
        if seeds.image_folder and config.dataset != records.GARBAGE:  # islands have a split of their own
            check_split_name(seeds.image_folder, split)
    if config.dataset != records.GARBAGE and config.search.class_from == "label" and not source.class_names():
        raise InputError(
            f"[seeds] {source.name} has no class labels; set labeled = false and [search] class_from = 'consensus'."
        )
    return Job(config, directory, source, device)


def _prepared(dataset: str, workdir: Workdir) -> str | None:
    """Prepares one of our own datasets in the workdir; others stay where TFDS looks for them."""
    name = dataset.split(":")[0]
    if name not in _OURS:
        return None
    importlib.import_module(f"tfds_builders.{name}.{name}_dataset_builder")
    builder = find_builder(dataset, str(workdir.datasets))
    if not builder.is_prepared():
        with lock.hold(workdir.lock(name), name, "a run that prepares it", wait=True), ledger.io_errors():
            ledger.sweep_builds(workdir.datasets / name)
            builder.download_and_prepare()
    return str(workdir.datasets)


def train(job: Job) -> NetFiles:
    """Tells what is in the seed images, trains the nets that are missing, with a bar for each, and returns all files.

    Raises:
      InputError: more images than [run] max_set_aside cannot be used; nothing is trained then.
    """
    _look_at_seeds(job)
    return run_nets.prepare(job.config, job.workdir, job.source, job.device, progress.training())


def _look_at_seeds(job: Job) -> None:
    source, mined = job.source, job.config.seeds.splits
    learned = run_nets.learned_splits(job.config, source)
    for splits in (mined, learned):
        unusable = [failure for split in splits for failure in source.unusable(split)]
        tried = sum(source.count(split) for split in splits)
        check_usable(f"images of {source.name}", unusable, tried, job.config.run.max_set_aside)
    for line in source.notes(list(dict.fromkeys([*learned, *mined]))):
        print(line, file=sys.stderr)


def examine(job: Job, group: PeerGroup, judge: PeerGroup | None) -> dict[str, Any] | None:
    """Checks nets on seed images of the first split, prints their accuracies, and returns them as `sample.examine`."""
    return sample.examine(sample.read(job.source, job.config.seeds.splits[0]), group, judge, job.device)


def mine(job: Job, run_id: str, beam_arguments: Sequence[str]) -> RunFolder:
    """Runs, or goes on with, a run; returns its folder, finished.

    Args:
      job: the task.
      run_id: "" for one derived from what is tried, with what, and the run seed.
      beam_arguments: Beam's options.

    Raises:
      InputError: a net does not fit or is no function of one image, the run id was used with another configuration, too
        many seed images had to be set aside, or most finds were none when they were judged again.
    """
    nets = train(job)
    group, judge = nets.load()
    identity = _identity(job, group, judge)
    whole = {**identity, **_splits(job.source, job.config.seeds.splits), "wanted": _wanted(job.config, group)}
    folder = job.workdir.run(job.config.dataset_name, run_id or records.digest(whole)[:12])
    job = _with_room(job, folder.plan(), whole)
    if (manifest := folder.manifest()) and folder.plan() and _same(folder.plan(), whole):
        print(f"run {folder.run_id} is finished already: {manifest['examples']} examples; nothing to do.")
        return folder
    task = tasks.task_of(job.config, group, job.source.class_names(), identity["config_digest"], folder)
    accuracies = examine(job, group, judge)
    units = _start(job, group, folder, whole)
    failures.forget(folder)
    there = folder.finished_units()
    missing = [unit for unit in units if unit.number not in there]
    bred = job.config.dataset == records.GARBAGE
    if missing:
        material = Islands(tasks.target_nets(job.config, group)) if bred else job.source.for_workers()
        with progress.mining(folder, units, job.config.garbage.generations if bred else 0):
            search = functools.partial(stages.mine, missing, material, task, nets, folder, job.device, beam_arguments)
            if stages.searches_here(beam_arguments):
                interruption.listen_during(search)
            else:
                search()
        with ledger.io_errors():
            folder.sweep()
    paths = {net.name: net.path for net in nets.peers}
    facts = {"num_classes": group.num_classes, "net_paths": paths, "seed_accuracy": accuracies}
    if bred:
        facts["natural_confidence"] = _natural_confidence(job, group)
    finish.finish(job.workdir, job.config, folder, units, {**identity, **_provenance(job.config, folder), **facts})
    return folder


def _splits(source: SeedSource, splits: Sequence[str]) -> dict[str, Any]:
    """What the run's seed images are: a folder of pictures keeps its name when they change."""
    return {
        "split_sizes": {split: source.count(split) for split in splits},
        "split_digests": {split: source.fingerprint(split) for split in splits},
    }


def _natural_confidence(job: Job, group: PeerGroup) -> dict[str, Any]:
    split = "test" if has_split(job.source, "test") else job.config.seeds.splits[0]
    medians = garbage.natural_confidence(group, job.source, split, job.config.garbage.population)
    return {"split": split, "images": job.source.count(split), "medians": medians}


def _with_room(job: Job, plan_file: dict[str, Any] | None, whole: dict[str, Any]) -> Job:
    """Returns the job with room for a plan's units, which may have been cut with a larger [run] unit_size."""
    if not plan_file or not _same(plan_file, whole):
        return job
    sizes = [len(plan.Unit.from_json(unit).positions) for unit in plan_file["units"]]
    run = dataclasses.replace(job.config.run, unit_size=max([job.config.run.unit_size, *sizes]))
    return dataclasses.replace(job, config=dataclasses.replace(job.config, run=run))


def _start(job: Job, group: PeerGroup, folder: RunFolder, whole: dict[str, Any]) -> list[plan.Unit]:
    """Opens the run, or goes on with it, and returns its units; those of its plan, for drawing reads the splits."""
    if (there := folder.plan()) and _same(there, whole):
        units = [plan.Unit.from_json(unit) for unit in there["units"]]
    else:
        units = _units(job, group)
    provenance = _provenance(job.config, folder)
    folder.start({**whole, "units": [unit.to_json() for unit in units], "provenance": provenance})
    return units


def _same(plan_file: dict[str, Any] | None, identity: dict[str, Any]) -> bool:
    return plan_file is not None and all(plan_file.get(key) == value for key, value in identity.items())


def _identity(job: Job, group: PeerGroup, judge: PeerGroup | None) -> dict[str, Any]:
    """What determines the run's results, and how it is published; JSON-able as it will be read back."""
    config, peers = job.config, [_net(group, place) for place in range(len(group.names))]
    judged = _net(judge, 0) if judge else None
    settings = config.result_determining()
    determining = {
        "settings": settings,
        "nets": [net["digest"] for net in peers],
        "judge": judged and judged["digest"],
    }
    identity = {
        "dataset": config.dataset,
        "task": config.task,
        "run_seed": config.run.run_seed,
        "settings": settings,
        "config_digest": records.digest({**determining, "seeds": job.source.name, "reading": job.source.reading()}),
        "nets": peers,
        "judge": judged,
        "seeds": job.source.name,
        "reading": job.source.reading(),
        "image_shape": list(job.source.shape()),
        "class_names": job.source.class_names(),
        "operator": _operator(config) if config.dataset == records.MISTAKES else None,
    }
    return json.loads(json.dumps(identity))


def _wanted(config: Config, group: PeerGroup) -> dict[str, Any]:
    """What is to be tried; each trial's result is a matter of `_identity`."""
    names = [group.names[net] for net in tasks.target_nets(config, group)]
    count = (
        {"islands": config.garbage.islands} if config.dataset == records.GARBAGE else {"trials": config.search.trials}
    )
    return {"splits": list(config.seeds.splits), "targets": names, **count}


def _provenance(config: Config, folder: RunFolder) -> dict[str, Any]:
    """What is told of a run besides; one version of the code may have begun it, and another finish it."""
    version = importlib.metadata.version("peer-pressure")
    begun = (folder.plan() or {}).get("provenance", {}).get("code_version", version)
    told = {"config": config.to_json(), "code_version": version if begun == version else f"{begun} to {version}"}
    return json.loads(json.dumps(told))


def _operator(config: Config) -> dict[str, Any]:
    return {"name": config.operator.name, "parameter_names": list(config.operator.parameter_names)}


def _net(group: PeerGroup, place: int) -> dict[str, str]:
    return {"name": group.names[place], "digest": group.digests[place]}


def _units(job: Job, group: PeerGroup) -> list[plan.Unit]:
    config = job.config
    targets = tasks.target_nets(config, group)
    if config.dataset == records.GARBAGE:
        return Islands(targets).units(config.garbage.islands)
    if not config.search.trials:
        return plan.whole_splits(job.source, config.seeds.splits, config.run.unit_size)

    def held(split: str, positions: Sequence[int]) -> np.ndarray:
        seeds = job.source.read(split, positions)
        probabilities = group.probabilities(seeds.images, config.run.lanes)
        good = dict(zip(seeds.positions, tasks.usable(config.search, probabilities, seeds.labels), strict=True))
        return np.array([good.get(position, False) for position in positions])

    return plan.drawn_trials(
        job.source, config.seeds.splits, config.run.unit_size, config.search.trials, config.run.run_seed, held
    )

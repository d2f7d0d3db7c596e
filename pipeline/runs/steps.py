"""The steps of the main job up to a finished run: train, look at the nets, mine; each does only what is missing."""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Sequence
from typing import Any

from models.classifier import PeerGroup
from pipeline import interruption, progress, records
from pipeline.kinds.kind import Task
from pipeline.runs import expected, failures, finish, identity, memory, sample, stages
from pipeline.runs import nets as run_nets
from pipeline.runs.job import Job
from pipeline.runs.nets import NetFiles
from pipeline.seeds import plan
from pipeline.seeds.source import check_usable
from pipeline.workdir import ledger
from pipeline.workdir.ledger import RunFolder


def train(job: Job) -> NetFiles:
    """Tells what is in the seed images, trains the nets that are missing, with a bar for each, and returns all files.

    Raises:
      InputError: more images than [run] max_set_aside cannot be used, or not for what is asked; nothing is trained then.
    """
    _look_at_seeds(job)
    return run_nets.prepare(job.config, job.workdir, job.source, job.device, progress.training())


def examine(job: Job, group: PeerGroup, judge: PeerGroup | None) -> dict[str, Any] | None:
    """Checks nets on seed images of the first split, prints their accuracies, and returns them as `sample.examine`."""
    return sample.examine(sample.read(job.source, job.config.seeds.splits[0]), group, judge, job.device)


def _look_at_seeds(job: Job) -> None:
    source, mined = job.source, job.config.seeds.splits
    learned = run_nets.learned_splits(job.config, source)
    for splits in (mined, learned):
        unusable = [failure for split in splits for failure in source.unusable(split)]
        tried = sum(source.count(split) for split in splits)
        check_usable(f"images of {source.name}", unusable, tried, job.config.run.max_set_aside)
    job.kind.check_images(job.config, source.shape())
    for line in source.notes(list(dict.fromkeys([*learned, *mined]))):
        print(line, file=sys.stderr)


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
    job, lowered = within_memory(job, group)
    if lowered:
        print(lowered)
    own = identity.identity(job, group, judge)
    run = identity.whole(job, group, own)
    folder = job.workdir.run(job.dataset_name, run_id or records.digest(run)[:12])
    job = identity.with_room(job, folder.plan(), run)
    if (manifest := folder.manifest()) and identity.is_of(folder.plan(), run):
        print(f"run {folder.run_id} is finished already: {manifest['examples']} examples; nothing to do.")
        return folder
    task = job.kind.task(job.config, group, job.source.class_names(), own["config_digest"], folder)
    accuracies = examine(job, group, judge)
    units = _start(job, group, folder, run)
    there = folder.finished_units()
    missing = [unit for unit in units if unit.number not in there]
    print(plan_text(job, units))
    print(expected.told(job, own, missing), flush=True)
    counted = _mine_missing(job, group, nets, task, units, missing, folder, beam_arguments)
    facts = {
        "counters": counted,
        "num_classes": group.num_classes,
        "net_paths": {net.name: net.path for net in nets.peers},
        "kernels": dict(zip(group.names, group.kernels, strict=True)),  # on another device, last bits may differ
        "seed_accuracy": accuracies,
        **job.kind.facts(job.config, group, job.source),
    }
    finish.finish(job, folder, units, {**own, **identity.provenance(job, folder), **facts})
    return folder


def within_memory(job: Job, group: PeerGroup) -> tuple[Job, str]:
    """Returns the job with units and lanes that fit into [run] memory with these nets; a line if lanes are fewer."""
    config = memory.with_units_that_fit(memory.with_lanes_that_fit(job.config, group), job.source.shape())
    return dataclasses.replace(job, config=config), memory.told(job.config.run, config.run)


def plan_text(job: Job, units: Sequence[plan.Unit]) -> str:
    """Returns what a run is about to do, in a line."""
    images, targets = sum(len(unit.positions) for unit in units), job.config.targets
    told = targets if isinstance(targets, str) else ", ".join(targets)
    each = f"{images:,} seed images" if job.kind.seeded else "an island each"
    return f"plan: {len(units):,} unit{'s' * (len(units) != 1)}, {each}; target nets: {told}"


def _start(job: Job, group: PeerGroup, folder: RunFolder, run: dict[str, Any]) -> list[plan.Unit]:
    """Opens the run, or goes on with it, and returns its units; those of its plan, for drawing reads the splits."""
    if (there := folder.plan()) and identity.is_of(there, run):
        units = [plan.Unit.from_json(unit) for unit in there["units"]]
    else:
        units = job.kind.units(job.config, group, job.source)
    told = identity.provenance(job, folder)
    folder.start({**run, "units": [unit.to_json() for unit in units], "provenance": told})
    failures.forget(folder)
    return units


def _mine_missing(
    job: Job,
    group: PeerGroup,
    nets: NetFiles,
    task: Task,
    units: Sequence[plan.Unit],
    missing: Sequence[plan.Unit],
    folder: RunFolder,
    beam_arguments: Sequence[str],
) -> dict[str, int]:
    """Mines those of a run's units whose chunks are missing; returns what it counted."""
    kind, config = job.kind, job.config
    if not missing:
        return {}
    material = kind.material(config, group, job.source.for_workers())
    with progress.watching("mine", kind.standing(config, folder, units)):
        search = functools.partial(stages.mine, missing, material, task, nets, folder, job.device, beam_arguments)
        counted = interruption.listen_during(search) if stages.searches_here(beam_arguments) else search()
    with ledger.io_errors():
        folder.sweep()
    return counted

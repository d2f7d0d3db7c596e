"""What a run would do, told before any of it: images, nets, plan; and how long it takes, by a short measurement."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any

import psutil
import tensorflow as tf
from etils import epath
from tqdm import tqdm

from models import devices
from models.classifier import PeerGroup
from pipeline.report import tables
from pipeline.report.tables import Table
from pipeline.runs import nets as run_nets
from pipeline.runs import sample, steps
from pipeline.runs.job import Job
from pipeline.runs.nets import NetFile
from pipeline.seeds.plan import Unit
from pipeline.seeds.source import size
from pipeline.workdir.ledger import RunFolder


def rehearse(job: Job) -> Iterator[str | Table]:
    """Yields what is to be said of a task, as it is found out; trains nothing and keeps nothing.

    Raises:
      InputError: what a run would refuse: nets that do not fit, are random, or depend on the rest of the batch; unusable
        images.
    """
    yield from _images(job)
    files = run_nets.prepare(job.config, job.workdir, job.source, job.device, train=False)
    every = [*files.peers, *([files.judge] if files.judge else [])]
    missing = [net.name for net in every if not _is_there(net)]
    if missing:
        yield f"nets: {', '.join(missing)} not trained yet; `train` does it, and then `check` tells the rest."
        return
    group, judge = files.load()
    chosen = sample.read(job.source, job.config.seeds.splits[0])
    examined = sample.examine(chosen, group, judge, job.device, told=False)
    yield _nets(every, group, judge, examined)
    units = job.kind.units(job.config, group, job.source)
    yield steps.plan_text(job, units)
    if units:
        yield _time(job, group, judge, units)


def _images(job: Job) -> Iterator[str]:
    source, splits = job.source, job.config.seeds.splits
    counts = ", ".join(f"{split} {source.count(split):,}" for split in splits)
    classes = len(source.class_names())
    yield f"images: {source.name}, {size(source.shape())}, {classes or 'no'} classes; {counts}"
    job.kind.check_images(job.config, source.shape())
    unusable = [failure for split in splits for failure in source.unusable(split)]
    if unusable:
        yield f"set aside: {len(unusable):,} images, such as {unusable[0][0]}: {unusable[0][1]}"


def _is_there(net: NetFile) -> bool:
    return epath.Path(net.path).exists()


def _nets(
    every: Sequence[NetFile], group: PeerGroup, judge: PeerGroup | None, examined: dict[str, Any] | None
) -> Table:
    loaded = [*group.classifiers, *(judge.classifiers if judge else ())]
    right = {**(examined or {"nets": {}})["nets"], **({loaded[-1].name: examined["judge"]} if judge and examined else {})}
    rows = [
        [net.name, tables.number(100 * right[net.name]) if net.name in right else "-", str(net.num_classes), file.path]
        for net, file in zip(loaded, every, strict=True)
    ]
    note = f"accuracy on {examined['images']} images of split {examined['split']}, in %" if examined else ""
    return Table([["net", "accuracy", "classes", "file"], *rows], note=note)


def _time(job: Job, group: PeerGroup, judge: PeerGroup | None, units: Sequence[Unit]) -> str:
    """Mines a small part, in a folder that is removed, and tells what all of it takes at that pace."""
    config, unit, times = job.kind.sample(job.config, units)
    with tempfile.TemporaryDirectory() as folder, tf.device(devices.device_name(job.device)):
        where = RunFolder(epath.Path(folder))
        task = job.kind.task(config, group, job.source.class_names(), "", where)
        miner, source = task.miner(group, judge), job.kind.material(config, group, job.source)
        first = source.read(unit.split, unit.positions[:1])
        miner.mine(first)  # compiles
        for kept in where.path.iterdir():  # an island would go on where it stopped
            kept.rmtree()
        start = time.perf_counter()
        miner.mine(source.read(unit.split, unit.positions))
        seconds = time.perf_counter() - start
    memory = psutil.Process().memory_info().rss / 2**30
    return (
        f"time: about {tqdm.format_interval(seconds * times)} at most in one process, by a measurement of "
        f"{seconds:.1f} s; small parts are slower than large ones. memory: {memory:.1f} GiB now"
    )

"""What a run would do, told before any of it: images, nets, plan; and how long it takes, by a short measurement."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import psutil
import pyarrow as pa
import tensorflow as tf
from etils import epath
from tqdm import tqdm

from models import devices
from models.classifier import PeerGroup
from pipeline.kinds.kind import Miner, Source
from pipeline.report import tables
from pipeline.report.tables import Table
from pipeline.runs import nets as run_nets
from pipeline.runs import sample, steps
from pipeline.runs.job import Job
from pipeline.runs.nets import NetFile
from pipeline.seeds.plan import Unit
from pipeline.seeds.source import size
from pipeline.workdir.ledger import RunFolder

_ENOUGH = 3.0  # seconds that the largest part takes at least, unless it is a whole unit


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
    start = time.perf_counter()
    group, judge = files.load()
    loading = time.perf_counter() - start
    chosen = sample.read(job.source, job.config.seeds.splits[0])
    examined = sample.examine(chosen, group, judge, job.device, told=False)
    yield _nets(every, group, judge, examined)
    job, lowered = steps.within_memory(job, group)
    if lowered:
        yield lowered
    units = job.kind.units(job.config, group, job.source)
    yield steps.plan_text(job, units)
    if units:
        yield _time(job, group, judge, units, loading)


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


def _time(job: Job, group: PeerGroup, judge: PeerGroup | None, units: Sequence[Unit], loading: float) -> str:
    """Mines small parts, in a folder that is removed, and tells what all of it takes at that pace.

    Args:
      job: the task.
      group: the nets.
      judge: a group of one.
      units: of the run, at least one.
      loading: seconds that the nets took to load; what mines loads them again.
    """
    start = time.perf_counter()
    each = paces(job, group, judge, units)
    taken = time.perf_counter() - start
    compiling = loading + sum(pace.compiling for pace in each)
    seconds = compiling + sum(pace.mining for pace in each)
    memory = psutil.Process().memory_info().rss / 2**30
    most = "" if job.kind.seeded else " at most"  # an island ends when all its classes are done
    return (
        f"time: mining takes about {tqdm.format_interval(seconds)}{most} in one process, "
        f"{tqdm.format_interval(compiling)} of it to load and compile nets, by a measurement of {taken:.0f} s. "
        f"memory: {memory:.1f} GiB now"
    )


class Pace(NamedTuple):
    """Seconds that units which are alike take: once to compile, and all of them to be mined."""

    compiling: float
    mining: float


def paces(
    job: Job,
    group: PeerGroup,
    judge: PeerGroup | None,
    units: Sequence[Unit],
    clock: Callable[[], float] = time.perf_counter,
) -> list[Pace]:
    """Mines small parts and returns the paces of units, those that are alike together.

    Args:
      job: the task.
      group: the nets.
      judge: a group of one.
      units: of the run, at least one.
      clock: seconds; only differences count.
    """
    return [_measured(job, group, judge, alike, clock) for alike in job.kind.alike(job.config, group, units)]


def _measured(
    job: Job, group: PeerGroup, judge: PeerGroup | None, alike: Sequence[Unit], clock: Callable[[], float]
) -> Pace:
    """Mines growing parts of the first of some units until one takes long enough, the smallest twice: it compiles."""
    kind = job.kind
    config, parts = kind.sample(job.config, alike[0])
    with tempfile.TemporaryDirectory() as name, tf.device(devices.device_name(job.device)):
        folder = epath.Path(name)
        task = kind.task(config, group, job.source.class_names(), "", RunFolder(folder))
        miner, source = task.miner(group, judge), kind.material(config, group, job.source)
        first, _ = _mine(miner, source, parts[0], folder, clock)
        points = []
        for part in parts:
            seconds, chunk = _mine(miner, source, part, folder, clock)
            ended = kind.ended(chunk)
            points.append((kind.size(job.config if ended else config, part), seconds))
            if seconds >= _ENOUGH:
                break
    mining = sum(extrapolated(points, kind.size(job.config, unit)) for unit in alike)
    return Pace(max(0.0, first - points[0][1]), mining)


def _mine(
    miner: Miner, source: Source, unit: Unit, folder: epath.Path, clock: Callable[[], float]
) -> tuple[float, pa.Table]:
    """Returns the seconds that a unit takes, and its chunk; leaves nothing behind, where an island would go on."""
    material = source.read(unit.split, unit.positions)
    start = clock()
    chunk = miner.mine(material)
    seconds = clock() - start
    for kept in folder.iterdir():
        kept.rmtree()
    return seconds, chunk


def extrapolated(points: Sequence[tuple[float, float]], size: float) -> float:
    """Returns the seconds that a unit of a size takes, by (size, seconds) of growing parts, at least one.

    Small parts are slower for their size, and the end of a unit, when little is under way, is the same for all: so the
    time grows as it last did, but not faster than in proportion.
    """
    (before, low), (last, high) = [(0.0, 0.0), *points][-2:]
    if size <= last:
        sizes, seconds = np.array([(0.0, 0.0), *points]).T
        return float(np.interp(size, sizes, seconds))
    slope = (high - low) / (last - before)
    return high + (size - last) * min(max(slope, 0.0), high / last)

"""What a run is expected to take, told before it begins, by what an earlier one took."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from tqdm import tqdm

from pipeline.runs import counters
from pipeline.runs.job import Job
from pipeline.seeds.plan import Unit

_LOOKED_AT = 10  # runs: a start is to cost the same every night


def told(job: Job, identity: Mapping[str, Any], units: Sequence[Unit]) -> str:
    """Returns a line: how long mining takes, by the newest run with these nets and settings, and how much memory.

    Args:
      job: the task.
      identity: what determines the run's results (`pipeline.runs.identity`).
      units: those that are still to be mined.
    """
    memory = f"memory: {job.config.run.memory} for images, in each process"
    for folder in itertools.islice(job.workdir.newest_runs(job.dataset_name), _LOOKED_AT):
        manifest = folder.manifest() or {}
        pace = _pace(manifest) if _is_like(manifest, identity) else 0.0
        if pace:
            seconds = pace * _size(job, units)
            return (
                f"expected: about {tqdm.format_interval(seconds)} of mining in one process, by run "
                f"'{manifest['run_id']}'; {memory}"
            )
    return f"expected: {memory}; time: the bar tells it, and `peerpressure check` measures it"


def _is_like(manifest: Mapping[str, Any], identity: Mapping[str, Any]) -> bool:
    return all(manifest.get(key) == identity[key] for key in ("nets", "settings"))


def _pace(manifest: Mapping[str, Any]) -> float:
    """Returns the seconds of a seed image, or of an island; 0 if they were not counted."""
    counted = manifest.get("counters", {})
    size = counted.get("seed_images") or counted.get("units")
    return counted.get(counters.MINING, 0) / 1000 / size if size else 0.0


def _size(job: Job, units: Sequence[Unit]) -> int:
    return sum(len(unit.positions) for unit in units) if job.kind.seeded else len(units)

"""What a run is: what determines its results, what it is to try, and what is told of it besides."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
from typing import Any

from models.classifier import PeerGroup
from pipeline import records
from pipeline.formats import FORMAT
from pipeline.kinds import targets
from pipeline.runs.job import Job
from pipeline.seeds import plan
from pipeline.workdir.ledger import RunFolder


def identity(job: Job, group: PeerGroup, judge: PeerGroup | None) -> dict[str, Any]:
    """Returns what determines the run's results, and how it is published; JSON-able as it will be read back."""
    config, peers = job.config, [_net(group, place) for place in range(len(group.names))]
    judged = _net(judge, 0) if judge else None
    settings = config.result_determining()
    determining = {
        "settings": settings,
        "nets": [net["digest"] for net in peers],
        "judge": judged and judged["digest"],
    }
    found = {
        "format": FORMAT,
        "dataset": job.kind.name,
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
        **job.kind.identity(config),
    }
    return json.loads(json.dumps(found))


def _net(group: PeerGroup, place: int) -> dict[str, str]:
    return {"name": group.names[place], "digest": group.digests[place]}


def whole(job: Job, group: PeerGroup, its_identity: dict[str, Any]) -> dict[str, Any]:
    """Returns an identity with what is to be tried; each trial's result is a matter of the identity alone."""
    names = [group.names[net] for net in targets.places(job.config, group)]
    wanted = {"splits": list(job.config.seeds.splits), "targets": names, **job.kind.wanted(job.config)}
    return {**its_identity, **_splits(job), "wanted": wanted}


def _splits(job: Job) -> dict[str, Any]:
    """Returns what the run's seed images are: a folder of pictures keeps its name when they change."""
    source, splits = job.source, job.config.seeds.splits
    return {
        "split_sizes": {split: source.count(split) for split in splits},
        "split_digests": {split: source.fingerprint(split) for split in splits},
    }


def provenance(job: Job, folder: RunFolder) -> dict[str, Any]:
    """Returns what is told of a run besides; one version of the code may have begun it, and another finish it."""
    version = importlib.metadata.version("peer-pressure")
    begun = (folder.plan() or {}).get("provenance", {}).get("code_version", version)
    told = {"config": job.config.to_json(), "code_version": version if begun == version else f"{begun} to {version}"}
    return json.loads(json.dumps(told))


def is_of(plan_file: dict[str, Any] | None, run: dict[str, Any]) -> bool:
    """Tells whether a plan is that of a run, as `whole` returns it."""
    return plan_file is not None and all(plan_file.get(key) == value for key, value in run.items())


def with_room(job: Job, plan_file: dict[str, Any] | None, run: dict[str, Any]) -> Job:
    """Returns the job with room for a plan's units, which may have been cut with a larger [run] unit_size."""
    if not plan_file or not is_of(plan_file, run):
        return job
    sizes = [len(plan.Unit.from_json(unit).positions) for unit in plan_file["units"]]
    cut = dataclasses.replace(job.config.run, unit_size=max([job.config.run.unit_size, *sizes]))
    return dataclasses.replace(job, config=dataclasses.replace(job.config, run=cut))

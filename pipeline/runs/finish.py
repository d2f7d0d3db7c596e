"""The end of a run: what sums it up, written with the manifest last, and its table."""

from __future__ import annotations

import collections
import datetime
import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models.errors import InputError
from pipeline import records
from pipeline.kinds import registry
from pipeline.kinds.chunk import check_kept
from pipeline.report.tables import Table
from pipeline.runs.job import Job
from pipeline.seeds.plan import Unit
from pipeline.workdir import ledger
from pipeline.workdir.ledger import RunFolder


def finish(job: Job, folder: RunFolder, units: Sequence[Unit], identity: dict[str, Any]) -> None:
    """Writes what sums up a run whose chunks are all there, the manifest last.

    Args:
      job: the task.
      folder: the run's.
      units: of its plan.
      identity: what the manifest says besides: what the run is, and facts about its nets; JSON-able.

    Raises:
      InputError: too many seed images, or classes of islands, had to be set aside, or most finds were dropped.
    """
    job.kind.conclude(folder, [unit.number for unit in units])
    read = [_read(folder, unit) for unit in units]
    trials = pa.concat_tables(table for table, _ in read) if read else records.TRIALS_SCHEMA.empty_table()
    check_kept(trials, f"run {folder.run_id}")  # units may be too small to tell
    counts, reasons, set_aside = _counts(trials)
    tried = len(set(trials["seed_id"].to_pylist())) if job.kind.seeded else trials.num_rows
    _check_set_aside(folder, job, set_aside, tried)
    _write_tables(folder, trials, set_aside)
    manifest = {
        **identity,
        "run_id": folder.run_id,
        "sequence": job.workdir.next_sequence(job.dataset_name),
        "finished_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "examples": sum(outcomes.get(records.FOUND, 0) for outcomes in counts.values()),
        "counts": counts,
        "reasons": reasons,
        "passes": _passes(trials),
        "set_aside": len(set_aside),
        "units": [entry for _, entry in read],
    }
    for passing in (folder.path / "checkpoints", folder.failures):
        if passing.exists():
            passing.rmtree()
    ledger.write_json(folder.path / "manifest.json", manifest)


def _check_set_aside(folder: RunFolder, job: Job, set_aside: list[dict[str, str]], tried: int) -> None:
    most = job.config.run.max_set_aside
    if tried and len(set_aside) > most * tried:
        first = set_aside[0]
        raise InputError(
            f"run {folder.run_id}: {len(set_aside)} of {tried} {job.kind.tried} had to be set aside (first: "
            f"{first['seed_id']}: {first['reason']}), more than [run] max_set_aside = "
            f"{most:g}; mend them or raise it, and start the run again."
        )


def _write_tables(folder: RunFolder, trials: pa.Table, set_aside: list[dict[str, str]]) -> None:
    ledger.write_whole(folder.trials, records.table_bytes(trials))
    lines = "".join(json.dumps(entry, sort_keys=True) + "\n" for entry in set_aside)
    ledger.write_whole(folder.path / "set_aside.jsonl", lines.encode())


def _read(folder: RunFolder, unit: Unit) -> tuple[pa.Table, dict[str, Any]]:
    """Reads a chunk once, and returns its trials and what the manifest says of its unit."""
    data = folder.chunk(unit.number).read_bytes()
    entry = {"number": unit.number, "split": unit.split, "sha256": hashlib.sha256(data).hexdigest()}
    return records.table_of(data, records.TRIALS_SCHEMA.names), entry


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


def _passes(trials: pa.Table) -> dict[str, dict[str, Any]]:
    """Sums up, where it was counted, what each target net's candidates took the nets: `records.TRIAL_FIELDS`."""
    counted = trials.filter(pc.is_valid(trials["asked"]))
    found = {}
    for target in sorted(set(counted["target_net"].to_pylist())):
        mine = counted.filter(pc.equal(counted["target_net"], target))
        sums = {name: np.sum(mine[name].to_pylist(), axis=0, dtype=np.int64).tolist() for name in ("asked", "refused")}
        found[target] = {"candidates": pc.sum(mine["candidates"]).as_py(), **sums}
    return found


def tables(folder: RunFolder) -> list[Table]:
    """Returns a finished run's tables."""
    manifest = folder.manifest()
    assert manifest is not None
    return registry.named(manifest["dataset"]).tables(folder, manifest)


def summary(folder: RunFolder, shown: Sequence[Table]) -> str:
    """Returns a finished run's tables, `shown`, and what was skipped, dropped or set aside and why."""
    manifest = folder.manifest()
    assert manifest is not None
    kind = registry.named(manifest["dataset"])
    lines = ["\n\n".join(table.text() for table in shown), *kind.hints(folder, manifest)]
    lines += [f"{count} rows: {reason}" for reason, count in sorted(manifest["reasons"].items())]
    if not manifest["examples"]:
        lines.append(kind.nothing_found)
    return "\n".join(lines)

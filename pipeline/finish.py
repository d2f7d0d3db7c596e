"""The end of a run: what sums it up, written with the manifest last, and its table."""

from __future__ import annotations

import collections
import datetime
import hashlib
import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from etils import epath

from models.errors import InputError
from pipeline import ledger, picture, records, report
from pipeline.chunk import check_kept
from pipeline.config import Config
from pipeline.islands import merge
from pipeline.ledger import RunFolder, Workdir
from pipeline.plan import Unit

_NOTHING_FOUND = {
    records.MISTAKES: "no mistake was found: lower the thresholds in [search], or widen the ranges in [operator].",
    records.GARBAGE: "no class was done: raise generations, or lower confidence, in [garbage].",
    records.PAIRS: "no adversarial twin was found: change aim, or raise eps or the number of steps, in [attack].",
}
_TRIALS = pa.array(records.TRIAL_OUTCOMES)
_CERTAIN = 1.0 - 1e-6  # float32 knows hardly anything between this and 1
_SATURATED = "it is certain to the last digit, so that small changes do not show: widen the ranges in [operator]"
_PEERS_LET_GO = (
    "peers that let go of the class at once allow no move: lower peer_confidence in [search], narrow the ranges in "
    "[operator], or leave out peers whose accuracy at the start of the run is low"
)


def finish(
    workdir: Workdir, config: Config, folder: RunFolder, units: Sequence[Unit], identity: dict[str, Any]
) -> None:
    """Writes what sums up a run whose chunks are all there, the manifest last.

    Args:
      workdir: where the run is.
      config: the task.
      folder: the run's.
      units: of its plan.
      identity: what the manifest says besides: what the run is, and facts about its nets; JSON-able.

    Raises:
      InputError: too many seed images, or classes of islands, had to be set aside, or most finds were dropped.
    """
    bred = config.dataset == records.GARBAGE
    if bred:
        _draw_curves(folder, units)
    read = [_read(folder, unit) for unit in units]
    trials = pa.concat_tables(table for table, _ in read) if read else records.TRIALS_SCHEMA.empty_table()
    check_kept(trials, f"run {folder.run_id}")  # units may be too small to tell
    counts, reasons, set_aside = _counts(trials)
    # Islands have no seed images: their classes are set aside.
    tried = trials.num_rows if bred else len(set(trials["seed_id"].to_pylist()))
    _check_set_aside(folder, config, set_aside, tried)
    _write_tables(folder, trials, set_aside)
    manifest = {
        **identity,
        "run_id": folder.run_id,
        "sequence": workdir.next_sequence(config.dataset_name),
        "finished_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "examples": sum(outcomes.get(records.FOUND, 0) for outcomes in counts.values()),
        "counts": counts,
        "reasons": reasons,
        "set_aside": len(set_aside),
        "units": [entry for _, entry in read],
    }
    for passing in (folder.path / "checkpoints", folder.failures):
        if passing.exists():
            passing.rmtree()
    ledger.write_json(folder.path / "manifest.json", manifest)


def _check_set_aside(folder: RunFolder, config: Config, set_aside: list[dict[str, str]], tried: int) -> None:
    if tried and len(set_aside) > config.run.max_set_aside * tried:
        first, what = set_aside[0], "classes of islands" if config.dataset == records.GARBAGE else "seed images"
        raise InputError(
            f"run {folder.run_id}: {len(set_aside)} of {tried} {what} had to be set aside (first: "
            f"{first['seed_id']}: {first['reason']}), more than [run] max_set_aside = "
            f"{config.run.max_set_aside:g}; mend them or raise it, and start the run again."
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


def _draw_curves(folder: RunFolder, units: Sequence[Unit]) -> None:
    """Draws the islands' curves, of those that did not fail at once, into the run's folder."""
    paths = [path for unit in units if (path := folder.curve(unit.number)).exists()]
    curves = [np.loadtxt(path.open(), delimiter=",", skiprows=1, ndmin=2) for path in paths]
    stream = io.BytesIO()
    picture.draw_curves(curves, stream)
    ledger.write_whole(folder.path / "curves.png", stream.getvalue())


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
        trials = records.read_table(folder.trials)
        lines = [report.text(report.table(trials, names)), *_motionless(trials, names)]
    lines += [f"{count} rows: {reason}" for reason, count in sorted(manifest["reasons"].items())]
    if not manifest["examples"]:
        lines.append(_NOTHING_FOUND[manifest["dataset"]])
    return "\n".join(lines)


def _motionless(trials: pa.Table, target_nets: list[str]) -> list[str]:
    """Says of which target nets no trial accepted a candidate, and what that may mean."""
    searched = trials.filter(pc.and_(pc.is_in(trials["outcome"], _TRIALS), pc.greater(trials["candidates"], 0)))
    lines = []
    for net in target_nets:
        mine = searched.filter(pc.equal(searched["target_net"], net))
        if mine.num_rows and not pc.any(pc.greater(mine["moves"], 0)).as_py():
            confidence = pc.approximate_median(mine["target_confidence"]).as_py()
            cause = _SATURATED if confidence >= _CERTAIN else _PEERS_LET_GO
            lines.append(
                f"net '{net}': none of its {mine.num_rows} trials made a single move: no candidate lowered its "
                f"confidence (median {confidence:.6f}) while every peer held the class; {cause}."
            )
    return lines


def _garbage_text(folder: RunFolder, manifest: dict[str, Any], target_nets: list[str]) -> str:
    nets = [net["name"] for net in manifest["nets"]]
    chunks = [_trials_in(folder.chunk(unit["number"])) for unit in manifest["units"]]
    rows = report.garbage_table(pa.concat_tables(chunks), merge(chunks), nets, target_nets)
    natural = manifest["natural_confidence"]
    return report.garbage_text(rows, nets, natural["medians"], f"{natural['images']} of split {natural['split']}")


def _trials_in(chunk: epath.Path) -> pa.Table:
    """Reads the rows of a chunk that are not set aside or skipped."""
    rows = records.read_table(chunk)
    return rows.filter(pc.is_in(rows["outcome"], _TRIALS))

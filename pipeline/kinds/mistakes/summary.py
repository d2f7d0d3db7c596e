"""What a run of mistakes found, as the table of Baluja, Covell and Sukthankar."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import records
from pipeline.kinds import targets
from pipeline.kinds.kind import Manifest
from pipeline.report import rates
from pipeline.report.tables import Table, number
from pipeline.workdir.ledger import RunFolder

_HEADS = ["target", "trials", "found", "% (95% interval)", "moves", "inferences", "of all"]
_TRIALS = pa.array(records.TRIAL_OUTCOMES)
_CERTAIN = 1.0 - 1e-6  # float32 knows hardly anything between this and 1
_SATURATED = "it is certain to the last digit, so that small changes do not show: widen the ranges in [operator]"
_PEERS_LET_GO = (
    "peers that let go of the class at once allow no move: lower peer_confidence in [search], narrow the ranges in "
    "[operator], or leave out peers whose accuracy at the start of the run is low"
)
_ALONE = "has no peers: nobody vouches for the labels of its mistakes, and all of them are of low value."
_REFUSALS = "% of the refused candidates of each target net (row) that fell by each net's (column) answer:"
_REFUSALS_NOTE = "its own: it grew no less sure; asked: nets that saw a candidate, mean"
_NOTE = "moves and inferences: means over the trials that found a mistake; of all: inferences over all trials"


@dataclasses.dataclass(frozen=True)
class Row:
    """One target net's line.

    Attributes:
      target_net: its name.
      trials: how many were run, one for each seed image that was tried (a scan: that could be judged).
      found: how many gave a verified mistake.
      low, high: 95% Wilson interval of the share found, in [0, 1].
      moves: mean number of moves of the trials that found one, NaN if none did.
      inferences: mean number of forward passes through all nets, of the trials that found one, NaN if none did.
      all_inferences: the same over all trials.
    """

    target_net: str
    trials: int
    found: int
    low: float
    high: float
    moves: float
    inferences: float
    all_inferences: float


def rows(trials: pa.Table, target_nets: Sequence[str]) -> list[Row]:
    """Returns a row for each target net, from a run's trials (`records.TRIALS_SCHEMA`)."""
    ran = trials.filter(pc.is_in(trials["outcome"], _TRIALS))
    return [_row(ran.filter(pc.equal(ran["target_net"], net)), net) for net in target_nets]


def _row(mine: pa.Table, net: str) -> Row:
    found = mine.filter(pc.equal(mine["outcome"], records.FOUND))
    low, high = rates.wilson(found.num_rows, mine.num_rows)
    means = rates.mean(found["moves"]), rates.mean(found["inferences"]), rates.mean(mine["inferences"])
    return Row(net, mine.num_rows, found.num_rows, low, high, *means)


def tables(folder: RunFolder, manifest: Manifest) -> list[Table]:
    """Returns what a finished run found, and which nets refused what it tried."""
    found = formatted(rows(records.read_table(folder.trials), targets.names(manifest)))
    passes = manifest.get("passes", {})  # of a scan nothing is counted
    nets = [net["name"] for net in manifest["nets"]] if passes else []
    return [found, *([refusals(passes, nets)] if passes else [])]


def refusals(passes: Mapping[str, Mapping[str, Any]], nets: Sequence[str]) -> Table:
    """Returns who refused the candidates of each target net.

    Args:
      passes: of each target net, how many "candidates" there were, and, `[N]` each, how many of them each net was
        "asked" about and "refused".
      nets: N names.
    """
    cells = [["target", *nets, "asked"]]
    for target, counts in passes.items():
        refused, candidates = np.array(counts["refused"]), counts["candidates"]
        shares = 100.0 * refused / max(int(refused.sum()), 1)
        mean = sum(counts["asked"]) / candidates if candidates else math.nan
        cells.append([target, *(f"{share:.1f}" for share in shares), number(mean, 2)])
    return Table(cells, _REFUSALS, _REFUSALS_NOTE)


def formatted(found: Sequence[Row]) -> Table:
    """Returns rows as a table."""
    return Table([_HEADS, *(_cells(row) for row in found)], note=_NOTE)


def _cells(row: Row) -> list[str]:
    share = row.found / row.trials if row.trials else 0.0
    interval = f"{100 * share:5.1f} ({100 * row.low:5.1f} to {100 * row.high:5.1f})"
    means = [number(value) for value in (row.moves, row.inferences, row.all_inferences)]
    return [row.target_net, str(row.trials), str(row.found), interval, *means]


def alone(nets: Sequence[str]) -> list[str]:
    """Says of a group of one net what its mistakes are worth."""
    return [f"net '{nets[0]}' {_ALONE}"] if len(nets) == 1 else []


def motionless(trials: pa.Table, target_nets: Sequence[str]) -> list[str]:
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

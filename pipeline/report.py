"""What a run found, as the paper's Table 1: per target net, trials, success with its interval, moves, inferences."""

from __future__ import annotations

import dataclasses
import math

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import records

_Z95 = 1.959963984540054


@dataclasses.dataclass(frozen=True)
class TargetRow:
    """One target net's line.

    Attributes:
      target_net: its name.
      trials: how many were run.
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


def wilson(found: int, trials: int) -> tuple[float, float]:
    """Returns the 95% Wilson score interval of a share; (0, 1) without trials."""
    if not trials:
        return 0.0, 1.0
    share, weight = found / trials, _Z95**2 / trials
    middle = (share + weight / 2) / (1 + weight)
    half = _Z95 * math.sqrt(share * (1 - share) / trials + weight / (4 * trials)) / (1 + weight)
    return max(0.0, middle - half), min(1.0, middle + half)


def table(trials: pa.Table, target_nets: list[str]) -> list[TargetRow]:
    """Returns a row for each target net, from a run's trials (`records.TRIALS_SCHEMA`)."""
    ran = trials.filter(pc.is_in(trials["outcome"], pa.array(records.TRIAL_OUTCOMES)))
    images = ran.filter(pc.equal(ran["target_net"], "")).num_rows  # a scan's images that no net stands alone on
    return [_row(ran.filter(pc.equal(ran["target_net"], net)), net, images) for net in target_nets]


def _row(mine: pa.Table, net: str, images: int) -> TargetRow:
    found = mine.filter(pc.equal(mine["outcome"], records.FOUND))
    trials = mine.num_rows + images
    low, high = wilson(found.num_rows, trials)
    return TargetRow(
        net,
        trials,
        found.num_rows,
        low,
        high,
        _mean(found["moves"]),
        _mean(found["inferences"]),
        _mean(mine["inferences"]),
    )


def _mean(column: pa.ChunkedArray) -> float:
    mean = pc.mean(column).as_py()
    return math.nan if mean is None else mean


def text(rows: list[TargetRow]) -> str:
    """Formats the table for a terminal."""
    width = max([6, *(len(row.target_net) for row in rows)])
    heads = ["trials", "found", "% (95% interval)", "moves", "inferences", "of all"]
    lines = [_line("target".ljust(width), heads)]
    for row in rows:
        share = row.found / row.trials if row.trials else 0.0
        interval = f"{100 * share:5.1f} ({100 * row.low:5.1f} to {100 * row.high:5.1f})"
        means = [_number(value) for value in (row.moves, row.inferences, row.all_inferences)]
        lines.append(_line(row.target_net.ljust(width), [str(row.trials), str(row.found), interval, *means]))
    note = "moves and inferences: means over the trials that found a mistake; of all: inferences over all trials"
    return "\n".join([*lines, note])


def _line(name: str, cells: list[str]) -> str:
    widths = (7, 7, 22, 6, 10, 8)
    return "  ".join([name, *(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))])


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1f}"

"""What a run found, as the papers' tables: of mistakes per target net, and of adversarial pairs."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from etils import epath

from pipeline import records, tables

_Z95 = 1.959963984540054


@dataclasses.dataclass(frozen=True)
class TargetRow:
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


def wilson(found: int, trials: int) -> tuple[float, float]:
    """Returns the 95% Wilson score interval of a share; (0, 1) without trials."""
    if not trials:
        return 0.0, 1.0
    share, weight = found / trials, _Z95**2 / trials
    middle = (share + weight / 2) / (1 + weight)
    half = _Z95 * math.sqrt(share * (1 - share) / trials + weight / (4 * trials)) / (1 + weight)
    return max(0.0, middle - half), min(1.0, middle + half)


def target_names(manifest: Mapping[str, Any]) -> list[str]:
    """Returns the names of a run's target nets, in the order of its nets."""
    targets = manifest["config"]["search"]["targets"]
    wanted = [targets] if isinstance(targets, str) else targets
    return [net["name"] for net in manifest["nets"] if targets == "all" or net["name"] in wanted]


def rate(manifest: Mapping[str, Any], target_net: str) -> tuple[int, int]:
    """Returns of a run's manifest how many examples were found for a target net, and in how many trials."""
    own = manifest["counts"].get(target_net, {})
    return own.get(records.FOUND, 0), sum(own.get(outcome, 0) for outcome in records.TRIAL_OUTCOMES)


def table(trials: pa.Table, target_nets: list[str]) -> list[TargetRow]:
    """Returns a row for each target net, from a run's trials (`records.TRIALS_SCHEMA`)."""
    ran = trials.filter(pc.is_in(trials["outcome"], pa.array(records.TRIAL_OUTCOMES)))
    return [_row(ran.filter(pc.equal(ran["target_net"], net)), net) for net in target_nets]


def _row(mine: pa.Table, net: str) -> TargetRow:
    found = mine.filter(pc.equal(mine["outcome"], records.FOUND))
    low, high = wilson(found.num_rows, mine.num_rows)
    return TargetRow(
        net,
        mine.num_rows,
        found.num_rows,
        low,
        high,
        _mean(found["moves"]),
        _mean(found["inferences"]),
        _mean(mine["inferences"]),
    )


def _mean(column: pa.ChunkedArray) -> float:
    mean = pc.mean(column.filter(pc.is_finite(column))).as_py()
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


@dataclasses.dataclass(frozen=True)
class PairRow:
    """One target net's line in the table of adversarial pairs (Szegedy et al., Table 1).

    Attributes:
      target_net: whose errors were sought.
      attacked: images that it got right, and that were changed.
      fooled: how many gave a verified twin.
      distortion: mean of sqrt(mean((x' - x)^2)) over the twins, pixels in [0, 1], NaN without twins.
      unrounded: the same before rounding to uint8, over the twins for which there is such a distortion.
      evaluations: mean number of points at which the target net was asked, over all attacked images.
      broken: attacked images whose nearest misread image was no longer misread once rounded to uint8.
      broken_before: mean distortion of these before rounding, where another twin was found; NaN if none was.
      broken_after: mean distortion of those other twins; NaN if there is none.
      induced: share of the twins that each net of the group reads otherwise than the original's class, `[N]`.
    """

    target_net: str
    attacked: int
    fooled: int
    distortion: float
    unrounded: float
    evaluations: float
    broken: int
    broken_before: float
    broken_after: float
    induced: tuple[float, ...]


_PAIR_COLUMNS = [
    *("target_net", "outcome", "candidates", "label", "distortion", "unrounded_distortion", "broken_by_rounding"),
    "probabilities_after",
]


def pair_table(chunks: Sequence[epath.PathLike], nets: list[str], target_nets: list[str]) -> list[PairRow]:
    """Returns a row for each target net, from the chunk files of a run of adversarial pairs."""
    rows = pa.concat_tables([records.read_table(path, _PAIR_COLUMNS) for path in chunks])
    rows = rows.filter(pc.is_in(rows["outcome"], pa.array(records.TRIAL_OUTCOMES)))
    return [_pair_row(rows.filter(pc.equal(rows["target_net"], net)), net, len(nets)) for net in target_nets]


def _pair_row(mine: pa.Table, net: str, nets: int) -> PairRow:
    twins = mine.filter(pc.equal(mine["outcome"], records.FOUND))
    mended = twins.filter(twins["broken_by_rounding"])
    return PairRow(
        net,
        mine.num_rows,
        twins.num_rows,
        _mean(twins["distortion"]),
        _mean(twins["unrounded_distortion"]),
        _mean(mine["candidates"]),
        pc.sum(mine["broken_by_rounding"]).as_py() or 0,
        _mean(mended["unrounded_distortion"]),
        _mean(mended["distortion"]),
        _shares(_classes(twins, nets) != twins["label"].to_numpy()[:, None]),
    )


def _classes(found: pa.Table, nets: int) -> np.ndarray:
    """Returns the class, int `[R, N]`, that each of N nets gives each stored image."""
    if not found.num_rows:
        return np.zeros((0, nets), np.int64)
    after = np.array(found["probabilities_after"].to_pylist(), np.float32)
    return after.reshape(found.num_rows, nets, -1).argmax(-1)


def _shares(flags: np.ndarray) -> tuple[float, ...]:
    """Returns the share of true ones in each column of bool `[R, N]`, NaN without rows."""
    return tuple(flags.mean(axis=0)) if len(flags) else (math.nan,) * flags.shape[1]


def pair_text(rows: list[PairRow], nets: list[str]) -> str:
    """Formats the table of pairs for a terminal: success and distortion, then the errors that twins induce."""
    heads = ["target", "attacked", "fooled", "% fooled", "distortion", "unrounded", "evaluations"]
    attacks = [[*heads, "broken", "before", "after"], *(_pair_cells(row) for row in rows)]
    note = (
        "broken: attacks whose nearest misread image was no longer misread in uint8; "
        "before, after: mean distortion of it and of the twin found instead"
    )
    about = "% of the twins made for a net (row) that each net (column) misreads:"
    induced = [["", *nets], *([row.target_net, *(_number(100 * share) for share in row.induced)] for row in rows)]
    return "\n".join([*tables.aligned(attacks), note, "", about, *tables.aligned(induced)])


def _pair_cells(row: PairRow) -> list[str]:
    share = 100 * row.fooled / row.attacked if row.attacked else math.nan
    before, after = (_distortion(value) for value in (row.broken_before, row.broken_after))
    return [
        *(row.target_net, f"{row.attacked}", f"{row.fooled}", _number(share)),
        *(_distortion(row.distortion), _distortion(row.unrounded), _number(row.evaluations)),
        *(f"{row.broken}", before, after),
    ]


def _distortion(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4f}"


@dataclasses.dataclass(frozen=True)
class GarbageRow:
    """One target net's line in the table of garbage images (Nguyen, Yosinski, Clune).

    Attributes:
      target_net: the net that is certain about garbage.
      champions: champions of a class on an island, done or not.
      found: how many are done and verified.
      classes: how many classes were sought.
      done: how many of them are done on at least one island.
      confidence: median over the classes of the highest confidence on any island, done or not, NaN without classes.
      generation: median generation in which the found ones were born, NaN without them.
      evaluations: mean over the champions' islands of images that the target net was asked about.
      fooled: share of the found ones to which each net of the group gives the same class, `[N]`.
    """

    target_net: str
    champions: int
    found: int
    classes: int
    done: int
    confidence: float
    generation: float
    evaluations: float
    fooled: tuple[float, ...]


def garbage_table(
    champions: pa.Table, merged: pa.Table, nets: Sequence[str], target_nets: Sequence[str]
) -> list[GarbageRow]:
    """Returns a row for each target net.

    Args:
      champions: the rows of a run's chunks.
      merged: the best of them for each target net and class.
      nets: the names of the group, `[N]`.
      target_nets: those to be told about.
    """
    return [_garbage_row(net, champions, merged, len(nets)) for net in target_nets]


def _garbage_row(net: str, champions: pa.Table, merged: pa.Table, nets: int) -> GarbageRow:
    mine, best = (table.filter(pc.equal(table["target_net"], net)) for table in (champions, merged))
    found = mine.filter(pc.equal(mine["outcome"], records.FOUND))
    return GarbageRow(
        net,
        mine.num_rows,
        found.num_rows,
        best.num_rows,
        best.filter(pc.equal(best["outcome"], records.FOUND)).num_rows,
        _median(best["target_confidence"]),
        _median(found["generation"]),
        _mean(mine["candidates"]),
        _shares(_classes(found, nets) == found["wrong_class"].to_numpy()[:, None]),
    )


def _median(column: pa.ChunkedArray) -> float:
    return float(np.median(column.to_numpy())) if len(column) else math.nan


def garbage_text(
    rows: Sequence[GarbageRow], nets: Sequence[str], natural: Mapping[str, float], natural_images: str
) -> str:
    """Formats the table of garbage images for a terminal.

    Args:
      rows: from `garbage_table`.
      nets: the names of the group.
      natural: median confidence of each net on natural images.
      natural_images: which these were, for the note.
    """
    heads = ["target", "champions", "found", "classes", "done", "confidence", "natural", "generation", "evaluations"]
    lines = [heads]
    for row in rows:
        counts = [str(count) for count in (row.champions, row.found, row.classes, row.done)]
        medians = [f"{value:.6f}" for value in (row.confidence, natural[row.target_net])]
        lines.append([row.target_net, *counts, *medians, _number(row.generation), _number(row.evaluations)])
    cross = [["", *nets], *([row.target_net, *(_number(100 * share) for share in row.fooled)] for row in rows)]
    return "\n".join(
        [
            *tables.aligned(lines),
            f"confidence: median over the classes; natural: on natural images ({natural_images})",
            "",
            "% of the garbage found for a net (row) to which each net (column) gives the same class:",
            *tables.aligned(cross),
        ]
    )

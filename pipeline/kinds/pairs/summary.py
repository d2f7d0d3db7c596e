"""What a run of adversarial pairs found, as the table of Szegedy et al."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
from etils import epath

from pipeline import records
from pipeline.kinds import targets
from pipeline.kinds.kind import Manifest
from pipeline.report import rates
from pipeline.report.tables import Table, number
from pipeline.workdir.ledger import RunFolder

_COLUMNS = [
    *("target_net", "outcome", "candidates", "label", "distortion", "unrounded_distortion", "broken_by_rounding"),
    "probabilities_after",
]
_HEADS = ["target", "attacked", "fooled", "% fooled", "distortion", "unrounded", "evaluations"]
_NOTE = (
    "broken: attacks whose nearest misread image was no longer misread in uint8; "
    "before, after: mean distortion of it and of the twin found instead"
)


@dataclasses.dataclass(frozen=True)
class Row:
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


def rows(chunks: Sequence[epath.PathLike], nets: Sequence[str], target_nets: Sequence[str]) -> list[Row]:
    """Returns a row for each target net, from the chunk files of a run."""
    trials = pa.concat_tables([records.read_table(path, _COLUMNS) for path in chunks])
    trials = trials.filter(pc.is_in(trials["outcome"], pa.array(records.TRIAL_OUTCOMES)))
    return [_row(trials.filter(pc.equal(trials["target_net"], net)), net, len(nets)) for net in target_nets]


def _row(mine: pa.Table, net: str, nets: int) -> Row:
    twins = mine.filter(pc.equal(mine["outcome"], records.FOUND))
    mended = twins.filter(twins["broken_by_rounding"])
    return Row(
        net,
        mine.num_rows,
        twins.num_rows,
        rates.mean(twins["distortion"]),
        rates.mean(twins["unrounded_distortion"]),
        rates.mean(mine["candidates"]),
        pc.sum(mine["broken_by_rounding"]).as_py() or 0,
        rates.mean(mended["unrounded_distortion"]),
        rates.mean(mended["distortion"]),
        rates.shares(rates.classes(twins, nets) != twins["label"].to_numpy()[:, None]),
    )


def tables(folder: RunFolder, manifest: Manifest) -> list[Table]:
    """Returns what a finished run found: success and distortion, then the errors that twins induce."""
    nets, chunks = [net["name"] for net in manifest["nets"]], [folder.chunk(u["number"]) for u in manifest["units"]]
    return formatted(rows(chunks, nets, targets.names(manifest)), nets)


def formatted(found: Sequence[Row], nets: Sequence[str]) -> list[Table]:
    """Returns rows as tables."""
    attacks = [[*_HEADS, "broken", "before", "after"], *(_cells(row) for row in found)]
    induced = [["", *nets], *([row.target_net, *(number(100 * share) for share in row.induced)] for row in found)]
    about = "% of the twins made for a net (row) that each net (column) misreads:"
    return [Table(attacks, note=_NOTE), Table(induced, about, heat=True)]


def _cells(row: Row) -> list[str]:
    share = 100 * row.fooled / row.attacked if row.attacked else math.nan
    return [
        *(row.target_net, f"{row.attacked}", f"{row.fooled}", number(share)),
        *(number(row.distortion, 4), number(row.unrounded, 4), number(row.evaluations)),
        *(f"{row.broken}", number(row.broken_before, 4), number(row.broken_after, 4)),
    ]

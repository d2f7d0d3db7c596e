"""What a run of garbage images found, as the figures of Nguyen, Yosinski and Clune."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from etils import epath

from pipeline import records
from pipeline.kinds import targets
from pipeline.kinds.garbage.islands import merge
from pipeline.kinds.kind import Manifest
from pipeline.report import picture, rates
from pipeline.report.tables import Table, number
from pipeline.workdir import ledger
from pipeline.workdir.ledger import RunFolder

_HEADS = ["target", "champions", "found", "classes", "done", "confidence", "natural", "generation", "evaluations"]


@dataclasses.dataclass(frozen=True)
class Row:
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


def rows(champions: pa.Table, merged: pa.Table, nets: Sequence[str], target_nets: Sequence[str]) -> list[Row]:
    """Returns a row for each target net.

    Args:
      champions: the rows of a run's chunks.
      merged: the best of them for each target net and class.
      nets: the names of the group, `[N]`.
      target_nets: those to be told about.
    """
    return [_row(net, champions, merged, len(nets)) for net in target_nets]


def _row(net: str, champions: pa.Table, merged: pa.Table, nets: int) -> Row:
    mine, best = (table.filter(pc.equal(table["target_net"], net)) for table in (champions, merged))
    found = mine.filter(pc.equal(mine["outcome"], records.FOUND))
    return Row(
        net,
        mine.num_rows,
        found.num_rows,
        best.num_rows,
        best.filter(pc.equal(best["outcome"], records.FOUND)).num_rows,
        rates.median(best["target_confidence"]),
        rates.median(found["generation"]),
        rates.mean(mine["candidates"]),
        rates.shares(rates.classes(found, nets) == found["wrong_class"].to_numpy()[:, None]),
    )


def tables(folder: RunFolder, manifest: Manifest) -> list[Table]:
    """Returns what a finished run found."""
    nets = [net["name"] for net in manifest["nets"]]
    chunks = [_trials_in(folder.chunk(unit["number"])) for unit in manifest["units"]]
    found, natural = (
        rows(pa.concat_tables(chunks), merge(chunks), nets, targets.names(manifest)),
        manifest["natural_confidence"],
    )
    return formatted(found, nets, natural["medians"], f"{natural['images']} of split {natural['split']}")


def _trials_in(chunk: epath.Path) -> pa.Table:
    """Reads the rows of a chunk that are not set aside or skipped."""
    found = records.read_table(chunk)
    return found.filter(pc.is_in(found["outcome"], pa.array(records.TRIAL_OUTCOMES)))


def formatted(
    found: Sequence[Row], nets: Sequence[str], natural: Mapping[str, float], natural_images: str
) -> list[Table]:
    """Returns rows as tables.

    Args:
      found: from `rows`.
      nets: the names of the group.
      natural: median confidence of each net on natural images.
      natural_images: which these were, for the note.
    """
    lines = [_HEADS]
    for row in found:
        counts = [str(count) for count in (row.champions, row.found, row.classes, row.done)]
        medians = [f"{value:.6f}" for value in (row.confidence, natural[row.target_net])]
        lines.append([row.target_net, *counts, *medians, number(row.generation), number(row.evaluations)])
    cross = [["", *nets], *([row.target_net, *(number(100 * share) for share in row.fooled)] for row in found)]
    note = f"confidence: median over the classes; natural: on natural images ({natural_images})"
    about = "% of the garbage found for a net (row) to which each net (column) gives the same class:"
    return [Table(lines, note=note), Table(cross, about, heat=True)]


def draw_curves(folder: RunFolder, units: Sequence[int]) -> None:
    """Draws the islands' curves, of those that did not fail at once, into the run's folder."""
    paths = [path for unit in units if (path := folder.curve(unit)).exists()]
    curves = [np.loadtxt(path.open(), delimiter=",", skiprows=1, ndmin=2) for path in paths]
    stream = io.BytesIO()
    picture.draw_curves(curves, stream)
    ledger.write_whole(folder.path / "curves.png", stream.getvalue())

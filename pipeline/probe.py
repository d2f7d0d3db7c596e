"""How isolated twins are: images and their twins under growing Gaussian noise, and how often each keeps its class.

Tabacof and Valle, "Exploring the Space of Adversarial Images" (arXiv 1510.05328).
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from models.classifier import PeerGroup
from pipeline import noise, tables

_ENDS = (("seed_image", "label"), ("image", "wrong_class"))


@dataclasses.dataclass(frozen=True)
class Row:
    """The pairs made for one net, under noise of one size; everything according to that net.

    Attributes:
      made_for: the net.
      pairs: how many.
      distortion: mean of the twins.
      noise: standard deviation of the noise, pixels in [0, 1].
      shown: mean distortion that the noise came to, after clipping to [0, 1] and rounding to uint8.
      original: share of the noisy originals that still get their label.
      twin: share of the noisy twins that still get their wrong class.
    """

    made_for: str
    pairs: int
    distortion: float
    noise: float
    shown: float
    original: float
    twin: float


def table(
    examples: Sequence[dict[str, Any]], group: PeerGroup, sizes: Sequence[float], draws: int, batch: int
) -> list[Row]:
    """Probes the surroundings of originals and twins.

    Args:
      examples: of `adversarial_pairs`, as NumPy.
      group: the nets, among them all that twins were made for.
      sizes: standard deviations of the noise, in (0, 1].
      draws: how often noise is drawn for an image; an original and its twin, at every size, get the same directions.
      batch: images that a net sees at a time.

    Returns:
      Rows for every net that twins were made for, in the group's order, one a size.
    """
    rows = []
    for net in group.classifiers:
        mine = [example for example in examples if example["target_net"].decode() == net.name]
        if mine:
            rows += _rows(mine, PeerGroup((net,)), sizes, draws, batch)
    return rows


def _rows(
    examples: Sequence[dict[str, Any]], net: PeerGroup, sizes: Sequence[float], draws: int, batch: int
) -> list[Row]:
    kept, shown = probe(examples, net, sizes, draws, batch)
    shares, distortion = kept.mean(axis=-1) / draws, float(np.mean([example["distortion"] for example in examples]))
    return [
        Row(net.names[0], len(examples), distortion, size, float(shown[place].mean()), *shares[place].tolist())
        for place, size in enumerate(sizes)
    ]


def probe(
    examples: Sequence[dict[str, Any]], net: PeerGroup, sizes: Sequence[float], draws: int, batch: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns how many of its `draws` each image kept its class in, and how far the noise moved it on average.

    Args:
      examples: pairs that were made for `net`, a group of one; B of them.
      net: see `table`, as are sizes, draws and batch.

    Returns:
      Counts, integers `[S, 2, B]`, and distortions, float64 `[S, 2, B]`: originals first, then twins.
    """
    counts = np.zeros((len(sizes), 2, len(examples)), np.int64)
    moved = np.zeros(counts.shape)
    for start in range(0, len(examples), batch):
        part = examples[start : start + batch]
        ids, rows = [example["seed"]["id"].decode() for example in part], slice(start, start + batch)
        ends = [[np.stack([example[key] for example in part]) for key in keys] for keys in _ENDS]
        for draw in range(draws):
            direction = noise.gaussian(ids, net.input_shape, draw)
            for (place, size), (end, (images, classes)) in itertools.product(enumerate(sizes), enumerate(ends)):
                noisy = noise.on_grid(images, size * direction)
                counts[place, end, rows] += net.probabilities(noisy, batch)[0].argmax(-1) == classes
                moved[place, end, rows] += noise.distortions(noisy, images) / draws
    return counts, moved


def cells(rows: Sequence[Row]) -> list[list[str]]:
    """Returns the table's cells, heads first; shares in %."""
    found = [["made for", "pairs", "distortion", "noise", "shown", "original", "twin"]]
    for row in rows:
        sizes = [f"{row.distortion:.4f}", f"{row.noise:g}", f"{row.shown:.4f}"]
        found.append([row.made_for, str(row.pairs), *sizes, f"{100 * row.original:.1f}", f"{100 * row.twin:.1f}"])
    return found


def text(rows: Sequence[Row]) -> str:
    """Formats the table for a terminal."""
    about = "% of noisy originals and twins that keep their class; shown: the noise's distortion, clipped and rounded"
    return "\n".join([about, *tables.aligned(cells(rows))])

"""How isolated twins are: images and their twins under growing Gaussian noise, and how often each keeps its class.

Tabacof and Valle, "Exploring the Space of Adversarial Images" (arXiv 1510.05328).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from models.classifier import PeerGroup
from pipeline import ahead
from pipeline.report import picture
from pipeline.report.page import Picture
from pipeline.report.tables import Table
from pipeline.studies import default_sizes, noise
from pipeline.studies.by_target import by_target

FEATURES = ("distortion", "image", "label", "seed/id", "seed_image", "target_net", "wrong_class")  # of examples
_DRAWS = 2  # of a report
_PARTS = 4  # a part of so many of a batch is shown at all sizes together, so that batches are full


@dataclasses.dataclass(frozen=True)
class Row:
    """The pairs made for one net, under noise of one size; everything according to that net.

    Attributes:
      made_for: the net.
      pairs: how many.
      distortion: mean of the twins.
      noise: the distortion that the noise was to have, after clipping to [0, 1] and rounding to uint8.
      shown: the mean distortion that it had: less where so much cannot be had within [0, 1].
      original: share of the noisy originals that still get their label.
      twin: share of the noisy twins that still get their wrong class.
      back: share of the noisy twins that get the original's label again.
    """

    made_for: str
    pairs: int
    distortion: float
    noise: float
    shown: float
    original: float
    twin: float
    back: float


def table(
    examples: Iterable[dict[str, Any]], group: PeerGroup, sizes: Sequence[float], draws: int, batch: int
) -> list[Row]:
    """Probes the surroundings of originals and twins; of some pairs at a time, however many there are.

    Args:
      examples: of adversarial pairs, as NumPy, with at least `FEATURES`.
      group: the nets, among them all that twins were made for.
      sizes: distortions, in (0, 1], that the noise is given; see `noise.moved`.
      draws: how often noise is drawn for an image; an original and its twin, at every size, get the same directions.
      batch: images that a net sees at a time.

    Returns:
      Rows for every net that twins were made for, in the group's order, one a size.
    """
    nets = {net.name: PeerGroup((net,)) for net in group.classifiers}
    sums = {name: _Sums.empty(len(sizes)) for name in nets}
    parts = by_target(examples, group.names, max(1, batch // _PARTS))
    for part, kept, moved in _probed(parts, nets, sizes, draws, batch):
        sums[part[0]["target_net"].decode()].add(part, kept.sum(axis=-1), moved.mean(axis=1).sum(axis=-1))
    return [row for name in nets if sums[name].shown for row in _rows(name, sizes, draws, sums[name])]


@dataclasses.dataclass
class _Sums:
    """What is summed up of the pairs made for one net, each as often as noise was drawn.

    Attributes:
      shown: how many.
      distortion: of the twins.
      kept: `[S, 3]`, as `probe` counts.
      moved: `[S]` distortions by the noise, the mean of original and twin.
    """

    shown: int
    distortion: float
    kept: np.ndarray
    moved: np.ndarray

    @classmethod
    def empty(cls, sizes: int) -> _Sums:
        return cls(0, 0.0, np.zeros((sizes, 3)), np.zeros(sizes))

    def add(self, part: Sequence[dict[str, Any]], kept: np.ndarray, moved: np.ndarray) -> None:
        self.shown += len(part)
        self.distortion += float(sum(pair["distortion"] for pair in part))
        self.kept += kept
        self.moved += moved


def _rows(name: str, sizes: Sequence[float], draws: int, sums: _Sums) -> Iterator[Row]:
    shares, shown = (sums.kept / sums.shown).tolist(), (sums.moved / sums.shown).tolist()
    for place, size in enumerate(sizes):
        distortion = sums.distortion / sums.shown
        yield Row(name, sums.shown // draws, distortion, size, shown[place], *shares[place])


def probe(
    examples: Sequence[dict[str, Any]], net: PeerGroup, sizes: Sequence[float], draws: int, batch: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns what `net` makes of each pair under noise, and how far the noise moves the images on average.

    Args:
      examples: pairs that were made for `net`, a group of one; B of them.
      net: see `table`, as are sizes, draws and batch.

    Returns:
      Counts of draws, integers `[S, 3, B]`: the original keeps its label, the twin its wrong class, the twin gets the
      label; and distortions, float64 `[S, 2, B]`, of original and twin.
    """
    together = max(1, batch // _PARTS)
    parts = [examples[start : start + together] for start in range(0, len(examples), together)]
    found = list(_probed(parts, {net.names[0]: net}, sizes, draws, batch))
    each = [found[draw::draws] for draw in range(draws)]
    kept, moved = (
        np.sum([np.concatenate([one[place] for one in of_draw], axis=-1) for of_draw in each], axis=0)
        for place in (1, 2)
    )
    return kept, moved / draws


def _probed(
    parts: Iterable[Sequence[dict[str, Any]]],
    nets: Mapping[str, PeerGroup],
    sizes: Sequence[float],
    draws: int,
    batch: int,
) -> Iterator[tuple[Sequence[dict[str, Any]], np.ndarray, np.ndarray]]:
    """Yields every part of P pairs as often as noise is drawn, with what that draw gave: `[S, 3, P]`, `[S, 2, P]`."""

    def ask(shown: _Shown) -> np.ndarray:
        return nets[shown.pairs[0]["target_net"].decode()].probabilities(shown.noisy, batch)[0]

    for (pairs, both, noisy), answers in ahead.asked(_shown(parts, sizes, draws), ask):
        labels, wrong = (np.stack([pair[key] for pair in pairs]) for key in ("label", "wrong_class"))
        original, twin = np.moveaxis(answers.argmax(-1).reshape(len(sizes), 2, -1), 1, 0)
        far = noise.distortions(noisy, np.tile(both, (len(sizes), 1, 1, 1)))
        kept = np.stack([original == labels, twin == wrong, twin == labels], axis=1)
        yield pairs, kept, far.reshape(len(sizes), 2, -1)


class _Shown(NamedTuple):
    """P pairs; their originals and twins, uint8 `[2 P, H, W, C]`; these with noise, `[S * 2 * P, H, W, C]`."""

    pairs: Sequence[dict[str, Any]]
    both: np.ndarray
    noisy: np.ndarray


def _shown(parts: Iterable[Sequence[dict[str, Any]]], sizes: Sequence[float], draws: int) -> Iterator[_Shown]:
    for pairs in parts:
        ids = [pair["seed"]["id"].decode() for pair in pairs]
        both = np.stack([pair[key] for key in ("seed_image", "image") for pair in pairs])
        for draw in range(draws):
            directions = np.tile(noise.gaussian(ids, both.shape[1:], draw), (2, 1, 1, 1))
            noisy = [noise.moved(both, directions, np.full(len(both), size)) for size in sizes]
            yield _Shown(pairs, both, np.concatenate(noisy))


def formatted(rows: Sequence[Row]) -> Table:
    """Returns rows as a table; shares in %."""
    found = [["made for", "pairs", "distortion", "noise", "shown", "original", "twin", "back"]]
    for row in rows:
        sizes = [f"{row.distortion:.4f}", f"{row.noise:g}", f"{row.shown:.4f}"]
        shares = [f"{100 * share:.1f}" for share in (row.original, row.twin, row.back)]
        found.append([row.made_for, str(row.pairs), *sizes, *shares])
    about = "% of noisy originals and noisy twins that keep their class, and of noisy twins that are back at the label"
    note = (
        "noise: the distortion wanted; shown: the mean of the images as shown, less where the range does not let more"
    )
    return Table(found, about, note)


def for_report(examples: Sequence[dict[str, Any]], group: PeerGroup, batch: int) -> tuple[Table, Picture]:
    """Returns for a report what `table` finds at the usual sizes with few draws, and its picture."""
    rows = table(examples, group, default_sizes.NOISE, _DRAWS, batch)
    title = "How much noise originals and twins withstand"
    alt = (
        f"A panel for each of {', '.join({row.made_for: None for row in rows})}: % that keep their class, by the noise."
    )
    return formatted(rows), Picture("probe", title, alt, functools.partial(draw, rows))


def draw(rows: Sequence[Row], path: Any) -> None:
    """Draws how many keep their class, by the size of the noise, PNG, into a file or stream."""
    distortions = {row.made_for: row.distortion for row in rows}
    sizes = [row.noise for row in rows if row.made_for == rows[0].made_for]
    kept = np.array([(row.original, row.twin) for row in rows]).reshape(len(distortions), len(sizes), 2)
    picture.draw_probe(list(distortions), list(distortions.values()), sizes, kept, path)

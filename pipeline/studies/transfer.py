"""Who else is fooled: the errors that twins made for one net induce in the others, with noise of equal size beside it.

The cross-model table of Szegedy et al., "Intriguing properties of neural networks" (arXiv 1312.6199), at natural size
and with every perturbation rescaled to a given distortion. Twins and noise are shown as uint8 images, and their sizes
are those of the images as shown.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from models.classifier import PeerGroup
from pipeline import ahead
from pipeline.report import picture
from pipeline.report.page import Picture
from pipeline.report.tables import Table
from pipeline.studies import default_sizes, noise
from pipeline.studies.by_target import by_target

FEATURES = ("image", "label", "seed/id", "seed_image", "target_net")  # of examples
NATURAL = "natural"
_BATCHES = 4  # that nets are shown together, so that few are not full


@dataclasses.dataclass(frozen=True)
class Row:
    """The twins made for one net, at one size.

    Attributes:
      made_for: the net.
      size: `NATURAL`, or the distortion that perturbations were rescaled to.
      twins: how many.
      distortion: mean of the twins as they were shown, clipped to [0, 1] and on the uint8 grid: less than `size` where
        a perturbation cannot be made so large.
      noise_distortion: mean of the noisy originals, likewise: each has its twin's, if noise can be so large.
      induced: share of the twins that each net reads otherwise than the original's class, `[N]`.
      noise: the same for the originals under Gaussian noise, `[N]`.
    """

    made_for: str
    size: str
    twins: int
    distortion: float
    noise_distortion: float
    induced: tuple[float, ...]
    noise: tuple[float, ...]


def table(examples: Iterable[dict[str, Any]], group: PeerGroup, rescale: Sequence[float], batch: int) -> list[Row]:
    """Shows twins, and noise of their size, to all nets; some at a time, however many there are.

    Args:
      examples: of adversarial pairs, as NumPy, with at least `FEATURES`.
      group: the nets to be asked.
      rescale: distortions, in (0, 1], to which perturbations are also rescaled; what clipping takes is made up for.
      batch: images that the nets see at a time.

    Returns:
      Rows for every net that twins were made for, in the group's order: natural size first.
    """
    sizes = (None, *rescale)
    most = max(1, _BATCHES * batch // (2 * len(sizes)))
    parts = by_target(examples, group.names, most)
    sums = {name: _Sums.empty(len(group.names), 2 * len(sizes)) for name in group.names}
    for made, answers in ahead.asked(
        (_made(part, sizes) for part in parts), lambda one: group.probabilities(np.concatenate(one.images), batch)
    ):
        wrong = answers.argmax(-1).reshape(len(group.names), len(made.images), -1) != made.labels
        sums[made.name].add(len(made.labels), wrong.sum(axis=-1), made.distortions)
    return [row for name in group.names if sums[name].twins for row in _rows(name, sizes, sums[name])]


@dataclasses.dataclass
class _Sums:
    """What is summed up of the twins made for one net: how many; nets that are wrong `[N, I]`; distortions `[I]`."""

    twins: int
    wrong: np.ndarray
    distortions: np.ndarray

    @classmethod
    def empty(cls, nets: int, images: int) -> _Sums:
        return cls(0, np.zeros((nets, images), np.int64), np.zeros(images))

    def add(self, twins: int, wrong: np.ndarray, distortions: np.ndarray) -> None:
        self.twins += twins
        self.wrong += wrong
        self.distortions += distortions


def _rows(name: str, sizes: Sequence[float | None], sums: _Sums) -> Iterator[Row]:
    shares = [tuple(of_image) for of_image in (sums.wrong / sums.twins).T.tolist()]
    distortions = (sums.distortions / sums.twins).tolist()
    for place, size in enumerate(sizes):
        here = slice(2 * place, 2 * place + 2)
        yield Row(name, NATURAL if size is None else f"{size:g}", sums.twins, *distortions[here], *shares[here])


class _Made(NamedTuple):
    """What nets are shown of T twins made for one: these and noise, by size; labels `[T]`; sums of distortions."""

    name: str
    labels: np.ndarray
    images: list[np.ndarray]
    distortions: np.ndarray


def _made(examples: Sequence[dict[str, Any]], sizes: Sequence[float | None]) -> _Made:
    originals, twins, labels = (
        np.stack([example[key] for example in examples]) for key in ("seed_image", "image", "label")
    )
    directions = noise.gaussian([example["seed"]["id"].decode() for example in examples], originals.shape[1:])
    images = [shown for size in sizes for shown in _sized(originals, twins, directions, size)]
    distortions = np.array([noise.distortions(shown, originals).sum() for shown in images])
    return _Made(examples[0]["target_net"].decode(), labels, images, distortions)


def _sized(originals: np.ndarray, twins: np.ndarray, directions: np.ndarray, size: float | None) -> list[np.ndarray]:
    """Returns twins at a size, and originals with as much noise."""
    if size is not None:
        twins = noise.moved(originals, twins.astype(np.float64) - originals, np.full(len(twins), size))
    return [twins, noise.moved(originals, directions, noise.distortions(twins, originals))]


def _cells(row: Row, distortion: float, shares: Sequence[float]) -> list[str]:
    return [row.size, str(row.twins), f"{distortion:.4f}", *(f"{100 * share:.1f}" for share in shares)]


def formatted(rows: Sequence[Row], nets: Sequence[str]) -> Table:
    """Returns rows as a table: for every row one line for the twins and one for the noise, in %."""
    found = [["made for", "size", "twins", "distortion", *nets]]
    for row in rows:
        found.append([row.made_for, *_cells(row, row.distortion, row.induced)])
        found.append([f"noise for {row.made_for}", *_cells(row, row.noise_distortion, row.noise)])
    note = "distortion: the mean of the images as shown; less than the size where it cannot be had within the range"
    return Table(found, "% of images that each net misreads", note)


def for_report(examples: Sequence[dict[str, Any]], group: PeerGroup, batch: int) -> tuple[Table, Picture]:
    """Returns for a report what `table` finds at the usual sizes, and its picture."""
    rows = table(examples, group, default_sizes.RESCALED, batch)
    title = "Who else is fooled, with noise of the same size beside it"
    alt = f"Heat map of the table: a row for each net and size, a column for each of {', '.join(group.names)}."
    return formatted(rows, group.names), Picture("transfer", title, alt, functools.partial(draw, rows, group.names))


def draw(rows: Sequence[Row], nets: Sequence[str], path: Any) -> None:
    """Draws the table as a heat map, PNG, into a file or stream: first all twins, then all noise."""
    named = [(f"{row.made_for}, {row.size}", row.induced) for row in rows]
    named += [(f"noise: {row.made_for}, {row.size}", row.noise) for row in rows]
    names, shares = zip(*named, strict=True)
    picture.draw_table(np.array(shares), names, nets, path)

"""Adversarial twins of MNIST nets: how far they are, whom else they fool, and what noise of their size does."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from models.classifier import PeerGroup
from models.settings import setting
from pipeline.config.config import Config
from pipeline.report import picture, rates
from pipeline.report.page import Picture
from pipeline.report.tables import Table, number
from pipeline.reproduce.bench import Bench, with_keys
from pipeline.reproduce.experiment import SZEGEDY, Claim, Experiment, Findings
from pipeline.seeds.source import SeedSource
from pipeline.studies import noise, transfer
from pipeline.studies.transfer import NATURAL
from pipeline.versions.published import Published

_TASK = "the task whose nets are attacked: its configuration, relative to this file"
_BATCH = 512  # images that nets see at a time
_READ = 4096  # images in memory at a time
_FACTOR = 1.5  # within which distortions have to be those of the paper
_POINTS = 10.0  # within which shares have to be those of the paper, in %
_FURTHEST = 4  # shares that are told


class Line(NamedTuple):
    """A line of the paper's Table 1.

    Attributes:
      train, test: errors in %.
      distortion: mean of the twins.
      induced: errors of three nets on them, in %; none where the paper has none.
    """

    train: float
    test: float
    distortion: float
    induced: tuple[float, ...]


INDUCED_IN = ("fc10@1e-4", "fc100-100-10@1e-5,1e-5,1e-6", "ae400-10")
TABLE = {
    "fc10@1e-4": Line(6.7, 7.4, 0.062, (100, 2, 2.7)),
    "fc10@1e-2": Line(10, 9.4, 0.10, (87.1, 35.9, 9.8)),
    "fc10@1": Line(21.2, 20, 0.14, (71.9, 48.1, 34.4)),
    "fc100-100-10@1e-5,1e-5,1e-6": Line(0, 1.64, 0.058, (28.9, 100, 2)),
    "fc200-200-10@1e-5,1e-5,1e-6": Line(0, 1.54, 0.065, (38.2, 20.3, 2.7)),
    "ae400-10": Line(0.57, 1.9, 0.086, ()),
}
NOISE = {0.1: (5.0, 0, 0.8), 0.3: (15.6, 5, 3.1)}  # distortion -> errors induced in the same three nets, in %
NATURAL_OTHER, RESCALED_OTHER = (26.2, 5.9), (98.0, 43.0)  # another architecture; the other half's net, in %


@dataclasses.dataclass(frozen=True)
class Twins(Experiment):
    """Twins of every net by box-constrained L-BFGS, shown to every other net."""

    task: str = setting("", _TASK)
    trials: int = setting(1000, "images attacked for each net", low=1, high=1_000_000)

    name: ClassVar[str] = "szegedy-table"
    title: ClassVar[str] = "Table 1: how far twins are, and whom else they fool"
    paper: ClassVar[str] = SZEGEDY
    takes: ClassVar[str] = "10 minutes"

    def run(self, bench: Bench) -> Findings:
        """See `Experiment`."""
        task = with_keys(bench.task(self.task), "table", search={"trials": self.trials, "targets": "all"})
        dataset, group = _published(bench, task)
        rows = {row.made_for: row for row in transfer.table(_examples(dataset), group, (), _BATCH)}
        errors = [_errors(group, bench.job(task).source, split) for split in ("train", "test")]
        shares = np.array([row.induced for row in rows.values()])
        drawn = functools.partial(picture.draw_table, shares, list(rows), group.names)
        shown = Picture("induced", "Who is fooled by whose twins", "Heat map: nets of twins by nets shown them.", drawn)
        claims = [
            _all_fooled(dataset, rows),
            _decay(rows),
            _carry_over(rows, group),
            _as_far(rows),
            _shares(rows, group),
        ]
        return Findings(claims, [_beside(rows, errors, group)], [shown], [_COUNTED.format(_counts(rows))])


def _beside(rows: dict[str, transfer.Row], errors: Sequence[Sequence[float]], group: PeerGroup) -> Table:
    """Returns the paper's table beside ours; `errors` are the nets' on the training and the test images, in %."""
    others = [name for name in INDUCED_IN if name in group.names]
    figures = ("train / test error %", "distortion", "induced %")
    cells = [["net", *(f"{figure}, {whose}" for figure in figures for whose in ("paper", "here"))]]
    for place, (name, row) in enumerate(rows.items()):
        line = TABLE.get(name)
        induced = " / ".join(f"{100 * row.induced[group.names.index(other)]:.1f}" for other in others)
        ours = [" / ".join(f"{error[place]:.1f}" for error in errors), f"{row.distortion:.3f}", induced]
        theirs = ["-"] * 3
        if line:
            among = " / ".join(f"{share:g}" for share in line.induced) or "-"
            theirs = [f"{line.train:g} / {line.test:g}", f"{line.distortion:g}", among]
        cells.append([name, *(cell for pair in zip(theirs, ours, strict=True) for cell in pair)])
    return Table(cells, note=f"induced: errors of {', '.join(others) or 'no net of the paper'} on the twins")


_COUNTED = "Every twin is stored as a uint8 image, and misread as stored. Twins: {}."


def _counts(rows: dict[str, transfer.Row]) -> str:
    return ", ".join(f"{row.twins} of {name}" for name, row in rows.items())


def _published(bench: Bench, task: Config) -> tuple[Published, PeerGroup]:
    dataset = bench.published(task)
    return dataset, bench.group(dataset)


def _examples(dataset: Published) -> list[dict[str, Any]]:
    return list(dataset.examples(transfer.FEATURES))


def _errors(group: PeerGroup, source: SeedSource, split: str) -> list[float]:
    """Returns each net's error on a split, in %."""
    count, wrong = source.count(split), np.zeros(len(group.names))
    for start in range(0, count, _READ):
        batch = source.read(split, range(start, min(start + _READ, count)))
        wrong += (group.probabilities(batch.images, _BATCH).argmax(-1) != batch.labels).sum(axis=1)
    return [100.0 * each / count for each in wrong]


def _all_fooled(dataset: Published, rows: dict[str, transfer.Row]) -> Claim:
    counts = [rates.rate(run.manifest, name) for run in dataset.runs.values() for name in rows]
    found, tried = (sum(column) for column in zip(*counts, strict=True))
    text = "For every image that a net reads right there is a twin that it misreads."
    return Claim(text, found == tried, f"{found:,} twins in {tried:,} attacks.")


def _decay(rows: dict[str, transfer.Row]) -> Claim:
    decayed = [rows[name].distortion for name in ("fc10@1e-4", "fc10@1e-2", "fc10@1") if name in rows]
    held = all(a < b for a, b in itertools.pairwise(decayed)) if len(decayed) > 1 else None
    told = ", ".join(f"{each:.3f}" for each in decayed) or "no such nets in this form"
    return Claim("The stronger the weight decay, the further the twins (FC10 with 1e-4, 1e-2, 1).", held, f"{told}.")


def _carry_over(rows: dict[str, transfer.Row], group: PeerGroup) -> Claim:
    pairs = [
        (row.induced[place], row.noise[place])
        for name, row in rows.items()
        for place, other in enumerate(group.names)
        if other != name
    ]
    ahead = sum(induced > by_noise for induced, by_noise in pairs)
    text = "Twins of one net fool others far more often than noise of their size."
    mean = [100 * float(np.mean(column)) for column in zip(*pairs, strict=True)] if pairs else [math.nan, math.nan]
    found = f"{number(mean[0])}% by twins, {number(mean[1])}% by noise, more in {ahead} of {len(pairs)} pairs of nets."
    return Claim(text, ahead == len(pairs) and mean[0] > 2 * mean[1] if pairs else None, found)


def _as_far(rows: dict[str, transfer.Row]) -> Claim:
    pairs = [(name, row.distortion, TABLE[name].distortion) for name, row in rows.items() if name in TABLE]
    held = all(1 / _FACTOR <= ours / theirs <= _FACTOR for _, ours, theirs in pairs) if pairs else None
    told = ", ".join(f"{name} {ours:.3f} ({theirs:g})" for name, ours, theirs in pairs) or "no such nets in this form"
    text = f"Mean distortions are 0.058 to 0.14 (held if each is within a factor of {_FACTOR:g} of the paper's)."
    return Claim(text, held, f"ours (the paper's): {told}.")


def _shares(rows: dict[str, transfer.Row], group: PeerGroup) -> Claim:
    pairs = [
        (f"{name} in {other}", 100 * row.induced[group.names.index(other)], published)
        for name, row in rows.items()
        for other, published in zip(INDUCED_IN, TABLE[name].induced if name in TABLE else ())
        if other != name and other in group.names
    ]
    held = all(abs(ours - theirs) <= _POINTS for _, ours, theirs in pairs) if pairs else None
    apart = sorted(pairs, key=lambda pair: -abs(pair[1] - pair[2]))[:_FURTHEST]
    told = ", ".join(f"{name} {ours:.1f}% ({theirs:g})" for name, ours, theirs in apart) or "no such nets in this form"
    text = f"Which nets fool which, and how often, is as in the paper's table (held if within {_POINTS:g} points)."
    return Claim(text, held, f"furthest apart, ours (the paper's): {told}.")


@dataclasses.dataclass(frozen=True)
class Halves(Experiment):
    """Nets trained on disjoint halves of the training images, shown each other's twins."""

    task: str = setting("", f"{_TASK}: two nets of the first half, then one of the other")
    trials: int = setting(1000, "images attacked for each net", low=1, high=1_000_000)
    rescaled: float = setting(0.1, "distortion to which twins are also rescaled", low=1e-6, high=1)

    name: ClassVar[str] = "szegedy-halves"
    title: ClassVar[str] = "Nets trained on disjoint halves, and each other's twins"
    paper: ClassVar[str] = SZEGEDY
    takes: ClassVar[str] = "7 minutes"

    def run(self, bench: Bench) -> Findings:
        """See `Experiment`."""
        task = with_keys(bench.task(self.task), "halves", search={"trials": self.trials, "targets": "all"})
        dataset, group = _published(bench, task)
        rows = transfer.table(_examples(dataset), group, (self.rescaled,), _BATCH)
        natural, rescaled = (
            next(row for row in rows if row.made_for == group.names[0] and (row.size == NATURAL) == is_natural)
            for is_natural in (True, False)
        )
        claims = [
            self._across(natural, "natural size"),
            self._across(rescaled, f"distortion {self.rescaled:g}"),
            Claim(
                "Another architecture of the same half is fooled more often than the same one of the other half.",
                natural.induced[1] > natural.induced[2],
                f"{100 * natural.induced[1]:.1f}% and {100 * natural.induced[2]:.1f}%.",
            ),
            self._as_often(natural, rescaled),
        ]
        return Findings(claims, [_both_sizes(natural, rescaled, group), transfer.formatted(rows, group.names)])

    def _across(self, row: transfer.Row, size: str) -> Claim:
        induced, by_noise = row.induced[2], row.noise[2]
        text = f"Twins fool a net that saw none of the same images more often than noise does ({size})."
        return Claim(text, induced > by_noise, f"{100 * induced:.1f}% by twins, {100 * by_noise:.1f}% by noise.")

    def _as_often(self, natural: transfer.Row, rescaled: transfer.Row) -> Claim:
        pairs = [
            (100 * ours, theirs)
            for row, line in ((natural, NATURAL_OTHER), (rescaled, RESCALED_OTHER))
            for ours, theirs in zip(row.induced[1:], line)
        ]
        told = ", ".join(f"{ours:.1f}% ({theirs:g})" for ours, theirs in pairs)
        return Claim(
            f"They are fooled as often as in the paper (held if within {_POINTS:g} points).",
            all(abs(ours - theirs) <= _POINTS for ours, theirs in pairs),
            f"ours (the paper's), another architecture and the other half: {told}; the last two at distortion "
            f"{self.rescaled:g}.",
        )


def _both_sizes(natural: transfer.Row, rescaled: transfer.Row, group: PeerGroup) -> Table:
    columns = [f"{size}, {what} %" for size in ("natural", "rescaled") for what in ("paper", "here", "noise")]
    cells = [["shown to", *columns]]
    for place, (name, what) in enumerate(zip(group.names[1:], ("another architecture", "the other half")), start=1):
        theirs = [f"{line[place - 1]:g}" for line in (NATURAL_OTHER, RESCALED_OTHER)]
        ours = [[f"{100 * share[place]:.1f}" for share in (row.induced, row.noise)] for row in (natural, rescaled)]
        cells.append([f"{name} ({what})", theirs[0], *ours[0], theirs[1], *ours[1]])
    note = f"twins of {group.names[0]}, mean distortion {natural.distortion:.3f}; noise of the same size beside"
    return Table(cells, note=note)


@dataclasses.dataclass(frozen=True)
class Noise(Experiment):
    """Gaussian noise of stated sizes beside twins: how often it misleads the same nets."""

    task: str = setting("", f"{_TASK}; the seed images are its own")
    images: int = setting(10_000, "images that are shown, of the task's first split", low=1, high=10_000_000)
    sizes: tuple[float, ...] = setting((0.1, 0.3), "distortions of the noise")

    name: ClassVar[str] = "szegedy-noise"
    title: ClassVar[str] = "Gaussian noise of the size of twins, and larger"
    paper: ClassVar[str] = SZEGEDY
    takes: ClassVar[str] = "5 minutes"

    def run(self, bench: Bench) -> Findings:
        """See `Experiment`."""
        task = bench.task(self.task)
        group, _ = bench.nets(task)
        source, split = bench.job(task).source, task.seeds.splits[0]
        batch = source.read(split, range(min(self.images, source.count(split))))
        clean = group.probabilities(batch.images, _BATCH).argmax(-1)
        right = clean == batch.labels
        directions = noise.gaussian(batch.ids, batch.images.shape[1:])
        cells, worst = [["distortion", *(f"{name}, paper % / here" for name in group.names)]], 0.0
        for size in self.sizes:
            noisy = noise.moved(batch.images, directions, np.full(len(batch.images), size))
            answers = group.probabilities(noisy, _BATCH).argmax(-1)
            induced = [float((answers[net] != batch.labels)[right[net]].mean()) for net in range(len(group.names))]
            published = dict(zip(INDUCED_IN, NOISE.get(size, ()), strict=False))
            cells.append(
                [f"{size:g}", *(_pair(published.get(name), 100 * at) for name, at in zip(group.names, induced))]
            )
            worst = max(worst, *induced) if size == min(self.sizes) else worst
        claim = Claim(
            f"Noise of distortion {min(self.sizes):g} misleads few: 5% at most of the paper's nets.",
            worst <= 0.05,
            f"{100 * worst:.1f}% at most.",
        )
        note = "errors on images that the net reads right; noise is given its size after clipping and rounding to uint8"
        return Findings([claim], [Table(cells, note=note)])


def _pair(published: float | None, here: float) -> str:
    return f"{'-' if published is None else f'{published:g}'} / {here:.1f}"

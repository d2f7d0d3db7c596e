"""How often the peer-filtered search succeeds: Table 1 of "The Virtues of Peer Pressure", and what lies behind it."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np

from models.settings import setting
from pipeline import records
from pipeline.config.config import Config
from pipeline.kinds import targets
from pipeline.kinds.mistakes import summary
from pipeline.kinds.mistakes.summary import Row
from pipeline.report import picture, rates
from pipeline.report.page import Picture
from pipeline.report.tables import Table, number
from pipeline.reproduce.bench import Bench, with_keys
from pipeline.reproduce.experiment import BALUJA, Claim, Experiment, Findings


class PaperRow(NamedTuple):
    """A line of the paper's Table 1: successes in %, mean moves, mean inferences."""

    found: float
    moves: float
    inferences: float


TABLE1 = (
    PaperRow(63, 5, 507),
    PaperRow(25, 5, 640),
    PaperRow(9, 6, 852),
    PaperRow(5, 6, 801),
    PaperRow(7, 6, 819),
)
_ORDER = "A > B > C >= D and E"
_TASK = "the task whose nets are searched: its configuration, relative to this file"


@dataclasses.dataclass(frozen=True)
class Table1(Experiment):
    """Five nets that differ in their hidden layer alone, each searched from seed digits drawn at random."""

    task: str = setting("", _TASK)
    trials: int = setting(1000, "seed images, each tried for every target", low=1, high=1_000_000)

    name: ClassVar[str] = "peer-table1"
    title: ClassVar[str] = "Table 1: successes of the peer-filtered search on MNIST"
    paper: ClassVar[str] = BALUJA
    takes: ClassVar[str] = "3 minutes"

    def run(self, bench: Bench) -> Findings:
        """See `Experiment`."""
        task = with_keys(bench.task(self.task), "table1", search={"trials": self.trials}, judge={"architecture": ""})
        rows = _rows(bench, task)
        return Findings(
            [_order(rows), _moves(rows), _inferences(rows)],
            [_beside(rows)],
            notes=[
                "The paper does not give its thresholds, ranges and training. Here every peer is at least "
                f"{task.sections['search'].peer_confidence:g} sure of the class, and the target net at least "
                f"{task.sections['search'].target_confidence:g} sure of a wrong one: one choice, not the best of "
                "several."
            ],
        )


def _rows(bench: Bench, task: Config) -> list[Row]:
    folder = bench.mined(task)
    manifest = folder.manifest()
    assert manifest is not None
    return summary.rows(records.read_table(folder.trials), targets.names(manifest))


def _share(row: Row) -> float:
    return 100.0 * row.found / row.trials if row.trials else math.nan


def _falls(shares: Sequence[float]) -> bool:
    """Tells whether A > B > C and no later one is above C; of fewer targets, whether they fall."""
    first, rest = shares[:3], shares[3:]
    return all(a > b for a, b in itertools.pairwise(first)) and all(each <= first[-1] for each in rest)


def _percents(shares: Sequence[float]) -> str:
    return ", ".join(f"{share:.1f}" for share in shares)


def _order(rows: Sequence[Row]) -> Claim:
    shares = [_share(row) for row in rows]
    return Claim(
        f"The weaker the net, the more often it is led astray: {_ORDER}.", _falls(shares), _percents(shares) + "%."
    )


def _moves(rows: Sequence[Row]) -> Claim:
    moves = [row.moves for row in rows if row.found]
    held = bool(moves) and all(5 <= each <= 10 for each in moves)
    return Claim("A mistake takes 5 to 10 moves.", held if moves else None, f"{_percents(moves)} moves on average.")


def _inferences(rows: Sequence[Row]) -> Claim:
    pairs = [(row.inferences, line.inferences) for row, line in zip(rows, TABLE1) if row.found]
    ratios = [ours / theirs for ours, theirs in pairs]
    held = all(0.1 < ratio < 10 for ratio in ratios) if ratios else None
    told = ", ".join(f"{ours:.0f}" for ours, _ in pairs)
    return Claim("A success takes some hundred inferences through all nets (507 to 852).", held, f"{told}.")


def _beside(rows: Sequence[Row]) -> Table:
    heads = ["target", "found, paper %", "found, here % (95% interval)", "moves, paper", "moves", "inferences, paper"]
    cells = [[*heads, "inferences", "of all trials"]]
    for row, line in itertools.zip_longest(rows, TABLE1[: len(rows)]):
        low, high = (100 * bound for bound in rates.wilson(row.found, row.trials))
        share = f"{_share(row):.1f} ({low:.1f} to {high:.1f})"
        theirs = ["-"] * 3 if line is None else [f"{each:g}" for each in line]
        ours = [number(row.moves), number(row.inferences, 0), number(row.all_inferences, 0)]
        cells.append([row.target_net, theirs[0], share, theirs[1], ours[0], theirs[2], *ours[1:]])
    trials = ", ".join(dict.fromkeys(str(row.trials) for row in rows))
    return Table(cells, note=f"{trials} trials for each target; moves and inferences are means over those that succeed")


@dataclasses.dataclass(frozen=True)
class Thresholds(Experiment):
    """The same nets and seed images under every pair of thresholds: which choice may have been the paper's."""

    task: str = setting("", _TASK)
    trials: int = setting(300, "seed images, each tried for every target", low=1, high=1_000_000)
    peers: tuple[float, ...] = setting((0.0, 0.5, 0.9, 0.99), "least confidences of the peers in the class")
    targets: tuple[float, ...] = setting((0.0, 0.5, 0.9, 0.99), "least confidences of the target in a wrong class")

    name: ClassVar[str] = "peer-thresholds"
    title: ClassVar[str] = "Which thresholds give Table 1"
    paper: ClassVar[str] = f"{BALUJA}, which does not give them"
    takes: ClassVar[str] = "15 minutes"

    def run(self, bench: Bench) -> Findings:
        """See `Experiment`."""
        base, grid = bench.task(self.task), {}
        for peer, target in itertools.product(self.peers, self.targets):
            search = {"trials": self.trials, "peer_confidence": peer, "target_confidence": target}
            name = f"peers{round(1000 * peer)}_target{round(1000 * target)}"
            grid[peer, target] = _rows(bench, with_keys(base, name, search=search, judge={"architecture": ""}))
        distances = {pair: _distance(rows) for pair, rows in grid.items()}
        nearest = min(distances, key=lambda pair: distances[pair])
        within = [_within(rows) for rows in grid.values()]
        nets = [row.target_net for row in grid[nearest]]
        claims = [
            Claim(
                "Thresholds decide the rates (known of this setting, not said in the paper).",
                max(map(_mean, grid.values())) > 2 * min(map(_mean, grid.values())),
                f"mean rates from {min(map(_mean, grid.values())):.1f} to {max(map(_mean, grid.values())):.1f}%.",
            ),
            Claim(
                "Table 1's rates (63, 25, 9, 5, 7%) come of some choice of thresholds.",
                max(within) == len(nets),
                f"at most {max(within)} of {len(nets)} rates lie within the intervals of one choice; the nearest is "
                f"peers {nearest[0]:g}, target {nearest[1]:g}: {_percents([_share(row) for row in grid[nearest]])}%.",
            ),
            Claim(
                f"The order of the targets, {_ORDER}, does not hang on them.",
                all(_falls([_share(row) for row in rows]) for rows in grid.values()),
                f"it is so in {sum(_falls([_share(row) for row in rows]) for rows in grid.values())} of {len(grid)}.",
            ),
        ]
        return Findings(claims, [_grid(grid, distances, nets)], [self._drawn(grid)])

    def _drawn(self, grid: dict[tuple[float, float], list[Row]]) -> Picture:
        shares = np.array([[_mean(grid[peer, target]) / 100 for target in self.targets] for peer in self.peers])
        rows, columns = [f"peers {peer:g}" for peer in self.peers], [f"target {target:g}" for target in self.targets]
        draw = functools.partial(picture.draw_table, shares, rows, columns, title="% of trials that succeed")
        return Picture("grid", "Mean rate over the targets", "Heat map of the mean rate by both thresholds.", draw)


def _mean(rows: Sequence[Row]) -> float:
    return float(np.mean([_share(row) for row in rows]))


def _distance(rows: Sequence[Row]) -> float:
    """Returns how far rates are from the paper's: root mean square of the differences in points."""
    return math.sqrt(np.mean([(_share(row) - line.found) ** 2 for row, line in zip(rows, TABLE1)]))


def _within(rows: Sequence[Row]) -> int:
    """Returns how many of the paper's rates lie within the 95% intervals of ours."""
    return sum(100 * row.low <= line.found <= 100 * row.high for row, line in zip(rows, TABLE1))


def _grid(
    grid: dict[tuple[float, float], list[Row]], distances: dict[tuple[float, float], float], nets: Sequence[str]
) -> Table:
    cells = [["peers", "target", *(f"{net} %" for net in nets), "moves", "inferences", "distance"]]
    cells.append(["paper", "", *(f"{line.found:g}" for line in TABLE1[: len(nets)]), "5-6", "507-852", "0"])
    for pair, rows in grid.items():
        found = [row for row in rows if row.found]
        means = [
            np.mean([getattr(row, name) for row in found]) if found else math.nan for name in ("moves", "inferences")
        ]
        shares = [f"{_share(row):.1f}" for row in rows]
        confidences = [f"{each:g}" for each in pair]
        cells.append([*confidences, *shares, number(means[0]), number(means[1], 0), f"{distances[pair]:.1f}"])
    note = (
        "least confidence of the peers in the class and of the target in a wrong one; distance: root mean square of the"
    )
    return Table(cells, note=f"{note} differences to the paper's rates, in points", left=2)


@dataclasses.dataclass(frozen=True)
class Variance(Experiment):
    """Table 1 of many groups of nets, trained from other first weights: what one published table can say."""

    task: str = setting("", _TASK)
    trials: int = setting(1000, "seed images, each tried for every target", low=1, high=1_000_000)
    groups: int = setting(20, "groups of nets", low=2, high=1000)

    name: ClassVar[str] = "peer-variance"
    title: ClassVar[str] = "How much of Table 1 is the draw of the nets"
    paper: ClassVar[str] = f"{BALUJA}, which has one group of nets"
    takes: ClassVar[str] = "20 minutes"

    def run(self, bench: Bench) -> Findings:
        """See `Experiment`."""
        base, groups = bench.task(self.task), []
        for group in range(self.groups):
            keys: dict[str, dict[str, object]] = {
                "search": {"trials": self.trials},
                "peers": {"init_seed": 100 * group},
                "judge": {"architecture": ""},
            }
            groups.append(_rows(bench, with_keys(base, f"group{group}", **keys)))
        shares = np.array([[_share(row) for row in rows] for rows in groups])
        nets = [row.target_net for row in groups[0]]
        columns = {net: shares[:, place].tolist() for place, net in enumerate(nets)}
        drawn = functools.partial(picture.draw_histograms, columns, "% of trials")
        shown = Picture("rates", "Rates of all groups", f"Histograms of the rates of {', '.join(nets)}.", drawn)
        return Findings([_ordered(shares), _as_published(shares)], [self._spread(groups, shares)], [shown])

    def _spread(self, groups: Sequence[Sequence[Row]], shares: np.ndarray) -> Table:
        cells = [["target", "paper %", "mean %", "least", "most", "between groups", "within a group"]]
        for place, row in enumerate(groups[0]):
            column = shares[:, place]
            within = float(np.mean([_binomial(rows[place]) for rows in groups]))
            between = math.sqrt(max(column.var(ddof=1) - within**2, 0.0))
            published = f"{TABLE1[place].found:g}" if place < len(TABLE1) else "-"
            figures = [column.mean(), column.min(), column.max(), between, within]
            cells.append([row.target_net, published, *(f"{figure:.1f}" for figure in figures)])
        note = (
            f"{self.groups} groups of {shares.shape[1]} nets, {self.trials} seed images each; standard deviations in "
            "points: between groups, what is left when that of the trials within a group is taken out"
        )
        return Table(cells, note=note)


def _ordered(shares: np.ndarray) -> Claim:
    ordered, first = sum(map(_falls, shares.tolist())), int((shares.argmax(axis=1) == 0).sum())
    return Claim(
        f"One group of nets shows the order {_ORDER}.",
        ordered == len(shares),
        f"{ordered} of {len(shares)} groups show it whole; A is first in {first}.",
    )


def _as_published(shares: np.ndarray) -> Claim:
    middle, half = shares.mean(axis=0), 2.0 * shares.std(axis=0, ddof=1)
    inside = [abs(line.found - mean) <= reach for mean, reach, line in zip(middle, half, TABLE1)]
    return Claim(
        "The paper's rates are such as one group of nets gives.",
        all(inside),
        f"{sum(inside)} of {len(inside)} lie within two standard deviations of our groups' means.",
    )


def _binomial(row: Row) -> float:
    """Returns the standard deviation, in points, that a rate has by the draw of its trials alone."""
    share = row.found / row.trials if row.trials else 0.0
    return 100.0 * math.sqrt(share * (1.0 - share) / max(row.trials, 1))

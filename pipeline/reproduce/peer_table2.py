"""Table 2 of "The Virtues of Peer Pressure": pixels are swapped, and the peers alone keep the image what it was."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models.errors import InputError
from models.settings import setting
from pipeline import records
from pipeline.config.config import Config
from pipeline.kinds.kind import Example
from pipeline.kinds.mistakes import summary
from pipeline.kinds.mistakes.summary import Row
from pipeline.operators.affine import Affine
from pipeline.operators.pixel_swap import PixelSwap
from pipeline.report import picture, rates
from pipeline.report.page import Picture
from pipeline.report.tables import Table, number
from pipeline.reproduce.bench import Bench, with_keys
from pipeline.reproduce.experiment import BALUJA, Claim, Experiment, Findings
from pipeline.versions.of_run import RunExamples


class PaperColumn(NamedTuple):
    """A column of the paper's Table 2: successes of 300 tries, and mean swaps."""

    found: int
    swaps: int


TABLE2 = (PaperColumn(299, 36), PaperColumn(145, 37), PaperColumn(96, 39), PaperColumn(72, 40), PaperColumn(57, 41))
TRIES = 300
_ALONE = 0.98  # the share that has to succeed without peers
_FACTOR = 2.0  # within which mean swaps have to be those of the paper
_SHOWN = 8  # seed images of the picture


@dataclasses.dataclass(frozen=True)
class _Column:
    """What was found under some peers.

    Attributes:
      row: of the target net.
      outcomes: of each seed image that was tried, by its id.
      examples: the mistakes, by the ids of their seed images.
      class_names: K names.
    """

    row: Row
    outcomes: Mapping[str, str]
    examples: Mapping[str, Example]
    class_names: Sequence[str]

    @property
    def cut_off(self) -> int:
        """How many tries ended because they may make no more moves."""
        return sum(outcome == records.MOVES_SPENT for outcome in self.outcomes.values())

    @property
    def read(self) -> int:
        """How many of the mistakes the judge gives their label."""
        return sum(int(example["judge"]["class"]) == int(example["label"]) for example in self.examples.values())

    @property
    def high(self) -> int:
        """How many of the mistakes are graded to be of high value."""
        return sum(example["grade"] == records.HIGH.encode() for example in self.examples.values())


@dataclasses.dataclass(frozen=True)
class Table2(Experiment):
    """One target net under no, one, two, ... peers; every move swaps two pixels drawn at random."""

    task: str = setting(
        "",
        "the task whose nets are searched: its configuration, relative to this file; it has a judge and swaps pixels; "
        "its first net is the target, the others are the peers, in this order",
    )
    trials: int = setting(TRIES, "seed images for each number of peers", low=1, high=1_000_000)

    name: ClassVar[str] = "peer-table2"
    title: ClassVar[str] = "Table 2: pixel swaps under none to four peers"
    paper: ClassVar[str] = BALUJA
    takes: ClassVar[str] = "5 minutes"

    def run(self, bench: Bench) -> Findings:
        """See `Experiment`."""
        base = bench.task(self.task)
        if not base.judge.architecture:
            raise InputError(f"{self.task} has no judge; give it [judge] architecture.")
        if not isinstance(base.sections["operator"], PixelSwap):
            raise InputError(f"{self.task} does not swap pixels; give it [operator] name = '{PixelSwap.name}'.")
        nets = base.peers.architectures  # the target comes first, for a net's place decides its first weights
        columns = [_column(bench, self._under(base, nets[:count])) for count in range(1, len(nets) + 1)]
        moved = dataclasses.replace(base, task=f"{base.task}_moved", sections={**base.sections, "operator": Affine()})
        affine = _column(bench, self._under(moved, nets))
        return Findings(
            [_falling(columns), _alone(columns[0]), _swaps(columns), _low(columns)],
            [_beside(columns), _judged(columns, affine)],
            _drawn(columns),
            _notes(base, columns),
        )

    def _under(self, task: Config, nets: Sequence[str]) -> Config:
        """Returns a task with these nets, of which the first is the target."""
        search = {"trials": self.trials, "targets": (nets[0],)}
        return with_keys(task, f"peers{len(nets) - 1}", peers={"architectures": tuple(nets)}, search=search)


def _column(bench: Bench, task: Config) -> _Column:
    folder = bench.mined(task)
    trials, run = records.read_table(folder.trials), RunExamples(folder)
    (row,) = summary.rows(trials, task.targets)
    tried = trials.filter(pc.is_in(trials["outcome"], pa.array(records.TRIAL_OUTCOMES)))
    outcomes = dict(zip(tried["seed_id"].to_pylist(), tried["outcome"].to_pylist(), strict=True))
    examples = {example["seed"]["id"].decode(): example for example in run.examples()}
    return _Column(row, outcomes, examples, run.run.class_names)


def _falling(columns: Sequence[_Column]) -> Claim:
    found = [column.row.found for column in columns]
    held = all(more > fewer for more, fewer in itertools.pairwise(found))
    told = ", ".join(map(str, found))
    return Claim(
        "Every further peer makes mistakes rarer (299, 145, 96, 72, 57 of 300).",
        held,
        f"{told} of {columns[0].row.trials}.",
    )


def _alone(column: _Column) -> Claim:
    return Claim(
        f"Without peers nearly every try succeeds (299 of 300; held if {100 * _ALONE:g}% do).",
        column.row.found >= _ALONE * column.row.trials,
        f"{rates.percent(column.row.found, column.row.trials)}%.",
    )


def _swaps(columns: Sequence[_Column]) -> Claim:
    pairs = [(column.row.moves, line.swaps) for column, line in zip(columns, TABLE2) if column.row.found]
    held = all(1 / _FACTOR <= ours / theirs <= _FACTOR for ours, theirs in pairs) if pairs else None
    told = ", ".join(number(ours) for ours, _ in pairs)
    return Claim(
        f"A mistake takes about 40 swaps (36 to 41; held if each mean is within a factor of {_FACTOR:g}).",
        held,
        f"{told} on average.",
    )


def _low(columns: Sequence[_Column]) -> Claim:
    found, high = sum(len(column.examples) for column in columns), sum(column.high for column in columns)
    return Claim(
        "Swapped pixels make no realistic images: the mistakes are of low value.",
        high == 0 if found else None,
        f"{high} of {found} are graded high; the grade of swapped pixels is low by rule.",
    )


def _shared(columns: Sequence[_Column]) -> list[str]:
    """Returns the ids of the seed images that were tried in every column, in order."""
    return sorted(set.intersection(*(set(column.outcomes) for column in columns)))


def _beside(columns: Sequence[_Column]) -> Table:
    shared = _shared(columns)
    heads = ["peers", "found, paper", "found, here", "paper %", "here % (95% interval)", "same digits %"]
    cells = [[*heads, "swaps, paper", "swaps, here"]]
    for peers, (column, line) in enumerate(itertools.zip_longest(columns, TABLE2[: len(columns)])):
        row, same = column.row, sum(column.outcomes[seed_id] == records.FOUND for seed_id in shared)
        theirs = ["-"] * 3 if line is None else [str(line.found), f"{100 * line.found / TRIES:.1f}", str(line.swaps)]
        share = f"{100 * same / len(shared):.1f}" if shared else "-"
        ours = [str(row.found), rates.percent(row.found, row.trials), share, number(row.moves)]
        cells.append([str(peers), theirs[0], ours[0], theirs[1], ours[1], ours[2], theirs[2], ours[3]])
    trials = ", ".join(dict.fromkeys(str(column.row.trials) for column in columns))
    note = f"{trials} tries for each number of peers, in the paper {TRIES}; same digits: the {len(shared)} that were "
    return Table(cells, note=f"{note}tried under every number of peers; swaps: means over the tries that succeed")


def _judged(columns: Sequence[_Column], affine: _Column) -> Table:
    rows = [("pixel swaps", peers, column) for peers, column in enumerate(columns)]
    cells = [["moves", "peers", "mistakes", "judge reads the label, % (95% interval)", "graded high %"]]
    for name, peers, column in [*rows, ("affine", len(columns) - 1, affine)]:
        count = len(column.examples)
        high = f"{100 * column.high / count:.1f}" if count else "-"
        cells.append([name, str(peers), str(count), rates.percent(column.read, count), high])
    note = "the judge is a stronger net, which no search has seen; affine: the same target, peers and thresholds"
    return Table(cells, "What a judge makes of them", note)


def _drawn(columns: Sequence[_Column]) -> list[Picture]:
    """Draws seed images that lead to a mistake under every number of peers, with these mistakes."""
    found = set.intersection(*(set(column.examples) for column in columns))
    seed_ids = sorted(found)[:_SHOWN]
    if not seed_ids:
        return []
    first, names = columns[0].examples, columns[0].class_names
    seeds = np.stack([first[seed_id]["seed_image"] for seed_id in seed_ids])
    strips = [picture.Strip("seed images", seeds, [f"a {names[int(first[one]['label'])]}" for one in seed_ids])]
    for peers, column in enumerate(columns):
        examples = [column.examples[seed_id] for seed_id in seed_ids]
        titles = [f"{names[int(one['wrong_class'])]}, {len(one['transform']['parameters'])} swaps" for one in examples]
        name = f"{peers} peer{'s' * (peers != 1)}"
        strips.append(picture.Strip(name, np.stack([one["image"] for one in examples]), titles))
    alt = "A row of seed images, and below it, for each number of peers, the mistakes with their swaps."
    title = "The same digits under more and more peers: what the target reads, after how many swaps"
    return [Picture("sheet", title, alt, functools.partial(picture.draw_strips, strips))]


def _notes(task: Config, columns: Sequence[_Column]) -> list[str]:
    search, (target, *peers) = task.sections["search"], task.peers.architectures
    return [
        f"The target is {target}. Its peers come in this order: {', '.join(peers)}. The paper does not say which "
        "ones it takes.",
        f"The paper does not give its thresholds. Here every peer is at least {search.peer_confidence:g} sure of the "
        f"class, and the target at least {search.target_confidence:g} sure of a wrong one. They were chosen "
        "for rates near the paper's; the task's file tells what other ones gave.",
        f"A try ends after {search.patience} swaps in a row without improvement, as in the paper. It may make at most "
        f"{search.max_moves} swaps; {sum(column.cut_off for column in columns)} tries ended there.",
        "The target is the same net under every number of peers. All draw their digits in one order, and the swaps of "
        "a digit from the same random numbers. A digit that one of the nets misreads is left out there, and the next "
        f"one takes its place. So {len(_shared(columns))} digits are the same everywhere.",
    ]

"""Other searches than the hillclimb, at equal budget: what "The Virtues of Peer Pressure" leaves open."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models.settings import setting
from pipeline import records
from pipeline.config.config import Config
from pipeline.kinds import registry
from pipeline.kinds.kind import Example
from pipeline.report import picture, rates
from pipeline.report.page import Picture
from pipeline.report.tables import Table, number
from pipeline.reproduce.bench import Bench
from pipeline.reproduce.experiment import BALUJA, Claim, Experiment, Findings
from pipeline.retrain import comparison
from pipeline.runs import counters
from pipeline.versions.of_run import RunExamples
from pipeline.workdir.ledger import RunFolder

HILLCLIMB = "hillclimb"
_MOST_MOVES = 256  # of the hillclimb, so that its budget ends a trial


@dataclasses.dataclass(frozen=True)
class _Searched:
    """What one method gave.

    Attributes:
      spent: candidates of each trial, (seed image, target net) -> at most the budget.
      found: those trials that found a mistake within the budget, with how many moves it has.
      pairs: of label and wrong class, those that these mistakes are of.
      high: those of these trials whose mistake is graded to be of high value.
      seconds: of mining, compiling included, and what a trial spends beyond the budget; NaN of a run that was broken
        off and went on.
    """

    spent: Mapping[tuple[str, str], int]
    found: Mapping[tuple[str, str], int]
    pairs: frozenset[tuple[int, int]]
    high: frozenset[tuple[str, str]]
    seconds: float


@dataclasses.dataclass(frozen=True)
class Searches(Experiment):
    """The same nets, seed images and moves; searches that may show the nets as many candidates for each trial."""

    task: str = setting("", "the task whose nets are searched: its configuration, relative to this file")
    methods: tuple[str, ...] = setting((), "[search] methods of populations, beside the hillclimb")
    trials: int = setting(500, "seed images, each tried for every target", low=2, high=1_000_000)
    budget: int = setting(
        2000, "candidates of a trial, at most; one with a gradient counts as 3", low=4, high=10_000_000
    )
    population: int = setting(50, "candidates of a generation, if a method's default is not less", low=4, high=100_000)

    name: ClassVar[str] = "peer-searches"
    title: ClassVar[str] = "Other searches than the hillclimb, at equal budget"
    paper: ClassVar[str] = f"{BALUJA}, which leaves them open"
    takes: ClassVar[str] = "10 minutes"

    def run(self, bench: Bench) -> Findings:
        """See `Experiment`."""
        base = bench.task(self.task)
        tasks = {name: self._task(base, name) for name in (HILLCLIMB, *self.methods)}
        results = {name: self._searched(bench, task) for name, task in tasks.items()}
        climbed = results[HILLCLIMB]
        others = [(name, each) for name, each in results.items() if name != HILLCLIMB]
        claims = [_more(f"{name} finds more", each, climbed, each.found, climbed.found) for name, each in others]
        claims += [
            _more(f"{name} finds more of high value", each, climbed, each.high, climbed.high) for name, each in others
        ]
        return Findings(claims, [self._told(results)], [self._drawn(results)], [self._how(tasks)])

    def _how(self, tasks: Mapping[str, Config]) -> str:
        searches = {name: tasks[name].sections["search"] for name in self.methods}
        sizes = ", ".join(f"{name} of {search.population}" for name, search in searches.items())
        told = (
            f"Every trial may show the nets {self.budget} candidates: the hillclimb goes on until they are spent, "
            f"whatever its patience elsewhere; the others make generations: {sizes}. All draw moves by the same "
            "operator; populations draw whole chains of them."
        )
        costly = ", ".join(f"{name} as {search.passes}" for name, search in searches.items() if search.passes > 1)
        backward = (
            " Candidates whose gradient is taken count for more, for the way back through the nets takes as long as"
        )
        return f"{told}{backward} two ways forward: {costly}." if costly else told

    def _task(self, base: Config, name: str) -> Config:
        """Returns the task by a method, with its budget."""
        own = base.sections["search"]
        method = registry.methods()[name]
        common = {"peer_confidence": own.peer_confidence, "target_confidence": own.target_confidence}
        search = method.choices("search")[0](method=name, targets="all", trials=self.trials, **common)
        if name == HILLCLIMB:
            search = dataclasses.replace(search, patience=self.budget, max_moves=_MOST_MOVES)
        else:
            population = min(self.population, search.population)
            generations = self.budget // (population * search.passes)
            search = dataclasses.replace(search, population=population, generations=generations)
        return dataclasses.replace(
            base,
            task=f"{base.task}_by_{name}",
            method=method,
            judge=dataclasses.replace(base.judge, architecture=""),
            sections={**base.sections, "search": search},
        )

    def _searched(self, bench: Bench, task: Config) -> _Searched:
        folder = bench.mined(task)
        table = records.read_table(folder.trials)
        tried = table.filter(pc.is_in(table["outcome"], pa.array(records.TRIAL_OUTCOMES))).to_pylist()
        passes = task.sections["search"].passes
        tried = [{**row, "candidates": passes * row["candidates"]} for row in tried]
        return _searched(tried, RunExamples(folder).examples(), self.budget, _seconds(folder))

    def _told(self, results: Mapping[str, _Searched]) -> Table:
        heads = ["search", "found", "% (95% interval)", "candidates per find", "moves", "seed images"]
        cells = [[*heads, "label, wrong class", "high", "high % (95% interval)", "seconds"]]
        for name, each in results.items():
            count = len(each.found)
            spent = sum(each.spent.values()) / count if count else math.nan
            moves = float(np.mean(list(each.found.values()))) if count else math.nan
            seeds = str(len({seed for seed, _ in each.found}))
            worth = [str(len(each.high)), rates.percent(len(each.high), len(each.spent)), number(each.seconds, 0)]
            share = rates.percent(count, len(each.spent))
            cells.append(
                [name, str(count), share, number(spent, 0), number(moves), seeds, str(len(each.pairs)), *worth]
            )
        trials = len(next(iter(results.values())).spent)
        note = (
            f"{trials} trials each, {self.budget} candidates at most; candidates per find: all that were spent, of "
            "trials that found nothing too; seed images: those with a find; label, wrong class: pairs that finds are "
            "of; high: finds of high value, within the limits of [grade], and in % of the trials; seconds: of mining, "
            "compiling included, - where it was broken off and went on; the hillclimb's run goes on beyond the "
            "candidates that count, for it ends a trial where none of the last ones was a move"
        )
        return Table(cells, note=note)

    def _drawn(self, results: Mapping[str, _Searched]) -> Picture:
        steps = [round(self.budget * part / 20) for part in range(1, 21)]
        lines = {
            name: [100 * sum(each.spent[key] <= most for key in each.found) / len(each.spent) for most in steps]
            for name, each in results.items()
        }
        draw = functools.partial(picture.draw_lines, lines, [str(step) for step in steps], "% of trials")
        alt = f"A line for each of {', '.join(results)}: the share of trials that succeed within so many candidates."
        return Picture("curve", "Trials that succeed, by candidates spent", alt, draw)


def _searched(
    tried: Sequence[Mapping[str, Any]], examples: Iterable[Example], budget: int, seconds: float
) -> _Searched:
    """Returns what trials gave within the budget: a search may go on beyond it, and find more."""
    spent = {_key(row): min(row["candidates"], budget) for row in tried}
    within = (row for row in tried if row["outcome"] == records.FOUND and row["candidates"] <= budget)
    found = {_key(row): row["moves"] for row in within}
    shown = [one for one in examples if _key_of(one) in found]
    pairs = frozenset((int(one["label"]), int(one["wrong_class"])) for one in shown)
    high = frozenset(_key_of(one) for one in shown if one["grade"] == records.HIGH.encode())
    return _Searched(spent, found, pairs, high, seconds)


def _key(row: Mapping[str, object]) -> tuple[str, str]:
    return str(row["seed_id"]), str(row["target_net"])


def _key_of(example: Example) -> tuple[str, str]:
    return example["seed"]["id"].decode(), example["target_net"].decode()


def _seconds(folder: RunFolder) -> float:
    """Returns how long a run mined; NaN if the start that ended it did not mine all its units."""
    manifest = folder.manifest()
    assert manifest is not None
    counted = manifest.get("counters", {})
    whole = counted.get("units") == len(manifest["units"])
    return counted[counters.MINING] / 1000 if whole else math.nan


def _more(
    what: str,
    each: _Searched,
    climbed: _Searched,
    found: Collection[tuple[str, str]],
    by_climbing: Collection[tuple[str, str]],
) -> Claim:
    """Tells whether a search finds more of something than the hillclimb, seed image by seed image."""
    seeds: dict[str, list[float]] = {}
    for key in each.spent.keys() & climbed.spent.keys():
        seeds.setdefault(key[0], []).append(100.0 * ((key in found) - (key in by_climbing)))
    differences = [float(np.mean(values)) for _, values in sorted(seeds.items())]
    low, high = comparison.interval(differences)
    both = len(set(found) & set(by_climbing))
    return Claim(
        f"Open in the paper: {what} than next-ascent hillclimbing at the same budget.",
        None if low <= 0 <= high else low > 0,
        f"{np.mean(differences):+.1f} points of the trials, 95% interval {low:+.1f} to {high:+.1f}; {len(found)} "
        f"and {len(by_climbing)} finds, {both} of the same trials.",
    )

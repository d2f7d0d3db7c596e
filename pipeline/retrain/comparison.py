"""Recipes beside each other: means over training seeds, and what they differ by, with intervals."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from models.errors import InputError
from pipeline.report.tables import Table, number
from pipeline.retrain import significance
from pipeline.retrain.subject import Columns, Front, Measures, Results

_DRAWS = 10_000  # of the bootstrap
_REQUIREMENT = re.compile(r"\s*(?:([A-Za-z0-9_.-]+):)?([a-z_0-9]+)\s*(<|>)\s*([0-9.eE+-]+)\s*")


def means(records: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Returns the mean of each measure."""
    return {name: float(np.mean([record["measured"][name] for record in records])) for name in records[0]["measured"]}


def interval(differences: Sequence[float]) -> tuple[float, float]:
    """Returns the 95% interval of a mean by the bootstrap (percentiles); of one number, that number."""
    values = np.asarray(differences, np.float64)
    rng = np.random.default_rng(0)
    drawn = values[rng.integers(0, len(values), (_DRAWS, len(values)))].mean(axis=1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def differences(results: Results, recipe: str, measure: str) -> list[float]:
    """Returns what a recipe's nets differ by from those of the first recipe with the same training seed."""
    first = results[next(iter(results))]
    pairs = zip(results[recipe], first, strict=True)
    return [float(ours["measured"][measure] - theirs["measured"][measure]) for ours, theirs in pairs]


class Beyond(NamedTuple):
    """A recipe beside the front of controls, at its own error; each a mean and its 95% interval.

    Attributes:
      ratio: its gain over that of the front.
      others: its other measures, less those of the front.
    """

    ratio: tuple[float, float, float]
    others: list[tuple[float, float, float]]


def beyond(results: Results, recipe: str, controls: Sequence[str], front: Front) -> Beyond | None:
    """Returns what a recipe has over the front of controls; None where their errors do not enclose its.

    The front is drawn from control to control: the logarithm of the gain, and other measures, in a straight line over
    the error. The interval is a bootstrap over training seeds, the same of all recipes in each draw; draws in which
    they are outside are left out, at most one in twenty.
    """
    count = min(len(results[name]) for name in (recipe, *controls))
    drawn = np.random.default_rng(0).integers(0, count, (_DRAWS, count))
    told = [_over_front(results, recipe, controls, front, seeds) for seeds in (np.arange(count)[None], drawn)]
    (mean,), draws = told
    draws = draws[~np.isnan(draws).any(axis=1)]
    if np.isnan(mean).any() or len(draws) < 0.95 * _DRAWS:
        return None
    low, high = np.percentile(draws, [2.5, 97.5], axis=0)
    ratio, *others = ((float(mean[at]), float(low[at]), float(high[at])) for at in range(len(mean)))
    return Beyond(ratio, others)


def _over_front(results: Results, recipe: str, controls: Sequence[str], front: Front, seeds: np.ndarray) -> np.ndarray:
    """Returns ratio and differences, `[D, 1 + others]`, of draws of seeds, int `[D, S]`; NaN outside of the front."""
    ours, *others = (_points(results[name], front, seeds) for name in (recipe, *controls))
    lines = np.stack(others, axis=1)  # `[D, controls, 2 + others]`
    rows = np.full((len(seeds), ours.shape[1] - 1), np.nan)
    for row, (own, line) in enumerate(zip(ours, lines, strict=True)):
        line = line[np.argsort(line[:, 0])]
        if line[0, 0] <= own[0] <= line[-1, 0]:
            apart = [own[at] - np.interp(own[0], line[:, 0], line[:, at]) for at in range(1, len(own))]
            rows[row] = [np.exp(apart[0]), *apart[1:]]
    return rows


def _points(records: Sequence[Mapping[str, Any]], front: Front, seeds: np.ndarray) -> np.ndarray:
    """Returns mean error, log of the mean gain, and means of the others, `[D, 2 + others]`."""
    names = (front.error, front.gain, *front.others)
    values = np.array([[record["measured"][name] for name in names] for record in records])
    means_of = values[seeds].mean(axis=1)
    means_of[:, 1] = np.log(np.maximum(means_of[:, 1], 1e-9))
    return means_of


def _front_table(results: Results, controls: Sequence[str], measures: Measures) -> list[Table]:
    front = measures.front
    if front is None or not controls:
        return []
    heads = [f"{measures.shown[front.gain]} / front's", *(f"{measures.shown[name]} - front's" for name in front.others)]
    rows = [["recipe", *heads]]
    for recipe in results:
        apart = beyond(results, recipe, controls, front) if recipe not in controls else None
        if apart:
            at, low, high = apart.ratio
            shown = [f"{at:+.1f} [{low:+.1f}, {high:+.1f}]" for at, low, high in apart.others]
            rows.append([recipe, f"{at:.2f} [{low:.2f}, {high:.2f}]", *shown])
    title = f"beside the front of recipes without mined examples, at the recipe's own '{measures.shown[front.error]}'"
    return [Table(rows, title)] if len(rows) > 1 else []


def tables(results: Results, controls: Sequence[str], measures: Measures) -> list[Table]:
    """Returns tables: means, differences from the first recipe, what is gained over the front, the subject's own.

    Args:
      results: at least one record of each recipe.
      controls: the recipes that use no mined examples.
      measures: what was measured.
    """
    count = len(next(iter(results.values())))
    note = (
        f"means of {count} training seeds; errors and shares in %. {measures.note}"
        "\nlearned, asked: images of a step that the net learns from, and is only asked about"
    )
    rows = _with_cost(_means(results, measures.shown, measures), results)
    shown = [Table(rows, "retrained nets", note)]
    for columns in measures.further:
        told = "\n".join([columns.note, *_orders_told(results, columns)])
        shown.append(Table(_means(results, columns.shown, measures), columns.title, told))
    compared = [*_difference_tables(results, measures), *_front_table(results, controls, measures)]
    return [*shown, *compared, *measures.tables(results)]


def whole(results: Results, measures: Measures) -> Table:
    """Returns all shown means in one table."""
    heads = {**measures.shown, **{name: head for columns in measures.further for name, head in columns.shown.items()}}
    return Table(_with_cost(_means(results, heads, measures), results))


def _means(results: Results, heads: Mapping[str, str], measures: Measures) -> list[list[str]]:
    rows = [["recipe", *heads.values()]]
    for recipe, records in results.items():
        mean = means(records)
        rows.append([recipe, *(number(mean[name], measures.digits.get(name, 1)) for name in heads)])
    return rows


def _with_cost(rows: list[list[str]], results: Results) -> list[list[str]]:
    costs = [records[0]["cost"] for records in results.values()]
    cells = [["learned", "asked"], *([f"{cost['gradients']:,}", f"{cost['passes']:,}"] for cost in costs)]
    return [[*row, *more] for row, more in zip(rows, cells, strict=True)]


def _difference_tables(results: Results, measures: Measures) -> list[Table]:
    first, *others = results
    if not others:
        return []
    count = len(results[first])
    told = f"difference from '{first}' with the same training seed: mean [95% interval, bootstrap over {count} seeds]"
    further = [
        Table(_apart(results, columns.shown, measures), f"{columns.title}: difference from '{first}'")
        for columns in measures.further
    ]
    note = _stars_told(measures, count, len(others)) if measures.main else ""
    return [Table(_apart(results, measures.shown, measures), told, note), *further]


def _apart(results: Results, heads: Mapping[str, str], measures: Measures) -> list[list[str]]:
    tested = {name: p_values(results, name) for name in measures.main if name in heads}
    rows = [["recipe", *heads.values()]]
    for recipe in list(results)[1:]:
        stars = {name: "*" for name, told in tested.items() if told[recipe].holm < significance.LEVEL}
        cells = (
            _difference(differences(results, recipe, name), measures.digits.get(name, 1), stars.get(name, ""))
            for name in heads
        )
        rows.append([recipe, *cells])
    return rows


def _difference(values: Sequence[float], digits: int, star: str) -> str:
    low, high = interval(values)
    return f"{np.mean(values):+.{digits}f}{star} [{low:+.{digits}f}, {high:+.{digits}f}]"


def _stars_told(measures: Measures, seeds: int, recipes: int) -> str:
    heads = ", ".join(measures.shown[name] for name in measures.main)
    several = f", Holm's correction for {recipes} recipes" if recipes > 1 else ""
    told = f"*: p < {significance.LEVEL:g} by flipping signs{several}; tested: {heads}"
    enough = [n for n in range(1, 15) if recipes * significance.least(n) < significance.LEVEL]
    if not enough or enough[0] <= seeds:
        return told
    return f"{told}\nno p is that low with [retrain] seeds = {seeds}: it takes {enough[0]}"


class PValue(NamedTuple):
    """Of the hypothesis that a recipe's differences from the first are as likely to have the other sign.

    Attributes:
      alone: of this recipe by itself.
      holm: corrected for all recipes of the file.
    """

    alone: float
    holm: float


def p_values(results: Results, measure: str) -> dict[str, PValue]:
    """Returns for every recipe but the first how likely differences like its would be by chance."""
    others = list(results)[1:]
    alone = [significance.sign_flip(differences(results, recipe, measure)) for recipe in others]
    return dict(zip(others, map(PValue, alone, significance.holm(alone)), strict=True))


def swapped(results: Results, measure: str, other: str) -> list[tuple[str, str]]:
    """Returns the pairs of recipes that the means of two measures put in opposite orders."""
    mean = {recipe: means(records) for recipe, records in results.items()}
    return [
        (one, two)
        for one, two in itertools.combinations(results, 2)
        if (mean[one][measure] - mean[two][measure]) * (mean[one][other] - mean[two][other]) < 0
    ]


def _orders_told(results: Results, columns: Columns) -> list[str]:
    if len(results) < 2 or not columns.same_order:
        return []
    first, *others = columns.same_order
    return [_order_told(results, columns, first, other) for other in others]


def _order_told(results: Results, columns: Columns, first: str, other: str) -> str:
    pairs, of = swapped(results, first, other), len(results) * (len(results) - 1) // 2
    names = "; ".join(f"{one} and {two}" for one, two in pairs)
    same = "the same" if not pairs else f"other for {len(pairs)} of {of} pairs: {names}"
    return f"order of recipes by '{columns.shown[other]}' and by '{columns.shown[first]}': {same}"


def summary(results: Results, controls: Sequence[str], measures: Measures) -> dict[str, Any]:
    """Returns means, differences, p-values, orders and what is gained over the front of controls, JSON-able."""
    front = measures.front
    tested = {name: p_values(results, name) for name in measures.main}
    told: dict[str, dict[str, Any]] = {}
    for recipe, records in results.items():
        mean = means(records)
        apart = {name: differences(results, recipe, name) for name in mean}
        told[recipe] = {
            "seeds": len(records),
            "mean": mean,
            "difference": {
                name: {"mean": float(np.mean(values)), "interval": interval(values)} for name, values in apart.items()
            },
            "cost": records[0]["cost"],
        }
        for name, values in tested.items():
            if recipe in values:
                told[recipe]["difference"][name]["p"] = values[recipe]._asdict()
        if front and controls and recipe not in controls and (over := beyond(results, recipe, controls, front)):
            told[recipe]["beyond_front"] = over._asdict()
        told[recipe]["swapped"] = _swapped_with(results, recipe, measures)
    return told


def _swapped_with(results: Results, recipe: str, measures: Measures) -> dict[str, list[str]]:
    """Returns by measure the recipes that should stand on this one's other side; see `Columns.same_order`."""
    told = {}
    for columns in measures.further:
        for other in columns.same_order[1:]:
            pairs = [pair for pair in swapped(results, columns.same_order[0], other) if recipe in pair]
            told[other] = [one if two == recipe else two for one, two in pairs]
    return told


class Requirement:
    """A bound on the mean of a measure, "RECIPE:MEASURE<NUMBER"; without a recipe it is on every one but the first.

    Raises:
      InputError: it is not of that form, or there is no such recipe or measure.
    """

    def __init__(self, text: str, recipes: Sequence[str], measures: Sequence[str]):
        match = _REQUIREMENT.fullmatch(text)
        known = f"expected RECIPE:MEASURE<NUMBER, with a measure of {', '.join(measures)}"
        if not match or match[2] not in measures:
            raise InputError(f"--require is '{text}', {known}.")
        if match[1] and match[1] not in recipes:
            raise InputError(f"--require names the recipe '{match[1]}', expected one of {', '.join(recipes)}.")
        try:
            self._bound = float(match[4])
        except ValueError as error:
            raise InputError(f"--require is '{text}', {known}.") from error
        self._recipes = [match[1]] if match[1] else list(recipes)[1:] or list(recipes)
        self._measure, self._below = match[2], match[3] == "<"

    def failures(self, results: Results) -> list[str]:
        """Returns a sentence for each recipe that does not keep to the bound."""
        told = []
        for recipe in self._recipes:
            mean = means(results[recipe])[self._measure]
            if not (mean < self._bound if self._below else mean > self._bound):
                sign = "below" if self._below else "above"
                told.append(f"{recipe}: {self._measure} is {mean:.2f}, required is {sign} {self._bound:g}.")
        return told

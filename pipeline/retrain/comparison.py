"""Recipes beside each other: means over training seeds, and what they differ by, with intervals."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from models.errors import InputError
from pipeline.report.tables import Table, number
from pipeline.retrain.subject import Front, Measures

_DRAWS = 10_000  # of the bootstrap
_REQUIREMENT = re.compile(r"\s*(?:([A-Za-z0-9_.-]+):)?([a-z_0-9]+)\s*(<|>)\s*([0-9.eE+-]+)\s*")

Results = Mapping[str, Sequence[Mapping[str, Any]]]  # recipe -> one record a training seed, in their order


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
    """Returns the tables of means, of differences from the first recipe, and of what is gained over the front.

    Args:
      results: at least one record of each recipe.
      controls: the recipes that use no mined examples.
      measures: what was measured.
    """
    first, count = next(iter(results)), len(next(iter(results.values())))
    rows = [["recipe", *measures.shown.values(), "learned", "asked"]]
    for recipe, records in results.items():
        mean, cost = means(records), records[0]["cost"]
        shown = [number(mean[name], measures.digits.get(name, 1)) for name in measures.shown]
        rows.append([recipe, *shown, f"{cost['gradients']:,}", f"{cost['passes']:,}"])
    note = (
        f"means of {count} training seeds; errors and shares in %. {measures.note}"
        "\nlearned, asked: images of a step that the net learns from, and is only asked about"
    )
    compared = [["recipe", *measures.shown.values()]]
    for recipe in list(results)[1:]:
        apart = {name: differences(results, recipe, name) for name in measures.shown}
        compared.append([recipe, *(_difference(apart[name], measures.digits.get(name, 1)) for name in apart)])
    told = f"difference from '{first}' with the same training seed: mean [95% interval, bootstrap over {count} seeds]"
    beside = [Table(compared, told)] if len(results) > 1 else []
    return [Table(rows, "retrained nets", note), *beside, *_front_table(results, controls, measures)]


def _difference(values: Sequence[float], digits: int) -> str:
    low, high = interval(values)
    return f"{np.mean(values):+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"


def summary(results: Results, controls: Sequence[str], front: Front | None) -> dict[str, Any]:
    """Returns means, differences and what is gained over the front of controls, with their intervals, JSON-able."""
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
        if front and controls and recipe not in controls and (over := beyond(results, recipe, controls, front)):
            told[recipe]["beyond_front"] = over._asdict()
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

"""What rounds of mining and retraining came to, as tables, and as numbers to draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.report.tables import Table, number
from pipeline.retrain import comparison
from pipeline.retrain.mistakes import rounds

Chains = Mapping[str, Sequence[Sequence[Mapping[str, Any]]]]  # recipe -> for each training seed, rounds' records
_COLUMNS = {  # measure of the nets, of their ensemble
    "clean_error": "clean",
    "moved_error": "moved",
    "worst_error": "worst",
    "candidates": "candidates",
}
_NOTE = (
    "found: trials that find a mistake, of each net with the others as its peers, % [95% interval over training seeds];"
    "\nper find: candidates for each mistake found; other columns: means over the nets, and of their ensemble (mean of"
    "\nprobabilities), as in `peerpressure retrain`; seeds: chains that came so far"
)


def by_round(chains: Sequence[Sequence[Mapping[str, Any]]]) -> list[list[Mapping[str, Any]]]:
    """Returns the records of each round of chains that may have ended at different ones."""
    longest = max(map(len, chains))
    return [[chain[number] for chain in chains if len(chain) > number] for number in range(longest)]


def figures(records: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    """Returns each figure of a round, for each training seed: what was found, its price, and the measures."""
    told: dict[str, list[float]] = {"found": [], "per_find": []}
    for record in records:
        told["found"].append(rounds.rate(record))
        found = sum(mined["found"] for mined in record["mined"].values())
        told["per_find"].append(sum(mined["candidates"] for mined in record["mined"].values()) / max(found, 1))
        nets = [measured for name, measured in record["measured"].items() if name != rounds.ENSEMBLE]
        for measure in nets[0]:
            told.setdefault(f"nets_{measure}", []).append(float(np.mean([net[measure] for net in nets])))
            told.setdefault(f"ensemble_{measure}", []).append(record["measured"][rounds.ENSEMBLE][measure])
    return told


def tables(results: Chains) -> list[Table]:
    """Returns a table for each recipe, with a row for each round."""
    heads = ["round", "found", "per find", *_COLUMNS.values(), *(f"ensemble {head}" for head in _COLUMNS.values())]
    told = []
    for recipe, chains in results.items():
        cells = [[*heads, "examples", "seeds"]]
        for place, records in enumerate(by_round(chains)):
            cells.append([str(place), *_row(figures(records)), _examples(records), str(len(records))])
        told.append(Table(cells, f"rounds by recipe '{recipe}'", _NOTE if recipe == list(results)[-1] else ""))
    return told


def _row(told: Mapping[str, Sequence[float]]) -> list[str]:
    low, high = comparison.interval(told["found"])
    shown = [f"{np.mean(told['found']):.1f} [{low:.1f}, {high:.1f}]", number(float(np.mean(told["per_find"])), 0)]
    names = [f"{whose}_{measure}" for whose in ("nets", "ensemble") for measure in _COLUMNS]
    return [*shown, *(number(float(np.mean(told[name])), 2 if "clean" in name else 1) for name in names)]


def _examples(records: Sequence[Mapping[str, Any]]) -> str:
    return f"{np.mean([record['examples'] for record in records]):,.0f}"


def csv(results: Chains) -> Table:
    """Returns one table of everything, a row for each recipe, round and training seed."""
    rows: list[list[str]] = []
    for recipe, chains in results.items():
        for place, records in enumerate(by_round(chains)):
            told = figures(records)
            rows = rows or [["recipe", "round", "seed", *told]]
            for at, record in enumerate(records):
                rows.append([recipe, str(place), str(record["seed"]), *(f"{told[name][at]:.6g}" for name in told)])
    return Table(rows)


def summary(results: Chains) -> dict[str, Any]:
    """Returns means with their 95% intervals, by recipe and round, and whether each chain became steady; JSON-able."""
    told: dict[str, Any] = {}
    for recipe, chains in results.items():
        steps = []
        for records in by_round(chains):
            each = figures(records)
            means = {
                name: {"mean": float(np.mean(values)), "interval": comparison.interval(values)}
                for name, values in each.items()
            }
            steps.append({"seeds": len(records), **means})
        told[recipe] = {"rounds": steps, "ended_after": [len(chain) - 1 for chain in chains]}
    return told


def panels(results: Chains) -> dict[str, dict[str, list[list[float]]]]:
    """Returns what is drawn: the axis -> recipe -> for each round, the figure of each training seed."""
    axes = {
        "found": "trials that find a mistake, %",
        "nets_candidates": "candidates until a mistake, one strong net as peer",
        "nets_moved_error": "error of the nets on moved images, %",
        "ensemble_moved_error": "error of their ensemble on moved images, %",
    }
    each = {recipe: [figures(records) for records in by_round(chains)] for recipe, chains in results.items()}
    return {axes[name]: {recipe: [told[name] for told in steps] for recipe, steps in each.items()} for name in axes}

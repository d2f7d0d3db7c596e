"""How long nets stay easy to fool while they learn from garbage, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.report.tables import Table, number
from pipeline.retrain.subject import Results

_NOTE = (
    "garbage evolved in the training itself, against the net as it was, before it learned from it; means over seeds."
    "\nconf.: median over classes of the best confidence, fooled: classes at 99% or more, both in %; rounds of another"
    "\nrecipe may have more generations"
)


def tables(results: Results) -> list[Table]:
    """Returns the table of rounds, if there was a round."""
    curves = {recipe: curve for recipe, records in results.items() if len(curve := _curve(records))}
    if not curves:
        return []
    heads = [f"{recipe} {head}" for recipe in curves for head in ("conf.", "fooled")]
    rows = [["round", *heads]]
    for place in range(max(map(len, curves.values()))):
        cells = [_cells(curve, place) for curve in curves.values()]
        rows.append([str(place + 1), *(cell for pair in cells for cell in pair)])
    return [Table(rows, "rounds of evolution in training", _NOTE)]


def _curve(records: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Returns confidence and share fooled, `[R, 2]`."""
    rounds = [record.get("training", {}).get("rounds", []) for record in records]
    told = [[[each["confidence"], each["fooled"]] for each in seed] for seed in rounds]
    return np.mean(told, axis=0)


def _cells(curve: np.ndarray, place: int) -> tuple[str, str]:
    if place >= len(curve):
        return "", ""
    return number(curve[place][0], 2), number(curve[place][1], 0)

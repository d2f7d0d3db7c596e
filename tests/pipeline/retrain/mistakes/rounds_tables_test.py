from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from pipeline.report import rounds as picture
from pipeline.retrain.mistakes import rounds_tables

MEASURES = ("clean_error", "moved_error", "worst_error", "candidates")


def _record(number: int, found: tuple[int, int], moved: tuple[float, float, float], seed: int = 0) -> dict[str, Any]:
    return {
        "round": number,
        "seed": seed,
        "examples": 10 * (number + 1),
        "mined": {
            name: {"trials": 100, "found": each, "candidates": 3000}
            for name, each in zip(("a", "b"), found, strict=True)
        },
        "measured": {
            name: {**dict.fromkeys(MEASURES, 1.0), "moved_error": each}
            for name, each in zip(("a", "b", "ensemble"), moved, strict=True)
        },
    }


FIRST = [_record(0, (40, 20), (10.0, 20.0, 8.0)), _record(1, (10, 10), (6.0, 8.0, 5.0))]
SECOND = [_record(0, (44, 20), (10.0, 22.0, 8.0), 1)]
RESULTS = {"mixed": [FIRST, SECOND]}


def test_a_figure_is_the_mean_over_nets_and_the_ensemble_stands_beside_them():
    told = rounds_tables.figures([FIRST[0], SECOND[0]])
    assert told["found"] == [30.0, 32.0]
    assert told["per_find"] == [100.0, 6000 / 64]
    assert told["nets_moved_error"] == [15.0, 16.0] and told["ensemble_moved_error"] == [8.0, 8.0]


def test_a_round_has_the_chains_that_came_so_far():
    (table,) = rounds_tables.tables(RESULTS)
    rows = {row[0]: row for row in table.cells[1:]}
    assert set(rows) == {"0", "1"}
    assert (rows["0"][-1], rows["1"][-1]) == ("2", "1")
    assert rows["1"][1] == "10.0 [10.0, 10.0]"
    told = rounds_tables.summary(RESULTS)["mixed"]
    assert told["ended_after"] == [1, 0] and [step["seeds"] for step in told["rounds"]] == [2, 1]
    np.testing.assert_allclose(told["rounds"][0]["found"]["mean"], 31.0)


def test_the_csv_has_a_row_for_each_round_of_each_chain():
    rows = [line.split(",") for line in rounds_tables.csv(RESULTS).csv().splitlines()]
    assert [row[:4] for row in rows[1:]] == [
        ["mixed", "0", "0", "30"],
        ["mixed", "0", "1", "32"],
        ["mixed", "1", "0", "10"],
    ]


def test_the_picture_has_a_panel_for_each_figure_and_is_the_same_each_time():
    panels = rounds_tables.panels(RESULTS)
    assert [list(each) for each in panels.values()] == [["mixed"]] * 4
    drawn = picture.draw(panels)
    assert drawn == picture.draw(panels)
    wide, high = Image.open(io.BytesIO(drawn)).size
    assert wide > 3 * high
    one = Image.open(io.BytesIO(picture.draw({"found": panels[next(iter(panels))]}))).size
    assert one[0] < wide / 3

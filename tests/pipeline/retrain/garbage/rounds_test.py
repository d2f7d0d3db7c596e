from __future__ import annotations

from typing import Any

from pipeline.retrain.garbage import rounds


def _record(*told: tuple[float, float]) -> dict[str, Any]:
    return {"training": {"rounds": [{"confidence": one, "fooled": two, "evaluations": 1.0} for one, two in told]}}


def test_rounds_stand_beside_each_other_as_means_over_seeds():
    results = {
        "nothing": [{"training": {}}, {"training": {}}],
        "longer": [_record((99.0, 100.0), (50.0, 40.0)), _record((98.0, 80.0), (51.0, 20.0))],
        "shorter": [_record((10.0, 0.0)), _record((30.0, 10.0))],
        "mined": [_record(), _record()],
    }
    (table,) = rounds.tables(results)
    assert table.cells == [
        ["round", "longer conf.", "longer fooled", "shorter conf.", "shorter fooled"],
        ["1", "98.50", "90", "20.00", "5"],
        ["2", "50.50", "30", "", ""],
    ]


def test_where_nothing_was_evolved_there_is_no_table():
    assert rounds.tables({"nothing": [{"training": {}}], "older": [{}], "mined": [_record()]}) == []

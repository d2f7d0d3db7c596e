from __future__ import annotations

import math
import pathlib
from typing import Any

import pytest

from pipeline import records
from pipeline.kinds.pairs import summary
from pipeline.kinds.pairs.kind import PAIRS

# target_net, outcome, distortion, before rounding, broken by it
NAN = math.nan
FOUND = [
    ("a", records.FOUND, 0.2, 0.1, False),
    ("a", records.FOUND, 0.4, NAN, False),
    ("a", records.FOUND, 0.6, 0.5, True),
    ("a", records.FOUND, 0.8, 0.3, True),
    ("a", records.EXHAUSTED, 0.9, 0.7, True),
    ("a" * 30, records.EXHAUSTED, 0.9, NAN, False),
    ("", records.SET_ASIDE, None, None, None),
    ("a", records.SKIPPED, None, None, None),
]


def _rows(folder: pathlib.Path, rows: list[tuple[Any, ...]]) -> list[summary.Row]:
    names = ("target_net", "outcome", "distortion", "unrounded_distortion", "broken_by_rounding")
    columns = {name: [row[place] for row in rows] for place, name in enumerate(names)}
    columns |= {"label": [0] * len(rows), "candidates": [7] * len(rows)}
    columns["probabilities_after"] = [[0.4, 0.6, 0.8, 0.2]] * len(rows)
    (folder / "chunk.parquet").write_bytes(records.table_bytes(records.chunk_table(PAIRS.schema(), columns, len(rows))))
    return summary.rows([folder / "chunk.parquet"], ["a", "a" * 30], ["a", "a" * 30])


def _text(found: list[summary.Row], nets: list[str]) -> str:
    return "\n".join(table.text() for table in summary.formatted(found, nets))


def test_a_twin_without_an_unrounded_one_does_not_spoil_the_mean(tmp_path):
    row, none = _rows(tmp_path, FOUND)
    assert (row.attacked, row.fooled, row.evaluations, row.induced) == (5, 4, 7.0, (1.0, 0.0))
    assert (row.distortion, row.unrounded) == pytest.approx((0.5, 0.3))
    assert (none.attacked, none.fooled, none.broken) == (1, 0, 0) and math.isnan(none.unrounded)


def test_what_rounding_broke_is_counted_and_its_means_are_those_of_the_twins_found_instead(tmp_path):
    row, none = _rows(tmp_path, FOUND)
    assert row.broken == 3, "also where no other twin was found"
    assert (row.broken_before, row.broken_after) == pytest.approx((0.4, 0.7))
    assert math.isnan(none.broken_before) and math.isnan(none.broken_after)


def test_the_tables_of_pairs_are_tables_however_long_a_name_is(tmp_path):
    nets = ["a", "a" * 30]
    lines = _text(_rows(tmp_path, FOUND), nets).splitlines()
    for table in (lines[:3], lines[-3:]):
        assert len({len(line) for line in table}) == 1
    assert lines[1].split()[-3:] == ["3", "0.4000", "0.7000"] and lines[2].split()[-3:] == ["0", "-", "-"]
    assert lines[-3].split() == nets and lines[-2].split() == ["a", "100.0", "0.0"]


def test_a_run_of_pairs_without_a_trial_has_a_row_for_every_net(tmp_path):
    rows = _rows(tmp_path, FOUND[-2:])
    assert [(row.attacked, row.fooled, row.broken) for row in rows] == [(0, 0, 0)] * 2
    assert _text(rows, ["a", "a" * 30])

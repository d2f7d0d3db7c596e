from __future__ import annotations

import math
from typing import Any

import pyarrow as pa
import pytest
from etils import epath
from PIL import Image

from pipeline import records
from pipeline.kinds.garbage import islands, summary
from pipeline.kinds.garbage.kind import GARBAGE
from pipeline.workdir.ledger import RunFolder

LONG = "b" * 30
NETS = ["a", LONG]
# target_net, outcome, class, confidence, generation, the class that each net gives
FIRST = [
    ("a", records.FOUND, 0, 0.9, 4, (0, 0)),
    ("a", records.FOUND, 1, 0.8, 8, (1, 0)),
    (LONG, records.EXHAUSTED, 0, 0.3, 9, (0, 0)),
    (LONG, records.DROPPED, 1, 0.5, 9, (0, 1)),
]
SECOND = [
    ("a", records.EXHAUSTED, 0, 0.4, 9, (0, 0)),
    ("a", records.FOUND, 1, 0.95, 1, (1, 1)),
    (LONG, records.EXHAUSTED, 0, 0.2, 9, (1, 1)),
    (LONG, records.EXHAUSTED, 1, 0.1, 9, (1, 1)),
]


def _chunk(rows: list[tuple[Any, ...]], island: int) -> pa.Table:
    names = ("target_net", "outcome", "wrong_class", "target_confidence", "generation")
    columns: dict[str, Any] = {name: [row[place] for row in rows] for place, name in enumerate(names)}
    columns |= {"id": [f"{island}-{place}" for place in range(len(rows))], "candidates": [200] * len(rows)}
    columns["probabilities_after"] = [[p for given in row[5] for p in (1 - given, given)] for row in rows]
    return records.chunk_table(GARBAGE.schema(), columns, len(rows))


def _rows(*chunks: pa.Table) -> list[summary.Row]:
    return summary.rows(pa.concat_tables(chunks), islands.merge(chunks), NETS, NETS)


def test_counts_are_of_all_islands_and_classes_of_the_best_of_them():
    row, none = _rows(_chunk(FIRST, 0), _chunk(SECOND, 1))
    assert (row.champions, row.found, row.classes, row.done) == (4, 3, 2, 2)
    assert (row.generation, row.evaluations) == (4.0, 200.0)
    assert row.confidence == pytest.approx((0.9 + 0.95) / 2), "of the higher ones of both islands"
    assert row.fooled == (1.0, pytest.approx(2 / 3))
    assert (none.champions, none.found, none.classes, none.done) == (4, 0, 2, 0)
    assert none.confidence == pytest.approx(0.4) and math.isnan(none.generation) and math.isnan(none.fooled[0])


def test_the_tables_are_tables_however_long_a_name_is():
    first, second = summary.formatted(_rows(_chunk(FIRST, 0)), NETS, {"a": 0.99, LONG: 0.5}, "7 of split test")
    lines = first.text().splitlines()
    assert len({len(line) for line in lines[:3]}) == 1 and "(7 of split test)" in lines[-1]
    assert lines[1].split() == ["a", "2", "2", "2", "2", "0.850000", "0.990000", "6.0", "200.0"]
    assert lines[2].split()[-2:] == ["-", "200.0"]
    cross = second.text().splitlines()[-3:]
    assert len({len(line) for line in cross}) == 1
    assert cross[1].split() == ["a", "100.0", "50.0"] and cross[2].split() == [LONG, "-", "-"]


def test_the_tables_of_a_run_are_of_its_chunks_without_what_was_set_aside(tmp_path):
    folder = RunFolder(epath.Path(tmp_path))
    folder.chunks.mkdir()
    aside = [("a", records.SET_ASIDE, 0, 0.0, 0, (0, 0))]
    for unit, rows in enumerate((FIRST, [*SECOND, *aside])):
        folder.chunk(unit).write_bytes(records.table_bytes(_chunk(rows, unit)))
    manifest = {
        "nets": [{"name": net} for net in NETS],
        "units": [{"number": 0}, {"number": 1}],
        "config": {"search": {"targets": "a"}},
        "natural_confidence": {"medians": {"a": 0.99}, "images": 7, "split": "test"},
    }
    expected = summary.formatted(_rows(_chunk(FIRST, 0), _chunk(SECOND, 1))[:1], NETS, {"a": 0.99}, "7 of split test")
    assert GARBAGE.tables(folder, manifest) == expected


def test_curves_are_drawn_of_the_islands_that_have_one(tmp_path):
    folder = RunFolder(epath.Path(tmp_path))
    folder.curve(1).parent.mkdir()
    folder.curve(1).write_text("generation,classes_done,median_confidence\n0,0,0.1\n1,2,0.7\n")
    GARBAGE.conclude(folder, [0, 1])
    with Image.open(folder.path / "curves.png") as drawn:
        assert drawn.convert("L").getextrema()[0] < 128

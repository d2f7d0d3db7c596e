from __future__ import annotations

import csv
import json

from pipeline.report import tables
from pipeline.report.tables import Table

CELLS = [["net", "a rather long head", "n"], ["a net with a long name", "1", "100000"], ["b, c", "2.5", ""]]


def test_columns_stand_below_each_other_however_long_a_cell_is():
    lines = tables.aligned(CELLS)
    assert lines[0] == "net                     a rather long head       n"
    assert lines[1] == "a net with a long name                   1  100000"
    assert len({len(line) for line in lines}) == 1


def test_csv_gives_the_cells_back():
    assert list(csv.reader(tables.to_csv(CELLS).splitlines())) == CELLS


def test_a_table_is_told_between_its_title_and_its_note():
    lines = tables.aligned(CELLS)
    assert Table(CELLS).text().splitlines() == lines
    assert Table(CELLS, "a title", "a note").text().splitlines() == ["a title", *lines, "a note"]


def test_the_csv_of_a_table_has_its_cells_alone():
    assert Table(CELLS, "a title", "a note").csv() == tables.to_csv(CELLS)


def test_json_gives_records_with_numbers_where_a_column_has_nothing_else():
    cells = [
        ["id", "count", "share", "size", "found"],
        ["12", "1,234", "0.5", "natural", "-"],
        ["034", "-", "1e-05", "2", "-"],
    ]
    (told,) = json.loads(tables.to_json([Table(cells, "a title", "a note")]))
    assert told == {
        "title": "a title",
        "note": "a note",
        "rows": [
            {"id": "12", "count": 1234, "share": 0.5, "size": "natural", "found": None},
            {"id": "034", "count": None, "share": 1e-05, "size": "2", "found": None},
        ],
    }


def test_the_json_of_no_table_and_of_an_empty_one_has_no_rows():
    assert json.loads(tables.to_json([])) == []
    assert json.loads(tables.to_json([Table([["a", "b"]])]))[0]["rows"] == []


def test_a_number_that_there_is_not_is_a_dash():
    assert [tables.number(value) for value in (2.04, 0.0, float("nan"))] == ["2.0", "0.0", "-"]
    assert tables.number(0.126, 2) == "0.13"

from __future__ import annotations

import csv

from pipeline import tables

CELLS = [["net", "a rather long head", "n"], ["a net with a long name", "1", "100000"], ["b, c", "2.5", ""]]


def test_columns_stand_below_each_other_however_long_a_cell_is():
    lines = tables.aligned(CELLS)
    assert lines[0] == "net                     a rather long head       n"
    assert lines[1] == "a net with a long name                   1  100000"
    assert len({len(line) for line in lines}) == 1


def test_csv_gives_the_cells_back():
    assert list(csv.reader(tables.to_csv(CELLS).splitlines())) == CELLS

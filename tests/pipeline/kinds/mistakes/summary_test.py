from __future__ import annotations

import csv
import math
from typing import Any

import pyarrow as pa
import pytest
from etils import epath

from pipeline import records
from pipeline.kinds.mistakes import summary
from pipeline.kinds.mistakes.kind import MISTAKES
from pipeline.report import rates
from pipeline.workdir.ledger import RunFolder

# target_net, outcome, moves, candidates
ROWS = [
    ("a", records.FOUND, 4, 30),
    ("a", records.FOUND, 2, 10),
    ("a", records.EXHAUSTED, 1, 100),
    ("a", records.MOVES_SPENT, 9, 59),
    ("b", records.DROPPED, 5, 20),
    ("b", records.EXHAUSTED, 0, 40),
    ("", records.SKIPPED, 0, 0),
    ("", records.SET_ASIDE, 0, 0),
]
SCANNED = [
    ("a", records.FOUND, 0, 0),
    *[(net, records.NOT_ALONE, 0, 0) for net in "aabb"],
    ("", records.SET_ASIDE, 0, 0),
]


def _trials(rows: list[tuple[str, str, int, int]]) -> pa.Table:
    columns = {
        "target_net": [row[0] for row in rows],
        "outcome": [row[1] for row in rows],
        "moves": [row[2] for row in rows],
        "candidates": [row[3] for row in rows],
        "inferences": [row[3] + 1 for row in rows],
    }
    return records.chunk_table(MISTAKES.schema(), columns, len(rows)).select(records.TRIALS_SCHEMA.names)


def test_counts_and_means_are_those_of_the_trials():
    first, second = summary.rows(_trials(ROWS), ["a", "b"])
    assert (first.target_net, first.trials, first.found) == ("a", 4, 2)
    assert (first.moves, first.inferences, first.all_inferences) == (3.0, 21.0, (31 + 11 + 101 + 60) / 4)
    assert (first.low, first.high) == rates.wilson(2, 4)
    assert (second.trials, second.found, second.all_inferences) == (2, 0, 31.0)
    assert math.isnan(second.moves) and math.isnan(second.inferences)


def test_a_find_that_was_dropped_is_a_trial_and_no_success():
    row = summary.rows(_trials([("a", records.DROPPED, 1, 1), ("a", records.FOUND, 1, 1)]), ["a"])[0]
    assert (row.trials, row.found) == (2, 1)


def test_an_image_of_a_scan_on_which_a_net_does_not_stand_alone_is_a_trial_of_that_net():
    rows = summary.rows(_trials(SCANNED), ["a", "b"])
    assert [(row.found, row.trials) for row in rows] == [(1, 3), (0, 2)]


def test_an_empty_run_has_a_row_for_every_net():
    rows = summary.rows(_trials([]), ["a", "b"])
    assert [(row.target_net, row.trials, row.found) for row in rows] == [("a", 0, 0), ("b", 0, 0)]


def test_rows_are_in_the_order_of_the_nets():
    assert [row.target_net for row in summary.rows(_trials(ROWS), ["b", "a"])] == ["b", "a"]


def test_the_text_shows_counts_shares_and_missing_means():
    lines = summary.formatted(summary.rows(_trials(ROWS), ["a", "b"])).text().splitlines()
    assert lines[1].split()[:4] == ["a", "4", "2", "50.0"] and "21.0" in lines[1]
    assert lines[2].split()[:4] == ["b", "2", "0", "0.0"] and " - " in lines[2]


def test_the_text_is_a_table_however_long_a_name_is():
    lines = summary.formatted(summary.rows(_trials(ROWS), ["a", "a" * 30])).text().splitlines()[:3]
    assert len({len(line) for line in lines}) == 1


def test_no_nets_give_a_header_only():
    assert summary.formatted(summary.rows(_trials([]), [])).text().startswith("target")


@pytest.mark.parametrize("rows", [ROWS, SCANNED, []])
def test_the_rate_of_a_manifest_is_that_of_the_table(rows):
    counts: dict[str, dict[str, int]] = {}
    for net, outcome, *_ in rows:
        counts.setdefault(net, {}).setdefault(outcome, 0)
        counts[net][outcome] += 1
    for row in summary.rows(_trials(rows), ["a", "b"]):
        assert rates.rate({"counts": counts}, row.target_net) == (row.found, row.trials)


def test_the_csv_has_the_cells_of_the_text():
    table = summary.formatted(summary.rows(_trials(ROWS), ["a", "b"]))
    assert [list(row) for row in csv.reader(table.csv().splitlines())] == [list(row) for row in table.cells]
    assert len(table.cells) == 3 and "means over the trials" in table.text() and "means" not in table.csv()


def test_the_tables_of_a_run_are_of_its_target_nets(tmp_path):
    folder = RunFolder(epath.Path(tmp_path))
    folder.trials.write_bytes(records.table_bytes(_trials(ROWS)))
    manifest = {"config": {"search": {"targets": ["b"]}}, "nets": [{"name": "a"}, {"name": "b"}]}
    assert [row[0] for row in MISTAKES.tables(folder, manifest)[0].cells] == ["target", "b"]
    assert summary.tables(folder, manifest) == MISTAKES.tables(folder, manifest)


def _motions(*trials: tuple[str, str, int, int, float]) -> pa.Table:
    names = ("target_net", "outcome", "moves", "candidates", "target_confidence")
    columns: dict[str, list[Any]] = {name: [row[place] for row in trials] for place, name in enumerate(names)}
    return records.chunk_table(MISTAKES.schema(), columns, len(trials)).select(records.TRIALS_SCHEMA.names)


def test_a_net_that_no_trial_moved_is_told_with_what_it_may_mean():
    trials = _motions(
        ("sure", records.EXHAUSTED, 0, 50, 1.0),
        ("sure", records.EXHAUSTED, 0, 50, 1.0),
        ("unsure", records.EXHAUSTED, 0, 50, 0.8),
        ("moved", records.EXHAUSTED, 0, 50, 1.0),
        ("moved", records.EXHAUSTED, 1, 50, 0.9),
        ("looked at", records.NOT_ALONE, 0, 0, 1.0),
        ("skipped", records.SKIPPED, 0, 0, 1.0),
    )
    sure, unsure = summary.motionless(trials, ["moved", "sure", "looked at", "unsure", "skipped", "missing"])
    assert sure.startswith("net 'sure': none of its 2 trials made a single move") and "widen the ranges" in sure
    assert unsure.startswith("net 'unsure': none of its 1 trials") and "lower peer_confidence" in unsure


def test_a_group_of_one_net_is_told_what_its_mistakes_are_worth():
    (told,) = summary.alone(["a"])
    assert "net 'a' has no peers" in told and "low value" in told
    assert summary.alone(["a", "b"]) == []

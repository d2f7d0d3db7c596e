from __future__ import annotations

import math
import pathlib
from typing import Any

import pyarrow as pa
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import records, report

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
    return records.chunk_table(records.MISTAKES, columns, len(rows)).select(records.TRIALS_SCHEMA.names)


@pytest.mark.parametrize(
    ("found", "trials", "low", "high"),
    [  # Newcombe, "Two-sided confidence intervals for the single proportion" (1998), table I
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_intervals_are_those_published(found, trials, low, high):
    assert report.wilson(found, trials) == pytest.approx((low, high), abs=5e-5)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.integers(1, 10**6).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials))))
def test_intervals_are_those_of_scipy_and_hold_the_share(counts):
    found, trials = counts
    low, high = report.wilson(found, trials)
    expected = scipy.stats.binomtest(found, trials).proportion_ci(0.95, "wilson")
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert 0 <= low <= found / trials + 1e-12 and found / trials - 1e-12 <= high <= 1


def test_no_trials_tell_nothing():
    assert report.wilson(0, 0) == (0.0, 1.0)


def test_counts_and_means_are_those_of_the_trials():
    first, second = report.table(_trials(ROWS), ["a", "b"])
    assert (first.target_net, first.trials, first.found) == ("a", 4, 2)
    assert (first.moves, first.inferences, first.all_inferences) == (3.0, 21.0, (31 + 11 + 101 + 60) / 4)
    assert (first.low, first.high) == report.wilson(2, 4)
    assert (second.trials, second.found, second.all_inferences) == (2, 0, 31.0)
    assert math.isnan(second.moves) and math.isnan(second.inferences)


def test_a_find_that_was_dropped_is_a_trial_and_no_success():
    row = report.table(_trials([("a", records.DROPPED, 1, 1), ("a", records.FOUND, 1, 1)]), ["a"])[0]
    assert (row.trials, row.found) == (2, 1)


def test_an_image_of_a_scan_on_which_a_net_does_not_stand_alone_is_a_trial_of_that_net():
    rows = report.table(_trials(SCANNED), ["a", "b"])
    assert [(row.found, row.trials) for row in rows] == [(1, 3), (0, 2)]


def test_an_empty_run_has_a_row_for_every_net():
    rows = report.table(_trials([]), ["a", "b"])
    assert [(row.target_net, row.trials, row.found) for row in rows] == [("a", 0, 0), ("b", 0, 0)]


def test_rows_are_in_the_order_of_the_nets():
    assert [row.target_net for row in report.table(_trials(ROWS), ["b", "a"])] == ["b", "a"]


def test_the_text_shows_counts_shares_and_missing_means():
    lines = report.text(report.table(_trials(ROWS), ["a", "b"])).splitlines()
    assert lines[1].split()[:4] == ["a", "4", "2", "50.0"] and "21.0" in lines[1]
    assert lines[2].split()[:4] == ["b", "2", "0", "0.0"] and " - " in lines[2]


def test_the_text_is_a_table_however_long_a_name_is():
    lines = report.text(report.table(_trials(ROWS), ["a", "a" * 30])).splitlines()[:3]
    assert len({len(line) for line in lines}) == 1


def test_no_nets_give_a_header_only():
    assert report.text(report.table(_trials([]), [])).startswith("target")


@pytest.mark.parametrize("rows", [ROWS, SCANNED, []])
def test_the_rate_of_a_manifest_is_that_of_the_table(rows):
    counts: dict[str, dict[str, int]] = {}
    for net, outcome, *_ in rows:
        counts.setdefault(net, {}).setdefault(outcome, 0)
        counts[net][outcome] += 1
    for row in report.table(_trials(rows), ["a", "b"]):
        assert report.rate({"counts": counts}, row.target_net) == (row.found, row.trials)


@pytest.mark.parametrize(
    ("targets", "names"),
    [("all", ["mlp-1", "mlp-10"]), ("mlp-10", ["mlp-10"]), (["mlp-10", "mlp-1"], ["mlp-1", "mlp-10"])],
)
def test_target_nets_are_in_the_order_of_the_nets(targets, names):
    nets = [{"name": "mlp-1"}, {"name": "mlp-10"}]
    assert report.target_names({"config": {"search": {"targets": targets}}, "nets": nets}) == names


# target_net, outcome, distortion, before rounding, broken by it
NAN = math.nan
PAIRS = [
    ("a", records.FOUND, 0.2, 0.1, False),
    ("a", records.FOUND, 0.4, NAN, False),
    ("a", records.FOUND, 0.6, 0.5, True),
    ("a", records.FOUND, 0.8, 0.3, True),
    ("a", records.EXHAUSTED, 0.9, 0.7, True),
    ("a" * 30, records.EXHAUSTED, 0.9, NAN, False),
    ("", records.SET_ASIDE, None, None, None),
    ("a", records.SKIPPED, None, None, None),
]


def _pair_rows(folder: pathlib.Path, rows: list[tuple[Any, ...]]) -> list[report.PairRow]:
    names = ("target_net", "outcome", "distortion", "unrounded_distortion", "broken_by_rounding")
    columns = {name: [row[place] for row in rows] for place, name in enumerate(names)}
    columns |= {"label": [0] * len(rows), "candidates": [7] * len(rows)}
    columns["probabilities_after"] = [[0.4, 0.6, 0.8, 0.2]] * len(rows)
    (folder / "chunk.parquet").write_bytes(records.table_bytes(records.chunk_table(records.PAIRS, columns, len(rows))))
    return report.pair_table([folder / "chunk.parquet"], ["a", "a" * 30], ["a", "a" * 30])


def test_a_twin_without_an_unrounded_one_does_not_spoil_the_mean(tmp_path):
    row, none = _pair_rows(tmp_path, PAIRS)
    assert (row.attacked, row.fooled, row.evaluations, row.induced) == (5, 4, 7.0, (1.0, 0.0))
    assert (row.distortion, row.unrounded) == pytest.approx((0.5, 0.3))
    assert (none.attacked, none.fooled, none.broken) == (1, 0, 0) and math.isnan(none.unrounded)


def test_what_rounding_broke_is_counted_and_its_means_are_those_of_the_twins_found_instead(tmp_path):
    row, none = _pair_rows(tmp_path, PAIRS)
    assert row.broken == 3, "also where no other twin was found"
    assert (row.broken_before, row.broken_after) == pytest.approx((0.4, 0.7))
    assert math.isnan(none.broken_before) and math.isnan(none.broken_after)


def test_the_tables_of_pairs_are_tables_however_long_a_name_is(tmp_path):
    nets = ["a", "a" * 30]
    lines = report.pair_text(_pair_rows(tmp_path, PAIRS), nets).splitlines()
    for table in (lines[:3], lines[-3:]):
        assert len({len(line) for line in table}) == 1
    assert lines[1].split()[-3:] == ["3", "0.4000", "0.7000"] and lines[2].split()[-3:] == ["0", "-", "-"]
    assert lines[-3].split() == nets and lines[-2].split() == ["a", "100.0", "0.0"]


def test_a_run_of_pairs_without_a_trial_has_a_row_for_every_net(tmp_path):
    rows = _pair_rows(tmp_path, PAIRS[-2:])
    assert [(row.attacked, row.fooled, row.broken) for row in rows] == [(0, 0, 0)] * 2
    assert report.pair_text(rows, ["a", "a" * 30])

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import records
from pipeline.report import rates


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
    assert rates.wilson(found, trials) == pytest.approx((low, high), abs=5e-5)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.integers(1, 10**6).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials))))
def test_intervals_are_those_of_scipy_and_hold_the_share(counts):
    found, trials = counts
    low, high = rates.wilson(found, trials)
    expected = scipy.stats.binomtest(found, trials).proportion_ci(0.95, "wilson")
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert 0 <= low <= found / trials + 1e-12 and found / trials - 1e-12 <= high <= 1


def test_a_share_in_percent_has_its_interval_and_of_nothing_is_none():
    assert rates.percent(15, 148) == "10.1 (6.2 to 16.0)"
    assert rates.percent(0, 0) == "-"


def test_no_trials_tell_nothing():
    assert rates.wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("values", "mean"), [([1.0, 3.0], 2.0), ([1.0, math.nan, 3.0], 2.0), ([math.inf, 4.0, -math.inf], 4.0)]
)
def test_a_mean_is_that_of_the_finite_values(values, mean):
    assert rates.mean(pa.chunked_array([values])) == mean


@pytest.mark.parametrize("values", [[], [math.nan], [None]])
def test_a_mean_of_nothing_is_no_number(values):
    assert math.isnan(rates.mean(pa.chunked_array([pa.array(values, pa.float32())])))


def test_a_median_is_the_middle_and_of_nothing_no_number():
    assert rates.median(pa.chunked_array([[5, 1], [3]])) == 3.0
    assert rates.median(pa.chunked_array([[1, 2]])) == 1.5
    assert math.isnan(rates.median(pa.chunked_array([pa.array([], pa.int32())])))


def test_the_classes_that_nets_give_are_their_highest_probabilities():
    after = [[0.4, 0.6, 0.8, 0.2, 0.1, 0.9], [0.9, 0.1, 0.3, 0.7, 0.6, 0.4]]
    found = pa.table({"probabilities_after": pa.array(after, pa.list_(pa.float32()))})
    np.testing.assert_array_equal(rates.classes(found, 3), [[1, 0, 1], [0, 1, 0]])
    assert rates.classes(found[:0], 3).shape == (0, 3)


def test_shares_are_those_of_each_net_and_of_nothing_no_numbers():
    assert rates.shares(np.array([[True, False], [True, True]])) == (1.0, 0.5)
    assert all(math.isnan(share) for share in rates.shares(np.zeros((0, 2), bool)))


def test_a_rate_counts_trials_alone():
    counts = {"a": {records.FOUND: 2, records.EXHAUSTED: 3, records.DROPPED: 1, records.SKIPPED: 9}}
    assert rates.rate({"counts": counts}, "a") == (2, 6)
    assert rates.rate({"counts": counts}, "b") == (0, 0)

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from pipeline.retrain import significance


def test_a_p_value_is_the_share_of_signs_whose_mean_is_as_far_from_zero():
    """Of the eight sums of +-1, +-2, +-3 two are as far from 0 as 6, four as 4."""
    assert significance.sign_flip([1.0, 2.0, 3.0]) == 2 / 8
    assert significance.sign_flip([-1.0, 2.0, 3.0]) == significance.sign_flip([1.0, -2.0, -3.0]) == 4 / 8
    assert significance.sign_flip([0.0, 0.0]) == 1.0


def test_sums_that_differ_by_rounding_alone_are_equal():
    """0.1 + 0.2 - 0.3 + 0.4 is 0.4 as 0.4 + 0.3 - 0.2 - 0.1 is, but not in floating point."""
    assert significance.sign_flip([0.1, 0.2, -0.3, 0.4]) == 10 / 16


@pytest.mark.parametrize("seed", range(5))
def test_it_is_scipys_permutation_test(seed):
    values = np.random.default_rng(seed).normal(0.4, 1.0, 9)
    theirs = scipy.stats.permutation_test(
        (values,), np.mean, permutation_type="samples", vectorized=True, n_resamples=np.inf
    )
    np.testing.assert_allclose(significance.sign_flip(values), theirs.pvalue, rtol=1e-12)


@pytest.mark.slow
def test_with_many_differences_signs_are_drawn_and_the_p_value_is_close_and_never_zero():
    values = np.random.default_rng(2).normal(0.45, 1.0, 20)
    exact = scipy.stats.permutation_test(
        (values,), np.mean, permutation_type="samples", vectorized=True, n_resamples=np.inf, batch=2**14
    ).pvalue
    assert 0.01 < exact < 0.2
    assert abs(significance.sign_flip(values) - exact) < 4 * np.sqrt(exact / 10_000)
    assert significance.sign_flip([1.0] * 40) == significance.least(40) == 1e-4


@pytest.mark.parametrize("count", [1, 2, 5, 13])
def test_no_p_value_is_lower_than_the_least(count):
    assert significance.sign_flip(1.0 + np.arange(count)) == significance.least(count)


def test_holm_by_hand():
    """0.01 x 4, 0.013 x 3 is less than that and so the same, 0.03 x 2, and 0.04 x 1 is less than that."""
    np.testing.assert_allclose(significance.holm([0.04, 0.01, 0.03, 0.013]), [0.06, 0.04, 0.06, 0.04])
    assert significance.holm([0.9, 0.8]) == [1.0, 1.0] and significance.holm([]) == []


def test_by_chance_alone_holm_finds_something_no_more_often_than_it_says():
    rng = np.random.default_rng(0)
    least = [min(significance.holm(rng.uniform(size=7))) for _ in range(2000)]
    assert 0.03 < np.mean(np.less(least, 0.05)) < 0.06

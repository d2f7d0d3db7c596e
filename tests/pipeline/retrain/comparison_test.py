from __future__ import annotations

import numpy as np
import pytest

from models.errors import InputError
from pipeline.retrain import comparison
from pipeline.retrain.comparison import Requirement
from pipeline.retrain.measures import Measured

COST = {"gradients": 43, "passes": 110, "steps": 7}


def _record(**measured: float) -> dict:
    return {"measured": {**dict.fromkeys(Measured._fields, 0.0), **measured}, "cost": COST}


RESULTS = {
    "nothing": [_record(moved_error=30.0 + seed, candidates=7.0) for seed in range(10)],
    "better": [_record(moved_error=10.0 + seed + 0.1 * (seed % 2), candidates=70.0) for seed in range(10)],
}


def test_differences_are_paired_by_training_seed():
    values = comparison.differences(RESULTS, "better", "moved_error")
    np.testing.assert_allclose(values, [-20.0, -19.9] * 5)
    low, high = comparison.interval(values)
    assert -20.0 < low < np.mean(values) < high < -19.9  # far narrower than the spread between seeds


def test_an_interval_covers_the_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    drawn = [comparison.interval(rng.normal(size=20)) for _ in range(100)]
    assert 85 <= sum(low < 0.0 < high for low, high in drawn) <= 99


def test_the_tables_show_means_costs_and_differences():
    means, apart = (table.text() for table in comparison.tables(RESULTS))
    row = next(line for line in means.splitlines() if line.startswith("better"))
    assert row.split() == ["better", "0.00", "14.6", "0.0", "0.0", "0.0", "0.0", "70.0", "0.0", "0.0", "43", "110"]
    assert "nothing" not in [line.split()[0] for line in apart.splitlines()[1:]]
    assert "+63.0 [+63.0, +63.0]" in apart


def test_a_requirement_is_on_the_recipe_it_names_else_on_all_but_the_first():
    assert not Requirement("moved_error<15", list(RESULTS)).failures(RESULTS)
    assert not Requirement("better:candidates > 69.5", list(RESULTS)).failures(RESULTS)
    assert Requirement("nothing:moved_error<15", list(RESULTS)).failures(RESULTS) == [
        "nothing: moved_error is 34.50, required is below 15."
    ]
    assert Requirement("candidates>70", list(RESULTS)).failures(RESULTS)  # 70 is not above 70


@pytest.mark.parametrize(
    "text", ["moved_error", "moved_eror<3", "moved_error<=3", "moved_error<1e", "other:moved_error<3"]
)
def test_a_requirement_that_says_nothing_is_one_sentence(text):
    with pytest.raises(InputError, match="--require"):
        Requirement(text, list(RESULTS))

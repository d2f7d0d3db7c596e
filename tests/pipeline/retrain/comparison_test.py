from __future__ import annotations

import numpy as np
import pytest

from models.errors import InputError
from pipeline.retrain import comparison
from pipeline.retrain.comparison import Requirement
from pipeline.retrain.mistakes.subject import MISTAKES

MEASURES = MISTAKES.measures
FRONT = MEASURES.front
COST = {"gradients": 43, "passes": 110, "steps": 7}


def _record(**measured: float) -> dict:
    return {"measured": {**dict.fromkeys(MEASURES.names, 0.0), **measured}, "cost": COST}


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
    means, apart = (table.text() for table in comparison.tables(RESULTS, list(RESULTS), MEASURES))
    row = next(line for line in means.splitlines() if line.startswith("better"))
    assert row.split() == ["better", "0.00", "14.6", "0.0", "0.0", "0.0", "0.0", "70.0", "0.0", "0.0", "43", "110"]
    assert "nothing" not in [line.split()[0] for line in apart.splitlines()[1:]]
    assert "+63.0 [+63.0, +63.0]" in apart


def _recipe(moved: float, candidates: float, clean: float = 3.0) -> list[dict]:
    return [_record(moved_error=moved + 0.1 * seed, candidates=candidates, clean_error=clean) for seed in range(6)]


def test_beside_the_front_a_recipe_is_compared_with_controls_of_its_own_error():
    """Between controls at 10% with 100 candidates and 20% with 25, there are 50 at 15%."""
    results = {"a": _recipe(20.0, 25.0, 3.0), "b": _recipe(10.0, 100.0, 4.0), "ours": _recipe(15.0, 100.0, 3.6)}
    apart = comparison.beyond(results, "ours", ["a", "b"], FRONT)
    np.testing.assert_allclose(apart.ratio, [2.0] * 3, rtol=1e-6)
    np.testing.assert_allclose(apart.others[0], [0.1] * 3, atol=1e-9)
    assert "2.00 [2.00, 2.00]" in comparison.tables(results, ["a", "b"], MEASURES)[-1].text()


def test_outside_of_the_controls_errors_there_is_no_front():
    results = {"a": _recipe(20.0, 25.0), "b": _recipe(10.0, 100.0), "ours": _recipe(9.0, 500.0)}
    assert comparison.beyond(results, "ours", ["a", "b"], FRONT) is None
    assert len(comparison.tables(results, ["a", "b"], MEASURES)) == 2


def test_a_requirement_is_on_the_recipe_it_names_else_on_all_but_the_first():
    assert not Requirement("moved_error<15", list(RESULTS), MEASURES.names).failures(RESULTS)
    assert not Requirement("better:candidates > 69.5", list(RESULTS), MEASURES.names).failures(RESULTS)
    assert Requirement("nothing:moved_error<15", list(RESULTS), MEASURES.names).failures(RESULTS) == [
        "nothing: moved_error is 34.50, required is below 15."
    ]
    assert Requirement("candidates>70", list(RESULTS), MEASURES.names).failures(RESULTS)  # 70 is not above 70


@pytest.mark.parametrize(
    "text", ["moved_error", "moved_eror<3", "moved_error<=3", "moved_error<1e", "other:moved_error<3"]
)
def test_a_requirement_that_says_nothing_is_one_sentence(text):
    with pytest.raises(InputError, match="--require"):
        Requirement(text, list(RESULTS), MEASURES.names)


def test_the_summary_has_what_the_tables_have():
    results = {"a": _recipe(20.0, 25.0, 3.0), "b": _recipe(10.0, 100.0, 4.0), "ours": _recipe(15.0, 100.0, 3.6)}
    told = comparison.summary(results, ["a", "b"], FRONT)
    np.testing.assert_allclose(told["ours"]["beyond_front"]["ratio"][0], 2.0)
    assert "beyond_front" not in told["b"] and told["b"]["seeds"] == 6
    np.testing.assert_allclose(told["b"]["difference"]["candidates"]["mean"], 75.0)

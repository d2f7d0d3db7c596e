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
    means, unseen, more, apart, *_ = (table.text() for table in comparison.tables(RESULTS, list(RESULTS), MEASURES))
    row = next(line for line in means.splitlines() if line.startswith("better"))
    assert row.split() == ["better", "0.00", "14.6", "0.0", "0.0", "0.0", "0.0", "70.0", "0.0", "0.0", "43", "110"]
    assert "nothing" not in [line.split()[0] for line in apart.splitlines()[1:]]
    assert "+63.0* [+63.0, +63.0]" in apart
    assert "perspective" in unseen.splitlines()[1] and "4x candidates" in more.splitlines()[1]


def test_every_table_of_means_is_in_the_csv_and_no_two_columns_have_one_head():
    head, *rows = comparison.whole(RESULTS, MEASURES).csv().splitlines()
    shown = [*MEASURES.shown, *(name for columns in MEASURES.further for name in columns.shown)]
    assert len(head.split(",")) == len(set(head.split(","))) == len(shown) + 3
    assert [row.split(",")[0] for row in rows] == list(RESULTS)
    assert set(shown) <= set(MEASURES.names)


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
    assert not any("front" in table.title for table in comparison.tables(results, ["a", "b"], MEASURES))


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
    told = comparison.summary(results, ["a", "b"], MEASURES)
    np.testing.assert_allclose(told["ours"]["beyond_front"]["ratio"][0], 2.0)
    assert "beyond_front" not in told["b"] and told["b"]["seeds"] == 6
    np.testing.assert_allclose(told["b"]["difference"]["candidates"]["mean"], 75.0)


def _spread(differences: list[float]) -> dict[str, list[dict]]:
    """Two recipes of which one differs in candidates from the first so, and the other not at all."""
    zeros = [_record(candidates=20.0) for _ in differences]
    return {"first": zeros, "ours": [_record(candidates=20.0 + apart) for apart in differences], "same": zeros}


def test_a_star_is_for_what_is_unlikely_by_chance_with_all_recipes_tested():
    """Eight differences of one sign: p is 2 / 256, twice that for two recipes; of seven, 4 / 128; of six, 4 / 64."""
    for count, starred in ((8, True), (7, True), (6, False)):
        results = _spread([1.0] * count)
        told = comparison.p_values(results, "candidates")
        assert told["ours"] == (2.0 ** (1 - count), 2.0 ** (2 - count)) and told["same"] == (1.0, 1.0)
        table = next(table for table in comparison.tables(results, [], MEASURES) if table.title.startswith("differ"))
        assert ("+1.0* [" in table.text()) == starred and "+0.0* [" not in table.text()
        assert ("it takes 7" in table.note) == (not starred)


def test_the_summary_has_p_values_of_the_main_measures_of_all_but_the_first():
    told = comparison.summary(_spread([1.0] * 8), [], MEASURES)
    assert told["ours"]["difference"]["candidates"]["p"] == {"alone": 2 / 256, "holm": 4 / 256}
    assert "p" not in told["first"]["difference"]["candidates"] and "p" not in told["ours"]["difference"]["success"]
    assert all("p" in told["same"]["difference"][name] for name in MEASURES.main)


def _ordered(**patient: float) -> dict[str, list[dict]]:
    """Recipes a, b, c with 10, 20, 30 candidates as usual, and so many with more patience; restarts say the same."""
    usual = {"a": 10.0, "b": 20.0, "c": 30.0}
    return {
        name: [_record(usual_candidates=many, patient_candidates=patient[name], restarts_candidates=many)]
        for name, many in usual.items()
    }


def test_pairs_that_more_search_puts_in_the_other_order_are_told():
    table = comparison.tables(_ordered(a=15.0, b=14.0, c=60.0), [], MEASURES)[2].text()
    assert "by '4x candidates' and by '1x candidates': other for 1 of 3 pairs: a and b" in table
    assert "by '10 tries candidates' and by '1x candidates': the same" in table
    told = comparison.summary(_ordered(a=15.0, b=14.0, c=60.0), [], MEASURES)
    assert told["a"]["swapped"] == {"patient_candidates": ["b"], "restarts_candidates": []}
    assert told["c"]["swapped"] == {"patient_candidates": [], "restarts_candidates": []}


def test_an_order_that_is_the_same_or_tied_swaps_nothing():
    for patient in ({"a": 1.0, "b": 2.0, "c": 3.0}, {"a": 5.0, "b": 5.0, "c": 5.0}):
        assert not comparison.swapped(_ordered(**patient), "usual_candidates", "patient_candidates")
    reversed_order = comparison.swapped(_ordered(a=3.0, b=2.0, c=1.0), "usual_candidates", "patient_candidates")
    assert reversed_order == [("a", "b"), ("a", "c"), ("b", "c")]

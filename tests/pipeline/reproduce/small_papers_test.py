"""The small forms of the experiments on twins, garbage and retraining, whole, on the digits."""

import pytest

pytestmark = pytest.mark.slow


def test_twins_are_told_beside_the_papers(carried_out):
    told, _ = carried_out("szegedy-table")
    rows = {row["net"]: row for row in told["tables"][0]["rows"]}
    assert rows["fc10@1e-4"]["distortion, paper"] == 0.062 and told["claims"][0]["held"]
    own = [rows[name]["induced %, here"].split(" / ") for name in ("fc10@1e-4", "fc100-100-10@1e-5,1e-5,1e-6")]
    assert own[0][0] == own[1][1] == "100.0"  # each net's twins fool itself


def test_halves_are_shown_at_two_sizes_with_noise_beside(carried_out):
    told, _ = carried_out("szegedy-halves")
    first, second = told["tables"][0]["rows"]
    assert first["natural, paper %"] == 26.2 and second["natural, paper %"] == 5.9
    assert len(told["claims"]) == 4


def test_noise_misleads_the_more_the_larger_it_is(carried_out):
    told, _ = carried_out("szegedy-noise")
    small, large = told["tables"][0]["rows"]
    heads = [head for head in small if head != "distortion"]
    assert all(float(small[head].split()[-1]) <= float(large[head].split()[-1]) for head in heads)


@pytest.mark.parametrize("name", ["fooling-direct", "fooling-cppn", "fooling-ascent"])
def test_garbage_is_told_generation_by_generation(carried_out, name):
    told, _ = carried_out(name)
    assert all(0 < row["median at the end"] <= 1 for row in told["tables"][0]["rows"])


def test_garbage_is_shown_to_other_nets(carried_out):
    told, _ = carried_out("fooling-transfer")
    rows = told["tables"][0]["rows"]
    assert {row["made by"] for row in rows} == {"direct", "ascent"}
    for row in rows:
        if row["images"]:
            assert row[f"{row['made for']} %"] == 100  # the net that it was made for


def test_a_garbage_class_is_learned_in_rounds(carried_out):
    told, _ = carried_out("fooling-garbage-rounds")
    assert "after 2 rounds" in told["claims"][0]["text"]


def test_volatile_units_have_more_than_their_share(carried_out):
    told, _ = carried_out("hinthorn-volatility")
    assert [row["layer"] for row in told["tables"][0]["rows"]] == ["#1", "#2", "#3"]
    assert all(row["of the volatility in the top 25%, %"] >= 25 for row in told["tables"][0]["rows"])


@pytest.mark.parametrize("name", ["szegedy-pool", "hinthorn-selective-dropout"])
def test_recipes_are_told_with_their_front_and_claims(carried_out, name):
    told, _ = carried_out(name)
    assert len(told["claims"]) >= 3 and "training seed" in told["notes"][0]

"""The small forms of the experiments on peers, whole, on the digits."""

import numpy as np
import pytest

pytestmark = pytest.mark.slow


def test_table1_has_the_papers_figures_beside_ours(carried_out):
    told, _ = carried_out("peer-table1")
    (table,) = told["tables"]
    assert [row["found, paper %"] for row in table["rows"]] == [63, 25, 9, 5, 7]
    assert [row["inferences, paper"] for row in table["rows"]] == [507, 640, 852, 801, 819]
    shares = [float(row["found, here % (95% interval)"].split()[0]) for row in table["rows"]]
    assert shares[0] == max(shares) > 0
    assert told["claims"][0]["held"] == (shares[0] > shares[1] > shares[2] >= max(shares[3:]))


def test_what_is_there_is_not_made_again_and_says_the_same(carried_out):
    first, _ = carried_out("peer-table1")
    again, outcome = carried_out("peer-table1")
    assert "is finished already" in outcome.out
    assert {key: value for key, value in again.items() if key != "seconds"} == {
        key: value for key, value in first.items() if key != "seconds"
    }


def test_searches_are_beside_each_other_at_equal_budget(carried_out):
    told, _ = carried_out("peer-searches")
    rows = told["tables"][0]["rows"]
    assert [row["search"] for row in rows] == ["hillclimb", "steepest", "gradient_ascent"]
    assert all(row["found"] > 5 and row["candidates per find"] > 1 for row in rows)
    assert [claim["text"].split(": ")[1].partition(" than")[0] for claim in told["claims"]] == [
        f"{name} finds more{what}" for what in ("", " of high value") for name in ("steepest", "gradient_ascent")
    ]
    assert all(0 <= row["high"] <= row["found"] and row["seconds"] > 0 for row in rows)


def test_each_net_in_turn_counts_seed_images_by_the_nets_misled(carried_out):
    told, _ = carried_out("peer-each-in-turn")
    rows = told["tables"][0]["rows"]
    assert [int(row["nets misled"]) for row in rows] == [1, 2, 3, 4, 5]
    assert told["claims"][0]["held"] == (rows[-1]["seed images"] > 0)
    assert sum(row["seed images"] for row in rows) > 0


def test_more_peers_are_more_rarely_held_against_one(carried_out):
    told, _ = carried_out("peer-count")
    rows = told["tables"][0]["rows"]
    assert [int(row["peers"]) for row in rows] == [1, 2, 3]
    assert rows[0]["found"] > rows[-1]["found"] and told["claims"][0]["held"]


def test_thresholds_are_tried_in_every_pair(carried_out):
    told, _ = carried_out("peer-thresholds")
    rows = told["tables"][0]["rows"]
    assert [(row["peers"], row["target"]) for row in rows[1:]] == [(a, b) for a in ("0", "0.9") for b in ("0", "0.9")]
    assert rows[1]["mlp-10 %"] > rows[-1]["mlp-10 %"]  # laxer thresholds find more


def test_groups_of_nets_are_others(carried_out):
    told, _ = carried_out("peer-variance")
    rows = told["tables"][0]["rows"]
    assert any(row["least"] < row["most"] for row in rows)
    assert all(row["least"] <= row["mean %"] <= row["most"] for row in rows)


def test_rounds_and_the_ensembles_vote(carried_out):
    told, _ = carried_out("peer-steady-state")
    rounds = next(table for table in told["tables"] if "mistakes" in table["title"])["rows"]
    assert [int(row["round"]) for row in rounds] == [0, 1]
    found = [float(row["found"].split()[0]) for row in rounds]
    assert told["claims"][0]["held"] == (found[1] < found[0])
    vote, outcome = carried_out("peer-ensemble")
    assert len(vote["claims"]) == 2 and "error of a net" in vote["claims"][0]["found"]
    assert np.isfinite(found).all() and outcome.code == 0

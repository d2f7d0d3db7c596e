"""Searches at equal budget: what counts of a trial, and when one search is said to find more than another."""

import dataclasses

import pytest

from pipeline import records
from pipeline.reproduce import peer_searches
from pipeline.reproduce.peer_searches import _Searched

BUDGET = 100


def _row(seed, candidates, outcome=records.FOUND, moves=3):
    return {"seed_id": seed, "target_net": "a", "candidates": candidates, "outcome": outcome, "moves": moves}


def _example(seed, label, wrong_class, grade):
    return {
        "seed": {"id": seed.encode()},
        "target_net": b"a",
        "label": label,
        "wrong_class": wrong_class,
        "grade": grade.encode(),
    }


def test_finds_beyond_the_budget_count_nowhere():
    rows = [_row("within", 100), _row("beyond", 101), _row("never", 150, records.EXHAUSTED)]
    examples = [_example("within", 1, 2, records.HIGH), _example("beyond", 3, 4, records.HIGH)]
    told = peer_searches._searched(rows, examples, BUDGET, 7.0)
    assert told.found == {("within", "a"): 3}
    assert told.spent == {("within", "a"): 100, ("beyond", "a"): 100, ("never", "a"): 100}
    assert (told.pairs, told.high, told.seconds) == ({(1, 2)}, 1, 7.0)


@pytest.mark.parametrize(("ours", "held"), [(40, True), (0, False), (20, None)])
def test_a_search_finds_more_only_where_the_interval_says_so(ours, held):
    keys = [(f"seed-{number}", "a") for number in range(60)]
    climbed = _Searched({key: 10 for key in keys}, {key: 1 for key in keys[10:30]}, frozenset(), 0, 1.0)
    other = dataclasses.replace(climbed, found={key: 1 for key in keys[:ours]})
    claim = peer_searches._more("genetic", other, climbed)
    assert claim.held is held and f"{ours} and 20 finds" in claim.found

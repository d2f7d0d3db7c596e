"""Searches at equal budget: what counts of a trial, and when one search is said to find more than another."""

import dataclasses
import math

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
    assert (told.pairs, told.high, told.seconds) == ({(1, 2)}, {("within", "a")}, 7.0)


@pytest.mark.parametrize(("ours", "held"), [(40, True), (0, False), (20, None)])
def test_a_search_finds_more_only_where_the_interval_says_so(ours, held):
    keys = [(f"seed-{number}", "a") for number in range(60)]
    climbed = _Searched({key: 10 for key in keys}, {key: 1 for key in keys[10:30]}, frozenset(), frozenset(), 1.0)
    other = dataclasses.replace(climbed, found={key: 1 for key in keys[:ours]})
    claim = peer_searches._more("genetic finds more", other, climbed, other.found, climbed.found)
    assert claim.held is held and f"{ours} and 20 finds" in claim.found
    assert claim.text == "Open in the paper: genetic finds more than next-ascent hillclimbing at the same budget."


def test_finds_of_high_value_are_compared_by_themselves():
    keys = [(f"seed-{number}", "a") for number in range(60)]
    climbed = _Searched(
        {key: 10 for key in keys}, {key: 1 for key in keys[:20]}, frozenset(), frozenset(keys[:20]), 1.0
    )
    other = dataclasses.replace(climbed, found={key: 1 for key in keys}, high=frozenset(keys[:2]))
    claim = peer_searches._more("it finds more of high value", other, climbed, other.high, climbed.high)
    assert claim.held is False and "-30.0 points" in claim.found and "2 and 20 finds, 2 of the same" in claim.found


class _Folder:
    def __init__(self, counted):
        self._told = {"units": [{}, {}], **({"counters": counted} if counted is not None else {})}

    def manifest(self):
        return self._told


def test_the_time_of_a_run_is_told_only_where_one_start_mined_it_all():
    assert peer_searches._seconds(_Folder({"units": 2, "mining_milliseconds": 2500})) == 2.5
    for counted in (None, {}, {"units": 1, "mining_milliseconds": 2500}):
        assert math.isnan(peer_searches._seconds(_Folder(counted)))

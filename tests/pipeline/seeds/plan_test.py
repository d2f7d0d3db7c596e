from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

import numpy as np
import pytest

from pipeline.seeds import plan

SIZES = {"train": 53, "test": 17}
SPLITS = tuple(SIZES)
UNIT_SIZES = [1, 4, 17, 1000]


@dataclasses.dataclass(frozen=True)
class _Source:
    """Seed images of which only the number matters."""

    name = "counted"

    def count(self, split: str) -> int:
        return SIZES.get(split, 0)


def _is_held(split: str, position: int) -> bool:
    return (position * 7 + len(split)) % 3 != 0


def _held(split: str, positions: Sequence[int]) -> np.ndarray:
    assert list(positions) == sorted(set(positions))
    return np.array([_is_held(split, position) for position in positions])


def _places(units: list[plan.Unit]) -> list[tuple[str, int]]:
    return [(unit.split, position) for unit in units for position in unit.positions]


def _drawn(trials: int, unit_size: int = 4, run_seed: int = 1) -> list[plan.Unit]:
    return plan.drawn_trials(_Source(), SPLITS, unit_size, trials, run_seed, _held)


@pytest.mark.parametrize("unit_size", UNIT_SIZES)
def test_units_cover_each_position_once_in_order(unit_size):
    units = plan.whole_splits(_Source(), SPLITS, unit_size)
    assert _places(units) == [(split, position) for split in SPLITS for position in range(SIZES[split])]
    assert [unit.number for unit in units] == list(range(len(units)))


@pytest.mark.parametrize("unit_size", UNIT_SIZES)
def test_only_the_last_unit_of_a_split_is_smaller(unit_size):
    for units in (plan.whole_splits(_Source(), SPLITS, unit_size), _drawn(30, unit_size)):
        for unit, after in zip(units, [*units[1:], None]):
            last = after is None or after.split != unit.split
            assert len(unit.positions) == unit_size or (last and 0 < len(unit.positions) < unit_size)


def test_an_empty_split_gives_no_unit():
    assert plan.whole_splits(_Source(), ("empty",), 4) == []
    assert plan.drawn_trials(_Source(), ("empty",), 4, 5, 1, _held) == []


@pytest.mark.parametrize("run_seed", [0, 1, 2**32 - 1])
@pytest.mark.parametrize("trials", [1, 5, 20, 40])
def test_as_many_held_seed_images_are_drawn_as_asked_for(trials, run_seed):
    places = _places(_drawn(trials, run_seed=run_seed))
    assert len(places) == len(set(places))
    assert sum(_is_held(*place) for place in places) == trials


def test_all_are_taken_where_there_are_too_few():
    everything = {(split, position) for split in SPLITS for position in range(SIZES[split])}
    held = sum(_is_held(*place) for place in everything)
    assert set(_places(_drawn(held + 1))) == set(_places(_drawn(10**6))) == everything


@pytest.mark.parametrize("unit_size", UNIT_SIZES)
def test_the_unit_size_only_cuts(unit_size):
    assert _places(_drawn(20, unit_size)) == _places(_drawn(20, 3))


def test_drawn_units_are_in_the_order_of_the_splits():
    places = _places(_drawn(30))
    assert places == sorted(places, key=lambda place: (SPLITS.index(place[0]), place[1]))
    assert {split for split, _ in places} == set(SPLITS)


def test_fewer_trials_are_among_more():
    drawn = [set(_places(_drawn(trials))) for trials in (1, 5, 20, 40)]
    assert drawn[0] < drawn[1] < drawn[2] < drawn[3]


def test_the_run_seed_alone_decides_what_is_drawn():
    assert _drawn(20, run_seed=1) == _drawn(20, run_seed=1)
    assert len({tuple(_places(_drawn(20, run_seed=run_seed))) for run_seed in range(8)}) == 8


def test_every_seed_image_is_drawn_about_equally_often():
    counts = dict.fromkeys(((split, position) for split in SPLITS for position in range(SIZES[split])), 0)
    for run_seed in range(200):
        for place in _places(_drawn(12, run_seed=run_seed)):
            counts[place] += 1
    assert min(counts.values()) > 20 and max(counts.values()) < 100


def test_a_plan_file_tells_positions_whether_gapless_or_not():
    whole = plan.whole_splits(_Source(), ("test",), 10)[1]
    assert whole.to_json() == {"number": 1, "split": "test", "range": [10, 17]}
    assert plan.Unit(0, "test", (1, 5)).to_json() == {"number": 0, "split": "test", "positions": [1, 5]}


@pytest.mark.parametrize("units", [plan.whole_splits(_Source(), SPLITS, 10), _drawn(20)], ids=["whole", "drawn"])
def test_units_come_back_from_the_plan_file(units):
    assert [plan.Unit.from_json(json.loads(json.dumps(unit.to_json()))) for unit in units] == units

"""Which seed images are trials of a method."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from models.recipe import Training
from pipeline.config.config import Config, Judge, Peers, Run, Seeds
from pipeline.kinds import registry, seeded
from pipeline.seeds.plan import Unit
from pipeline.seeds.source import SeedBatch
from tests.pipeline import nets

# Of two nets: both right; the second wrong; both wrong; the first gives NaN.
ANSWERS = np.array(
    [[[0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [np.nan, 0.5]], [[0.9, 0.1], [0.3, 0.7], [0.2, 0.8], [0.9, 0.1]]]
)
RIGHT, AGREED, FINITE = [1, 0, 0, 0], [1, 0, 1, 0], [1, 1, 1, 0]


def _task(method: str, **search: Any) -> Config:
    found = registry.methods()[method]
    sections = {name: found.choices(name)[0]() for name in found.sections}
    task = Config("tiny", found, Seeds(), Peers(), Training(), Judge(), Run(unit_size=2), sections)
    return task.with_section("search", method=method, **search)


class _Answers:
    """Two nets that say of image number N (its grey level) what row N of `ANSWERS` says."""

    def probabilities(self, images: np.ndarray, batch: int) -> np.ndarray:
        return ANSWERS.astype(np.float32)[:, images[:, 0, 0, 0]]


class _Source:
    """Four images of label 0; the last but one cannot be read in a split that is "torn"."""

    def count(self, split: str) -> int:
        return 4

    def shape(self) -> tuple[int, int, int]:
        return nets.SHAPE

    def read(self, split: str, positions: Any) -> SeedBatch:
        found = [place for place in positions if (split, place) != ("torn", 2)]
        images = np.tile(np.array(found, np.uint8).reshape(-1, 1, 1, 1), (1, *nets.SHAPE))
        return SeedBatch(split, found, [f"seed-{place}" for place in found], images, np.zeros(len(found), np.int32), [])


@pytest.mark.parametrize(
    ("method", "class_from", "expected"),
    [
        ("hillclimb", "label", RIGHT),
        ("hillclimb", "consensus", AGREED),
        *((method, "label", RIGHT) for method in ("lbfgs", "pgd", "fgsm")),
        *((method, "consensus", AGREED) for method in ("lbfgs", "pgd", "fgsm")),
        ("scan", "label", FINITE),
        ("scan", "consensus", FINITE),
    ],
)
def test_a_search_needs_all_nets_right_and_a_scan_finite_numbers(monkeypatch, method, class_from, expected):
    task = _task(method, class_from=class_from)
    monkeypatch.setattr(seeded, "units", lambda config, group, source, usable: usable)
    usable = registry.of(task).units(task, None, None)
    found = usable(ANSWERS.astype(np.float32), np.zeros(4, np.int32))
    assert found.tolist() == [bool(flag) for flag in expected]


def test_without_trials_every_seed_image_is_in_a_unit():
    task = _task("hillclimb")
    units = registry.of(task).units(task, _Answers(), _Source())
    assert units == [Unit(0, "train", range(2)), Unit(1, "train", range(2, 4))]


@pytest.mark.parametrize(("method", "counted"), [("hillclimb", {0}), ("pgd", {0}), ("scan", {0, 1, 2})])
def test_as_many_seed_images_are_drawn_as_it_takes_for_so_many_that_count(method, counted):
    task = _task(method, trials=len(counted))
    units = registry.of(task).units(task, _Answers(), _Source())
    assert counted <= {position for unit in units for position in unit.positions} <= set(range(4))


def test_an_image_that_cannot_be_read_does_not_count(monkeypatch):
    monkeypatch.setattr(seeded.plan, "drawn_trials", lambda *given: given[-1])
    counts = seeded.units(_task("scan", trials=1), _Answers(), _Source(), lambda answers, labels: labels == 0)
    assert counts("whole", [0, 1, 2, 3]).tolist() == [True] * 4
    assert counts("torn", [0, 1, 2, 3]).tolist() == [True, True, False, True]


@pytest.mark.parametrize("most", [1, 3, 4])
def test_no_more_images_are_read_at_a_time_than_fit_and_the_same_are_drawn(monkeypatch, most):
    read, usual = [], _Source.read
    monkeypatch.setattr(_Source, "read", lambda *given: read.append(len(given[2])) or usual(*given))
    monkeypatch.setattr(Run, "images_of_unit", lambda run, shape: most)
    task = dataclasses.replace(_task("hillclimb", trials=4), seeds=Seeds("made_up", splits=("torn",)))
    drawn = registry.of(task).units(task, _Answers(), _Source())
    assert [unit.positions for unit in drawn] == [(0, 1), (2, 3)]
    assert max(read) == most and sum(read) == 4

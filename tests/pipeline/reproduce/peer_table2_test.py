"""Table 2: what is claimed of columns, what stands beside the paper's figures, and a tiny one from end to end."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.errors import InputError
from pipeline import records
from pipeline.kinds.mistakes.summary import Row
from pipeline.report import rates
from pipeline.reproduce import papers, peer_table2
from pipeline.reproduce.bench import Bench
from pipeline.reproduce.peer_table2 import TABLE2, Table2
from pipeline.reproduce.registry import EXPERIMENTS
from pipeline.workdir.ledger import Workdir
from tests.pipeline import conftest, nets

TRIALS = 300


def _example(place: int, *, grade: str = records.LOW, judge_class: int = 0) -> dict[str, Any]:
    return {
        "seed_image": nets.images(1)[0],
        "image": nets.images(1)[0],
        "label": 0,
        "wrong_class": 1,
        "grade": grade.encode(),
        "judge": {"class": judge_class},
        "transform": {"parameters": np.zeros((place + 1, 4))},
    }


def _column(found: int, swaps: float = 40.0, first: int = 0, **changes: Any) -> peer_table2._Column:
    """A column whose first `found` seed images of 300, from number `first` on, lead to a mistake."""
    row = Row("a", TRIALS, found, *rates.wilson(found, TRIALS), swaps, 1.0, 1.0)
    ids = [f"seed-{place:03d}" for place in range(first, first + TRIALS)]
    outcomes = {seed_id: records.FOUND if place < found else records.EXHAUSTED for place, seed_id in enumerate(ids)}
    examples = {seed_id: _example(place, **changes) for place, seed_id in enumerate(ids[: min(found, 20)])}
    return peer_table2._Column(row, outcomes, examples, ["zero", "one"])


def _columns(*found: int) -> list[peer_table2._Column]:
    return [_column(count) for count in found]


@pytest.mark.parametrize(
    ("found", "held"), [((299, 145, 96, 72, 57), True), ((299, 145, 96, 96, 57), False), ((299, 145, 146), False)]
)
def test_successes_have_to_fall_with_every_peer(found, held):
    claim = peer_table2._falling(_columns(*found))
    assert claim.held is held and ", ".join(map(str, found)) in claim.found


@pytest.mark.parametrize(("found", "held"), [(294, True), (293, False)])
def test_without_peers_98_percent_have_to_succeed(found, held):
    assert peer_table2._alone(_column(found)).held is held


@pytest.mark.parametrize(
    ("swaps", "held"), [((18.0, 37.0), True), ((72.0, 74.0), True), ((17.9, 37.0), False), ((36.0, 74.1), False)]
)
def test_mean_swaps_have_to_be_within_a_factor_of_2(swaps: Sequence[float], held):
    assert peer_table2._swaps([_column(10, each) for each in swaps]).held is held


def test_where_nothing_is_found_swaps_and_grades_cannot_be_told():
    assert peer_table2._swaps(_columns(0, 0)).held is None and peer_table2._low(_columns(0, 0)).held is None


def test_one_mistake_of_high_value_is_one_too_many():
    assert peer_table2._low(_columns(20, 10)).held is True
    assert peer_table2._low([*_columns(20), _column(1, grade=records.HIGH)]).held is False


def test_our_figures_stand_beside_the_papers():
    head, first, second = peer_table2._beside([_column(300, 30.0), _column(150, 41.0, first=60)]).cells
    one, other = dict(zip(head, first, strict=True)), dict(zip(head, second, strict=True))
    assert (one["found, paper"], one["found, here"], one["swaps, paper"], one["swaps, here"]) == (
        *("299", "300", "36", "30.0"),
    )
    assert one["here % (95% interval)"] == "100.0 (98.7 to 100.0)" and one["paper %"] == "99.7"
    # 240 digits are in both; of the second column's 150 finds, all are among its first 240.
    assert (one["same digits %"], other["same digits %"]) == ("100.0", "62.5")


def test_the_judge_is_told_for_swaps_and_for_affine_moves():
    columns, affine = [_column(20, judge_class=1), _column(10)], _column(4, grade=records.HIGH)
    rows = [row[:3] + row[4:] for row in peer_table2._judged(columns, affine).cells[1:]]
    assert rows == [
        ["pixel swaps", "0", "20", "0.0"],
        ["pixel swaps", "1", "10", "0.0"],
        ["affine", "1", "4", "100.0"],
    ]
    shares = [row[3].split()[0] for row in peer_table2._judged(columns, affine).cells[1:]]
    assert shares == ["0.0", "100.0", "100.0"]


def test_the_sheet_shows_digits_that_are_found_under_every_number_of_peers():
    assert peer_table2._drawn([_column(5), _column(5, first=5)]) == []
    (sheet,) = peer_table2._drawn([_column(20), _column(20, first=15)])
    stream = io.BytesIO()
    sheet.draw(stream)
    with Image.open(stream) as drawn:
        assert drawn.format == "PNG" and drawn.height > 300


@pytest.mark.parametrize("form", [papers.FULL, papers.SMALL])
def test_the_tasks_of_both_forms_swap_pixels_and_have_a_judge_and_room_for_long_walks(form, tmp_path):
    experiment = papers.load(EXPERIMENTS, "peer-table2", form)
    assert isinstance(experiment, Table2)
    task = Bench(Workdir.at(str(tmp_path)), None, "cpu").task(experiment.task)
    assert task.sections["operator"].name == "pixel_swap" and task.judge.architecture
    assert task.sections["search"].max_moves >= 10 * max(line.swaps for line in TABLE2)
    assert task.sections["search"].patience == 250


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"operator": {"name": "pixel_swap"}, "judge": None}, "has no judge"),
        ({}, "does not swap pixels"),
    ],
)
def test_another_task_is_one_sentence(config, tmp_path, changes, told):
    bench = Bench(Workdir.at(str(tmp_path / "work")), None, "cpu")
    with pytest.raises(InputError, match=told):
        Table2(str(config(**changes)), 10).run(bench)


@pytest.mark.slow
def test_a_tiny_one_is_carried_out_and_the_second_time_finds_all_there(work, config):
    search = {"target_confidence": 0.0, "max_moves": 200, "patience": 100}
    task = config(operator={"name": "pixel_swap"}, search=search)
    bench = Bench(Workdir.at(str(work.path)), None, "cpu")
    findings = Table2(str(task), 20).run(bench)
    table, judged = findings.tables
    assert [row[0] for row in table.cells[1:]] == ["0", "1", "2"]
    found = [int(row[2]) for row in table.cells[1:]]
    assert found[0] >= 18 and found[0] >= found[1] > 0
    assert judged.cells[-1][0] == "affine" and {row[4] for row in judged.cells[1:-1]} <= {"0.0", "-"}
    runs = sorted((work.path / "ledger" / conftest.DATASET.split("/")[0]).iterdir())
    assert [run.name for run in runs if run.is_dir()] == [
        *("tiny_moved_peers2", "tiny_peers0", "tiny_peers1", "tiny_peers2"),
    ]
    assert Table2(str(task), 20).run(bench).tables == findings.tables

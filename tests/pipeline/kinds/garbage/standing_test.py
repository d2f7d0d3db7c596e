"""Where a run of islands stands, for its bar."""

import pytest
from etils import epath

from pipeline.kinds.garbage.standing import Generations
from pipeline.workdir.ledger import RunFolder


@pytest.fixture
def folder(tmp_path):
    """A run of three islands of 10 generations: one finished early, one under way, one not begun."""
    run = RunFolder(epath.Path(tmp_path))
    for place in ("chunks", "curves"):
        (run.path / place).mkdir()
    _curve(run, 0, "0,0,0.25", "4,3,1")
    _curve(run, 1, "0,1,0.5")
    run.chunk(0).touch()
    return run


def _curve(run, unit, *lines):
    run.curve(unit).write_text("\n".join(["generation,classes_done,median_confidence", *lines]) + "\n")


def test_finished_islands_have_all_generations_behind_them_and_others_those_of_their_curves(folder):
    islands = Generations(folder, 3, 10)
    assert islands.now() == (10, "classes done 4, median confidence 0.750000")
    _curve(folder, 1, "0,1,0.5", "7,2,0.5")
    assert islands.now() == (17, "classes done 5, median confidence 0.750000")


def test_an_island_that_failed_at_once_counts_for_nothing(folder):
    folder.chunk(2).touch()
    assert Generations(folder, 3, 10).now() == (10, "classes done 4, median confidence 0.750000")


def test_a_run_that_has_not_begun_stands_at_nothing(tmp_path):
    standing = Generations(RunFolder(epath.Path(tmp_path)), 3, 10)
    assert standing.now() == (0, "classes done 0, median confidence 0.000000")
    assert (standing.total, standing.unit) == (30, "generation")


def test_the_curve_of_a_finished_island_is_read_once(folder):
    islands = Generations(folder, 3, 10)
    before = islands.now()
    folder.curve(0).write_text("no curve")
    assert islands.now() == before
    folder.chunk(1).touch()
    assert islands.now()[0] == 20
    folder.curve(1).write_text("no curve")
    assert islands.now()[0] == 20

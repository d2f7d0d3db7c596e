"""What the bar of a run says, and what it reads for that."""

import io
import os

import pytest
from etils import epath
from tqdm import tqdm

from pipeline import interruption, progress, under_way
from pipeline.ledger import RunFolder
from pipeline.plan import Unit

UNITS = [Unit(0, "train", range(0, 100)), Unit(1, "train", range(100, 160)), Unit(2, "test", (3, 7, 8))]


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
    islands = progress._Islands(folder, 10)
    assert islands.standing() == (10, "classes done 4, median confidence 0.750000")
    _curve(folder, 1, "0,1,0.5", "7,2,0.5")
    assert islands.standing() == (17, "classes done 5, median confidence 0.750000")


def test_an_island_that_failed_at_once_counts_for_nothing(folder):
    folder.chunk(2).touch()
    assert progress._Islands(folder, 10).standing() == (10, "classes done 4, median confidence 0.750000")


def test_a_run_that_has_not_begun_stands_at_nothing(tmp_path):
    assert progress._Islands(RunFolder(epath.Path(tmp_path)), 10).standing() == (
        0,
        "classes done 0, median confidence 0.000000",
    )


def test_the_curve_of_a_finished_island_is_read_once(folder):
    islands = progress._Islands(folder, 10)
    before = islands.standing()
    folder.curve(0).write_text("no curve")
    assert islands.standing() == before
    folder.chunk(1).touch()
    assert islands.standing()[0] == 20
    folder.curve(1).write_text("no curve")
    assert islands.standing()[0] == 20


def _images(folder):
    return progress._Images(folder, UNITS).standing()[0]


def test_images_of_finished_units_count_whole_and_those_of_units_under_way_by_their_ended_trials(folder):
    assert _images(folder) == 100
    with under_way.told(folder, "b", 60) as tell:
        assert _images(folder) == 100
        for ended, behind in [(0, 100), (1, 120), (2, 140)]:
            tell(ended, 3)
            assert _images(folder) == behind
        with under_way.told(folder, "c", 3) as tell_of_another:
            tell_of_another(2, 3)
            assert _images(folder) == 142
        assert _images(folder) == 140
    assert _images(folder) == 100
    folder.chunk(1).touch()
    assert _images(folder) == 160


def test_a_unit_that_fails_is_no_longer_under_way(folder):
    with pytest.raises(ValueError, match="of a net"), under_way.told(folder, "b", 60) as tell:
        tell(1, 2)
        raise ValueError("of a net")
    assert _images(folder) == 100


def test_what_a_killed_start_told_is_forgotten_by_the_next(folder):
    with under_way.told(folder, "b", 60) as tell:
        tell(1, 2)
        folder.sweep()
        assert _images(folder) == 100 and not folder.progress.exists()


def test_a_file_that_vanishes_or_is_none_of_ours_counts_for_nothing(folder):
    folder.progress.mkdir()
    (folder.progress / "b.1f.tmp").write_text("")
    os.symlink("nowhere", folder.progress / "c")
    assert _images(folder) == 100


def test_to_tell_is_where_a_search_ends_on_request(folder, monkeypatch):
    monkeypatch.setattr(interruption, "is_ending", lambda: True)
    with pytest.raises(KeyboardInterrupt), under_way.told(folder, "b", 60) as tell:
        tell(1, 2)


def test_the_bar_never_goes_back(folder):
    bar = tqdm(total=10, file=io.StringIO())
    for place, shown in [(4, 4), (2, 4), (5, 5)]:
        progress._show(bar, place, "")
        assert bar.n == shown


def test_the_longer_a_look_takes_the_longer_it_is_until_the_next():
    assert progress._pause(0.0) == progress._pause(0.01) == 0.5
    assert progress._pause(3.0) == 60.0

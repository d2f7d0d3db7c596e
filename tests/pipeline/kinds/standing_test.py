"""How many seed images a run has behind it, for its bar, and how workers tell of units under way."""

import os

import pyarrow as pa
import pytest
from etils import epath

from pipeline import interruption, records
from pipeline.kinds.standing import Images
from pipeline.records import EXHAUSTED, FOUND
from pipeline.seeds.plan import Unit
from pipeline.workdir import under_way
from pipeline.workdir.ledger import RunFolder

UNITS = [Unit(0, "train", range(0, 100)), Unit(1, "train", range(100, 160)), Unit(2, "test", (3, 7, 8))]


@pytest.fixture
def folder(tmp_path):
    """A run whose first unit is finished."""
    run = RunFolder(epath.Path(tmp_path))
    _finish(run, 0, [FOUND, EXHAUSTED, FOUND])
    return run


def _finish(run, unit, outcomes):
    run.chunks.mkdir(exist_ok=True)
    run.chunk(unit).write_bytes(records.table_bytes(pa.table({"outcome": outcomes})))


def _images(folder):
    standing = Images(folder, UNITS)
    assert standing.total == 163
    return standing.now()[0]


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
    _finish(folder, 1, [EXHAUSTED])
    assert _images(folder) == 160


def test_what_is_being_written_does_not_count_beside_what_it_replaces(folder, monkeypatch):
    replace, seen = os.replace, []

    def looked_at(aside, path):
        seen.append(_images(folder))
        replace(aside, path)

    with under_way.told(folder, "b", 60) as tell:
        tell(1, 3)
        monkeypatch.setattr(os, "replace", looked_at)
        tell(2, 3)
    assert seen == [120]


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


def test_the_note_tells_how_many_examples_the_finished_units_have(folder):
    standing = Images(folder, UNITS)
    assert standing.now()[1] == "2 found"
    _finish(folder, 1, [FOUND] * 1200)
    _finish(folder, 2, [])
    assert standing.now()[1] == "1,202 found"


def test_a_chunk_is_read_once_for_the_note(folder, monkeypatch):
    standing, read = Images(folder, UNITS), []
    whole = records.read_table
    monkeypatch.setattr(records, "read_table", lambda path, columns: read.append(path.name) or whole(path, columns))
    for _ in range(3):
        standing.now()
    assert read == ["000000.parquet"]

"""Islands under way: checkpoints, lineages, and the merge of islands in any order."""

import zipfile

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import records
from pipeline.kinds.garbage import islands
from pipeline.kinds.garbage.islands import Course, Island, Islands
from pipeline.kinds.garbage.kind import GARBAGE
from pipeline.search.evolution.elites import Elites, Log, State

_END_RECORD = 22  # bytes at the end of a zip file


def _state(number=0):
    numbers = np.random.default_rng(number)
    genomes = (tf.constant(numbers.random((3, 4, 4, 1)).astype(np.float32)), tf.constant(numbers.integers(0, 9, 3)))
    confidences = tf.constant(numbers.random(3).astype(np.float32))
    return State(Elites(genomes, confidences, tf.range(3), tf.zeros([3, 2], tf.int32)), ())


def _log(first, generations, block, images=2):
    """A block's log in which of every generation the second image takes a cell."""
    at = np.arange(first, first + block)
    parents = np.stack([at[:, None] * images - images + np.arange(images), -np.ones((block, images), int)], axis=-1)
    cells = np.tile([0, 2], (block, 1))
    blank = np.arange(block) >= generations
    cells[blank] = 0
    return Log(tf.constant(at), tf.constant(at / 100.0, tf.float32), tf.constant(parents, tf.int32), tf.constant(cells))


def _course():
    return Course.begun(_state(), _log(0, 1, 1)).after(_state(1), 5, _log(1, 5, 5)).after(_state(2), 7, _log(6, 2, 5))


def test_a_course_keeps_every_generation_and_every_image_that_took_a_cell():
    course = _course()
    history = course.history()
    assert course.generation == course.classes_done == 7
    np.testing.assert_array_equal(history.done, range(8))
    np.testing.assert_allclose(history.medians, np.arange(8) / 100.0, atol=1e-7)
    np.testing.assert_array_equal(history.births, [2 * at + 1 for at in range(8)])
    np.testing.assert_array_equal(history.parents[:, 0], [2 * at - 1 for at in range(8)])
    assert course.curve().splitlines()[:3] == [
        "generation,classes_done,median_confidence",
        "0,0,0",
        "1,1,0.00999999978",
    ]
    table = course.lineage(Island(4, 1, 2), "net", 2)
    assert table.schema == records.LINEAGE_SCHEMA
    assert table["individual"].to_pylist() == [f"2-{2 * at + 1}" for at in range(8)]
    assert table["parents"].to_pylist() == [[]] + [[f"2-{2 * at - 1}"] for at in range(1, 8)]
    assert table["generation"].to_pylist() == list(range(8))


def test_a_block_without_a_generation_leaves_the_course_where_it_is():
    course = _course()
    again = course.after(_state(3), 7, _log(8, 0, 5))
    assert (again.generation, again.classes_done, again.blocks) == (7, 7, course.blocks)


def test_a_checkpoint_brings_back_the_course(tmp_path):
    course = _course()
    course.save(tmp_path / "island.npz")
    again = Course.load(tmp_path / "island.npz", _state(9))
    assert again.generation == 7
    tf.nest.map_structure(np.testing.assert_array_equal, again.state, course.state)
    for ours, theirs in zip(again.history(), course.history(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert [path.name for path in tmp_path.iterdir()] == ["island.npz"]


def test_a_checkpoint_that_is_missing_damaged_or_of_another_kind_is_none(tmp_path, monkeypatch):
    path = tmp_path / "island.npz"
    assert Course.load(path, _state()) is None
    _course().save(path)
    whole = path.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], b"PK" + b"\0" * 100):
        path.write_bytes(damaged)
        assert Course.load(path, _state()) is None
    path.write_bytes(whole)
    other_shape = State(_state().elites._replace(confidences=tf.zeros([4])), ())
    more = State(_state().elites, tf.zeros([1]))
    assert Course.load(path, other_shape) is None and Course.load(path, more) is None
    monkeypatch.setattr(islands, "_FORMAT", 2)
    assert Course.load(path, _state()) is None


@pytest.mark.parametrize("flip", [0x01, 0xFF])
def test_a_checkpoint_with_any_byte_of_its_directory_spoilt_is_none_or_the_same(tmp_path, flip):
    path, course = tmp_path / "island.npz", _course()
    course.save(path)
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        start, entries = archive.start_dir, len(archive.namelist())
    end = start + (len(whole) - start) // entries  # the entries are alike
    for place in [*range(start, end), *range(len(whole) - _END_RECORD, len(whole))]:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ flip]) + whole[place + 1 :])
        if again := Course.load(path, _state()):
            assert again.generation == course.generation
            tf.nest.map_structure(np.testing.assert_array_equal, again.state, course.state)
            tf.nest.map_structure(np.testing.assert_array_equal, again.history(), course.history())


def test_a_checkpoint_with_a_pickle_in_it_is_not_read(tmp_path):
    path = tmp_path / "island.npz"
    np.savez(path, format=np.array([{"a": 1}], dtype=object))
    assert Course.load(path, _state()) is None


def test_units_are_the_first_islands_of_all_nets_first():
    source = Islands((4, 7))
    units = source.units(3)
    found = [source.read(unit.split, unit.positions) for unit in units]
    assert [(island.unit, island.net, island.number) for island in found] == [
        (0, 4, 0),
        (1, 7, 0),
        (2, 4, 1),
        (3, 7, 1),
        (4, 4, 2),
        (5, 7, 2),
    ]
    assert source.units(2) == units[:4]  # more islands leave the first ones as they are


_rows = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 2), st.sampled_from([0.1, 0.5, 0.9])), max_size=8)


def _table(rows, tag):
    count = len(rows)
    columns = {
        "target_net": [net for net, _, _ in rows],
        "wrong_class": [number for _, number, _ in rows],
        "target_confidence": [confidence for _, _, confidence in rows],
        "id": [f"{tag}{place}" for place in range(count)],
    }
    return records.chunk_table(GARBAGE.schema(), columns, count)


def _merged(*tables: pa.Table):
    return islands.merge(tables)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(_rows, _rows, _rows)
def test_merging_islands_is_commutative_associative_and_idempotent(first, second, third):
    one, two, three = (_table(rows, tag) for rows, tag in ((first, "x"), (second, "y"), (third, "z")))
    whole = _merged(one, two, three)
    assert whole == _merged(three, one, two) == _merged(_merged(one, two), three) == _merged(one, _merged(two, three))
    assert _merged(whole, whole) == whole == _merged(whole, two)
    highest = {}
    for net, number, confidence in [*first, *second, *third]:
        highest[net, number] = max(confidence, highest.get((net, number), 0.0))
    cells = zip(whole["target_net"].to_pylist(), whole["wrong_class"].to_pylist())
    found = dict(zip(cells, whole["target_confidence"].to_pylist()))
    assert found.keys() == highest.keys()
    assert all(found[cell] == pytest.approx(value) for cell, value in highest.items())

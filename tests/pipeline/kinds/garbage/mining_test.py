"""Garbage images from islands to chunks, on linear nets and on nets of the tests' own."""

import dataclasses

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from etils import epath

from models.classifier import PeerGroup
from models.errors import InputError
from pipeline import records
from pipeline.config.config import Run, Search
from pipeline.kinds import registry
from pipeline.kinds.chunk import NOT_FINITE
from pipeline.kinds.garbage import mining
from pipeline.kinds.garbage.islands import Island
from pipeline.kinds.garbage.methods import AscentGarbage
from pipeline.search.evolution.ascent import GradientAscent
from pipeline.search.evolution.cppn import render_at
from pipeline.search.evolution.cppn_encoding import CPPN
from pipeline.search.evolution.direct import Direct
from pipeline.search.evolution.map_elites import MapElites
from pipeline.workdir import ledger
from tests.pipeline import nets

SEARCHES = {
    "direct": MapElites(Direct(nets.SHAPE), 20),
    "cppn": MapElites(CPPN(nets.SHAPE, max_hidden=4), 20),
    "ascent": GradientAscent(nets.SHAPE, 3, step_size=0.01),
}
ISLAND = Island(2, 1, 0)


def _task(search, folder=None, **changes):
    task = mining.Task(search, (0, 1, 2), 0.8, 45, 16, 3, "digest", folder)
    return dataclasses.replace(task, **changes)


def _mine(task, island=ISLAND, group=None):
    return task.miner(group or nets.group(), None).mine(island)


def _folder(path):
    return ledger.RunFolder(epath.Path(path))


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
def test_a_chunk_says_what_the_nets_say_of_the_stored_images(search):
    rows = _mine(_task(search)).to_pylist()
    assert [row["wrong_class"] for row in rows] == [0, 1, 2]
    assert any(row["outcome"] == records.FOUND for row in rows)
    images = np.stack([records.decode_png(row["image"]) for row in rows])
    answers = nets.probabilities(images)
    for place, row in enumerate(rows):
        np.testing.assert_allclose(np.reshape(row["probabilities_after"], (3, 3)), answers[:, place], atol=1e-5)
        assert row["target_confidence"] == pytest.approx(answers[1, place, row["wrong_class"]], abs=1e-5)
        assert row["outcome"] == (records.FOUND if row["target_confidence"] >= 0.8 else records.EXHAUSTED)
        assert row["reason"] == ("" if row["outcome"] == records.FOUND else mining.NOT_DONE)
        assert row["generation"] == int(row["individual"].split("-")[1]) // search.population
        if row["genome"]:
            np.testing.assert_array_equal(render_at(row["genome"], 8, 8), images[place])
    assert bool(rows[0]["genome"]) == (search is SEARCHES["cppn"])


@pytest.mark.parametrize(
    "search",
    [
        pytest.param(each, marks=[pytest.mark.slow] if name == "cppn" else [], id=name)
        for name, each in SEARCHES.items()
    ],
)
def test_an_island_that_goes_on_from_a_checkpoint_ends_as_if_it_had_not_stopped(search, tmp_path, monkeypatch):
    whole = _folder(tmp_path / "whole")
    expected = _mine(_task(search, whole, confidence=0.99999))
    monkeypatch.setattr(mining, "_CHECKPOINT_SECONDS", -1.0)  # after every block
    stopped = _folder(tmp_path / "stopped")
    _mine(_task(search, stopped, confidence=0.99999, generations=mining._BLOCK + 5))
    assert stopped.checkpoint(2).exists()
    stopped.curve(2).unlink()
    loaded = []
    load = mining.Course.load
    monkeypatch.setattr(mining.Course, "load", lambda *given: loaded.append(load(*given)) or loaded[-1])
    again = _mine(_task(search, stopped, confidence=0.99999))
    assert loaded[0].generation == mining._BLOCK
    assert records.table_bytes(again) == records.table_bytes(expected)
    for name in ("curve", "lineage"):
        assert getattr(stopped, name)(2).read_bytes() == getattr(whole, name)(2).read_bytes()


@pytest.mark.slow
def test_islands_and_target_nets_differ_and_do_not_depend_on_each_other():
    miner = _task(SEARCHES["direct"]).miner(nets.group(), None)
    alone = {name: _mine(_task(SEARCHES["direct"]), Island(0, *name)) for name in ((0, 0), (1, 0), (1, 1))}
    together = {name: miner.mine(Island(0, *name)) for name in ((1, 1), (0, 0), (1, 0))}
    assert alone == together
    ids = [identity for table in alone.values() for identity in table["id"].to_pylist()]
    assert len(set(ids)) == 9
    images = [image for table in alone.values() for image in table["image"].to_pylist()]
    assert len(set(images)) == 9


@pytest.mark.slow
def test_a_net_keeps_its_islands_among_other_peers():
    group = nets.group()
    turned = PeerGroup(tuple(reversed(group.classifiers)))
    one, other = _mine(_task(SEARCHES["direct"])), _mine(_task(SEARCHES["direct"]), group=turned)
    assert one["image"] == other["image"] and one["id"] == other["id"]


def test_the_lineage_leads_from_every_champion_back_to_the_first_generation(tmp_path):
    folder = _folder(tmp_path)
    champions = _mine(_task(SEARCHES["direct"], folder, confidence=0.99999)).to_pylist()
    lineage = {row["individual"]: row for row in pq.read_table(folder.lineage(2)).to_pylist()}
    for champion in champions:
        row = lineage[champion["individual"]]
        assert row["parents"] == champion["parents"] and row["cells"] >= 1 and row["target_net"] == "net-1"
        steps = 0
        while row["parents"]:
            before = row
            row = lineage[row["parents"][0]]
            assert row["generation"] < before["generation"]
            steps += 1
        assert row["generation"] == 0 and steps >= 1


class _Paler(Direct):
    """An encoding whose stored image has half the contrast of the one that was searched."""

    def image(self, genome):
        return (super().image(genome) // 2 + 64).astype(np.uint8)


@pytest.mark.slow
def test_a_class_that_is_done_in_the_search_alone_is_searched_on_and_never_found_below_its_confidence():
    task = _task(MapElites(_Paler(nets.SHAPE), 20), confidence=0.9, generations=60)
    course, _ = task.miner(nets.group(), None).evolve(ISLAND)
    straight, _ = dataclasses.replace(task, search=SEARCHES["direct"]).miner(nets.group(), None).evolve(ISLAND)
    assert course.generation > straight.generation
    for row in _mine(task).to_pylist():
        answer = nets.probabilities(records.decode_png(row["image"])[None])[1, 0, row["wrong_class"]]
        assert (row["outcome"] == records.FOUND) == (answer >= np.float32(0.9))


def test_a_net_that_never_answers_with_finite_numbers_fills_no_cell():
    broken = nets.classifier(lambda images: tf.fill([images.shape[0], 3], np.nan), "broken")
    rows = _mine(_task(SEARCHES["direct"]), Island(0, 0, 0), PeerGroup((broken,))).to_pylist()
    assert {(row["outcome"], row["reason"]) for row in rows} == {(records.EXHAUSTED, NOT_FINITE)}


def test_natural_confidence_is_the_median_over_all_images_of_the_split(monkeypatch):
    images = nets.images(23)

    class Source:
        def count(self, split):
            return {"test": 23}[split]

        def read(self, split, positions):
            return dataclasses.make_dataclass("Batch", ["images"])(images[list(positions)])

    monkeypatch.setattr(mining, "_READ", 7)
    medians = mining.natural_confidence(nets.group(), Source(), "test", 5)
    expected = np.median(nets.probabilities(images).max(axis=-1), axis=1)
    np.testing.assert_allclose(list(medians.values()), expected, atol=1e-5)
    assert list(medians) == ["net-0", "net-1", "net-2"]


def test_classes_by_number_and_by_name():
    names = ["cat", "dog", "9"]
    assert mining.classes_of("all", names, 3) == (0, 1, 2)
    assert mining.classes_of(["dog", 0, 1], names, 3) == (0, 1)
    assert mining.classes_of(["9"], names, 3) == (2,)


def test_ascent_has_no_more_generations_than_births_can_be_numbered():
    def task(classes):
        sections = {"search": Search(method="ascent"), "garbage": AscentGarbage(generations=10_000_000)}
        method, places = registry.methods()["ascent"], tuple(range(classes))
        return mining.task_of(method, sections, Run(), nets.group(), places, "", None)

    assert task(214).generations == 10_000_000
    with pytest.raises(InputError, match="generations is 10000000, expected at most 9988295 with 215 images in each"):
        task(215)


@pytest.mark.parametrize("wanted", [["cow"], [3], [-1], ["cat", 17]])
def test_an_unknown_class_is_one_sentence(wanted):
    with pytest.raises(InputError, match=r"\[garbage\] classes has .* expected 'all' or some of the numbers 0 to 2"):
        mining.classes_of(wanted, ["cat", "dog", "cow?"], 3)

"""What mining makes of a unit: a row for every trial, and finds that are judged as they are stored."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from etils import epath

from models.classifier import PeerGroup
from pipeline import records
from pipeline.criteria import PeerPressure
from pipeline.kinds import chunk
from pipeline.kinds.mistakes import chains, mining, summary
from pipeline.kinds.mistakes.hillclimbing import Hillclimbing
from pipeline.kinds.mistakes.kind import MISTAKES
from pipeline.kinds.mistakes.methods import Grading, MovedGrading
from pipeline.kinds.mistakes.scanning import Scanning
from pipeline.operators.affine import Affine
from pipeline.search.moves.hillclimb import Hillclimb
from pipeline.seeds.source import SeedBatch
from pipeline.workdir.ledger import RunFolder
from tests.pipeline import nets

NAMES = ("a", "b", "c")
SCANNING, CONSENSUS = Scanning(PeerPressure(), "label"), Scanning(PeerPressure(), "consensus")
TASK = mining.Task(
    finder=SCANNING,
    grading=Grading(peer_margin=0.25),
    target_nets=(0, 1, 2),
    run_seed=3,
    lanes=16,
    unit_size=48,
    config_digest="digest",
    folder=RunFolder(epath.Path("no such folder")),  # a scan tells of no unit under way
)


class _Told:
    """Nets a, b, c that say what they are told, call by call, `[N, B, K]` for images or more; and what they saw."""

    names, digests, input_shape = NAMES, ("digest a", "digest b", "digest c"), nets.SHAPE

    def __init__(self, *answers: np.ndarray):
        self.answers = list(answers)
        self.seen: list[np.ndarray] = []

    def probabilities(self, images: np.ndarray, batch: int) -> np.ndarray:
        self.seen.append(images.copy())
        return self.answers.pop(0)[:, : len(images)]


def _says(*rows: Sequence[int], sure: float = 0.9) -> np.ndarray:
    """Returns what nets say that give, each `[B]`, the classes 0 or 1, being that sure."""
    right = np.where(np.array(rows) == 0, sure, 1 - sure)
    return np.stack([right, 1 - right], axis=-1).astype(np.float32)


def _seeds(count: int, *, labeled: bool = True) -> SeedBatch:
    ids = [f"seed-{number}" for number in range(count)]
    labels = np.full(count, 0 if labeled else -1, np.int32)
    return SeedBatch("test", list(range(count)), ids, nets.images(count), labels, [])


def _mined(group: Any, seeds: SeedBatch, judge: Any = None, **changes: Any) -> list[dict[str, Any]]:
    return dataclasses.replace(TASK, **changes).miner(group, judge).mine(seeds).to_pylist()


def _rates(rows: list[dict[str, Any]], names: Sequence[str] = NAMES) -> list[tuple[int, int]]:
    columns = {name: [row[name] for row in rows] for name in records.TRIALS_SCHEMA.names}
    table = records.chunk_table(MISTAKES.schema(), columns, len(rows)).select(records.TRIALS_SCHEMA.names)
    return [(row.found, row.trials) for row in summary.rows(table, list(names))]


# Of ten images, a alone is wrong on two, b alone on three; on one two nets are, on one all three.
A, B, C = ([int(place in wrong) for place in range(10)] for wrong in ((0, 1, 5, 6), (2, 3, 4, 5, 6), (6,)))


def _scanned(**changes: Any) -> list[dict[str, Any]]:
    return _mined(_Told(*[_says(A, B, C)] * 2), _seeds(10), **changes)


def test_every_image_is_a_trial_of_every_net_that_is_scanned():
    rows = _scanned()
    assert [(row["seed_id"], row["target_net"]) for row in rows] == [
        (f"seed-{place}", net) for place in range(10) for net in NAMES
    ]
    assert _rates(rows) == [(2, 10), (3, 10), (0, 10)]


def test_a_nets_rate_does_not_depend_on_who_else_is_a_target():
    alone = _scanned(target_nets=(0,))
    assert _rates(alone, "a") == [(2, 10)]
    assert alone == [row for row in _scanned() if row["target_net"] == "a"]


def test_an_image_that_a_net_cannot_judge_is_set_aside_once_and_is_no_trial():
    answer = _says(A, B, C)
    answer[2, 7] = np.nan
    rows = _mined(_Told(answer, answer), _seeds(10))
    assert [(row["seed_id"], row["target_net"], row["reason"]) for row in rows if not row["target_net"]] == [
        ("seed-7", "", chunk.NOT_FINITE)
    ]
    assert rows[0]["outcome"] == records.SET_ASIDE and rows[0]["seed_label"] == 0
    assert _rates(rows) == [(2, 9), (3, 9), (0, 9)]


def test_a_trial_of_a_scan_has_the_target_nets_probability_of_the_class():
    right = [row["target_confidence"] for row in _scanned() if row["target_net"] == "b"]
    np.testing.assert_allclose(right, np.where(B, 0.1, 0.9), atol=1e-6)


def test_without_labels_the_class_is_what_the_other_nets_give():
    rows = _mined(_Told(*[_says(A, B, C)] * 2), _seeds(10, labeled=False), finder=CONSENSUS)
    found = {(row["seed_id"], row["target_net"]): row for row in rows if row["outcome"] == records.FOUND}
    assert [key[1] for key in found] == ["a", "a", "b", "b", "b", "c"]
    assert found["seed-5", "c"]["label"] == 1 and found["seed-5", "c"]["target_confidence"] == pytest.approx(0.1)
    for row in rows:
        assert np.isnan(row["target_confidence"]) == (row["seed_id"] not in {key[0] for key in found})


# Three images on which a alone is wrong.
ALONE = _says([1, 1, 1], [0, 0, 0], [0, 0, 0])


def test_what_is_stored_is_judged_again_and_dropped_with_the_reason():
    after = _says([0, 1, 1], [0, 1, 0], [0, 0, 0])
    rows = _mined(_Told(ALONE, after), _seeds(3), target_nets=(0,))
    told = [(records.DROPPED, chains.TARGET_RIGHT), (records.DROPPED, chains.PEER_LOST), (records.FOUND, "")]
    assert [(row["outcome"], row["reason"]) for row in rows] == told
    filled = MISTAKES.schema().names[len(records.TRIAL_FIELDS) :]
    assert {row[name] is None for row in rows[:2] for name in filled} == {True}
    assert {rows[2][name] is None for name in filled} == {False}
    assert _rates(rows, "a") == [(1, 3)]


def test_a_find_has_what_the_nets_say_of_the_stored_image():
    after = _says([1, 1, 1], [0, 0, 0], [0, 0, 0], sure=0.75)
    for place, row in enumerate(_mined(_Told(ALONE, after), _seeds(3), target_nets=(0,))):
        assert row["probabilities_before"] == ALONE[:, place].ravel().tolist()
        assert row["probabilities_after"] == after[:, place].ravel().tolist()
        assert row["wrong_class"] == 1 and row["label"] == 0 and row["peer_margin"] == 0.5


def test_nets_and_judge_see_the_image_as_it_decodes_and_one_that_changed_is_dropped(monkeypatch):
    def lossy(images):
        encoded, stored = chunk.as_stored(images)
        return encoded, np.where(np.arange(3)[:, None, None, None] == 1, stored ^ 1, stored)

    monkeypatch.setattr(mining, "as_stored", lossy)
    group, judge, seeds = _Told(ALONE, ALONE), _Told(ALONE[:1]), _seeds(3)
    rows = _mined(group, seeds, judge, target_nets=(0,))
    assert [row["reason"] for row in rows] == ["", chains.NOT_LOSSLESS, ""]
    _, stored = lossy(seeds.images)
    for seen in (group.seen[1], judge.seen[0]):
        np.testing.assert_array_equal(seen, stored)


@pytest.mark.parametrize(
    ("sure", "judge", "grade"),
    [  # a margin of 0.25 is asked for; class 0 is right
        (0.625, None, records.HIGH),
        (0.62, None, records.LOW),
        (0.9, 0, records.HIGH),
        (0.9, 1, records.LOW),
        (0.62, 0, records.LOW),
    ],
)
def test_a_grade_asks_for_the_peers_margin_and_the_judge_on_the_stored_image(sure, judge, grade):
    after = _says([1, 1, 1], [0, 0, 0], [0, 0, 0], sure=sure)
    judged = None if judge is None else _Told(_says([judge] * 3, sure=0.8))
    for row in _mined(_Told(ALONE, after), _seeds(3), judged, target_nets=(0,)):
        assert row["grade"] == grade and row["peer_margin"] == pytest.approx(2 * sure - 1)
        assert row["judge_class"] == (-1 if judge is None else judge)
        assert row["judge_confidence"] == pytest.approx(0.0 if judge is None else 0.8)


WHITE = 5  # the seed image at which a net gives NaN


def _blinded(net: Any) -> Any:
    def predict(batch: tf.Tensor) -> tf.Tensor:
        white = tf.reduce_min(batch, axis=[1, 2, 3]) > 0.99
        return tf.where(white[:, None], np.nan, net.predict(batch))

    return dataclasses.replace(net, predict=predict)


@pytest.fixture(scope="module")
def turned(tmp_path_factory) -> tuple[SeedBatch, list[dict[str, Any]]]:
    """A unit searched by rotations of up to 25 degrees a move, and its chunk."""
    one, *others = nets.group().classifiers
    seeds = _seeds(40)
    images = seeds.images.copy()
    images[WHITE] = 255
    seeds = dataclasses.replace(seeds, images=images, labels=nets.seeds(40).labels)
    operator = Affine(25.0, 0.0, 0.0, 0.0, 0.0)
    folder = RunFolder(epath.Path(tmp_path_factory.mktemp("turned")))
    task = dataclasses.replace(
        TASK,
        finder=Hillclimbing(Hillclimb(operator, PeerPressure(), 50, 8, "matrix"), "label"),
        grading=MovedGrading(peer_margin=0.0),
        folder=folder,
    )
    mined = task.miner(PeerGroup((_blinded(one), *others)), None).mine(seeds)
    assert not list(folder.progress.iterdir()), "a unit that has ended is no longer under way"
    return seeds, mined.to_pylist()


def test_a_seed_image_with_nan_is_set_aside_one_that_a_net_misreads_is_skipped_all_others_are_tried(turned):
    seeds, rows = turned
    right = (nets.probabilities(seeds.images).argmax(-1) == seeds.labels).all(axis=0)
    aside = [(row["seed_id"], row["reason"]) for row in rows if row["outcome"] == records.SET_ASIDE]
    assert aside == [(f"seed-{WHITE}", chunk.NOT_FINITE)]
    skipped = {row["seed_id"] for row in rows if row["outcome"] == records.SKIPPED}
    assert skipped == {f"seed-{place}" for place in np.flatnonzero(~right) if place != WHITE} != set()
    tried = [(row["seed_id"], row["target_net"]) for row in rows if row["target_net"]]
    assert tried == [
        (f"seed-{place}", net) for place in np.flatnonzero(right) if place != WHITE for net in nets.group().names
    ]


def test_a_find_is_graded_by_what_all_its_moves_together_do(turned):
    found = [row for row in turned[1] if row["outcome"] == records.FOUND]
    for row in found:
        angle = abs(sum(row["parameters"][::6]))
        assert row["grade"] == (records.HIGH if min(angle, abs(360 - angle)) <= 30 else records.LOW)
    assert {row["grade"] for row in found} == {records.HIGH, records.LOW}


def test_the_record_of_a_find_renders_to_its_image_and_adds_up(turned):
    operator = Affine(25.0, 0.0, 0.0, 0.0, 0.0)
    found = [row for row in turned[1] if row["outcome"] == records.FOUND]
    assert found
    for row in found:
        chain = np.reshape(row["parameters"], (-1, 6))
        assert len(chain) == row["moves"] == len(row["steps"]) == len(row["confidences"])
        seed_image = records.decode_png(row["seed_image"])
        rendered = operator.render(seed_image[None], [chain])[0]
        np.testing.assert_array_equal(records.decode_png(row["image"]), rendered)
        assert row["composed"] == operator.composed([chain], 8, 8)["composed_matrix"].ravel().tolist()


def test_an_image_that_a_scan_found_is_its_seed_image_without_a_move():
    found = [row for row in _scanned() if row["outcome"] == records.FOUND]
    for row in found:
        assert row["image"] == row["seed_image"] and row["moves"] == 0
        assert row["steps"] == row["parameters"] == row["confidences"] == []
        assert row["composed"] == [1, 0, 0, 0, 1, 0]
    assert len(found) == 5

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from pipeline import criteria
from pipeline.criteria import PeerPressure

NETS, BATCH, CLASSES = 3, 400, 4
THRESHOLDS = [(0.0, 0.0), (0.25, 0.5), (0.5, 0.25)]


def _cases() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities in quarters, so that ties and equality with thresholds are common."""
    numbers = np.random.default_rng(9)
    probabilities = numbers.multinomial(4, [0.55, 0.15, 0.15, 0.15], (NETS, BATCH)).astype(np.float32) / 4
    return probabilities, numbers.integers(0, 2, BATCH, np.int32), numbers.integers(0, NETS, BATCH, np.int32)


def _puts(row: np.ndarray, label: int) -> bool:
    return all(row[label] > value for other, value in enumerate(row) if other != label)


def _expected(probabilities: np.ndarray, label: int, target: int, peer_confidence: float, target_confidence: float):
    """The rule for one image, `[N, K]`, in so many words."""
    peers = [row for net, row in enumerate(probabilities) if net != target]
    hold = all(_puts(row, label) and row[label] >= peer_confidence for row in peers)
    rivals = [max(np.delete(row, label)) for row in probabilities]
    margin = min(row[label] - max(np.delete(row, label)) for row in peers)
    own, rival = probabilities[target][label], rivals[target]
    return hold, own, rival, margin, hold and rival > own and rival >= target_confidence


def _judge(criterion: PeerPressure, *rows: np.ndarray) -> criteria.Judgement:
    return criteria.Judgement(*(field.numpy() for field in criterion.judge(*(tf.constant(row) for row in rows))))


@pytest.mark.parametrize(("peer_confidence", "target_confidence"), THRESHOLDS)
def test_judgements_are_those_of_the_rule_image_by_image(peer_confidence, target_confidence):
    probabilities, labels, targets = _cases()
    judgement = _judge(PeerPressure(peer_confidence, target_confidence), probabilities, labels, targets)
    thresholds = peer_confidence, target_confidence
    expected = [
        _expected(probabilities[:, place], labels[place], targets[place], *thresholds) for place in range(BATCH)
    ]
    for field, column in zip(judgement, zip(*expected)):
        np.testing.assert_array_equal(field, np.array(column, field.dtype))
    assert 0 < judgement.mistake.sum() < judgement.peers_hold.sum() < BATCH


def test_without_peers_nobody_vouches_for_the_class_and_the_target_is_judged_alone():
    probabilities, labels, targets = _cases()
    judgement = _judge(PeerPressure(0.5, 0.5), probabilities[:1], labels, np.zeros_like(targets))
    assert judgement.peers_hold.all() and (judgement.peer_margin == -1.0).all()
    expected = [_expected(probabilities[[0, 0], place], labels[place], 0, 0.0, 0.5)[1:3] for place in range(BATCH)]
    own, rival = np.array(expected, np.float32).T
    np.testing.assert_array_equal(judgement.class_confidence, own)
    np.testing.assert_array_equal(judgement.mistake, (rival > own) & (rival >= 0.5))
    assert 0 < judgement.mistake.sum() < BATCH


def test_a_compiled_judge_says_the_same():
    cases = [tf.constant(array) for array in _cases()]
    criterion = PeerPressure(0.25, 0.25)
    for one, other in zip(criterion.judge(*cases), tf.function(criterion.judge, jit_compile=True)(*cases)):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("peer", "target", "mistake"),
    [
        ((0.75, 0.25, 0.0), (0.25, 0.5, 0.25), True),  # both thresholds just reached
        ((0.625, 0.375, 0.0), (0.25, 0.5, 0.25), False),
        ((0.75, 0.25, 0.0), (0.25, 0.4375, 0.3125), False),
    ],
)
def test_thresholds_are_inclusive(peer, target, mistake):
    probabilities = np.array([[peer], [target]], np.float32)
    judgement = _judge(PeerPressure(0.75, 0.5), probabilities, np.int32([0]), np.int32([1]))
    assert judgement.mistake.tolist() == [mistake]


@pytest.mark.parametrize(
    ("peer", "target"),
    [
        ((0.5, 0.5, 0.0), (0.0, 1.0, 0.0)),  # the peer's tie does not hold the class
        ((1.0, 0.0, 0.0), (0.5, 0.5, 0.0)),  # the target's tie is not wrong
    ],
)
def test_a_tie_is_nobodys(peer, target):
    probabilities = np.array([[peer], [target]], np.float32)
    judgement = _judge(PeerPressure(), probabilities, np.int32([0]), np.int32([1]))
    assert judgement.mistake.tolist() == [False]
    assert criteria.all_hold(tf.constant(probabilities), tf.constant([0])).numpy().tolist() == [False]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("faulty", [0, 1])
@pytest.mark.parametrize("where", [[0], [1], [2], [0, 1, 2]])
def test_a_net_that_gives_nan_makes_no_mistake_and_no_move(compiled, faulty, where):
    probabilities = np.array([[[0.9, 0.1, 0.0]], [[0.2, 0.8, 0.0]]], np.float32)
    probabilities[faulty, 0, where] = np.nan
    judge = tf.function(PeerPressure().judge, jit_compile=True) if compiled else PeerPressure().judge
    judgement = judge(tf.constant(probabilities), tf.constant([0]), tf.constant([1]))
    falls = judgement.peers_hold & (judgement.class_confidence < 0.9)
    assert not judgement.mistake.numpy().any()
    assert not falls.numpy().any() or (faulty == 1 and 0 not in where)


def test_a_class_that_is_none_is_held_by_nobody():
    probabilities = tf.constant(_cases()[0])
    assert not criteria.all_hold(probabilities, tf.fill([BATCH], -1)).numpy().any()


def test_all_hold_where_every_net_puts_the_image_in_its_class():
    probabilities, labels, _ = _cases()
    expected = [all(_puts(row, labels[place]) for row in probabilities[:, place]) for place in range(BATCH)]
    held = criteria.all_hold(tf.constant(probabilities), tf.constant(labels)).numpy()
    assert held.tolist() == expected and 0 < held.sum() < BATCH


def test_a_consensus_is_the_class_that_all_nets_give():
    probabilities = np.random.default_rng(4).random((NETS, BATCH, CLASSES)).astype(np.float32)
    classes, agree = criteria.consensus(tf.constant(probabilities))
    first = probabilities.argmax(-1)
    np.testing.assert_array_equal(classes, first[0])
    np.testing.assert_array_equal(agree, (first == first[0]).all(axis=0))


def test_class_and_rival_are_the_class_and_the_best_of_the_others():
    probabilities, labels, _ = _cases()
    own, rival = criteria.class_and_rival(tf.constant(probabilities), tf.constant(labels))
    np.testing.assert_array_equal(own, probabilities[:, np.arange(BATCH), labels])
    others = [[np.delete(row, label).max() for row, label in zip(net, labels)] for net in probabilities]
    np.testing.assert_array_equal(rival, np.array(others, np.float32))

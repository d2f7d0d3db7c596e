from __future__ import annotations

import numpy as np
import pytest

from pipeline.criteria import PeerPressure
from pipeline.search.moves.scan import scan

NETS, BATCH, CLASSES = 4, 600, 3
THRESHOLDS = [(0.0, 0.0), (0.6, 0.6), (0.8, 0.2)]


def _probabilities(nets: int = NETS) -> np.ndarray:
    """In fifths, so that ties and equality with thresholds are common; most nets like class 0."""
    return np.random.default_rng(12).multinomial(5, [0.6, 0.25, 0.15], (nets, BATCH)).astype(np.float32) / 5


def _answer(row: np.ndarray) -> int:
    """The class above all others, -1 where there is none."""
    best = np.flatnonzero(row == row.max())
    return int(best[0]) if len(best) == 1 else -1


def _expected(probabilities: np.ndarray, label: int | None, criterion: PeerPressure) -> tuple[int, int] | None:
    """Who stands alone on one image, `[N, K]`, and against which class; a label of None takes the others' class."""
    alone = []
    for net in range(len(probabilities)):
        others = np.delete(probabilities, net, axis=0)
        answers = {_answer(row) for row in others}
        held = label if label is not None else min(answers)
        sure = held >= 0 and others[:, held].min() >= np.float32(criterion.peer_confidence)
        wrong = np.delete(probabilities[net], held).max()
        if answers == {held} and sure and wrong > probabilities[net, held]:
            alone += [(net, held)] if wrong >= np.float32(criterion.target_confidence) else []
    assert len(alone) < 2
    return alone[0] if alone else None


@pytest.mark.parametrize(("peer_confidence", "target_confidence"), THRESHOLDS)
@pytest.mark.parametrize("labeled", [True, False])
def test_a_scan_finds_who_stands_alone_image_by_image(labeled, peer_confidence, target_confidence):
    probabilities, criterion = _probabilities(), PeerPressure(peer_confidence, target_confidence)
    labels = np.random.default_rng(1).integers(0, 2, BATCH, np.int32) if labeled else np.full(BATCH, -1, np.int32)
    result = scan(probabilities, labels, "label" if labeled else "consensus", criterion)
    lone = 0
    for place in range(BATCH):
        expected = _expected(probabilities[:, place], int(labels[place]) if labeled else None, criterion)
        assert result.target_nets[place] == (expected[0] if expected else -1)
        if expected:
            lone += 1
            assert result.classes[place] == expected[1]
    assert 0 < lone < BATCH


def test_two_nets_that_agree_against_the_others_do_not_stand_alone():
    answers = np.array([[[0.9, 0.1]], [[0.9, 0.1]], [[0.1, 0.9]], [[0.2, 0.8]]], np.float32)
    for class_from in ("label", "consensus"):
        assert scan(answers, np.int32([0]), class_from, PeerPressure()).target_nets.tolist() == [-1]


def test_all_nets_against_the_label_is_nobody_alone():
    answers = np.array([[[0.1, 0.9]], [[0.1, 0.9]], [[0.2, 0.8]]], np.float32)
    assert scan(answers, np.int32([0]), "label", PeerPressure()).target_nets.tolist() == [-1]


def test_of_two_nets_the_one_against_the_label_stands_alone():
    answers = np.array([[[0.9, 0.1], [0.1, 0.9]], [[0.1, 0.9], [0.9, 0.1]]], np.float32)
    assert scan(answers, np.int32([0, 0]), "label", PeerPressure()).target_nets.tolist() == [1, 0]


def test_a_row_alone_is_scanned_as_in_its_batch():
    probabilities, labels = _probabilities(), np.zeros(BATCH, np.int32)
    together = scan(probabilities, labels, "consensus", PeerPressure())
    for place in range(0, BATCH, 50):
        alone = scan(probabilities[:, place : place + 1], labels[:1], "consensus", PeerPressure())
        assert alone.target_nets[0] == together.target_nets[place]


def test_the_order_of_nets_does_not_matter():
    probabilities, labels = _probabilities(), np.zeros(BATCH, np.int32)
    order = np.array([2, 0, 3, 1])
    for class_from in ("label", "consensus"):
        result = scan(probabilities, labels, class_from, PeerPressure())
        moved = scan(probabilities[order], labels, class_from, PeerPressure())
        alone = moved.target_nets >= 0
        np.testing.assert_array_equal(alone, result.target_nets >= 0)
        np.testing.assert_array_equal(order[moved.target_nets[alone]], result.target_nets[alone])


def test_no_images_are_scanned_to_none():
    result = scan(_probabilities()[:, :0], np.zeros(0, np.int32), "label", PeerPressure())
    assert len(result.target_nets) == len(result.classes) == 0

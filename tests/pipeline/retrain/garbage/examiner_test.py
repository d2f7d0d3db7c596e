from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from models import zoo
from pipeline.kinds.garbage.methods import DirectGarbage
from pipeline.retrain import live
from pipeline.retrain.garbage import measuring
from pipeline.retrain.garbage.examiner import Examiner, auroc, fpr95
from pipeline.retrain.garbage.measuring import Measuring
from pipeline.retrain.garbage.widening import widened
from pipeline.seeds.source import SeedBatch

SHAPE, CLASSES, COUNT = (8, 8, 1), 3, 40
SECTIONS = {"garbage": DirectGarbage(population=20)}
IMAGES = np.random.default_rng(5).integers(0, 256, (COUNT, *SHAPE), np.uint8)


def test_auroc_is_how_often_a_clean_image_is_the_surer_one():
    clean, garbage = np.float32([0.9, 0.8, 0.3]), np.float32([0.1, 0.8, 0.5, 0.99])
    wins = [[1.0, 1.0, 1.0, 0.0], [1.0, 0.5, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0]]
    assert auroc(clean, garbage) == pytest.approx(100.0 * np.mean(wins))
    assert auroc(np.ones(3), np.zeros(2)) == 100.0
    assert auroc(np.ones(3), np.ones(2)) == 50.0


def test_fpr95_is_how_many_clean_images_are_flagged_with_95_of_100_garbage_images():
    garbage = np.arange(1, 101) / 100.0
    clean = np.array([0.2, 0.95, 0.9501, 0.96, 0.97, 1.0, 1.0, 1.0])
    assert fpr95(clean, garbage) == pytest.approx(100.0 * 4 / 8)  # up to 0.96, the first with at least 95% below it
    assert fpr95(np.ones(3), np.zeros(50)) == 0.0
    assert fpr95(np.zeros(3), np.ones(50)) == 100.0


def _model() -> tf.keras.Model:
    tf.keras.utils.set_random_seed(0)
    model = zoo.build("mlp-6", SHAPE, CLASSES)
    model.set_weights([3.0 * weights for weights in model.get_weights()])
    return model


PARENT = _model()
LABELS = PARENT(IMAGES / np.float32(255.0)).numpy().argmax(axis=1).astype(np.int32)
SEEDS = SeedBatch("test", [], [str(row) for row in range(COUNT)], IMAGES, LABELS, [])


@pytest.fixture(scope="module")
def examiner() -> Examiner:
    parent = live.classifier(PARENT, "parent", SHAPE)
    return Examiner(parent, SEEDS, SECTIONS, Measuring(generations=25, held_out=2, islands=2))


@pytest.fixture(scope="module")
def of_parent(examiner) -> dict[str, float]:
    return examiner.measure(_model())


@pytest.mark.slow
def test_all_that_is_named_is_measured_in_its_range(of_parent):
    assert set(of_parent) == set(measuring.NAMES)
    for name, value in of_parent.items():
        assert 0.0 <= value <= (26 * 20 if name.endswith("evaluations") else 100.0)
    assert of_parent["clean_error"] == 0.0 == of_parent["clean_garbage"]
    assert of_parent["direct_confidence"] > 80.0


@pytest.mark.slow
def test_a_garbage_class_that_takes_nothing_leaves_the_measures_as_they_were(examiner, of_parent):
    measured = examiner.measure(widened(_model()))
    assert measured["clean_error"] == 0.0 == measured["clean_garbage"]
    for name in of_parent:
        near = 40.0 if name.endswith("evaluations") else 3.0
        assert measured[name] == pytest.approx(of_parent[name], abs=near)


@pytest.mark.slow
def test_a_net_that_calls_all_garbage_is_fooled_by_nothing_and_wrong_about_all(examiner, of_parent):
    net = widened(_model())
    *weights, bias = net.get_weights()
    net.set_weights([*weights, bias + np.float32([0, 0, 0, 60])])
    measured = examiner.measure(net)
    assert measured["clean_error"] == measured["clean_garbage"] == 100.0
    assert measured["clean_certain"] == 0.0
    for encoding in ("direct", "cppn"):
        assert measured[f"{encoding}_fooled"] == 0.0 and measured[f"{encoding}_confidence"] < 1.0
        assert measured[f"{encoding}_evaluations"] == 26 * 20
    assert examiner.measure(_model()) == of_parent  # whatever was measured in between


@pytest.mark.slow
def test_held_out_garbage_is_the_parents_own_and_not_that_of_the_measure(examiner, of_parent):
    for images in examiner.held_out.values():
        assert images.shape == (2 * CLASSES, *SHAPE)
        answers = PARENT(images / np.float32(255.0)).numpy()
        assert (answers.argmax(axis=1) == list(range(CLASSES)) * 2).mean() > 0.8
    assert not np.array_equal(examiner.held_out["direct"][:CLASSES], examiner.held_out["direct"][CLASSES:])

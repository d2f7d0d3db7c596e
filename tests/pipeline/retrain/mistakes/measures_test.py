from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from models import zoo
from models.classifier import Classifier, PeerGroup
from models.errors import InputError
from pipeline.criteria import PeerPressure
from pipeline.operators.affine import Affine
from pipeline.retrain.mistakes.corruptions import CORRUPTIONS
from pipeline.retrain.mistakes.measures import Examiner, Measured
from pipeline.retrain.mistakes.measuring import Measuring
from pipeline.search.moves.hillclimb import Hillclimb
from pipeline.seeds.source import SeedBatch

pytestmark = pytest.mark.slow

STILL = Affine(rotation_degrees=0.0, translation_pixels=0.0, scale=0.0, stretch=0.0, shear_degrees=0.0)
MOVING = Affine(rotation_degrees=15.0)
SHAPE, CLASSES, COUNT = (9, 9, 1), 3, 40
MEASURING = Measuring(
    draws=3, moves=3, worst_of=8, grid_images=10, searched_images=30, most_candidates=50, more_images=20
)
RNG = np.random.default_rng(5)
IMAGES = RNG.integers(0, 256, (COUNT, *SHAPE), np.uint8)


def _model(seed: int) -> tf.keras.Model:
    tf.keras.utils.set_random_seed(seed)
    model = zoo.build("mlp-6", SHAPE, CLASSES)
    model.set_weights([4.0 * weights for weights in model.get_weights()])  # surer, and less steady
    return model


def _classifier(model: tf.keras.Model, name: str) -> Classifier:
    return Classifier(name, lambda images: model(images, training=False), SHAPE, CLASSES, name, "")


MODEL = _model(0)
STRONG = _classifier(MODEL, "strong")  # it gives the labels, so that every one of them is held
CLASSES_OF = MODEL(IMAGES / np.float32(255.0)).numpy().argmax(axis=1).astype(np.int32)
SEEDS = SeedBatch("test", [], [str(row) for row in range(COUNT)], IMAGES, CLASSES_OF, [])
PEERS = PeerGroup((STRONG, _classifier(_model(1), "target"), _classifier(_model(2), "other")))


def _examiner(operator: Affine, measuring: Measuring = MEASURING) -> Examiner:
    climb = Hillclimb(operator, PeerPressure(0.0, 0.0), patience=20, max_moves=8)
    return Examiner(_model(9), SEEDS, climb, PEERS, 1, STRONG, measuring)


@pytest.fixture(scope="module")
def still() -> Examiner:
    return _examiner(STILL)


@pytest.fixture(scope="module")
def moving() -> Examiner:
    return _examiner(MOVING)


def test_moves_that_do_not_move_give_the_clean_error(still):
    measured = still.measure(_model(3))
    clean = float(np.mean(_model(3)(IMAGES / np.float32(255.0)).numpy().argmax(axis=1) != CLASSES_OF)) * 100.0
    assert 0.0 < clean < 100.0
    assert measured.clean_error == measured.moved_error == measured.wide_error == measured.worst_error == clean


def test_the_net_that_gave_the_labels_errs_only_where_images_are_moved(still, moving):
    assert still.measure(MODEL)[:4] == (0.0, 0.0, 0.0, 0.0)
    assert still.measure(MODEL).success == 0.0 and still.measure(MODEL).candidates == 50.0
    measured = moving.measure(MODEL)
    assert measured.clean_error == 0.0 < measured.moved_error < measured.worst_error
    assert measured.moved_error < measured.wide_error


def test_the_grid_holds_the_image_as_it_is(moving):
    measured = moving.measure(_model(3))
    wrong = np.mean(_model(3)(IMAGES[:10] / np.float32(255.0)).numpy().argmax(axis=1) != CLASSES_OF[:10]) * 100.0
    assert measured.grid_error >= wrong


def test_a_search_that_finds_counts_its_candidates_and_others_the_most(moving):
    measured = moving.measure(_model(3))
    assert 0.0 < measured.success_10 <= measured.success_30 <= measured.success
    least = (1.0 - measured.success / 100.0) * 50.0
    assert least <= measured.candidates < 50.0


def test_an_error_on_changed_images_is_that_of_the_net_on_these_images(still):
    measured, ids = still.measure(_model(3))._asdict(), [str(row) for row in range(COUNT)]
    for name, corrupt in CORRUPTIONS.items():
        images = corrupt(IMAGES, ids, 0, 1.0) / np.float32(255.0)
        wrong = np.mean(_model(3)(images).numpy().argmax(axis=1) != CLASSES_OF) * 100.0
        np.testing.assert_allclose(measured[f"{name}_error"], wrong, atol=1e-6)
    assert len({measured[f"{name}_error"] for name in CORRUPTIONS}) > 2


def test_more_search_finds_no_less_and_the_best_of_many_is_found_sooner(moving):
    """The patient search draws the same candidates as the usual one, and goes on where that one gives up."""
    measured = moving.measure(_model(3))
    assert 0.0 < measured.usual_success < measured.patient_success
    assert measured.usual_success < measured.restarts_success
    assert measured.restarts_candidates < measured.usual_candidates <= measured.patient_candidates <= 200.0


def test_a_search_that_finds_nothing_counts_as_the_most_however_long_it_was(still):
    measured = still.measure(MODEL)
    assert (measured.usual_candidates, measured.patient_candidates, measured.restarts_candidates) == (50.0, 200.0, 50.0)
    assert measured.patient_success == measured.restarts_success == 0.0


def test_images_that_the_net_misreads_as_they_are_take_no_candidate_in_any_search(still):
    """Nothing moves: what is found is what is misread, of 20 images in place of 40."""
    measured = still.measure(_model(3))
    misread = _model(3)(IMAGES[:20] / np.float32(255.0)).numpy().argmax(axis=1) != CLASSES_OF[:20]
    assert measured.usual_success == measured.patient_success == measured.restarts_success == misread.mean() * 100.0
    assert measured.patient_candidates == 4 * measured.usual_candidates == (1.0 - misread.mean()) * 200.0


def test_a_net_that_misreads_all_is_measured(still):
    """Nothing is left to search on."""
    wrong = tf.keras.models.clone_model(MODEL)
    weights = [array.copy() for array in MODEL.get_weights()]
    weights[-2], weights[-1] = np.roll(weights[-2], 1, axis=1), np.roll(weights[-1], 1)
    wrong.set_weights(weights)
    measured = still.measure(wrong)
    assert measured.clean_error == measured.restarts_success == 100.0 and measured.patient_candidates == 0.0


def test_measures_are_a_function_of_the_net_whatever_was_measured_before(moving):
    first = moving.measure(_model(3))
    moving.measure(_model(4))
    assert moving.measure(_model(3)) == first == _examiner(MOVING).measure(_model(3))


def test_another_seed_measures_on_other_changes(moving):
    other = _examiner(MOVING, dataclasses.replace(MEASURING, seed=1)).measure(_model(3))
    first = moving.measure(_model(3))
    assert other.clean_error == first.clean_error and other.moved_error != first.moved_error
    assert set(Measured._fields) == set(first._asdict())


def test_where_no_image_can_be_searched_it_is_one_sentence():
    wrong = dataclasses.replace(SEEDS, labels=(CLASSES_OF + 1) % CLASSES)
    climb = Hillclimb(MOVING, PeerPressure(0.0, 0.0), patience=20, max_moves=8)
    examiner = Examiner(_model(9), wrong, climb, PEERS, 1, STRONG, MEASURING)
    with pytest.raises(InputError, match="none is read rightly by all of strong"):
        examiner.measure(_model(3))

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from models.classifier import Classifier
from pipeline.retrain.pairs import examiner, paired
from pipeline.retrain.pairs.measuring import Measuring
from pipeline.seeds.source import SeedBatch

pytestmark = pytest.mark.slow

MEASURING = Measuring(attacked_images=16, eps=0.1, steps=20, iterations=30, noise_draws=2)
SHAPE, COUNT = (4, 4, 1), 32


def _linear(strength: float = 40.0) -> tf.keras.Model:
    """Returns a net of two classes: whether the mean pixel is above one half."""
    layers = [tf.keras.layers.Flatten(), tf.keras.layers.Dense(2, "softmax")]
    model = tf.keras.Sequential([tf.keras.Input(SHAPE), *layers])
    kernel = np.tile(np.array([[-1.0, 1.0]]) * strength / 16, (16, 1))
    model.set_weights([kernel, np.array([0.5, -0.5]) * strength])
    return model


def _seeds() -> SeedBatch:
    """Images of one grey each, the darker ones of class 0, the lighter of class 1; the first four labelled wrongly."""
    levels = np.concatenate([np.linspace(64, 110, COUNT // 2), np.linspace(146, 191, COUNT // 2)]).astype(np.uint8)
    order = np.random.default_rng(0).permutation(COUNT)
    images = np.tile(levels[order][:, None, None, None], (1, *SHAPE))
    labels = (levels[order] > 127).astype(np.int32)
    labels[:4] = 1 - labels[:4]
    return SeedBatch("test", [], [str(place) for place in range(COUNT)], images, labels, [])


def _nets(measuring: Measuring = MEASURING) -> tuple[examiner.Nets, SeedBatch]:
    seeds = _seeds()
    part = paired.Paired(255 - seeds.images, seeds.images, seeds.labels)
    parts = [paired.Paired(*(field[rows] for field in part)) for rows in (slice(4, 8), slice(0, 4), slice(2, 6))]
    model = _linear()
    like = Classifier("net", lambda images: model(images), SHAPE, 2, "", "")
    return examiner.Nets(_linear(), like, seeds, paired.Split(*parts), measuring), seeds


@pytest.fixture(scope="module")
def examined() -> tuple[examiner.Nets, SeedBatch]:
    """What measures, compiled for all tests."""
    return _nets()


def test_of_a_linear_net_every_measure_is_what_can_be_worked_out(examined):
    nets, seeds = examined
    measured = nets.measure(_linear())
    wrong = np.arange(COUNT) < 4
    assert measured.clean_error == 100.0 * wrong.mean()
    # The nearest image on the other side of one half changes every pixel alike.
    needed = np.where(wrong, 0.0, np.abs(seeds.images[:, 0, 0, 0] / 255.0 - 0.5))[:16]
    np.testing.assert_allclose(measured.distortion, np.median(needed), atol=1.5 / 255)
    assert measured.attacked_error == 100.0 * np.mean(needed < 0.1)
    assert (nets._distortions(nets._descent, ~wrong)[:4] == 0.0).all()  # though descent starts at random
    assert wrong.mean() * 100.0 <= measured.noise_error < measured.attacked_error
    # A twin here is its original's negative: misread wherever the original is not.
    assert (measured.held_in_error, measured.group_error, measured.twin_error) == (100.0, 0.0, 25.0)
    assert measured.original_error == 100.0 * 6 / 12


def test_a_net_that_no_attack_fools_needs_the_largest_distortion(examined):
    nets, seeds = examined
    model = _linear()
    model.set_weights([np.zeros((16, 2)), np.array([5.0, -5.0])])  # class 0, whatever it is shown
    measured, misread = nets.measure(model), seeds.labels[:16] != 0
    assert measured.distortion == np.median(np.where(misread, 0.0, 1.0))
    assert measured.attacked_error == 100.0 * misread.mean() and 0 < misread.mean() < 1


def test_measuring_again_gives_the_same_and_another_net_gives_other_measures(examined):
    nets, _ = examined
    first, other, again = (nets.measure(_linear(strength)) for strength in (40.0, -40.0, 40.0))
    assert first == again != other
    assert other.clean_error == 100.0 - first.clean_error


def test_noise_is_of_the_distortion_asked_for():
    nets, seeds = _nets(dataclasses.replace(MEASURING, eps=0.05))
    images = np.tile(seeds.images, (2, 1, 1, 1))
    sizes = np.sqrt(np.mean(np.square((nets._noisy / 255.0) - images / 255.0), axis=(1, 2, 3)))
    np.testing.assert_allclose(sizes, 0.05, atol=0.002)
    assert not np.array_equal(nets._noisy[:COUNT], nets._noisy[COUNT:])

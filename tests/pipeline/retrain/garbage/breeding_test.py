from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from pipeline.kinds.garbage.methods import AscentGarbage
from pipeline.retrain.garbage import breeding, encodings
from pipeline.retrain.garbage.breeding import Bred, Breeder
from tests.pipeline import nets

GARBAGE = AscentGarbage(population=20, generations=8, confidence=0.9999)
ASCENT = encodings.own({"garbage": GARBAGE})


def _bred(medians: list[float], *confidences: float) -> Bred:
    return Bred(np.zeros((1, *nets.SHAPE), np.uint8), np.float32(confidences or [0.5]), np.float32(medians), 20, 9)


def test_what_is_told_of_an_island_by_hand():
    told = _bred([0.2, 0.98, 0.9901, 0.9999], 0.999, 0.2, 0.99, 0.6, 0.9).told()
    assert told == pytest.approx({"confidence": 90.0, "fooled": 40.0, "evaluations": 60.0}, rel=1e-5)
    assert _bred([0.2, 0.98]).told()["evaluations"] == 200  # never: as many as there could have been
    assert _bred([0.995]).told()["evaluations"] == 20
    assert _bred([0.2, 0.98]).asked == 40


def test_of_several_islands_the_mean_is_told():
    assert breeding.mean([_bred([0.995]), _bred([0.1])])["evaluations"] == 110


class _Counted:
    """A linear net whose weights may change; counts how often it is traced."""

    def __init__(self):
        self.weights, self.traced = tf.Variable(nets.weights()[0]), 0

    def __call__(self, images: tf.Tensor) -> tf.Tensor:
        self.traced += 1
        return tf.nn.softmax(tf.reshape(images, [images.shape[0], -1]) @ self.weights)


@pytest.mark.slow
def test_a_net_that_has_changed_is_bred_against_as_it_is_without_another_compilation():
    net = _Counted()
    breeder = Breeder(nets.classifier(net, "changing"), "purpose", nets.CLASSES, ASCENT, GARBAGE, 3)
    before = breeder.breed(0)
    traced = net.traced
    net.weights.assign(nets.weights()[1])
    after = breeder.breed(0)
    assert net.traced == traced
    assert not np.array_equal(before.images, after.images)
    answers = net(tf.constant(after.images / np.float32(255.0))).numpy()
    np.testing.assert_allclose(after.confidences, answers[range(3), range(3)], rtol=1e-5)


@pytest.mark.slow
def test_random_numbers_hang_on_purpose_run_seed_and_island():
    net = nets.linear(nets.weights()[0], "net")
    breeders = [
        Breeder(net, *of, nets.CLASSES, ASCENT, GARBAGE, run_seed) for *of, run_seed in (("a", 3), ("b", 3), ("a", 4))
    ]
    made = [breeder.breed(0).images.tobytes() for breeder in breeders]
    made += [breeders[0].breed(island).images.tobytes() for island in (1, 0)]
    assert made[4] == made[0] and len(set(made)) == 4

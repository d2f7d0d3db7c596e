"""How near the twins of L-BFGS are; what it shares with the other attacks is in `gradient_test`."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import scipy_attack
from pipeline.search import gradient
from pipeline.search.gradient import FastGradientSign, Originals, ProjectedGradient, Twins
from pipeline.search.lbfgs import LBFGS
from tests.pipeline.search import attacks

NETS = [(), (20,)]
COUNT, BY_SCIPY = 16, 5


@functools.cache
def _compiled(lbfgs: LBFGS, model: tf.keras.Model) -> tf.types.experimental.PolymorphicFunction:
    seed = tf.constant(5, tf.uint32)
    return tf.function(lambda *parts: lbfgs.attack(model, seed, Originals(*parts)), jit_compile=True)


def _attacked(lbfgs: LBFGS, model: tf.keras.Model, start: Originals) -> Twins:
    return Twins(*(field.numpy() for field in _compiled(lbfgs, model)(*start)))


def _distortions(images: np.ndarray, start: Originals) -> np.ndarray:
    return gradient.distortion(tf.constant(images), start.images[: len(images)]).numpy()


@pytest.fixture(params=NETS, ids=["softmax", "hidden"])
def model(request) -> tf.keras.Model:
    return attacks.net(*request.param)


def test_as_many_twins_as_scipys_and_no_further_away(model):
    lbfgs, start = LBFGS(), attacks.originals(model, COUNT)
    twins = _attacked(lbfgs, model, start)
    reference = [scipy_attack.twin(model, start, row, lbfgs, eager=False) for row in range(BY_SCIPY)]
    assert all(twin is not None for twin in reference) and twins.misread.all()
    theirs = _distortions(np.concatenate(reference), start)
    assert _distortions(twins.images[:BY_SCIPY], start).mean() <= 1.02 * theirs.mean()


@pytest.mark.parametrize("targeted", [True, False])
def test_c_is_positive_where_there_is_a_twin(model, targeted):
    twins = _attacked(LBFGS(), model, attacks.originals(model, COUNT, targeted))
    assert twins.misread.all() and (twins.c > 0).all()


@pytest.mark.parametrize("targeted", [True, False])
@pytest.mark.parametrize("other", [FastGradientSign(0.2), ProjectedGradient("l2", 0.2, 0.02)], ids=["sign", "l2"])
def test_twins_are_nearer_than_other_attacks(other, targeted):
    model = attacks.net(20)
    start = attacks.originals(model, COUNT, targeted)
    twins, others = _attacked(LBFGS(), model, start), attacks.attack(other, model, start)
    assert others.misread.any() and twins.misread.all()
    near, far = _distortions(twins.images, start), _distortions(others.images, start)
    assert near[others.misread].mean() < far[others.misread].mean()


def test_more_bisections_do_not_take_twins_further_away():
    model = attacks.net(20)
    start = attacks.originals(model, COUNT)
    few, many = (_attacked(LBFGS(bisections=count), model, start) for count in (2, LBFGS.bisections))
    assert few.misread.all() and many.misread.all() and (few.evaluations < many.evaluations).all()
    assert _distortions(many.images, start).mean() <= 1.01 * _distortions(few.images, start).mean()


def test_any_other_class_is_nearer_than_a_given_one(model):
    aimed, free = (attacks.originals(model, COUNT, targeted) for targeted in (True, False))
    near, far = (_distortions(_attacked(LBFGS(), model, start).images, start) for start in (free, aimed))
    assert near.mean() <= far.mean()

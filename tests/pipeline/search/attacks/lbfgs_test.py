"""How near the twins of L-BFGS are; what it shares with the other attacks is in `gradient_test`."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import scipy_attack
from pipeline.search.attacks import gradient
from pipeline.search.attacks.gradient import FastGradientSign, Net, Originals, ProjectedGradient, Twins
from pipeline.search.attacks.lbfgs import LBFGS
from tests.pipeline import nets
from tests.pipeline.search.attacks import subjects

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
    return subjects.net(*request.param)


@pytest.mark.slow
def test_as_many_twins_as_scipys_and_no_further_away(model):
    lbfgs, start = LBFGS(), subjects.originals(model, COUNT)
    twins = _attacked(lbfgs, model, start)
    reference = [scipy_attack.twin(model, start, row, lbfgs, eager=False) for row in range(BY_SCIPY)]
    assert all(twin is not None for twin in reference) and twins.misread.all()
    theirs = _distortions(np.concatenate(reference), start)
    assert _distortions(twins.images[:BY_SCIPY], start).mean() <= 1.02 * theirs.mean()


@pytest.mark.parametrize("targeted", [True, False])
def test_c_is_positive_where_there_is_a_twin(model, targeted):
    twins = _attacked(LBFGS(), model, subjects.originals(model, COUNT, targeted))
    assert twins.misread.all() and (twins.c > 0).all()


@pytest.mark.parametrize("targeted", [True, False])
@pytest.mark.parametrize("other", [FastGradientSign(0.2), ProjectedGradient("l2", 0.2, 0.02)], ids=["sign", "l2"])
def test_twins_are_nearer_than_other_attacks(other, targeted):
    model = subjects.net(20)
    start = subjects.originals(model, COUNT, targeted)
    twins, others = _attacked(LBFGS(), model, start), subjects.attack(other, model, start)
    assert others.misread.any() and twins.misread.all()
    near, far = _distortions(twins.images, start), _distortions(others.images, start)
    assert near[others.misread].mean() < far[others.misread].mean()


def test_more_bisections_do_not_take_twins_further_away():
    model = subjects.net(20)
    start = subjects.originals(model, COUNT)
    few, many = (_attacked(LBFGS(bisections=count), model, start) for count in (2, LBFGS.bisections))
    assert few.misread.all() and many.misread.all() and (few.evaluations < many.evaluations).all()
    assert _distortions(many.images, start).mean() <= 1.01 * _distortions(few.images, start).mean()


def test_any_other_class_is_nearer_than_a_given_one(model):
    aimed, free = (subjects.originals(model, COUNT, targeted) for targeted in (True, False))
    near, far = (_distortions(_attacked(LBFGS(), model, start).images, start) for start in (free, aimed))
    assert near.mean() <= far.mean()


def _succeeds(ask: tf.types.experimental.PolymorphicFunction, start: Originals, row: int, c: float) -> bool:
    """Tells whether SciPy's minimum for one c is misread on the grid."""
    one = Originals(*(field[row : row + 1] for field in start))
    minimum = scipy_attack.minimum(lambda image: ask(image, *one), one.images.numpy(), c, LBFGS())
    return bool(ask(gradient.to_grid(minimum), *one).misread[0])


@pytest.mark.parametrize("first_c", [LBFGS.first_c, 100.0])
def test_c_is_the_largest_that_succeeds(first_c):
    """To 5%, where one bracket of a factor of ten leaves 2% after seven bisections; the objective is convex."""
    model = subjects.net()
    start = subjects.originals(model, COUNT)
    twins = _attacked(LBFGS(first_c=first_c), model, start)
    ask = tf.function(lambda image, *one: gradient.evaluate(model, image, Originals(*one)), jit_compile=True)
    for row in (0, 7, 12):
        shares = {share: _succeeds(ask, start, row, float(twins.c[row]) * share) for share in (0.95, 1.05, 3.0)}
        assert shares == {0.95: True, 1.05: False, 3.0: False}


def _linear(weights: tf.Tensor) -> Net:
    return lambda images: tf.nn.softmax(tf.reshape(images, [images.shape[0], -1]) @ weights)


def test_pixels_that_the_box_holds_have_no_part_in_the_search():
    """Whether the net could be misled by black pixels growing darker or not changes nothing for the others."""
    images = nets.images(COUNT) / np.float32(255)
    images[:, :4] = 0.0
    weights = 4 * nets.weights()[0]
    weights[:32, 0] = weights[:32].min(axis=1) - 1.0  # darker speaks for class 0, whatever it is compared with
    deaf = np.where(np.arange(64)[:, None] < 32, 0.0, weights).astype(np.float32)
    labels = _linear(tf.constant(weights))(tf.constant(images)).numpy().argmax(-1).astype(np.int32)
    rows = np.flatnonzero(labels != 0)
    assert len(rows) > 5
    aims, words = np.zeros(len(rows), np.int32), np.zeros([len(rows), 2], np.uint32)
    start = Originals(*(tf.constant(part) for part in (images[rows], labels[rows], aims, words)))
    seed = tf.constant(5, tf.uint32)
    attack = tf.function(
        lambda matrix, *parts: LBFGS(memory=3).attack(_linear(matrix), seed, Originals(*parts)), jit_compile=True
    )
    held, without = (attack(tf.constant(matrix), *start) for matrix in (weights, deaf))
    assert held.misread.numpy().all()
    np.testing.assert_array_equal(held.evaluations, without.evaluations)
    np.testing.assert_array_equal(held.images, without.images)
    np.testing.assert_allclose(held.c, without.c, rtol=1e-6)

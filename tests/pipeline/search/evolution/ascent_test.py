"""Gradient ascent from noise."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from pipeline import seeding
from pipeline.search.evolution.ascent import GradientAscent, State, Walkers
from pipeline.search.evolution.elites import NOBODY, Key
from tests.pipeline import nets

CLASSES = (0, 1, 2)


def _key():
    return Key(tf.constant(3, tf.uint32), tf.constant(seeding.seed_key("island"), tf.uint32))


def _steps(search, count, net=None):
    """Returns the states after each step, and parents and cells of each."""
    net = net or nets.group().classifiers[0].predict
    begin = tf.function(lambda: search.begin(net, _key(), CLASSES), jit_compile=True)
    step = tf.function(lambda at, state: search.step(net, _key(), CLASSES, at, state), jit_compile=True)
    states = [begin()]
    for at in range(1, count + 1):
        states.append(step(tf.constant(at), states[-1][0]))
    return states


def test_a_step_has_the_size_it_is_to_have():
    search = GradientAscent(nets.SHAPE, 3, step_size=0.003, decay=0.0)
    (first, _), (second, _) = _steps(search, 1)
    change = (second.carried.positions - first.carried.positions).numpy()
    inside = (second.carried.positions.numpy() > 0) & (second.carried.positions.numpy() < 1)
    slopes = first.carried.slopes.numpy()
    size = np.sqrt(np.mean(slopes**2, axis=(1, 2, 3), keepdims=True))
    np.testing.assert_allclose(change[inside], (0.003 * slopes / size)[inside], atol=1e-6)


def test_every_walker_comes_of_its_last_step():
    for at, (_, generation) in enumerate(_steps(GradientAscent(nets.SHAPE, 3), 3)):
        expected = [NOBODY] * 3 if at == 0 else [3 * (at - 1) + place for place in range(3)]
        np.testing.assert_array_equal(generation.parents[:, 0], expected)
        np.testing.assert_array_equal(generation.parents[:, 1], [NOBODY] * 3)


def test_decay_leads_to_grey_and_blur_to_smooth_images():
    def flat(images):  # a net without slope
        return tf.fill([images.shape[0], 3], 1 / 3) + 0.0 * tf.reduce_mean(images)

    decayed = _steps(GradientAscent(nets.SHAPE, 3, decay=0.1), 60, flat)[-1][0]
    np.testing.assert_allclose(decayed.carried.positions, 0.5, atol=2e-3)
    states = _steps(GradientAscent(nets.SHAPE, 3, decay=0.0, blur=1.0, blur_every=4), 8, flat)
    noise = [np.abs(np.diff(state.carried.positions.numpy(), axis=1)).mean() for state, _ in states]
    changed = [bool(one != other) for one, other in itertools.pairwise(noise)]
    assert changed == [False, False, False, True, False, False, False, True]
    assert noise[8] < noise[4] < noise[0] / 2
    before, after = (states[at][0].carried.positions.numpy().mean(axis=(1, 2, 3)) for at in (0, 8))
    np.testing.assert_allclose(before, after, atol=0.05)


def _after(net, count, **changes):
    """Returns the states before and after steps that are not compiled."""
    search = GradientAscent(nets.SHAPE, 3, **changes)
    first, _ = search.begin(net, _key(), CLASSES)
    last = first
    for at in range(1, count + 1):
        last, _ = search.step(net, _key(), CLASSES, tf.constant(at), last)
    return first, last


def _rooted(images):
    """The linear net on the roots of all rows but the last, where derivatives are 0 times infinity."""
    rows = tf.reshape(tf.cast(tf.range(8) < 7, tf.float32), [8, 1, 1])
    return nets.group().classifiers[0].predict(tf.sqrt(rows * images))


def test_derivatives_that_are_not_finite_keep_no_walker_from_climbing():
    first, last = _after(_rooted, 30, step_size=0.03)
    assert (first.elites.confidences.numpy() < 0.9).any() and (last.elites.confidences.numpy() > 0.9).all()
    assert np.isfinite(last.carried.positions).all() and not last.carried.slopes[:, 7].numpy().any()


def _steep(images):
    """The linear net, with slopes whose squares float32 cannot hold."""
    scaled = tf.custom_gradient(lambda pixels: (tf.identity(pixels), lambda upstream: 1e25 * upstream))
    return nets.group().classifiers[0].predict(scaled(images))


def test_how_steep_a_net_is_does_not_change_a_step():
    plain, steep = (_after(net, 1)[1].carried for net in (nets.group().classifiers[0].predict, _steep))
    np.testing.assert_allclose(steep.positions, plain.positions, atol=1e-6)


@pytest.mark.parametrize("slope", [np.nan, np.inf])
def test_a_walker_whose_slope_is_not_finite_takes_no_cell_and_stops_no_other(slope):
    search = GradientAscent(nets.SHAPE, 3, step_size=0.005)
    (first, _), _ = _steps(search, 1)
    slopes = first.carried.slopes.numpy()
    slopes[1] = slope
    lame = State(first.elites, Walkers(first.carried.positions, tf.constant(slopes)))
    net = nets.group().classifiers[0].predict
    whole, _ = search.step(net, _key(), CLASSES, tf.constant(1), first)
    hurt, made = search.step(net, _key(), CLASSES, tf.constant(1), lame)
    for place in (0, 2):
        np.testing.assert_array_equal(whole.carried.positions[place], hurt.carried.positions[place])
    assert np.isfinite(hurt.elites.confidences).all() and np.isfinite(hurt.elites.genomes).all()
    assert int(made.cells[1]) == 0

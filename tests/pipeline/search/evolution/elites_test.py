"""Elites and islands: Nguyen's rule, and that a result depends on run seed, net and island alone."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import seeding
from pipeline.kinds.garbage.methods import most_generations
from pipeline.search.evolution import elites
from pipeline.search.evolution.ascent import GradientAscent
from pipeline.search.evolution.direct import Direct
from pipeline.search.evolution.elites import EMPTY, NOBODY, Island, Key
from pipeline.search.evolution.map_elites import MapElites
from tests.pipeline import nets

CLASSES = (0, 1, 2)
SEARCHES = {
    "direct": MapElites(Direct(nets.SHAPE), population=12),
    "ascent": GradientAscent(nets.SHAPE, len(CLASSES), step_size=0.005),
}


def _key(island=0, run_seed=3):
    return Key(tf.constant(run_seed, tf.uint32), tf.constant(seeding.seed_key(f"island {island}"), tf.uint32))


@functools.cache
def _island(search, confidence=0.999, generations=25, block=10, classes=CLASSES):
    return Island(search, nets.group().classifiers[0].predict, classes, confidence, generations, block)


@functools.cache
def _compiled(island):
    return island.begin(), island.advance()


def _run(island, key=None):
    """Returns the last state, its generation and the log of all generations, in NumPy."""
    key = _key() if key is None else key
    begin, advance = _compiled(island)
    state, log = begin(key)
    logs, generation = [tf.nest.map_structure(lambda field: field.numpy(), log)], 0
    while generation < island.generations:
        state, at, log = advance(key, state, tf.constant(generation))
        rows = int(at) - generation
        logs.append(tf.nest.map_structure(lambda field, rows=rows: field.numpy()[:rows], log))
        if rows < island.block:
            break
        generation = int(at)
    merged = [np.concatenate(fields) for fields in zip(*logs, strict=True)]
    return tf.nest.map_structure(lambda tensor: tensor.numpy(), state), int(at), elites.Log(*merged)


def _images(search, state):
    return np.stack([search.image(genome) for genome in state.elites.genomes])


def _take(probabilities, before=None):
    probabilities = np.asarray(probabilities, np.float32)
    count, cells = probabilities.shape
    old = before or elites.empty(tf.zeros([count, 2]), cells)
    genomes = tf.reshape(tf.range(2.0 * count), [count, 2])
    parents = tf.fill([count, 2], NOBODY)
    taken, images = elites.take(old, genomes, tf.constant(probabilities), 100 + tf.range(count), parents)
    return tf.nest.map_structure(lambda tensor: tensor.numpy(), taken), images.numpy()


def test_an_image_takes_every_cell_where_it_is_the_most_confident():
    taken, images = _take([[0.2, 0.5, 0.3], [0.6, 0.1, 0.3]])
    np.testing.assert_array_equal(taken.births, [101, 100, 100])  # of equals the first
    np.testing.assert_array_equal(images, [2, 1])
    np.testing.assert_allclose(taken.confidences, [0.6, 0.5, 0.3])
    np.testing.assert_array_equal(taken.genomes, [[2, 3], [0, 1], [0, 1]])


def test_an_equally_confident_image_does_not_replace():
    before, _ = _take([[0.5, 0.5]])
    after, images = _take([[0.5, 0.6], [0.5, 0.2]], elites.Elites(*map(tf.constant, before)))
    np.testing.assert_array_equal(after.births, [100, 100])
    np.testing.assert_allclose(after.confidences, [0.5, 0.6])
    np.testing.assert_array_equal(images, [1, 0])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_image_without_finite_probability_takes_no_cell(bad):
    taken, images = _take([[bad, 0.1], [0.3, bad]])
    np.testing.assert_array_equal(taken.births, [101, 100])
    np.testing.assert_array_equal(images, [1, 1])
    nothing, _ = _take([[bad, bad]])
    np.testing.assert_array_equal(nothing.births, [NOBODY, NOBODY])
    np.testing.assert_array_equal(nothing.confidences, [EMPTY, EMPTY])


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    st.lists(
        st.lists(st.floats(0, 1, width=32, allow_subnormal=False), min_size=3, max_size=3), min_size=4, max_size=4
    ),
    st.randoms(),
)
def test_cells_hold_the_highest_confidences_whatever_the_order_of_the_images(probabilities, random):
    order = list(range(4))
    random.shuffle(order)
    one, other = _take(probabilities)[0], _take([probabilities[place] for place in order])[0]
    np.testing.assert_array_equal(one.confidences, np.max(np.array(probabilities, np.float32), axis=0))
    np.testing.assert_array_equal(one.confidences, other.confidences)


@pytest.mark.slow
@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
def test_blocks_change_nothing(search):
    short, long = _run(_island(search, block=3)), _run(_island(search, block=25))
    assert short[1] == long[1]
    tf.nest.map_structure(np.testing.assert_array_equal, short[0], long[0])
    tf.nest.map_structure(np.testing.assert_array_equal, short[2], long[2])


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
def test_elites_are_what_the_net_says_of_their_images(search):
    state, _, log = _run(_island(search))
    answers = nets.probabilities(_images(search, state))[0]
    np.testing.assert_allclose(state.elites.confidences, answers[range(3), CLASSES], atol=1e-5)
    assert (np.diff(log.medians) >= 0).all() and (np.diff(log.done) >= 0).all()
    assert log.medians[-1] > log.medians[0] + 0.05
    np.testing.assert_allclose(log.medians[-1], np.median(state.elites.confidences))


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
def test_an_island_ends_when_all_classes_are_done(search):
    state, generation, log = _run(_island(search, confidence=0.6, generations=400))
    assert generation < 400 and (state.elites.confidences >= 0.6).all()
    assert log.done[-1] == 3 and (log.done[:-1] < 3).all() and len(log.done) == generation + 1


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
def test_run_seed_and_island_are_what_random_numbers_depend_on(search):
    same, seed, island = (_run(_island(search), key)[0] for key in (_key(), _key(run_seed=4), _key(1)))
    tf.nest.map_structure(np.testing.assert_array_equal, _run(_island(search))[0], same)
    images, *others = (_images(search, state) for state in (same, seed, island))
    assert all((other != images).mean() > 0.5 for other in others)


def test_only_the_chosen_classes_have_cells():
    search = SEARCHES["direct"]
    state, _, _ = _run(_island(search, classes=(2, 0)))
    answers = nets.probabilities(_images(search, state))[0]
    np.testing.assert_allclose(state.elites.confidences, answers[range(2), [2, 0]], atol=1e-5)


def test_parents_took_a_cell_before_their_children_were_born():
    _, _, log = _run(_island(SEARCHES["direct"]))
    births = np.arange(log.cells.size).reshape(log.cells.shape)
    took = set(births[log.cells > 0])
    parents = log.parents[1:]
    assert (log.parents[0] == NOBODY).all() and (parents[..., 0] != NOBODY).all()
    assert set(parents[parents != NOBODY]) <= took
    assert (parents < births[1:, :1, None]).all()  # of an earlier generation
    assert 0.3 < (parents[..., 1] != NOBODY).mean() < 0.7  # crossover rate 0.5


def test_a_thousand_classes():
    def net(images):
        return tf.nn.softmax(tf.matmul(tf.reshape(images, [images.shape[0], -1]), matrix))

    matrix = tf.constant(np.random.default_rng(1).normal(size=(64, 1000)).astype(np.float32))
    island = Island(SEARCHES["direct"], net, tuple(range(1000)), 0.99, 20, 20)
    state, _, log = _run(island)
    assert (state.elites.births != NOBODY).all() and log.medians[-1] > 2 * log.medians[0]


def test_the_median_of_an_even_number_is_between_the_middle_two():
    for count in (1, 4, 7, 10):
        values = np.random.default_rng(count).random(count).astype(np.float32)
        np.testing.assert_allclose(elites.median(tf.constant(values)), np.median(values), rtol=1e-6)


@pytest.mark.parametrize("population", [1, 3, 200, 100_000])
def test_births_are_numbered_up_to_the_last_generation_and_no_further(population):
    most = most_generations(population)
    births = elites.births(tf.constant(most), population).numpy().astype(np.int64)
    np.testing.assert_array_equal(births, most * population + np.arange(population))
    assert (most + 2) * population > 2**31, "one generation more would not fit"

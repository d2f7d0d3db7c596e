"""Strategies on problems whose answer is known: each gets nearer than chance, and each trial is its own."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from pipeline import seeding
from pipeline.search.moves.lanes import Trials
from pipeline.search.moves.populations import Proposals
from pipeline.search.moves.strategies import PBIL, EvolutionStrategy, Genetic, GradientAscent, SteepestAscent

MOVES, PARAMETERS, GENERATIONS = 2, 3, 40
GOAL = np.linspace(0.15, 0.85, MOVES * PARAMETERS).reshape(MOVES, PARAMETERS).astype(np.float32)
STRATEGIES = {
    "steepest": SteepestAscent(16),
    "genetic": Genetic(16),
    "pbil": PBIL(16),
    "evolution": EvolutionStrategy(16),
}


def _trials(count):
    words = np.array([seeding.seed_key(f"seed-{number}") for number in range(count)], np.uint32)
    row = np.arange(count, dtype=np.int32)
    return Trials(row, words, np.zeros(count, np.int32), np.zeros(count, np.int32), np.full(count, 9.0, np.float32))


def _fitness(proposals):
    """The nearer to the goal, the better; moves that are not made count as 0."""
    made = tf.range(MOVES)[None, None] < proposals.lengths[..., None]
    numbers = tf.where(made[..., None], proposals.numbers, 0.0)
    return -tf.reduce_sum((numbers - GOAL) ** 2, axis=[2, 3])


@functools.cache
def _stepped(strategy):
    wanted = strategy.draws(MOVES, PARAMETERS)

    def step(words, state, generation):
        count = words.shape[0]
        numbers = tf.tile(generation * strategy.population + tf.range(strategy.population), [count])
        each = tf.repeat(words, strategy.population, axis=0)
        nets = tf.zeros([count * strategy.population], tf.int32)
        drawn = seeding.draws_tf(tf.constant(7, tf.uint32), each, nets, numbers, wanted)
        uniform = tf.reshape(drawn, [count, strategy.population, wanted])
        proposals = strategy.propose(state, uniform)
        fitness = _fitness(proposals)
        return strategy.learn(state, proposals, fitness, uniform), proposals, fitness

    return tf.function(step, jit_compile=True, autograph=False)


def _run(strategy, trials):
    """Returns each generation's proposals and fitness, in NumPy."""
    state, steps = strategy.begin(trials, MOVES, PARAMETERS), []
    for generation in range(GENERATIONS):
        state, proposals, fitness = _stepped(strategy)(tf.constant(trials.seed_words), state, tf.constant(generation))
        steps.append((Proposals(*(field.numpy() for field in proposals)), fitness.numpy()))
    return steps


LEARNING = {name: strategy for name, strategy in STRATEGIES.items() if name != "steepest"}  # what it made, it keeps


@pytest.mark.parametrize("strategy", LEARNING.values(), ids=LEARNING)
def test_a_strategy_gets_nearer_than_as_many_candidates_at_random(strategy):
    trials = _trials(12)
    reached = np.max([fitness.max(axis=1) for _, fitness in _run(strategy, trials)], axis=0)
    drawn = np.random.default_rng(0).random((12, GENERATIONS * strategy.population, MOVES, PARAMETERS))
    at_random = np.max(-((drawn - GOAL) ** 2).sum(axis=(2, 3)), axis=1)
    assert (reached > at_random).mean() >= 0.75 and reached.mean() > at_random.mean()


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
def test_candidates_are_moves_that_can_be_drawn(strategy):
    for proposals, _ in _run(strategy, _trials(3)):
        assert proposals.numbers.shape == (3, strategy.population, MOVES, PARAMETERS)
        assert (proposals.numbers >= 0).all() and (proposals.numbers < 1).all()
        assert (proposals.lengths >= 1).all() and (proposals.lengths <= MOVES).all()


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
def test_a_trial_alone_among_others_and_in_another_order_is_the_same(strategy):
    trials, order = _trials(5), np.array([3, 1, 4, 0, 2])
    together = _run(strategy, trials)
    turned = _run(strategy, Trials(*(column[order] for column in trials)))
    alone = _run(strategy, Trials(*(column[3:4] for column in trials)))
    for (one, fitness), (other, _), (single, _) in zip(together, turned, alone, strict=True):
        np.testing.assert_array_equal(one.numbers[order], other.numbers)
        np.testing.assert_array_equal(one.numbers[3:4], single.numbers)
        assert np.isfinite(fitness).all()


def test_steepest_ascent_makes_the_best_move():
    steps = _run(STRATEGIES["steepest"], _trials(4))
    assert all((proposals.lengths == proposals.lengths[:, :1]).all() for proposals, _ in steps)
    last, before = steps[-1][0], steps[0][0]
    assert (before.lengths == 1).all() and (last.lengths == MOVES).all()
    first_moves = last.numbers[:, :, 0]
    assert (first_moves == first_moves[:, :1]).all()  # what was made stays; the last move alone is tried anew
    best = steps[0][0].numbers[np.arange(4), steps[0][1].argmax(axis=1), 0]
    np.testing.assert_array_equal(steps[1][0].numbers[:, 0, 0], best)


def test_steepest_ascent_stays_where_no_move_is_better():
    strategy = SteepestAscent(2)
    state = strategy.begin(_trials(2)._replace(confidence=np.full(2, 0.5, np.float32)), MOVES, PARAMETERS)
    proposals = strategy.propose(state, tf.fill([2, 2, PARAMETERS], 0.25))
    fitness = tf.constant([[-0.7, -0.5], [-0.7, -0.4]])  # no better than the seed image; better
    state = strategy.learn(state, proposals, fitness, tf.zeros([2, 2, PARAMETERS]))
    np.testing.assert_array_equal(state.moves, [0, 1])
    np.testing.assert_array_equal(state.numbers[:, 0, 0], [0.0, 0.25])
    np.testing.assert_allclose(state.fitness, [-0.5, -0.4])


def test_the_genetic_algorithm_keeps_its_best():
    best = [fitness.max(axis=1) for _, fitness in _run(STRATEGIES["genetic"], _trials(4))]
    assert (np.diff(best, axis=0) >= 0).all() and (best[-1] > best[0]).all()


def test_pbil_learns_the_bits_of_the_best_candidate():
    strategy = PBIL(population=4, learning_rate=0.25, mutation_rate=0.0, bits=3)
    numbers = np.zeros((1, 4, 1, 2), np.float32)
    numbers[0, 2, 0] = [0.5625 + 0.125, 0.0625]  # 101 and 000, and half of the last place
    fitness = np.array([[0.0, 0.0, 1.0, 0.0]], np.float32)
    state = tf.fill([1, 1, 2, 3], 0.5)
    learned = strategy.learn(state, Proposals(numbers, np.ones((1, 4), np.int32)), fitness, tf.ones([1, 4, 18]) * 0.9)
    np.testing.assert_allclose(learned[0, 0], [[0.625, 0.375, 0.625], [0.375, 0.375, 0.375]])


def test_pbil_draws_the_number_that_its_bits_name():
    strategy = PBIL(population=1, bits=4)
    certain = tf.constant([1.0, 0.0, 1.0, 1.0])[None, None, None]
    proposals = strategy.propose(certain, tf.fill([1, 1, 12], 0.5))
    assert proposals.numbers[0, 0, 0, 0] == (0b1011 + 0.5) / 16


def test_the_evolution_strategy_draws_in_its_steps_about_its_mean():
    strategy = EvolutionStrategy(population=4000, step=0.05)
    state = strategy.begin(_trials(1), MOVES, PARAMETERS)
    uniform = np.random.default_rng(1).random((1, 4000, strategy.draws(MOVES, PARAMETERS))).astype(np.float32)
    numbers = strategy.propose(state, uniform).numbers.numpy()[0]
    np.testing.assert_allclose(numbers.mean(axis=0), 0.5, atol=0.005)
    np.testing.assert_allclose(numbers.std(axis=0), 0.05, rtol=0.05)


def test_gradient_ascent_goes_against_the_slopes_and_begins_anew():
    strategy = GradientAscent(2, step=0.1, climb=2)
    state = strategy.begin(_trials(1), MOVES, PARAMETERS)
    drawn = tf.reshape(tf.linspace(0.3, 0.7, 2 * MOVES * PARAMETERS), [1, 2, MOVES * PARAMETERS])
    first = strategy.propose(state, drawn)
    np.testing.assert_array_equal(tf.reshape(first.numbers, [-1]), tf.reshape(drawn, [-1]))
    slopes = tf.where(first.numbers < 0.5, -3.0, 0.5)
    state = strategy.learn(state, first, slopes, drawn)
    second = strategy.propose(state, drawn)
    np.testing.assert_allclose(second.numbers, first.numbers - 0.1 * tf.sign(slopes), atol=1e-5)  # Adam's first step
    state = strategy.learn(state, second, slopes, drawn)
    third = strategy.propose(state, 1.0 - drawn)
    np.testing.assert_array_equal(tf.reshape(third.numbers, [-1]), tf.reshape(1.0 - drawn, [-1]))
    again = strategy.propose(strategy.learn(state, third, slopes, drawn), drawn)
    np.testing.assert_allclose(again.numbers, third.numbers - 0.1 * tf.sign(slopes), atol=1e-5)  # no momentum is left

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from pipeline import seeding
from pipeline.search import lanes as lane_runner
from pipeline.search.lanes import Trials, Verdict

RUN_SEED, QUEUE, PATIENCE, MOST_MOVES = 7, 40, 11, 4


class _State(NamedTuple):
    drawn: tf.Tensor
    failures: tf.Tensor
    moves: tf.Tensor
    last: tf.Tensor
    found: tf.Tensor


class _Candidate(NamedTuple):
    images: tf.Tensor


class _Coins:
    """A search as simple as can be: a candidate is a number, accepted below the trial's `confidence`, and the goal
    below a quarter of it."""

    def init(self, trials: Trials, sources: tf.Tensor) -> _State:
        zeros = tf.zeros_like(trials.row)
        return _State(zeros, zeros, zeros, tf.zeros_like(trials.confidence), tf.zeros_like(trials.row, tf.bool))

    def horizon(self, state: _State) -> tf.Tensor:
        return PATIENCE - state.failures

    def propose(self, run_seed: Any, trials: Trials, state: _State, ahead: tf.Tensor, sources: tf.Tensor) -> _Candidate:
        numbers = seeding.draws_tf(run_seed, trials.seed_words, trials.target_net, state.drawn + ahead, 1)
        return _Candidate(numbers[:, :, None, None])

    def judge(self, trials: Trials, state: _State, candidate: _Candidate, probabilities: tf.Tensor) -> Any:
        number = probabilities[0, :, 0]
        return Verdict(number < trials.confidence, number < trials.confidence / 4), _Candidate(number)

    def advance(self, state: _State, drawn: tf.Tensor, won: tf.Tensor, winner: Any) -> _State:
        number = winner.images
        return _State(
            drawn=state.drawn + drawn,
            failures=tf.where(won, 0, state.failures + drawn),
            moves=state.moves + tf.cast(won, tf.int32),
            last=tf.where(won, number, state.last),
            found=won & (number < 0.05),
        )

    def done(self, state: _State) -> tf.Tensor:
        return state.found | (state.failures >= PATIENCE) | (state.moves >= MOST_MOVES)

    def result(self, state: _State) -> _State:
        return state


def _queue() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Seed words, target nets and chances `[Q]`: trials that never move, that move at once, and all between."""
    numbers = np.random.default_rng(8)
    words = numbers.integers(0, 2**32, (QUEUE, 2), np.uint32)
    chances = np.float32([0.0, 1.0, *numbers.random(QUEUE - 2) ** 3])
    return words, (np.arange(QUEUE) % 3).astype(np.int32), chances


def _alone(words: np.ndarray, net: int, chance: float) -> tuple[int, int, int, float, bool]:
    """One trial, one candidate after the other."""
    drawn = failures = moves = 0
    last, found = 0.0, False
    while not found and failures < PATIENCE and moves < MOST_MOVES:
        number = seeding.draws(RUN_SEED, words[None], np.array([net]), np.array([drawn]), 1)[0, 0]
        drawn, failures = drawn + 1, failures + 1
        if number < chance:
            failures, moves, last, found = 0, moves + 1, number, bool(number < np.float32(0.05))
    return drawn, failures, moves, last, found


@functools.cache
def _compiled(lanes: int) -> Any:
    def search(words: tf.Tensor, nets: tf.Tensor, chances: tf.Tensor, count: tf.Tensor) -> Any:
        trials = Trials(tf.range(QUEUE), words, nets, tf.zeros([QUEUE], tf.int32), chances)
        seed, sources = tf.constant(RUN_SEED, tf.uint32), tf.zeros([QUEUE, 3, 3, 1])
        return lane_runner.run(_Coins(), lambda images: images[None, :, :, 0, 0], lanes, seed, trials, count, sources)

    return tf.function(search, jit_compile=True)


def _run(lanes: int, count: int, queue: Any = None) -> tuple[_State, int]:
    results, steps = _compiled(lanes)(*(tf.constant(array) for array in queue or _queue()), tf.constant(count))
    return _State(*(field.numpy() for field in results)), int(steps)


@pytest.mark.parametrize("lanes", [1, 5, 8, 64])
def test_a_queue_ends_as_each_trial_would_alone(lanes):
    expected = [_alone(*trial) for trial in zip(*_queue())]
    for field, column in zip(_run(lanes, QUEUE)[0], zip(*expected)):
        np.testing.assert_array_equal(field, np.array(column))


@pytest.mark.parametrize("lanes", [5, 64])
@pytest.mark.parametrize("count", [1, 4, 7, 39])
def test_only_the_first_trials_are_run_and_the_rest_stay_zero(lanes, count):
    whole, some = _run(lanes, QUEUE)[0], _run(lanes, count)[0]
    for all_rows, rows in zip(whole, some):
        np.testing.assert_array_equal(rows[:count], all_rows[:count])
        assert not rows[count:].any()


@pytest.mark.parametrize("lanes", [1, 64])
def test_no_trials_take_no_step(lanes):
    results, steps = _run(lanes, 0)
    assert steps == 0 and not any(field.any() for field in results)


@pytest.mark.parametrize("lanes", [5, 8])
def test_the_order_of_the_queue_does_not_matter(lanes):
    order = np.random.default_rng(2).permutation(QUEUE)
    moved = _run(lanes, QUEUE, [array[order] for array in _queue()])[0]
    for field, rows in zip(_run(lanes, QUEUE)[0], moved):
        np.testing.assert_array_equal(rows, field[order])


@pytest.mark.parametrize("lanes", [1, 5, 8, 64])
def test_lanes_without_a_trial_look_ahead(lanes):
    results, steps = _run(lanes, 1)  # the first trial never moves
    assert results.drawn[0] == PATIENCE and steps == -(-PATIENCE // lanes)


def test_one_lane_draws_each_candidate_once():
    results, steps = _run(1, QUEUE)
    assert steps == results.drawn.sum()


def test_no_lane_is_idle_while_trials_wait():
    results, steps = _run(8, QUEUE)
    assert results.drawn.sum() / 8 <= steps <= results.drawn.sum() / 8 + PATIENCE

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from pipeline import seeding
from pipeline.search.moves import lanes as lane_runner
from pipeline.search.moves.lanes import Trials, Verdict

RUN_SEED, QUEUE, PATIENCE, MOST_MOVES = 7, 40, 11, 4
WHOLE = 10_000  # steps: more than any queue here takes


class _State(NamedTuple):
    drawn: tf.Tensor
    failures: tf.Tensor
    moves: tf.Tensor
    last: tf.Tensor
    found: tf.Tensor


class _Candidate(NamedTuple):
    images: tf.Tensor


@dataclasses.dataclass(frozen=True)
class _Coins:
    """A search as simple as can be: a candidate is a number, accepted below the trial's `confidence`, and the goal
    below 0.05 too."""

    patience: int = PATIENCE
    most_moves: int = MOST_MOVES

    def init(self, trials: Trials, sources: tf.Tensor) -> _State:
        zeros = tf.zeros_like(trials.row)
        return _State(zeros, zeros, zeros, tf.zeros_like(trials.confidence), tf.zeros_like(trials.row, tf.bool))

    def horizon(self, state: _State) -> tf.Tensor:
        return self.patience - state.failures

    def propose(self, run_seed: Any, trials: Trials, state: _State, ahead: tf.Tensor, sources: tf.Tensor) -> _Candidate:
        numbers = seeding.draws_tf(run_seed, trials.seed_words, trials.target_net, state.drawn + ahead, 1)
        return _Candidate(numbers[:, :, None, None])

    def judge(self, trials: Trials, state: _State, candidate: _Candidate, probabilities: tf.Tensor) -> Any:
        number = probabilities[0, :, 0]
        return Verdict(number < trials.confidence, number < 0.05), _Candidate(number)

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
        return state.found | (state.failures >= self.patience) | (state.moves >= self.most_moves)

    def result(self, state: _State) -> _State:
        return state


class _Punctual(_Coins):
    """Accepts of each trial one candidate, whose number is the trial's `target_class`."""

    def judge(self, trials: Trials, state: _State, candidate: _Candidate, probabilities: tf.Tensor) -> Any:
        number = candidate.images[:, 0, 0, 0]
        wanted = number == tf.cast(trials.target_class, tf.float32)
        return Verdict(wanted, wanted), _Candidate(number)

    def propose(self, run_seed: Any, trials: Trials, state: _State, ahead: tf.Tensor, sources: tf.Tensor) -> _Candidate:
        return _Candidate(tf.cast(state.drawn + ahead, tf.float32)[:, None, None, None])


class _Trials(NamedTuple):
    """Seed words, target nets, classes and chances `[Q]`."""

    words: np.ndarray
    nets: np.ndarray
    classes: np.ndarray
    chances: np.ndarray


def _queue(seed: int = 8, power: int = 3) -> _Trials:
    """Trials that never move, that move at once, and all between; the higher the power, the more that seldom move."""
    numbers = np.random.default_rng(seed)
    words = numbers.integers(0, 2**32, (QUEUE, 2), np.uint32)
    chances = np.float32([0.0, 1.0, *numbers.random(QUEUE - 2) ** power])
    return _Trials(words, (np.arange(QUEUE) % 3).astype(np.int32), np.zeros(QUEUE, np.int32), chances)


def _alone(words: np.ndarray, net: int, _: int, chance: float, searcher: _Coins = _Coins()) -> tuple[Any, ...]:
    """One trial, one candidate after the other."""
    drawn = failures = moves = 0
    last, found = 0.0, False
    while not found and failures < searcher.patience and moves < searcher.most_moves:
        number = seeding.draws(RUN_SEED, words[None], np.array([net]), np.array([drawn]), 1)[0, 0]
        drawn, failures = drawn + 1, failures + 1
        if number < chance:
            failures, moves, last, found = 0, moves + 1, number, bool(number < np.float32(0.05))
    return drawn, failures, moves, last, found


@functools.cache
def _compiled(lanes: int, searcher: _Coins) -> tuple[Any, Any]:
    def begin(words: tf.Tensor, nets: tf.Tensor, classes: tf.Tensor, chances: tf.Tensor, count: tf.Tensor) -> Any:
        trials = Trials(tf.range(QUEUE), words, nets, classes, chances)
        queue = lane_runner.Queue(trials, count, tf.zeros([QUEUE, 3, 3, 1]))
        return queue, lane_runner.begin(searcher, lanes, queue)

    def advance(queue: lane_runner.Queue, loop: lane_runner.Loop, most: tf.Tensor) -> lane_runner.Loop:
        run_seed = tf.constant(RUN_SEED, tf.uint32)
        return lane_runner.advance(searcher, lambda images: images[None, :, :, 0, 0], run_seed, queue, loop, most)

    return tf.function(begin, jit_compile=True), tf.function(advance, jit_compile=True)


def _run(
    lanes: int, count: int, queue: _Trials | None = None, block: int = WHOLE, searcher: _Coins = _Coins()
) -> tuple[_State, int]:
    begin, advance = _compiled(lanes, searcher)
    given, loop = begin(*(tf.constant(array) for array in queue or _queue()), tf.constant(count))
    total = 0
    while loop.busy.numpy().any():
        assert total < WHOLE, "the queue does not end"
        loop = advance(given, loop, tf.constant(block))
        assert 0 < loop.steps <= block
        total += int(loop.steps)
    return _State(*(field.numpy() for field in loop.results)), total


def _assert_equal(one: _State, other: Any) -> None:
    for field, column in zip(one, other, strict=True):
        np.testing.assert_array_equal(field, np.array(column))


@pytest.mark.parametrize("lanes", [1, 5, 8, 64])
def test_a_queue_ends_as_each_trial_would_alone(lanes):
    _assert_equal(_run(lanes, QUEUE)[0], zip(*(_alone(*trial) for trial in zip(*_queue()))))


@pytest.mark.parametrize(("lanes", "searcher"), [(8, _Coins()), (5, _Coins(1, 1)), (3, _Coins(7, 2))])
def test_random_queues_end_as_each_trial_would_alone_whatever_the_block(lanes, searcher):
    numbers = np.random.default_rng(lanes)
    for seed in range(8):
        queue, count = _queue(100 + seed, power=1 + seed), int(numbers.integers(1, QUEUE + 1))
        results, _ = _run(lanes, count, queue, int(numbers.integers(1, 30)), searcher)
        expected = [_alone(*trial, searcher=searcher) for trial in zip(*(column[:count] for column in queue))]
        _assert_equal(_State(*(field[:count] for field in results)), zip(*expected))


@pytest.mark.parametrize("lanes", [1, 5, 64])
@pytest.mark.parametrize("block", [1, 7])
def test_the_length_of_the_blocks_does_not_matter(lanes, block):
    whole, steps = _run(lanes, QUEUE)
    results, in_blocks = _run(lanes, QUEUE, block=block)
    assert in_blocks == steps
    _assert_equal(results, whole)


@pytest.mark.parametrize("lanes", [5, 16])
def test_the_last_candidate_of_the_patience_counts_and_the_next_does_not(lanes):
    classes = np.array([PATIENCE - 1, PATIENCE, PATIENCE + 1, 0], np.int32)
    queue = _queue()._replace(classes=np.resize(classes, QUEUE))
    for count in (1, 2, 3, 4, QUEUE):
        results, _ = _run(lanes, count, queue, searcher=_Punctual(most_moves=1))
        accepted = queue.classes[:count] < PATIENCE
        np.testing.assert_array_equal(results.moves[:count], accepted)
        np.testing.assert_array_equal(results.drawn[:count], np.where(accepted, queue.classes[:count] + 1, PATIENCE))


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
    moved = _run(lanes, QUEUE, _Trials(*(array[order] for array in _queue())))[0]
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

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.search.moves import lanes as lane_runner
from pipeline.search.moves.lanes import Trials
from tests.pipeline.search.moves import coins

WHOLE = 10_000  # steps: more than any queue here takes


def _nets(images: tf.Tensor) -> tf.Tensor:
    return tf.stack([coins.ask(images)] * coins.NETS)


@functools.cache
def _compiled(lanes: int, searcher: coins.Coins) -> tuple[Any, Any]:
    def begin(words: tf.Tensor, nets: tf.Tensor, classes: tf.Tensor, chances: tf.Tensor, count: tf.Tensor) -> Any:
        trials = Trials(tf.range(coins.QUEUE), words, nets, classes, chances)
        queue = lane_runner.Queue(trials, count, tf.zeros([coins.QUEUE, 3, 3, 1]))
        return queue, lane_runner.begin(searcher, coins.NETS, lanes, queue)

    def advance(queue: lane_runner.Queue, loop: lane_runner.Loop, most: tf.Tensor) -> lane_runner.Loop:
        run_seed = tf.constant(coins.RUN_SEED, tf.uint32)
        return lane_runner.advance(searcher, _nets, run_seed, queue, loop, most)

    return tf.function(begin, jit_compile=True), tf.function(advance, jit_compile=True)


def _run(
    lanes: int, count: int, queue: coins.Given | None = None, block: int = WHOLE, searcher: coins.Coins = coins.PLAIN
) -> tuple[coins.State, int]:
    begin, advance = _compiled(lanes, searcher)
    given, loop = begin(*(tf.constant(array) for array in queue or coins.queue()), tf.constant(count))
    total = 0
    while loop.busy.numpy().any():
        assert total < WHOLE, "the queue does not end"
        loop = advance(given, loop, tf.constant(block))
        assert 0 < loop.steps <= block
        total += int(loop.steps)
    return coins.State(*(field.numpy() for field in loop.results[0])), total


def _counts(lanes: int, count: int) -> tuple[coins.State, lane_runner.Counts]:
    begin, advance = _compiled(lanes, coins.PLAIN)
    given, loop = begin(*(tf.constant(array) for array in coins.queue()), tf.constant(count))
    results, counts = advance(given, loop, tf.constant(WHOLE)).results
    rows = lane_runner.Counts(*(field.numpy()[:count] for field in counts))
    return coins.State(*(field.numpy()[:count] for field in results)), rows


def _assert_equal(one: coins.State, other: Any) -> None:
    for field, column in zip(one, other, strict=True):
        np.testing.assert_array_equal(field, np.array(column))


@pytest.mark.parametrize("lanes", [1, 5, 8, 64])
def test_a_queue_ends_as_each_trial_would_alone(lanes):
    _assert_equal(_run(lanes, coins.QUEUE)[0], zip(*(coins.alone(*trial) for trial in zip(*coins.queue()))))


@pytest.mark.parametrize(("lanes", "searcher"), [(8, coins.Coins()), (5, coins.Coins(1, 1)), (3, coins.Coins(7, 2))])
def test_random_queues_end_as_each_trial_would_alone_whatever_the_block(lanes, searcher):
    numbers = np.random.default_rng(lanes)
    for seed in range(8):
        queue, count = coins.queue(100 + seed, power=1 + seed), int(numbers.integers(1, coins.QUEUE + 1))
        results, _ = _run(lanes, count, queue, int(numbers.integers(1, 30)), searcher)
        expected = [coins.alone(*trial, searcher=searcher) for trial in zip(*(column[:count] for column in queue))]
        _assert_equal(coins.State(*(field[:count] for field in results)), zip(*expected))


@pytest.mark.parametrize("lanes", [1, 5, 64])
@pytest.mark.parametrize("block", [1, 7])
def test_the_length_of_the_blocks_does_not_matter(lanes, block):
    whole, steps = _run(lanes, coins.QUEUE)
    results, in_blocks = _run(lanes, coins.QUEUE, block=block)
    assert in_blocks == steps
    _assert_equal(results, whole)


@pytest.mark.parametrize("lanes", [5, 16])
def test_the_last_candidate_of_the_patience_counts_and_the_next_does_not(lanes):
    classes = np.array([coins.PATIENCE - 1, coins.PATIENCE, coins.PATIENCE + 1, 0], np.int32)
    queue = coins.queue()._replace(classes=np.resize(classes, coins.QUEUE))
    for count in (1, 2, 3, 4, coins.QUEUE):
        results, _ = _run(lanes, count, queue, searcher=coins.Punctual(most_moves=1))
        accepted = queue.classes[:count] < coins.PATIENCE
        np.testing.assert_array_equal(results.moves[:count], accepted)
        np.testing.assert_array_equal(
            results.drawn[:count], np.where(accepted, queue.classes[:count] + 1, coins.PATIENCE)
        )


@pytest.mark.parametrize("lanes", [5, 64])
@pytest.mark.parametrize("count", [1, 4, 7, 39])
def test_only_the_first_trials_are_run_and_the_rest_stay_zero(lanes, count):
    whole, some = _run(lanes, coins.QUEUE)[0], _run(lanes, count)[0]
    for all_rows, rows in zip(whole, some):
        np.testing.assert_array_equal(rows[:count], all_rows[:count])
        assert not rows[count:].any()


@pytest.mark.parametrize("lanes", [1, 64])
def test_no_trials_take_no_step(lanes):
    results, steps = _run(lanes, 0)
    assert steps == 0 and not any(field.any() for field in results)


@pytest.mark.parametrize("lanes", [5, 8])
def test_the_order_of_the_queue_does_not_matter(lanes):
    order = np.random.default_rng(2).permutation(coins.QUEUE)
    moved = _run(lanes, coins.QUEUE, coins.Given(*(array[order] for array in coins.queue())))[0]
    for field, rows in zip(_run(lanes, coins.QUEUE)[0], moved):
        np.testing.assert_array_equal(rows, field[order])


@pytest.mark.parametrize("lanes", [1, 5, 8, 64])
def test_lanes_without_a_trial_look_ahead(lanes):
    results, steps = _run(lanes, 1)  # the first trial never moves
    assert results.drawn[0] == coins.PATIENCE and steps == -(-coins.PATIENCE // lanes)


def test_one_lane_draws_each_candidate_once():
    results, steps = _run(1, coins.QUEUE)
    assert steps == results.drawn.sum()


def test_no_lane_is_idle_while_trials_wait():
    results, steps = _run(8, coins.QUEUE)
    assert results.drawn.sum() / 8 <= steps <= results.drawn.sum() / 8 + coins.PATIENCE


def _refusers(words: np.ndarray, target: int, _: int, chance: float) -> list[int]:
    """How many candidates of a trial fell by each net's answer, one after the other; all peers answer alike."""
    drawn, last, refused = 0, target, [0] * coins.NETS
    for drawn in range(coins.alone(words, target, 0, chance)[0]):
        number = coins.seeding.draws(coins.RUN_SEED, words[None], np.array([target]), np.array([drawn]), 1)[0, 0]
        refuse = [number >= np.float32(chance) + np.float32(0.0 if net == target else 0.2) for net in range(coins.NETS)]
        if any(refuse):
            last = last if refuse[last] else target if refuse[target] else refuse.index(True)
            refused[last] += 1
    return refused


def test_each_refusal_is_put_down_to_one_net():
    results, counts = _counts(1, coins.QUEUE)
    expected = [_refusers(*trial) for trial in zip(*coins.queue())]
    np.testing.assert_array_equal(counts.refused, expected)
    np.testing.assert_array_equal(counts.asked, results.drawn)


@pytest.mark.parametrize("lanes", [8, 64])
def test_candidates_in_vain_are_counted_as_asked(lanes):
    results, counts = _counts(lanes, coins.QUEUE)
    assert (counts.asked >= results.drawn).all() and (counts.asked > results.drawn).any()
    assert (counts.refused.sum(axis=1) >= results.drawn - results.moves).all()

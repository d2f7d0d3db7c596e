from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from models.classifier import PeerGroup
from models.kernels import TENSORFLOW
from pipeline.search.moves import net_by_net
from pipeline.search.moves.lanes import Searched, Trials
from pipeline.search.moves.net_by_net import NetByNet
from tests.pipeline import nets
from tests.pipeline.search.moves import coins, reference


@functools.cache
def _runner(lanes: int, searcher: coins.Coins) -> NetByNet:
    names = [f"net {net}" for net in range(coins.NETS)]
    fields = {"input_shape": (1, 1, 1), "num_classes": 1, "kernels": TENSORFLOW}
    group = PeerGroup(tuple(nets.classifier(coins.ask, name, **fields) for name in names))
    return NetByNet(searcher, group, coins.RUN_SEED, lanes)


def _run(lanes: int, given: coins.Given, searcher: coins.Coins = coins.PLAIN) -> Searched:
    return _run_with(_runner(lanes, searcher), given)


def _run_with(runner: NetByNet, given: coins.Given) -> Searched:
    trials = Trials(np.arange(len(given.words), dtype=np.int32), *given)
    return runner.run(np.zeros((coins.QUEUE, 1, 1, 1), np.uint8), trials, lambda done, all_: None)


def _cut(given: coins.Given, count: int) -> coins.Given:
    return coins.Given(*(column[:count] for column in given))


def _assert_as_alone(results: coins.State, given: coins.Given, searcher: coins.Coins) -> None:
    expected = [coins.alone(*trial, searcher=searcher) for trial in zip(*given)]
    for field, column in zip(results, zip(*expected), strict=True):
        np.testing.assert_array_equal(field, np.array(column))


@pytest.mark.parametrize(("lanes", "searcher"), [(1, coins.PLAIN), (8, coins.PLAIN), (64, coins.PLAIN)])
@pytest.mark.parametrize("count", [1, 2, 7, coins.QUEUE])
def test_a_queue_ends_as_each_trial_would_alone(lanes, searcher, count):
    given = _cut(coins.queue(), count)
    _assert_as_alone(_run(lanes, given, searcher).results, given, searcher)


@pytest.mark.parametrize(("lanes", "searcher"), [(8, coins.PLAIN), (5, coins.Coins(1, 1)), (3, coins.Coins(7, 2))])
def test_random_queues_end_as_each_trial_would_alone(lanes, searcher):
    numbers = np.random.default_rng(lanes)
    for seed in range(8):
        given = _cut(coins.queue(100 + seed, power=1 + seed), int(numbers.integers(1, coins.QUEUE + 1)))
        _assert_as_alone(_run(lanes, given, searcher).results, given, searcher)


@pytest.mark.parametrize("lanes", [1, 5, 16])
def test_the_last_candidate_of_the_patience_counts_and_the_next_does_not(lanes):
    classes = np.resize(np.array([coins.PATIENCE - 1, coins.PATIENCE, coins.PATIENCE + 1, 0], np.int32), coins.QUEUE)
    given = coins.queue()._replace(classes=classes)
    for count in (1, 2, 3, 4, coins.QUEUE):
        results = _run(lanes, _cut(given, count), coins.Punctual(most_moves=1)).results
        accepted = classes[:count] < coins.PATIENCE
        np.testing.assert_array_equal(results.moves, accepted)
        np.testing.assert_array_equal(results.drawn, np.where(accepted, classes[:count] + 1, coins.PATIENCE))


def test_no_trials_are_run_without_asking():
    searched = _run(8, _cut(coins.queue(), 0))
    assert {len(field) for field in (*searched.results, searched.asked, searched.refused)} == {0}


def test_who_is_told_can_end_the_search(monkeypatch):
    monkeypatch.setattr(net_by_net, "_SECONDS", 0.0)
    told = []

    def tell(ended: int, trials: int) -> None:
        told.append((ended, trials))
        if len(told) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reference.NET_BY_NET.run(reference.runner(reference.NET_BY_NET), nets.seeds(reference.COUNT), tell)
    assert not _threads()
    ended, trials = zip(*told)
    assert len(told) == 3 and set(trials) == {len(reference.searched().searched.asked)} and list(ended) == sorted(ended)


def _threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("net")]


class _Lazy(Future):
    """Is not done before somebody asks for the result."""

    def __init__(self, call: Callable[[], Any]):
        super().__init__()
        self._call = call

    def result(self, timeout: float | None = None) -> Any:
        self.set_result(self._call())
        return super().result(timeout)


class _Immediate(Executor):
    """Has done what it is given before anything else happens."""

    def __init__(self, *_: Any):
        pass

    def submit(self, call: Callable[..., Any], /, *given: Any, **named: Any) -> Future:
        future: Future = Future()
        future.set_result(call(*given, **named))
        return future


class _Postponing(_Immediate):
    """Does nothing before somebody asks for it."""

    def submit(self, call: Callable[..., Any], /, *given: Any, **named: Any) -> Future:
        return _Lazy(functools.partial(call, *given, **named))


@pytest.mark.parametrize("lanes", [1, 8])
def test_what_is_counted_does_not_depend_on_when_nets_answer(lanes, monkeypatch):
    searched = [_run(lanes, coins.queue())]
    for executor in (_Immediate, _Postponing):
        monkeypatch.setattr(net_by_net, "ThreadPoolExecutor", executor)
        searched.append(_run(lanes, coins.queue()))
    for one in searched[1:]:
        np.testing.assert_array_equal(one.asked, searched[0].asked)
        np.testing.assert_array_equal(one.refused, searched[0].refused)


class _BrokenNet(Exception):
    pass


def _raises(images: tf.Tensor) -> tf.Tensor:
    raise _BrokenNet("it is broken")


def _fails(images: tf.Tensor) -> tf.Tensor:
    with tf.control_dependencies([tf.debugging.assert_less(images, 0.0, "it is broken")]):
        return tf.identity(images[:, :, 0, 0])


@pytest.mark.parametrize(("broken", "error"), [(_raises, _BrokenNet), (_fails, tf.errors.InvalidArgumentError)])
def test_an_error_in_a_net_ends_the_search_as_it_is(broken, error):
    fields = {"input_shape": (1, 1, 1), "num_classes": 1, "kernels": TENSORFLOW}
    predicts = {"one": coins.ask, "another": coins.ask, "broken": broken}
    group = PeerGroup(tuple(nets.classifier(predict, name, **fields) for name, predict in predicts.items()))
    with pytest.raises(error, match="it is broken"):
        _run_with(NetByNet(coins.PLAIN, group, coins.RUN_SEED, 8), coins.queue())
    assert not _threads()


def _refusing(searched: Searched) -> None:
    """Candidates that were decided fell by one answer each, unless they became moves; those in vain may add to that."""
    fell = searched.refused.sum(axis=1)
    assert (fell >= searched.results.drawn - searched.results.moves).all()
    assert (searched.refused <= searched.asked).all()
    assert (searched.asked.sum(axis=1) >= fell + coins.NETS * searched.results.moves).all()


def test_of_few_candidates_at_a_time_none_is_in_vain_while_others_wait():
    searched = _run(1, coins.queue())
    _refusing(searched)
    fell = searched.refused.sum(axis=1)
    ahead = fell != searched.results.drawn - searched.results.moves
    assert (
        ahead.sum() <= coins.NETS + 2
    )  # two more places than nets, at the end, where fewer trials are left than places


def test_fewer_nets_are_asked_than_there_are():
    searched = _run(8, coins.queue(power=6))  # nearly every candidate is refused, and the target net refuses most
    _refusing(searched)
    assert searched.asked.sum() < 0.6 * coins.NETS * searched.results.drawn.sum()


def test_what_the_two_runners_find_is_the_same():
    one, other = reference.searched(), reference.searched(reference.NET_BY_NET)
    for name in ("drawn", "moves", "found", "steps"):
        np.testing.assert_array_equal(getattr(one.searched.results, name), getattr(other.searched.results, name))
    tf.nest.map_structure(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), one.searched.results, other.searched.results
    )

"""What a net learns from, in memory and streamed: every example in every epoch, in an order of the seed alone."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import tensorflow as tf

from models import examples, streams, training
from models.errors import InputError
from models.examples import Block, Held, Streamed
from models.recipe import Training
from tests.models import nets

_COUNT = 200


def _images(places):
    """Images that tell their place: uint8 `[b, 6, 5, 1]`."""
    return np.broadcast_to(places.astype(np.uint8)[:, None, None, None], (len(places), *nets.SHAPE))


def _read(start, stop):
    places = np.arange(start, stop)
    return Block(places, _images(places), (places % nets.CLASSES).astype(np.int32))


def _without(lost):
    def read(start, stop):
        block = _read(start, stop)
        good = ~np.isin(block.places, lost)
        return Block(*(field[good] for field in block))

    return read


def _streamed(held, read=_read, count=_COUNT):
    return Streamed(read, count, nets.SHAPE, held)


def _epochs(some, size, count, seed=7, done=0):
    """Returns the places of so many epochs, after `done`, each as one array."""
    steps = streams.steps(some.count, size)
    batches = list(some.in_epochs(size, seed, done).take(count * steps).as_numpy_iterator())
    for epoch, places, (images, labels) in batches:
        np.testing.assert_array_equal(images, _images(places))
        np.testing.assert_array_equal(labels, places % nets.CLASSES)
        assert epoch - done in range(count) and len(places) == min(size, some.count)
    places = [places for _, places, _ in batches]
    return [np.concatenate(places[first : first + steps]) for first in range(0, count * steps, steps)]


@pytest.mark.parametrize("held", [1, 17, 64, 1000])
@pytest.mark.parametrize("size", [1, 8, 64, 500])
def test_an_epoch_shows_no_example_twice_and_another_has_another_order(held, size):
    first, second = _epochs(_streamed(held), size, 2)
    shown = _COUNT // min(size, _COUNT) * min(size, _COUNT)
    assert len(first) == len(set(first.tolist())) == len(set(second.tolist())) == shown
    assert first.tolist() != second.tolist()


def test_the_order_is_of_the_seed_and_not_of_the_threads(monkeypatch):
    some = _epochs(_streamed(40), 8, 2)
    assert np.array_equal(some, _epochs(_streamed(40), 8, 2))
    assert not np.array_equal(some, _epochs(_streamed(40), 8, 2, seed=8))
    turn = threading.Lock()

    def one_by_one(start, stop):
        with turn:
            return _read(start, stop)

    assert np.array_equal(some, _epochs(_streamed(40, one_by_one), 8, 2))


def test_what_was_done_is_left_out_and_the_rest_is_as_it_was():
    whole = _epochs(_streamed(40), 8, 4)
    assert np.array_equal(whole[2:], _epochs(_streamed(40), 8, 2, done=2))


def test_what_lies_far_apart_is_mixed():
    (places,) = _epochs(_streamed(32), 8, 1)
    spread = np.abs(np.diff(np.sort(places.reshape(-1, 8))[:, [0, -1]])).mean()
    assert spread > 120  # of 8 places of a pool that is filled in order: 71; of 8 of all 200: 156


def test_no_more_is_held_than_was_said(monkeypatch):
    held = 32
    under_way, most = set(), [0]

    def read(start, stop):
        under_way.add(start)
        most[0] = max(most[0], len(under_way) * (stop - start))
        block = _read(start, stop)
        return block

    def add(pool, block):
        under_way.discard(int(block.places[0]))
        usual(pool, block)
        counts.append(pool.count)

    counts, usual = [], examples._Pool.add
    monkeypatch.setattr(examples._Pool, "add", add)
    _epochs(_streamed(held, read), 8, 2)
    assert max(counts) <= held + 2 and most[0] <= held / 2 + 2


def test_what_cannot_be_read_is_left_out_of_epochs_of_the_same_length():
    lost = [3, 50, 51, 199]
    first, second = _epochs(_streamed(40, _without(lost)), 8, 2)
    assert len(first) == len(second) == 200
    assert not set(lost) & {*first.tolist(), *second.tolist()}
    assert len(set(first.tolist())) >= 192


def test_where_nothing_can_be_read_it_says_so():
    some = _streamed(40, _without(range(_COUNT)))
    with pytest.raises(InputError, match="None of the training images can be read"), some.telling():
        next(iter(some.in_epochs(8, 1)))


def test_what_reading_raises_is_told_as_it_is():
    def read(start, stop):
        if start > 100:
            raise InputError("too many are damaged.")
        return _read(start, stop)

    some = _streamed(1000, read)
    with pytest.raises(InputError, match=r"^too many are damaged\.$"):
        training.train("mlp-6", 1, Training(epochs=1, batch_size=8), _measurable(some), nets.CLASSES, "cpu")


def _measurable(some):
    """Streamed examples whose mean needs no reading."""

    class Measurable(Streamed):
        def measured(self):
            return _images(np.arange(3))

    return Measurable(some.read, some.count, some.shape, some.held)


def test_other_errors_of_learning_stay_what_they_are():
    with pytest.raises(tf.errors.InvalidArgumentError), _streamed(8).telling():
        raise tf.errors.InvalidArgumentError(None, None, "a step failed")


@pytest.mark.parametrize("held", [1, 100, 1000])
def test_what_is_measured_is_spread_over_all(held):
    measured = _streamed(held).measured()[:, 0, 0, 0]
    assert measured[0] == 0 and measured[-1] == _COUNT - 1 and len(measured) <= max(held, 16)
    assert np.abs(measured.mean() - 99.5) < 1


@pytest.mark.parametrize("architecture", ["mlp-6", "ae8-3"])
def test_nets_that_stream_learn_the_same_again(architecture):
    how = Training(epochs=2, batch_size=16, learning_rate=0.02)

    def trained(some):
        return training.train(architecture, 1, how, some, nets.CLASSES, "cpu")

    one, again = (trained(_streamed(64)).get_weights() for _ in range(2))
    for mine, same in zip(one, again, strict=True):
        np.testing.assert_array_equal(mine, same)


def test_labels_of_examples_in_memory_are_checked_at_once():
    with pytest.raises(InputError, match="Training labels run from 0 to 3, but the net has 3 classes, 0 to 2"):
        Held(_images(np.arange(4)), np.arange(4)).check(3)

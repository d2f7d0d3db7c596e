from __future__ import annotations

import numpy as np
import tensorflow as tf

from models import streams

ROWS = {"image": np.arange(10, dtype=np.uint8)[:, None], "label": np.arange(10, dtype=np.int32)}


def _labels(batches: tf.data.Dataset) -> list[np.ndarray]:
    return [batch["label"] for batch in batches.as_numpy_iterator()]


def test_an_epoch_shows_no_example_twice_and_another_epoch_has_another_order():
    batches = streams.shuffled(ROWS, 3, 7, endless=False)
    first, second = (np.concatenate(_labels(batches)) for _ in range(2))
    assert len(first) == len(set(first)) == 9 and first.tolist() != second.tolist()


def test_an_endless_stream_shows_every_example_equally_often_in_full_batches():
    batches = _labels(streams.shuffled(ROWS, 3, 7).take(20))
    assert {len(batch) for batch in batches} == {3}
    assert (np.bincount(np.concatenate(batches)) == 6).all()
    assert sorted(np.concatenate(batches)[:10]) == list(range(10))  # an epoch is at its end before the next begins


def test_what_belongs_to_an_example_stays_with_it():
    for batch in streams.read_ahead(streams.shuffled(ROWS, 4, 1)).take(5).as_numpy_iterator():
        np.testing.assert_array_equal(batch["image"][:, 0], batch["label"])


def test_the_order_is_that_of_the_seed():
    first, same, other = (_labels(streams.shuffled(ROWS, 10, seed).take(3)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert np.array(first).tolist() != np.array(other).tolist()


def test_fewer_examples_than_a_batch_are_one_batch_of_an_epoch_and_fill_those_of_an_endless_stream():
    assert [len(batch) for batch in _labels(streams.shuffled(ROWS, 25, 1, endless=False))] == [10]
    assert [len(batch) for batch in _labels(streams.shuffled(ROWS, 25, 1).take(2))] == [25, 25]


def test_no_thread_tunes_what_is_read_ahead():
    assert streams.read_ahead(streams.shuffled(ROWS, 3, 7)).options().autotune.enabled is False

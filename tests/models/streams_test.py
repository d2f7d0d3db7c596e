from __future__ import annotations

import numpy as np
import tensorflow as tf

from models import streams

ROWS = {"image": np.arange(10, dtype=np.uint8)[:, None], "label": np.arange(10, dtype=np.int32)}


def _labels(batches: tf.data.Dataset) -> list[np.ndarray]:
    return [batch["label"] for batch in batches.as_numpy_iterator()]


def _epochs(size: int, count: int) -> list[list[np.ndarray]]:
    """Returns the labels of the first epochs, batch by batch."""
    steps = streams.steps(10, size)
    batches = [rows["label"] for _, _, rows in streams.in_epochs(ROWS, size, 7).take(count * steps).as_numpy_iterator()]
    return [batches[first : first + steps] for first in range(0, count * steps, steps)]


def test_an_epoch_shows_no_example_twice_and_another_epoch_has_another_order():
    first, second = (np.concatenate(epoch) for epoch in _epochs(3, 2))
    assert len(first) == len(set(first)) == 9 and first.tolist() != second.tolist()


def test_what_was_done_is_left_out_and_the_rest_is_as_it_was():
    whole = list(streams.in_epochs(ROWS, 3, 7).take(15).as_numpy_iterator())
    rest = list(streams.in_epochs(ROWS, 3, 7, done=2).take(9).as_numpy_iterator())
    for (epoch, places, rows), (again, same_places, same_rows) in zip(whole[6:], rest, strict=True):
        assert epoch == again
        np.testing.assert_array_equal(places, same_places)
        np.testing.assert_array_equal(rows["image"], same_rows["image"])
    assert [epoch for epoch, _, _ in whole] == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]


def test_epochs_are_the_same_whenever_they_are_read():
    batches = streams.in_epochs(ROWS, 3, 7).take(9)
    first, again = ([places.tolist() for _, places, _ in batches.as_numpy_iterator()] for _ in range(2))
    assert first == again


def test_places_are_those_of_the_examples():
    for _, places, rows in streams.in_epochs(ROWS, 4, 1).take(5).as_numpy_iterator():
        np.testing.assert_array_equal(rows["label"], places)


def test_epochs_have_the_order_in_which_nets_were_trained_before_there_were_checkpoints():
    """Then Keras read a finite stream once an epoch, with an iterator that it dropped before each but the first."""
    finite = tf.data.Dataset.range(10).shuffle(10, seed=7).batch(3, drop_remainder=True)
    read = [[batch.tolist() for batch in finite.as_numpy_iterator()] for _ in range(5)]
    assert [[batch.tolist() for batch in epoch] for epoch in _epochs(3, 3)] == read[::2]


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
    assert [len(batch) for (batch,) in _epochs(25, 2)] == [10, 10] and streams.steps(10, 25) == 1
    assert [len(batch) for batch in _labels(streams.shuffled(ROWS, 25, 1).take(2))] == [25, 25]


def test_no_thread_tunes_what_is_read_ahead():
    assert streams.read_ahead(streams.shuffled(ROWS, 3, 7)).options().autotune.enabled is False

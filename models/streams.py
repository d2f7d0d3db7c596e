"""Streams of examples to train on: shuffled, in batches, read while the net learns."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

_AHEAD = 4  # batches that are ready before the net asks for them


def shuffled(rows: Any, size: int, seed: int) -> tf.data.Dataset:
    """Returns an endless stream of examples in batches, in an order that differs from epoch to epoch.

    All batches have as many examples, so that a step compiles once; a batch may begin in one epoch and end in the next.

    Args:
      rows: arrays `[B, ...]`, in tuples or dicts as the stream is to give them; at least one example.
      size: examples of a batch.
      seed: decides the order.
    """
    arrays, count = _on_host(rows)
    places = _places(count, seed).repeat().batch(size, drop_remainder=True)
    return places.map(lambda chosen: _gather(arrays, chosen))


def steps(count: int, size: int) -> int:
    """Returns how many batches of `size` an epoch of `in_epochs` has, of `count` examples, at least one."""
    return count // min(size, count)


def in_epochs(rows: Any, size: int, seed: int, done: int = 0) -> tf.data.Dataset:
    """Returns an endless stream of epochs that have only whole batches; of too few examples, one smaller batch.

    What is left over at the end of one epoch has its turn in another. The order is that of every other epoch of
    tf.data's shuffling, as it was while Keras began the epochs, with two iterators for each: nets are to stay what they
    were.

    Args:
      rows: as in `shuffled`.
      size: examples of a batch; if there are fewer, all.
      seed: decides the order, in each epoch another.
      done: epochs to leave out at the beginning.

    Returns:
      The stream, the same whenever it is read. Its elements: the number of the epoch, int64, from 0; the places of the
      examples, int64 `[B]`; the examples.
    """
    arrays, count = _on_host(rows)
    an_epoch = steps(count, size)

    def batches(_: tf.Tensor) -> tf.data.Dataset:
        return _places(count, seed).batch(min(size, count), drop_remainder=True).repeat()

    # Made within another stream, it begins anew for who reads it again, as Keras does under some strategies.
    numbered = (
        tf.data.Dataset.range(1)
        .flat_map(batches)
        .enumerate()
        .filter(lambda step, chosen: step // an_epoch % 2 == 0)
        .skip(done * an_epoch)
    )
    return numbered.map(lambda step, chosen: (step // an_epoch // 2, chosen, _gather(arrays, chosen)))


def _places(count: int, seed: int) -> tf.data.Dataset:
    """Returns the places of one epoch; they are shuffled and not the examples: a batch is gathered at once."""
    return tf.data.Dataset.range(count).shuffle(count, seed=seed)


def _on_host(rows: Any) -> tuple[Any, int]:
    with tf.device("/CPU:0"):  # a GPU is to hold a batch of them, not all
        arrays = tf.nest.map_structure(tf.constant, rows)
    return arrays, len(tf.nest.flatten(arrays)[0])


def _gather(arrays: Any, chosen: tf.Tensor) -> Any:
    return tf.nest.map_structure(lambda array: tf.gather(array, chosen), arrays)


def read_ahead(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Returns the same stream, read by a thread of its own; the last step of all."""
    return untuned(batches.prefetch(_AHEAD))


def untuned(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Returns the same stream without tf.data's tuning of buffers and threads.

    The thread that tunes sleeps longer and longer, up to a minute, and may sleep on when the stream is at its end: who
    read it then waits, up to as long as the reading took.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)

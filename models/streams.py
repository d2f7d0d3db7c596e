"""Streams of examples to train on: shuffled, in batches, read while the net learns."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

_AHEAD = 4  # batches that are ready before the net asks for them


def shuffled(rows: Any, size: int, seed: int, endless: bool = True) -> tf.data.Dataset:
    """Returns examples in batches, in an order that differs from epoch to epoch.

    All batches have as many examples, so that a step compiles once. An endless stream goes on into the next epoch for
    them; what is left over at the end of one epoch has its turn in another.

    Args:
      rows: arrays `[B, ...]`, in tuples or dicts as the stream is to give them; at least one example.
      size: examples of a batch; of an epoch with fewer, all.
      seed: decides the order.
      endless: whether one epoch follows another in the stream.
    """
    with tf.device("/CPU:0"):  # a GPU is to hold a batch of them, not all
        arrays = tf.nest.map_structure(tf.constant, rows)
    count = len(tf.nest.flatten(arrays)[0])
    # Places are shuffled and not the examples: a batch is gathered at once.
    places = tf.data.Dataset.range(count).shuffle(count, seed=seed)
    places = (
        places.repeat().batch(size, drop_remainder=True)
        if endless
        else places.batch(min(size, count), drop_remainder=True)
    )
    return places.map(lambda chosen: tf.nest.map_structure(lambda array: tf.gather(array, chosen), arrays))


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

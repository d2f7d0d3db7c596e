"""How fast a net learns pairs: the share of the twins it learns from that it reads rightly, over the training."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from models import streams
from pipeline.retrain.pairs.paired import Paired
from pipeline.retrain.plain import shown

_POINTS = 100  # of the curve
_LEARNED = 0.95  # of the twins: then they count as learned


def stream(paired: Paired, count: int, seed: int) -> tf.data.Dataset:
    """Returns an endless stream of `count` pairs a time, in random order, as (twins, originals, labels)."""
    return streams.shuffled(tuple(paired), count, seed)


class Curve:
    """Asks a net about twins a hundred times in its training.

    Args:
      model: the net that trains.
      paired: the pairs.
      steps: of the training.
    """

    def __init__(self, model: tf.keras.Model, paired: Paired, steps: int):
        self._model, self._labels = model, tf.constant(paired.labels, tf.int64)
        self._twins = tf.constant(paired.twins)
        self._every = math.ceil(steps / _POINTS)
        self._right = tf.Variable(tf.fill([math.ceil(steps / self._every)], -1.0), trainable=False)

    def mark(self, step: tf.Tensor) -> None:
        """Asks the net, as it is before this step (int32 scalar), if it is time."""
        tf.cond(step % self._every == 0, lambda: self._mark(step // self._every), lambda: tf.zeros([]))

    def _mark(self, place: tf.Tensor) -> tf.Tensor:
        answers = tf.argmax(self._model(shown(self._twins), training=False), axis=-1)
        right = tf.reduce_mean(tf.cast(answers == self._labels, tf.float32))
        self._right.assign(tf.tensor_scatter_nd_update(self._right, [[place]], [right]))
        return right

    def told(self) -> dict[str, Any]:
        """Returns the curve, JSON-able.

        `every`: steps from one point to the next; `held_in_accuracy`: the share, from 0 to 1, after 0, 1, 2, ... times
        as many steps; `steps_to_95`: after how many it first was 0.95, None if it never was.
        """
        right = self._right.numpy()
        reached = np.flatnonzero(right >= _LEARNED)
        return {
            "every": self._every,
            "held_in_accuracy": [round(float(value), 4) for value in right],
            "steps_to_95": int(reached[0]) * self._every if len(reached) else None,
        }

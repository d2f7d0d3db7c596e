"""Chains of moves as uniform numbers: what a random change is drawn by, and what a mined one was drawn by.

Numbers, and not an operator's own parameters, because every operator makes moves of numbers: so mined chains can be put
on other images whatever the operator, and random ones go beyond its ranges by numbers beyond [0, 1).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from models import kernels
from pipeline import seeding
from pipeline.operators.operator import Operator
from pipeline.search.moves.lanes import select


class Chains(NamedTuple):
    """L chains: uniform numbers float32 `[L, M, P]`, and how many of the M moves each has, int32 `[L]`."""

    numbers: Any
    lengths: Any


def random(operator: Operator, count: int, moves: int, seed: tf.Tensor) -> Chains:
    """Returns chains of one to `moves` random moves, a function of the seed, int32 `[2]`; XLA compiles it."""
    parameters = len(operator.parameter_names)
    drawn = uniform(count, moves * parameters + 1, seed)
    numbers = tf.reshape(drawn[:, 1:], [count, moves, parameters])
    return Chains(numbers, 1 + tf.cast(drawn[:, 0] * moves, tf.int32))


def uniform(rows: int, columns: int, seed: tf.Tensor) -> tf.Tensor:
    """Returns float32 `[rows, columns]` in [0, 1), the same numbers wherever it is asked, compiled by XLA or not."""
    words = tf.stack([tf.range(rows), tf.zeros([rows], tf.int32)], axis=1)
    step = tf.fill([rows], seed[1])
    return seeding.draws_tf(tf.cast(seed[0], tf.uint32), tf.cast(words, tf.uint32), tf.zeros_like(step), step, columns)


def apply(operator: Operator, sources: tf.Tensor, rows: tf.Tensor, chains: Chains) -> tf.Tensor:
    """Applies a chain to each row, all moves of it in one.

    Args:
      operator: whose moves they are.
      sources: what `operator.sources` made of images.
      rows: int32 `[L]`, the image of each chain.
      chains: L of them.

    Returns:
      float32 `[L, H, W, C]` in [0, 1].
    """

    def moved(sources: tf.Tensor, rows: tf.Tensor, numbers: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        def another(move: tf.Tensor, pose: Any) -> tuple[tf.Tensor, Any]:
            return move + 1, select(move < lengths, operator.then(pose, numbers[:, move], sources), pose)

        start = tf.constant(0), operator.identity(rows.shape[0], sources)
        pose = tf.while_loop(lambda move, _: move < tf.reduce_max(lengths), another, start)[1]
        return operator.apply(sources, rows, pose) / 255.0

    return kernels.cluster(moved)(sources, rows, *chains)  # nets that XLA does not compile may stand beside it

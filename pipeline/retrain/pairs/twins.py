"""Adversarial twins found inside a training step, of images or of a layer's outputs."""

from __future__ import annotations

import math
from collections.abc import Callable

import tensorflow as tf

from pipeline.search.attacks.balls import L2Ball
from pipeline.search.attacks.gradient import UNTARGETED, Originals, evaluate

_REACH = 2.5  # radii, all steps together: a twin can come to the ball's edge from wherever it starts


def found(
    net: Callable[[tf.Tensor, bool], tf.Tensor],
    outputs: tf.Tensor,
    labels: tf.Tensor,
    radius: tf.Tensor | float,
    steps: int,
    boxed: bool,
    seed: tf.Tensor,
) -> tf.Tensor:
    """Moves outputs, by projected gradient descent from a random start, to where the net above reads another class.

    Args:
      net: outputs float32 `[L, ...]`, and whether it is trained -> probabilities `[L, K]`.
      outputs: float32 `[L, ...]`.
      labels: int32 `[L]`.
      radius: the largest distortion, root mean square of what an output changes by.
      steps: how many.
      boxed: whether outputs have to stay in [0, 1], as images do.
      seed: int32 `[2]`.

    Returns:
      float32 `[L, ...]`, misread or not; no gradient goes through them. XLA compiles it.
    """
    lanes, ball, shape = outputs.shape[0], L2Ball(1.0), [outputs.shape[0], math.prod(outputs.shape[1:]), 1, 1]
    flat = tf.reshape(outputs, shape)
    originals = Originals(outputs, labels, tf.fill([lanes], UNTARGETED), tf.zeros([lanes, 2], tf.uint32))

    def at(changes: tf.Tensor) -> tf.Tensor:
        moved = flat + radius * changes
        return tf.clip_by_value(moved, 0.0, 1.0) if boxed else moved

    def answers(changes: tf.Tensor) -> tf.Tensor:
        return net(tf.reshape(at(changes), outputs.shape), False)

    def step(done: tf.Tensor, changes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        slope = evaluate(answers, changes, originals).gradient
        return done + 1, ball.project(changes - _REACH / steps * ball.unit(slope))

    start = tf.random.stateless_uniform(shape, seed, -1.0, 1.0, alg="philox")
    changes = tf.while_loop(lambda done, _: done < steps, step, (tf.constant(0), start))[1]
    return tf.stop_gradient(tf.reshape(at(changes), outputs.shape))

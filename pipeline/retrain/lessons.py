"""A net's training by a recipe."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from models import streams, training
from pipeline import records
from pipeline.retrain.recipe import STREAMS, Lesson, Moment, Recipe, Start
from pipeline.retrain.settings import Retraining
from pipeline.seeds.source import SeedBatch


def digest(images: SeedBatch) -> str:
    """Returns the digest of images, labels and ids: what is random is drawn by ids."""
    content = hashlib.sha256(images.images.tobytes() + images.labels.tobytes()).hexdigest()
    return records.digest([content, images.ids])


def steps(learned: SeedBatch, how: Retraining) -> tuple[int, int]:
    """Returns how many images a step has, and how many steps an epoch."""
    size = min(how.batch_size, len(learned.images))
    return size, len(learned.images) // size


def teach(
    model: tf.keras.Model,
    recipe: Recipe,
    how: Retraining,
    learned: SeedBatch,
    mined: Any,
    sections: Any,
    seed: int,
    strategy: tf.distribute.Strategy,
    progress: training.Progress | None = None,
) -> Lesson:
    """Trains a net in place by a recipe; equal arguments give equal weights on a CPU with as many cores.

    Args:
      model: the net, built in the strategy's scope.
      recipe: what it is trained by.
      how: how long and in what steps.
      learned: the original images.
      mined: the mined examples as the recipe's subject reads them, None if it needs none.
      sections: of the mined task's configuration.
      seed: decides the order of images and all that is random.
      strategy: see `models.devices.strategy`.
      progress: see `training.fit`.

    Returns:
      The lesson, with its notes.

    Raises:
      InputError: the net cannot be trained so.
    """
    size, count = steps(learned, how)
    total = count * how.epochs
    with strategy.scope():
        lesson = recipe.lesson(Start(model, learned, mined, sections, size, total, seed))

    def moment(step: tf.Tensor) -> Moment:
        return Moment(tf.cast(step, tf.float32) / float(total), tf.stack([tf.constant(seed), STREAMS * step]))

    def loss(net: Any, element: Any, step: tf.Tensor) -> tf.Tensor:
        batch, extra = element
        return lesson.loss(net, batch, extra if extra != () else None, moment(step))

    def learns(step: tf.Tensor) -> Sequence[tf.Tensor | None] | None:
        return lesson.learns(moment(step))

    def after_epoch(epoch: int) -> None:
        with strategy.scope():
            lesson.after_epoch(epoch)

    batches = _stream(lesson, learned, size, seed)
    training.fit(model, batches, loss, count, how.epochs, how.learning_rate, strategy, progress, learns, after_epoch)
    return lesson


def _stream(lesson: Lesson, learned: SeedBatch, size: int, seed: int) -> tf.data.Dataset:
    """Returns (batch, what the lesson needs besides) without end."""
    rows = {"image": learned.images, "label": learned.labels.astype(np.int32)}
    batches = streams.shuffled(rows, size, seed)
    if lesson.stream is None:
        return batches.map(lambda batch: (batch, ()))
    return tf.data.Dataset.zip((batches, lesson.stream))

"""A group of nets as one: the mean of their probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf


def ensemble(models: Sequence[tf.keras.Model]) -> tf.keras.Model:
    """Returns a net that answers with the mean of the nets' answers; they share their input's shape and classes."""
    images = tf.keras.Input(models[0].input_shape[1:])
    answers = [tf.keras.Sequential([model], name=f"net_{place}")(images) for place, model in enumerate(models)]
    return tf.keras.Model(images, tf.keras.layers.Average()(answers))

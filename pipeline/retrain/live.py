"""A model whose weights may change, as a classifier."""

from __future__ import annotations

import tensorflow as tf

from models import kernels
from models.classifier import Classifier


def classifier(model: tf.keras.Model, name: str, shape: tuple[int, int, int]) -> Classifier:
    """Returns a net that answers as the model does whenever it is asked, and is compiled once.

    Args:
      model: from float32 `[B, H, W, C]` in [0, 1] to probabilities `[B, K]`.
      name: of the net; it stands for its digest too, for that of the weights would not last.
      shape: `(H, W, C)`.
    """

    def predict(images: tf.Tensor) -> tf.Tensor:
        return tf.cast(model(images, training=False), tf.float32)

    return Classifier(name, predict, shape, model.output_shape[-1], name, "", kernels.fastest(predict, shape))

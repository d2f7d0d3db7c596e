"""Figures of a training for TensorBoard, which need not be installed to write them."""

from __future__ import annotations

import os
from typing import Any

import tensorflow as tf
from etils import epath


class Logger(tf.keras.callbacks.Callback):
    """Writes the means of each epoch (loss, accuracy) as scalars, at steps that are numbers of epochs, from 1.

    Args:
      folder: where the event files go; a training that is resumed adds one.
    """

    def __init__(self, folder: epath.Path):
        super().__init__()
        self._writer = tf.summary.create_file_writer(os.fspath(folder))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes the epoch's figures; `epoch` counts from 0."""
        metadata = tf.compat.v1.SummaryMetadata(plugin_data={"plugin_name": "scalars"})
        with self._writer.as_default():
            for name, value in (logs or {}).items():
                tf.summary.write(name, tf.constant(value, tf.float32), step=epoch + 1, metadata=metadata)
        self._writer.flush()

"""Checkpoints of a training: all that its next epoch depends on, in one file.

That is every variable of the model and of the optimizer, with the states from which layers draw random numbers, and
how many epochs are done. The order of the images, and what is changed in them, are functions of the seed and of the
number of the epoch.
"""

from __future__ import annotations

import zipfile
from typing import Any

import numpy as np
import tensorflow as tf
from etils import epath

from models import files
from models.errors import InputError


class Saver(tf.keras.callbacks.Callback):
    """Writes a checkpoint of a compiled model after every so many epochs.

    Args:
      path: the file.
      every: epochs, at least 1.
    """

    def __init__(self, path: epath.Path, every: int):
        super().__init__()
        self._path, self._every = path, every

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Writes it if it is time; `epoch` counts from 0."""
        if (epoch + 1) % self._every:
            return
        arrays = [variable.numpy() for variable in _variables(self.model)]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        files.write_whole(self._path, lambda unfinished: _write(unfinished, epoch + 1, arrays))


def restore(path: epath.Path, model: tf.keras.Model) -> int:
    """Sets a model and its optimizer to what they were at a checkpoint.

    Args:
      path: the file.
      model: the same model as then, compiled alike.

    Returns:
      How many epochs were done.

    Raises:
      InputError: the file cannot be read, or is of another model.
    """
    model.optimizer.build(model.trainable_variables)
    variables = _variables(model)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            done, arrays = int(archive["epochs"]), [archive[f"variable_{place}"] for place in range(len(variables))]
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"The checkpoint {path} is damaged or of another net ({type(error).__name__}), expected what a training of "
            "this net left; delete it to begin the training anew."
        ) from error
    return done


def _variables(model: tf.keras.Model) -> list[Any]:
    return [*model.variables, *model.optimizer.variables]


def _write(path: epath.Path, epochs: int, arrays: list[np.ndarray]) -> None:
    named: dict[str, Any] = {f"variable_{place}": array for place, array in enumerate(arrays)}
    with path.open("wb") as file:
        np.savez(file, epochs=epochs, **named)

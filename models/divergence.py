"""A training that diverges is stopped: its net would be of no use."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from models.errors import InputError


class DivergedError(InputError):
    """A training diverged."""


class Watch(tf.keras.callbacks.Callback):
    """Raises DivergedError at the end of an epoch whose loss, or after which a weight, is infinite or not a number.

    To be the first of the callbacks, so that the others keep nothing of such an epoch.

    Args:
      settings: those that one would change, with their values.
    """

    def __init__(self, **settings: float):
        super().__init__()
        self._settings = settings

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Looks at the mean loss and at all weights."""
        loss = float((logs or {}).get("loss", math.nan))
        wrong = "" if math.isfinite(loss) else f"its loss is {loss:g}"
        if not wrong and not all(np.isfinite(weight).all() for weight in self.model.get_weights()):
            wrong = "some of its weights are infinite or not a number"
        if wrong:
            used = " or ".join(f"{name} = {value:g}" for name, value in self._settings.items() if value)
            raise DivergedError(f"The training diverged in epoch {epoch + 1}: {wrong}; lower {used}.")

"""Architectures by name."""

from __future__ import annotations

import difflib
import re

import tensorflow as tf

from models.errors import InputError

_MLP = re.compile(r"mlp(-[1-9]\d*)+")
_FORMS = "'mlp-H' or 'mlp-H-H...' (H units in each hidden layer, as in 'mlp-30'), and 'cnn'"


def build(architecture: str, input_shape: tuple[int, int, int], num_classes: int) -> tf.keras.Model:
    """Builds an untrained net.

    Args:
      architecture: `mlp-H[-H...]`, fully connected with tanh units (a 784-H-K net on 28x28 digits), or `cnn`, two
        convolutions with pooling and a dense layer, the stronger net that also serves as judge.
      input_shape: `(H, W, C)`.
      num_classes: K, at least 2.

    Returns:
      A model, not compiled, from float32 `[B, H, W, C]` in [0, 1] to softmax probabilities `[B, K]`.

    Raises:
      InputError: there is no such architecture.
    """
    return tf.keras.Sequential(
        [
            tf.keras.Input(input_shape),
            *_hidden_layers(architecture),
            tf.keras.layers.Dense(num_classes, activation="softmax"),
        ],
    )


def _hidden_layers(architecture: str) -> list[tf.keras.layers.Layer]:
    """Returns new layers of an architecture, all but the last (see `build`)."""
    if architecture == "cnn":
        return _cnn_layers()
    if _MLP.fullmatch(architecture):
        widths = [int(width) for width in architecture.split("-")[1:]]
        return [tf.keras.layers.Flatten(), *(tf.keras.layers.Dense(width, activation="tanh") for width in widths)]
    raise InputError(f"There is no architecture {architecture!r}; known are {_FORMS}{_suggestion(architecture)}.")


def _cnn_layers() -> list[tf.keras.layers.Layer]:
    layers: list[tf.keras.layers.Layer] = []
    for filters in (32, 64):
        layers.append(tf.keras.layers.Conv2D(filters, 3, padding="same", activation="relu"))
        layers.append(tf.keras.layers.MaxPooling2D(2, padding="same"))
    return [*layers, tf.keras.layers.Flatten(), tf.keras.layers.Dense(128, activation="relu")]


def _suggestion(architecture: str) -> str:
    widths = [width for width in re.findall(r"\d+", architecture) if int(width)]
    known = ["cnn", "-".join(["mlp", *(widths or ["30"])])]
    nearest = difflib.get_close_matches(architecture.lower(), known, n=1, cutoff=0.5)
    return f" (the nearest is {nearest[0]!r})" if nearest else ""

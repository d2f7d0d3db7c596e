"""The layers of a net by name, and the net cut in two at one of them.

"input" is the image; "#1", "#2", ... are the layers with weights, from below; a layer's own name will do, too. The last
layer with weights, which gives the answer, has no net above it and is not among them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from models.errors import InputError

INPUT = "input"


class Cut(NamedTuple):
    """A net cut in two above a layer.

    Attributes:
      name: as it was asked for.
      layer: the layer with its weights; None for the input.
      below: images float32 `[B, H, W, C]` -> the layer's outputs `[B, ...]`.
      above: outputs, and whether it is trained -> probabilities `[B, K]`.
      shape: of one image's outputs.
    """

    name: str
    layer: tf.keras.layers.Layer | None
    below: Callable[[tf.Tensor], tf.Tensor]
    above: Callable[[tf.Tensor, bool], tf.Tensor]
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """How many numbers an image's outputs are."""
        return math.prod(self.shape)


def cut(model: tf.keras.Model, name: str, key: str) -> Cut:
    """Cuts a net above a layer; the parts have the net's own weights.

    Args:
      model: the net; for a layer other than the input, a `Sequential` one.
      name: see above.
      key: of the configuration, for messages.

    Raises:
      InputError: there is no such layer, or the net is no sequence of layers.
    """
    if name == INPUT:
        shape = tuple(model.input_shape[1:])
        return Cut(name, None, lambda images: images, lambda images, training: model(images, training=training), shape)
    place = _place(model, name, key)
    shape = tuple(model.layers[place].output.shape[1:])
    below = tf.keras.Sequential([tf.keras.Input(model.input_shape[1:]), *model.layers[: place + 1]])
    above = tf.keras.Sequential([tf.keras.Input(shape), *model.layers[place + 1 :]])
    return Cut(
        name,
        model.layers[place],
        lambda images: below(images, training=False),
        lambda outputs, training: above(outputs, training=training),
        shape,
    )


def hidden(model: tf.keras.Model, key: str) -> list[str]:
    """Returns the names "#1", "#2", ... of the hidden layers with weights; raises InputError as `cut` does."""
    return [f"#{number}" for number in range(1, len(_weighted(model, key)))]


def _weighted(model: tf.keras.Model, key: str) -> list[int]:
    if not isinstance(model, tf.keras.Sequential):
        raise InputError(f"{key}: the net is no sequence of layers; expected '{INPUT}', which is known of every net.")
    return [place for place, layer in enumerate(model.layers) if layer.weights]


def _place(model: tf.keras.Model, name: str, key: str) -> int:
    weighted = _weighted(model, key)
    numbered = {f"#{number}": place for number, place in enumerate(weighted[:-1], start=1)}
    named = {layer.name: place for place, layer in enumerate(model.layers[: weighted[-1]])}
    if name in numbered or name in named:
        return numbered.get(name, named.get(name, 0))
    numbers = {place: number for number, place in numbered.items()}
    known = [f"'{layer}'" + (f" ({numbers[place]})" if place in numbers else "") for layer, place in named.items()]
    raise InputError(f"{key} is '{name}', which the net has not; expected one of '{INPUT}', {', '.join(known)}.")

"""Nets of a task taken apart: the Keras model behind a name, and its layers."""

from __future__ import annotations

import tensorflow as tf

from models.classifier import PeerGroup
from models.errors import InputError


def model(group: PeerGroup, name: str) -> tf.keras.Model:
    """Returns the Keras model of a net of a group; raises InputError if there is none of that name."""
    sources = {net.name: net.source for net in group.classifiers}
    if name not in sources:
        raise InputError(f"there is no net '{name}'; the task has {', '.join(sources)}.")
    return tf.keras.models.load_model(sources[name], compile=False)


def layer(net: tf.keras.Model, wanted: str) -> tf.keras.layers.Layer:
    """Returns a layer by its name, or by its place from 0; raises InputError, with all layers, if there is none."""
    for place, each in enumerate(net.layers):
        if wanted in (str(place), each.name):
            return each
    known = ", ".join(f"{place} ({each.name})" for place, each in enumerate(net.layers))
    raise InputError(f"there is no layer '{wanted}'; the net has {known}.")

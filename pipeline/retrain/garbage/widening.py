"""A net with one class more."""

from __future__ import annotations

import tensorflow as tf

from models.errors import InputError

_BELOW = 5.0  # the new unit's logit, less the mean of the others


def widened(parent: tf.keras.Model) -> tf.keras.Model:
    """Returns a net of the parent's layers and weights with one class more, the last, which starts small.

    The new unit's logit is the mean of the others less 5, so whatever the image, its probability is at most e^-5 / K;
    those of the K classes keep their ratios. The two nets share layers: the parent is used up.

    Raises:
      InputError: the parent's last layer is no Dense layer with softmax.
    """
    last = parent.layers[-1]
    if not isinstance(last, tf.keras.layers.Dense) or last.activation is not tf.keras.activations.softmax:
        raise InputError(
            f"the net's last layer, '{last.name}', is no Dense layer with softmax, and only to such a one a garbage "
            "class can be added; save the net with such a layer."
        )
    wider = type(last).from_config({**last.get_config(), "units": last.units + 1})
    model = tf.keras.Model(parent.inputs[0], wider(last.input), name=parent.name)
    kernel, *bias = [tf.convert_to_tensor(weights) for weights in last.get_weights()]
    grown = [tf.concat([kernel, tf.reduce_mean(kernel, axis=1, keepdims=True)], axis=1)]
    grown += [tf.concat([each, [tf.reduce_mean(each) - _BELOW]], axis=0) for each in bias]
    wider.set_weights([weights.numpy() for weights in grown])
    return model

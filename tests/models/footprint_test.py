"""What a net takes for an image, by its graph."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from models import loading, zoo
from models.footprint import footprint

_FLOATS = 4


def test_a_chain_holds_two_layers_at_a_time():
    layers = [tf.keras.Input((10,)), *(tf.keras.layers.Dense(units, use_bias=False) for units in (100, 40, 60))]
    net = tf.keras.Sequential(layers)
    forward, backward = footprint(net, (10,))
    assert forward == _FLOATS * 140
    assert backward == max(forward, _FLOATS * (10 + 100 + 40 + 60 + 60) // 2)  # the last is handed on once more


def test_what_is_needed_later_is_held_until_then():
    def predict(images):
        wide = tf.tile(images, [1, 10])
        narrow = tf.tanh(tf.tanh(tf.tile(images, [1, 2])))
        return tf.concat([wide, narrow], axis=1)

    assert footprint(predict, (10,)).forward == _FLOATS * (100 + 20 + 120)


def test_weights_and_constants_do_not_count():
    def predict(images):
        return images @ tf.ones([10, 3]) + tf.reduce_sum(tf.ones([1000]))

    assert footprint(predict, (10,)).forward == _FLOATS * (10 + 3)


@pytest.mark.parametrize("architecture", ["mlp-6", "cnn-4-8-16"])
def test_a_net_in_a_function_of_a_saved_model_takes_as_much(tmp_path, architecture):
    net = zoo.build(architecture, (12, 12, 1), 3)
    net.export(tmp_path / "net", verbose=False)
    loaded = loading.load(tmp_path / "net")
    own = footprint(lambda images: net(images, training=False), (12, 12, 1))
    found = footprint(loaded.predict, (12, 12, 1))
    assert own.forward <= found.forward <= 1.5 * own.forward
    assert np.isclose(found.backward, own.backward, rtol=0.2)

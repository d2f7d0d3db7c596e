from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from models.errors import InputError
from pipeline.retrain.pairs import layers
from tests.pipeline.retrain.pairs import tiny


@pytest.mark.parametrize("convolution", [False, True])
@pytest.mark.parametrize("name", ["input", "#1", "#2", "upper", "flat"])
def test_below_and_above_together_are_the_net(name, convolution):
    model, images = tiny.net(convolution=convolution), tf.constant(tiny.IMAGES / 255.0, tf.float32)
    cut = layers.cut(model, name, "layers")
    outputs = cut.below(images)
    assert outputs.shape[1:] == cut.shape
    np.testing.assert_allclose(cut.above(outputs, False), model(images), rtol=1e-6)
    model.set_weights([2.0 * weight for weight in model.get_weights()])  # the parts have the net's own weights
    np.testing.assert_allclose(cut.above(cut.below(images), False), model(images), rtol=1e-6)


def test_numbers_count_the_layers_with_weights_and_leave_out_the_last():
    model = tiny.net()
    assert layers.hidden(model, "layers") == ["#1", "#2"]
    assert layers.cut(model, "#2", "layers").layer is model.get_layer("upper")
    assert layers.cut(model, "input", "layers").layer is None


@pytest.mark.parametrize("name", ["#3", "#0", "middle", ""])
def test_a_wrong_name_is_one_sentence_that_lists_those_that_exist(name):
    with pytest.raises(InputError) as raised:
        layers.cut(tiny.net(), name, "layers")
    assert f"layers is '{name}'" in str(raised.value)
    assert str(raised.value).endswith("expected one of 'input', 'flat', 'lower' (#1), 'upper' (#2).")


def test_a_net_that_is_no_sequence_has_its_input_alone():
    inputs = tf.keras.Input((2, 2, 1))
    model = tf.keras.Model(inputs, tf.keras.layers.Dense(2, "softmax")(tf.keras.layers.Flatten()(inputs)))
    assert layers.cut(model, "input", "layers").above(tf.zeros([1, 2, 2, 1]), False).shape == (1, 2)
    with pytest.raises(InputError, match="layers: the net is no sequence of layers"):
        layers.cut(model, "#1", "layers")

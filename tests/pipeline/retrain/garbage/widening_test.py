from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from models import zoo
from models.errors import InputError
from pipeline.retrain.garbage.widening import widened

layers = tf.keras.layers
SHAPE, CLASSES = (8, 8, 1), 4
IMAGES = np.random.default_rng(0).random((50, *SHAPE), np.float32)


def _functional(*, bias: bool) -> tf.keras.Model:
    images = tf.keras.Input(SHAPE)
    hidden = layers.Dense(6, activation="relu")(layers.Flatten()(images))
    return tf.keras.Model(images, layers.Dense(CLASSES, activation="softmax", use_bias=bias)(hidden))


def _parents() -> dict[str, tf.keras.Model]:
    tf.keras.utils.set_random_seed(0)
    parents = {
        "mlp": zoo.build("mlp-6", SHAPE, CLASSES),
        "cnn": zoo.build("cnn-2-3-5", SHAPE, CLASSES),
        "functional": _functional(bias=True),
    }
    for model in parents.values():  # surer ones, with biases, and logits far from 0
        model.set_weights([5.0 * weights - 0.3 for weights in model.get_weights()])
    return parents


@pytest.mark.parametrize("name", ["mlp", "cnn", "functional"])
def test_the_wider_net_gives_the_parents_answers_on_the_classes_it_had_and_little_to_the_new_one(name):
    parent = _parents()[name]
    before, weights = parent(IMAGES).numpy(), parent.get_weights()
    net = widened(parent)
    after = net(IMAGES).numpy()
    assert after.shape == (50, CLASSES + 1)
    assert 0.0 < after[:, -1].max() <= np.exp(-5.0) / CLASSES + 1e-7
    np.testing.assert_allclose(after[:, :-1] / (1.0 - after[:, -1:]), before, rtol=1e-4, atol=1e-7)
    np.testing.assert_array_equal(after.argmax(axis=1), before.argmax(axis=1))
    for old, new in zip(weights, net.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new[..., : old.shape[-1]])


def test_without_a_bias_the_new_class_is_the_mean_one():
    net = widened(_functional(bias=False))
    kernel = net.get_weights()[-1]
    np.testing.assert_allclose(kernel[:, -1], kernel[:, :-1].mean(axis=1), rtol=1e-5)


def test_what_the_last_layer_was_besides_it_stays():
    last = widened(zoo.build(f"fc{CLASSES}@1e-2", SHAPE, CLASSES)).layers[-1]
    assert last.kernel_regularizer is not None and last.units == CLASSES + 1


def test_the_wider_net_is_saved_and_loaded_like_any_other(tmp_path):
    net = widened(_parents()["mlp"])
    net.save(tmp_path / "net.keras")
    again = tf.keras.models.load_model(tmp_path / "net.keras", compile=False)
    np.testing.assert_array_equal(again(IMAGES), net(IMAGES))


@pytest.mark.parametrize(
    "last",
    [[layers.Dense(CLASSES)], [layers.Dense(CLASSES), layers.Softmax()], [layers.Dense(CLASSES, "sigmoid")]],
    ids=["logits", "softmax apart", "sigmoid"],
)
def test_a_net_that_does_not_end_in_a_dense_softmax_is_one_sentence(last):
    model = tf.keras.Sequential([tf.keras.Input(SHAPE), layers.Flatten(), *last])
    with pytest.raises(InputError, match="no Dense layer with softmax") as raised:
        widened(model)
    assert "\n" not in str(raised.value)

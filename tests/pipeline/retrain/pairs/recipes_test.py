from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from models.errors import InputError
from pipeline.retrain.pairs.recipes import Dropout, Noise, Pairs, Pool, Selective, WeightDecay
from pipeline.retrain.plain import Plain
from tests.pipeline.retrain.pairs import tiny

EACH = [
    Plain(),
    Pairs(),
    Pool(size=8),
    Pool(layers=("input", "#2"), size=8),
    Selective(),
    Noise(),
    WeightDecay(),
    Dropout(),
]


def _cross_entropy(model: tf.keras.Model, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    answers = model(tf.constant(images / 255.0, tf.float32))
    return tf.keras.losses.sparse_categorical_crossentropy(labels, answers).numpy()


@pytest.mark.parametrize("recipe", EACH, ids=str)
def test_every_loss_is_finite_and_gives_every_weight_a_gradient(recipe):
    model = recipe.net(tiny.net())
    taught = recipe.lesson(tiny.start(model))
    assert (taught.stream is not None) == recipe.needs_mined()
    with tf.GradientTape() as tape:
        loss = tiny.loss(taught, model)
    gradients = tape.gradient(loss, model.trainable_variables)
    assert np.isfinite(loss)
    assert all(np.isfinite(gradient).all() and np.abs(gradient).max() > 0 for gradient in gradients)


def test_twins_and_their_originals_join_a_batch_and_both_have_the_originals_class():
    model, recipe = tiny.net(), Pairs(share=0.5)
    taught = tiny.lesson(recipe, model)
    twins, originals, labels = given = tiny.extra(taught)
    for twin, original, label in zip(twins, originals, labels, strict=True):
        (row,) = np.flatnonzero((tiny.PAIRED.twins == twin.numpy()).all(axis=(1, 2, 3)))
        assert (tiny.PAIRED.originals[row] == original.numpy()).all() and tiny.PAIRED.labels[row] == label
    images = np.concatenate([tiny.IMAGES[: tiny.BATCH], twins, originals])
    expected = _cross_entropy(model, images, np.concatenate([tiny.LABELS[: tiny.BATCH], labels, labels]))
    np.testing.assert_allclose(tiny.loss(taught, model, given=given), expected.mean(), rtol=1e-5)
    assert recipe.cost(tiny.BATCH).gradients == len(images)


def test_noise_has_its_distortion_after_clipping():
    images = tf.constant(tiny.IMAGES / 255.0, tf.float32)
    black = tf.zeros_like(images)
    for shown in (images, black):
        noisy = Noise(eps=0.1).noisy(shown, tf.constant([0, 0]))
        sizes = np.sqrt(np.mean(np.square(noisy - shown), axis=(1, 2, 3)))
        np.testing.assert_allclose(sizes, 0.1, rtol=1e-2)
        assert noisy.numpy().min() >= 0.0 and noisy.numpy().max() <= 1.0
    other = Noise(eps=0.1).noisy(images, tf.constant([1, 0]))
    assert not np.allclose(other, Noise(eps=0.1).noisy(images, tf.constant([0, 0])))


def test_weight_decay_weighs_connections_by_the_units_they_lead_to_and_no_biases():
    model = tiny.net()
    for weight in model.weights:
        weight.assign(tf.ones_like(weight))
    plain, decayed = (tiny.loss(tiny.lesson(recipe, model), model) for recipe in (Plain(), WeightDecay(decay=0.1)))
    np.testing.assert_allclose(decayed - plain, 0.1 * (tiny.SIDE**2 + 7 + tiny.UNITS), rtol=1e-5)


def test_with_dropout_a_net_answers_as_before_and_learns_with_other_outputs():
    parent, images = tiny.net(), tf.constant(tiny.IMAGES / 255.0, tf.float32)
    before = parent(images)
    model = Dropout(rate=0.5, input_rate=0.2).net(parent)
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds == ["Dropout", "Flatten", "Dense", "Dropout", "Dense", "Dropout", "Dense"]
    np.testing.assert_array_equal(model(images, training=False), before)
    assert not np.allclose(model(images, training=True), before)
    with pytest.raises(InputError, match="dropout takes nets that are a sequence"):
        Dropout().net(tf.keras.Model(parent.inputs, parent.outputs))

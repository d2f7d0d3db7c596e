"""Volatility: concentration of blame, the most volatile units, and activity led back to the image."""

import numpy as np
import tensorflow as tf

from pipeline.reproduce import hinthorn_volatility as volatility
from pipeline.retrain.pairs import layers as cuts


def test_concentration_is_the_share_of_the_most_volatile():
    assert volatility.concentration(np.array([1.0, 7.0, 1.0, 1.0]), 0.25) == 0.7
    assert volatility.concentration(np.ones(10), 0.3) == 0.3
    assert np.isnan(volatility.concentration(np.zeros(3), 0.5))


def test_the_most_volatile_are_at_least_one_and_of_equal_ones_the_first():
    assert volatility.top(np.array([2.0, 5.0, 5.0]), 0.01) == {1}
    assert volatility.top(np.array([2.0, 5.0, 5.0]), 0.67) == {1, 2}


def test_a_projection_is_the_gradient_of_the_chosen_units_alone():
    tf.keras.utils.set_random_seed(0)
    layers = tf.keras.layers
    model = tf.keras.Sequential(
        [tf.keras.Input((2, 2, 1)), layers.Flatten(), layers.Dense(3, use_bias=False), layers.Dense(2)]
    )
    weights = model.layers[1].get_weights()[0]
    image = np.array([[[10], [200]], [[0], [255]]], np.uint8)
    cut = cuts.cut(model, "#1", "layer")
    pixels = image.ravel() / 255.0
    for units in ([1], [0, 2]):
        expected = weights[:, units] @ (pixels @ weights[:, units])
        np.testing.assert_allclose(volatility.projection(cut, image, units).ravel(), expected, rtol=1e-5)

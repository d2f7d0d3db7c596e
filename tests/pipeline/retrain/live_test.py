from __future__ import annotations

import numpy as np
import tensorflow as tf

from models import kernels, zoo
from pipeline.retrain import live

SHAPE = (5, 5, 1)
IMAGES = np.random.default_rng(0).random((4, *SHAPE), np.float32)


def test_a_live_net_answers_as_its_model_does_after_it_has_changed():
    tf.keras.utils.set_random_seed(0)
    model = zoo.build("mlp-4", SHAPE, 3)
    net = live.classifier(model, "net", SHAPE)
    assert (net.num_classes, net.input_shape, net.kernels) == (3, SHAPE, kernels.XLA)
    ask = kernels.compiled(net.predict, net.kernels)
    before = ask(tf.constant(IMAGES)).numpy()
    np.testing.assert_allclose(before, model(IMAGES), atol=1e-6)
    model.layers[1].kernel.assign(-2.0 * model.layers[1].kernel)
    after = ask(tf.constant(IMAGES)).numpy()
    np.testing.assert_allclose(after, model(IMAGES), atol=1e-6)
    assert np.abs(after - before).max() > 0.01

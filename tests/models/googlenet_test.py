"""GoogLeNet beside Table 1 of its paper, arXiv 1409.4842."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from models import googlenet, loading

MEAN = (0.48, 0.46, 0.41)

# Output size, and the number of parameters (in K, which is 1,024) and multiplications (in millions, 1e6).
TABLE = {
    "convolution_1": ((112, 112, 64), 2.7, 34),
    "convolution_2": ((56, 56, 192), 112, 360),
    "inception_3a": ((28, 28, 256), 159, 128),
    "inception_3b": ((28, 28, 480), 380, 304),
    "inception_4a": ((14, 14, 512), 364, 73),
    "inception_4b": ((14, 14, 512), 437, 88),
    "inception_4c": ((14, 14, 512), 463, 100),
    "inception_4d": ((14, 14, 528), 580, 119),
    "inception_4e": ((14, 14, 832), 840, 170),
    "inception_5a": ((7, 7, 832), 1072, 54),
    "inception_5b": ((7, 7, 1024), 1388, 71),
    "softmax": ((1000,), 1000, 1),
}
# Columns 5 to 10 of the table, by hand: the weights of a module on so many channels.
COLUMNS = {
    "3a": (192, 64, 96, 128, 16, 32, 32),
    "3b": (256, 128, 128, 192, 32, 96, 64),
    "4a": (480, 192, 96, 208, 16, 48, 64),
    "4b": (512, 160, 112, 224, 24, 64, 64),
    "4c": (512, 128, 128, 256, 24, 64, 64),
    "4d": (512, 112, 144, 288, 32, 64, 64),
    "4e": (528, 256, 160, 320, 32, 128, 128),
    "5a": (832, 256, 160, 320, 32, 128, 128),
    "5b": (832, 384, 192, 384, 48, 128, 128),
}
# Where the table's count is not what its own columns give; its multiplications are, but for 5a.
NOT_OF_THE_COLUMNS = {"4a", "4b", "4c", "4d", "4e", "5a", "5b"}


@pytest.fixture(scope="module")
def net() -> tf.keras.Model:
    return googlenet.build((224, 224, 3), 1000, MEAN)


def _weights(net: tf.keras.Model, row: str) -> int:
    """Returns how many weights a row of the table has, without biases."""
    prefix = row.removeprefix("inception_")
    layers = [layer for layer in net.layers if layer.name.split("_reduce")[0] == row or layer.name.startswith(prefix)]
    return sum(math.prod(weight.shape) for layer in layers for weight in layer.weights if len(weight.shape) > 1)


@pytest.mark.parametrize("row", TABLE)
def test_every_layer_has_the_output_size_of_the_table(net, row):
    assert net.get_layer(row).output.shape[1:] == TABLE[row][0]


@pytest.mark.parametrize("row", TABLE)
def test_every_layer_has_as_many_multiplications_as_the_table_says(net, row):
    (*places, _), _, millions = TABLE[row]
    own = _weights(net, row) * math.prod(places) / 1e6
    assert abs(own - millions) < 1 or (row == "inception_5a" and own == pytest.approx(51.08, abs=0.01))


@pytest.mark.parametrize("row", TABLE)
def test_every_layer_has_as_many_parameters_as_the_table_says(net, row):
    own, thousands = _weights(net, row) / 1024, TABLE[row][1]
    if row.removeprefix("inception_") in NOT_OF_THE_COLUMNS:
        assert own == pytest.approx(thousands, rel=0.075)
    else:
        assert own == pytest.approx(thousands, abs=1.0 if thousands > 100 else 0.1)


@pytest.mark.parametrize("name", COLUMNS)
def test_every_module_has_the_weights_of_the_tables_columns(net, name):
    channels, ones, threes_reduced, threes, fives_reduced, fives, projected = COLUMNS[name]
    by_hand = channels * (ones + threes_reduced + fives_reduced + projected)
    by_hand += 9 * threes_reduced * threes + 25 * fives_reduced * fives
    assert _weights(net, f"inception_{name}") == by_hand
    assert ones + threes + fives + projected == TABLE[f"inception_{name}"][0][-1]


def test_the_whole_net_has_under_seven_million_parameters(net):
    assert len([layer for layer in net.layers if layer.weights]) == 3 + 9 * 6 + 1
    biases = 64 + 64 + 192 + sum(sum(columns[1:]) for columns in COLUMNS.values()) + 1000
    assert net.count_params() == 6_983_576 + biases


def test_auxiliary_classifiers_stand_on_4_by_4_averages_of_4a_and_4d(net):
    model = googlenet.with_auxiliaries(net)
    pools = [model.get_layer(f"auxiliary_{name}_pool").output.shape[1:] for name in ("4a", "4d")]
    assert pools == [(4, 4, 512), (4, 4, 528)]
    for name, channels in (("4a", 512), ("4d", 528)):
        layers = [model.get_layer(f"auxiliary_{name}_{part}") for part in ("1x1", "dense", "softmax")]
        assert [layer.weights[0].shape for layer in layers] == [(1, 1, channels, 128), (2048, 1024), (1024, 1000)]
    assert [output.shape for output in model.outputs] == [(None, 1000)] * 3


def test_dropout_is_40_percent_and_70_of_auxiliary_classifiers():
    model = googlenet.with_auxiliaries(_small())
    rates = [layer.rate for layer in model.layers if isinstance(layer, tf.keras.layers.Dropout)]
    assert sorted(rates) == [0.4, 0.7, 0.7]


def _small(mean=MEAN, width: float = 0.05) -> tf.keras.Model:
    tf.keras.utils.set_random_seed(1)
    return googlenet.build((32, 32, 3), 10, mean, width, small=True)


def test_the_first_layer_subtracts_the_mean():
    first = _small().get_layer("mean_subtraction")
    images = np.broadcast_to(np.float32(MEAN), (2, 32, 32, 3))
    np.testing.assert_allclose(first(images), 0, atol=1e-4)
    np.testing.assert_allclose(first(images + np.float32(1 / 255)), 1, atol=1e-4)


def test_normalization_is_krizhevskys():
    """Against TensorFlow's own, at the activations of a net on real pixel values."""
    values = np.random.default_rng(0).normal(scale=60, size=(2, 3, 4, 7)).astype(np.float32)
    images = tf.keras.Input(values.shape[1:])
    normalized = tf.keras.Model(images, googlenet._normalized(images))(values)
    expected = tf.nn.local_response_normalization(values, depth_radius=2, bias=2.0, alpha=1e-4, beta=0.75)
    np.testing.assert_allclose(normalized, expected, rtol=1e-5)
    assert np.abs(expected / values).min() < 0.5


@pytest.mark.parametrize("image_size", [32, 20, 8])
def test_the_small_form_sees_a_quarter_of_small_images(image_size):
    net = googlenet.build((image_size, image_size, 3), 10, MEAN, 0.125, small=True)
    sizes = [net.get_layer(f"inception_{name}").output.shape[1] for name in ("3a", "4a", "5b")]
    assert sizes == [-(-image_size // 4), -(-image_size // 8), -(-image_size // 16)]
    assert [net.get_layer(f"inception_{name}").output.shape[-1] for name in ("3a", "4e", "5b")] == [32, 104, 128]
    assert len(googlenet.with_auxiliaries(net).outputs) == 3


def test_what_is_saved_has_the_mean_and_no_auxiliary_classifier(tmp_path):
    net = _small()
    googlenet.with_auxiliaries(net)
    net.save(tmp_path / "net.keras")
    loaded = loading.load(tmp_path / "net.keras")
    images = np.random.default_rng(0).random((4, 32, 32, 3)).astype(np.float32)
    np.testing.assert_array_equal(loaded.predict(tf.constant(images)), net(images, training=False))
    assert loaded.num_classes == 10 and loaded.digest == loading.digest(net)
    assert loaded.digest != loading.digest(_small(mean=(0.5, 0.46, 0.41)))


def test_equal_seeds_give_equal_nets_and_the_auxiliary_classifiers_share_their_layers():
    first, second = _small(), _small()
    assert loading.digest(first) == loading.digest(second)
    model = googlenet.with_auxiliaries(first)
    assert all(any(weight is other for other in model.weights) for weight in first.weights)

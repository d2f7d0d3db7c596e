from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from models import loading, zoo
from models.errors import InputError
from tests.models import nets


@pytest.mark.parametrize(
    "architecture",
    [
        "mlp-4",
        "mlp-12-10",
        "cnn",
        "fc10@1e-4",
        "fc7-6-10@1e-5,1e-5,1e-6",
        "ae9-10",
        "cnn-4-6-8",
        "googlenet@0.05",
        "googlenet-small@0.05",
    ],
)
@pytest.mark.parametrize("shape", [(28, 28, 1), (8, 8, 3), (1, 2, 1)])
def test_every_architecture_gives_probabilities_for_every_image_size(architecture, shape):
    answers = zoo.build(architecture, shape, 10)(np.ones((2, *shape), np.float32)).numpy()
    assert answers.shape == (2, 10)
    np.testing.assert_allclose(answers.sum(axis=-1), 1.0, atol=1e-6)


def test_an_mlp_has_the_units_of_its_name():
    kernels = [weight.shape for weight in nets.seeded("mlp-12-10", 1).weights if len(weight.shape) == 2]
    assert kernels == [(30, 12), (12, 10), (10, nets.CLASSES)]


@pytest.mark.parametrize(
    ("architecture", "nearest"),
    [
        ("mpl-30", "mlp-30"),
        ("mlp30", "mlp-30"),
        ("MLP-20-10", "mlp-20-10"),
        ("cn", "cnn"),
        ("mlp-0", "mlp-30"),
        ("FC10@1e-4", "fc10@1e-4"),
        ("fc-100-10@1e-5,1e-6", "fc100-10@1e-5,1e-6"),
        ("fc10@-1", "fc10@1"),
        ("fc10@", "fc10"),
        ("fc20-10@1e-5,,x,1,1", "fc20-10"),
        ("ae400", "ae400-10"),
        ("ae-30-5", "ae30-5"),
        ("cnn-32-64", "cnn-32-64-200"),
        ("ccn-3-4-5", "cnn-3-4-5"),
        ("googlnet", "googlenet"),
        ("googlenet_small@0.25", "googlenet-small@0.25"),
        ("googlenet@0.0", "googlenet"),
    ],
)
def test_an_unknown_architecture_lists_the_known_and_the_nearest(architecture, nearest):
    with pytest.raises(InputError, match=f"'{architecture}'; known are mlp-U.* .*the nearest is '{nearest}'"):
        zoo.build(architecture, nets.SHAPE, nets.CLASSES)


def test_an_architecture_like_no_other_gets_no_suggestion():
    with pytest.raises(InputError, match=r"'transformer'; known are .*'googlenet-small@0.25'[)][.]$"):
        zoo.build("transformer", nets.SHAPE, nets.CLASSES)


@pytest.mark.parametrize(
    "architecture",
    [
        "mlp-3",
        "cnn",
        "cnn-1-2-3",
        "fc5",
        "fc8-5@0.5",
        "fc8-5@1e-12,0",
        "ae4-5",
        "googlenet",
        "googlenet@2",
        "googlenet-small@0.25",
    ],
)
def test_a_name_is_checked_without_classes(architecture):
    zoo.check(architecture)


@pytest.mark.parametrize(
    "architecture",
    ["fc", "fc0", "fc8-5@1,2,3", "ae4", "ae4-5-6", "cnn-1-2", "fc5@inf", "fc@1", "googlenet@0", "googlenet@"],
)
def test_a_wrong_name_is_told_without_classes(architecture):
    with pytest.raises(InputError, match=f"architecture '{architecture}'|Architecture '{architecture}'"):
        zoo.check(architecture)


def test_a_suggested_name_is_one_of_the_zoo():
    for misspelt in ("fc10@1,2,3", "ae3", "fc0-0@1e-3", "cnn-0-4-5", "ae", "FC7-3@.5", "mlp"):
        for name in zoo._likely(misspelt):
            zoo.check(name)


@pytest.mark.parametrize(
    ("architecture", "right"), [("fc10@1e-4", "fc3@1e-4"), ("fc4-10", "fc4-3"), ("ae3-10", "ae3-3")]
)
def test_a_name_for_another_number_of_classes_is_refused(architecture, right):
    with pytest.raises(InputError, match=rf"'{architecture}' is for 10 classes, but there are 3; ask for '{right}'\.$"):
        zoo.build(architecture, nets.SHAPE, nets.CLASSES)


def test_a_wrong_number_of_decays_is_told():
    with pytest.raises(InputError, match="'fc8-3@1,2,3' has 3 weight decays for 2 layers"):
        zoo.build("fc8-3@1,2,3", nets.SHAPE, nets.CLASSES)


@pytest.mark.parametrize(
    ("architecture", "decays"), [("fc8-4-3@0.5,1e-2,0", (0.5, 0.01, 0)), ("fc8-3@0.1", (0.1, 0.1))]
)
def test_weight_decay_is_the_formula_of_the_paper(architecture, decays):
    model = nets.seeded(architecture, 1)
    kernels = [weight.numpy().astype(float) for weight in model.weights if len(weight.shape) == 2]
    by_hand = sum(decay * (kernel**2).sum() / kernel.shape[1] for decay, kernel in zip(decays, kernels, strict=True))
    assert float(sum(model.losses)) == pytest.approx(by_hand, rel=1e-5)


def test_biases_do_not_decay():
    model = nets.seeded("fc8-3@1", 1)
    before = float(sum(model.losses))
    model.set_weights([weight + 1 if weight.ndim == 1 else weight for weight in model.get_weights()])
    assert float(sum(model.losses)) == before


def test_a_net_without_decay_has_no_losses():
    assert not nets.seeded("fc8-3", 1).losses and not nets.seeded("fc8-3@0", 1).losses


def test_a_softmax_regression_has_no_hidden_layer():
    model, images = nets.seeded("fc3@1", 1), nets.images(4) / np.float32(255)
    kernel, bias = model.get_weights()
    logits = images.reshape(4, -1) @ kernel + bias
    np.testing.assert_allclose(model(images), tf.nn.softmax(logits), atol=1e-6)


def test_hidden_units_of_fc_nets_are_sigmoid():
    assert [layer.activation.__name__ for layer in nets.seeded("fc8-4-3", 1).layers[1:]] == ["sigmoid"] * 2 + [
        "softmax"
    ]


def test_of_an_autoencoders_net_only_the_softmax_can_be_trained():
    model = nets.seeded("ae8-3", 1)
    assert [weight.shape for weight in model.trainable_weights] == [(8, 3), (3,)]
    assert [weight.shape for weight in model.non_trainable_weights] == [(30, 8), (8,)]


def test_a_googlenet_has_the_width_and_the_stem_of_its_name():
    first = [
        zoo.build(name, (32, 32, 3), 10).get_layer("convolution_1")
        for name in ("googlenet", "googlenet@0.25", "googlenet-small", "googlenet-small@0.25")
    ]
    assert [layer.output.shape[1:] for layer in first] == [(16, 16, 64), (16, 16, 16), (32, 32, 64), (32, 32, 16)]


def test_only_a_net_with_auxiliary_classifiers_is_another_in_training():
    for name, outputs in (("mlp-4", 1), ("cnn", 1), ("googlenet-small@0.05", 3)):
        net = zoo.build(name, (32, 32, 3), 10)
        model = zoo.for_training(name, net)
        assert (model is net) == (outputs == 1) and len(model.outputs) == outputs


def test_hinthorns_net_has_the_layers_of_the_paper():
    model = zoo.build("cnn-32-64-200", (28, 28, 1), 10)
    kernels = [weight.shape for weight in model.weights if len(weight.shape) > 1]
    assert kernels == [(5, 5, 1, 32), (5, 5, 32, 64), (5 * 5 * 64, 200), (200, 10)]  # 28 / 3 / 2, rounded up


@pytest.mark.parametrize("architecture", ["fc8-3@1e-5,1e-6", "fc3@1", "ae8-3", "cnn-4-6-8", "googlenet-small@0.05"])
def test_a_saved_and_loaded_net_answers_alike(architecture, tmp_path):
    model = nets.seeded(architecture, 1)
    model.save(tmp_path / "net.keras")
    classifier, images = loading.load(tmp_path / "net.keras"), tf.constant(nets.images(4) / 255.0, tf.float32)
    np.testing.assert_array_equal(classifier.predict(images), model(images))
    assert classifier.digest == loading.digest(model)


def test_weight_decay_survives_saving(tmp_path):
    model = nets.seeded("fc8-3@0.5", 1)
    model.save(tmp_path / "net.keras")
    loaded = tf.keras.models.load_model(tmp_path / "net.keras", safe_mode=True)
    assert float(sum(loaded.losses)) == float(sum(model.losses)) > 0

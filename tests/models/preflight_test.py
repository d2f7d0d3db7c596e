from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from models import preflight
from models.errors import InputError
from tests.models import nets


def _constant(*row: float):
    return lambda images: tf.tile(tf.constant([row]), [tf.shape(images)[0], 1])


def _brightness(images: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(images, axis=(1, 2, 3))[:, None]


def _nan_on_white(images: tf.Tensor) -> tf.Tensor:
    return tf.where(_brightness(images) == 1.0, np.nan, 1.0) * _constant(0.2, 0.3, 0.5)(images)


def _random(images: tf.Tensor) -> tf.Tensor:
    return tf.nn.softmax(tf.random.uniform([tf.shape(images)[0], nets.CLASSES]))


def _not_compiled(images: tf.Tensor) -> tf.Tensor:
    return tf.py_function(lambda batch: batch, [images], tf.float32)


def test_a_sound_net_passes():
    preflight.check(nets.classifier(nets.seeded("cnn", 1)))


@pytest.mark.parametrize(
    ("predict", "message"),
    [
        (_constant(12.0, 0.3, 0.0), r"gives logits where .* \(a row sums to 12\.3, .*; set from_logits = true"),
        (_constant(0.9, 0.9, 0.5), r"gives values in .* not probabilities of one class \(a row sums to 2\.3, not 1\)"),
        (_nan_on_white, r"gives 3 of 3 values that are not finite on a white image"),
        (_constant(0.5, 0.5), r"answers with shape \(3, 2\), not \(3, 3\)"),
        (_random, r"is not deterministic: two calls on the same images differ by 0\.\d+"),
        (_not_compiled, r"fails on images of shape \(6, 5, 1\) in a function compiled by XLA \(.+\)"),
    ],
)
def test_a_failure_names_the_net_and_the_number(predict, message):
    with pytest.raises(InputError, match=f"^Net 'faulty' {message}"):
        preflight.check(nets.classifier(predict, "faulty"))


def _linear(images: tf.Tensor, gain: float = 0.1) -> tf.Tensor:
    weights = tf.linspace(-gain, gain, 30 * nets.CLASSES)
    return tf.reshape(images, [-1, 30]) @ tf.reshape(weights, [30, nets.CLASSES])


def _rounding(images: tf.Tensor) -> tf.Tensor:
    return tf.nn.softmax(_linear(tf.round(images)))


def _casting(images: tf.Tensor) -> tf.Tensor:
    return tf.nn.softmax(_linear(tf.cast(tf.cast(images * 255.0, tf.int32), tf.float32)))


def _certain(images: tf.Tensor) -> tf.Tensor:
    return tf.one_hot(tf.argmax(_linear(images), axis=-1), nets.CLASSES)


def _saturated(images: tf.Tensor) -> tf.Tensor:
    return tf.nn.softmax(tf.sigmoid(_linear(images) + [500.0, -500.0, 500.0]))


def _ignoring(images: tf.Tensor) -> tf.Tensor:
    return tf.nn.softmax(_linear(images, gain=0.0))


def _numberless(images: tf.Tensor) -> tf.Tensor:
    return _constant(0.2, 0.3, 0.5)(images) + 0.0 * tf.sqrt(0.0 * _brightness(images))


_NONE = "has no gradient with respect to its images; give a `.keras` file, or a SavedModel exported with"
_ZERO = "has a gradient of zero, or none that is finite, on a black, a white and a random image: its units are"


def test_a_sound_net_has_a_gradient():
    preflight.check_gradient(nets.classifier(nets.seeded("cnn", 1)))


@pytest.mark.parametrize(
    ("predict", "message"),
    [
        (_constant(0.2, 0.3, 0.5), _NONE),
        (_rounding, _NONE),
        (_casting, _NONE),
        (_certain, _NONE),
        (_saturated, _ZERO),
        (_ignoring, _ZERO),
        (_numberless, _ZERO),
    ],
)
def test_a_net_that_passes_and_cannot_be_climbed_is_refused_where_a_gradient_is_needed(predict, message):
    classifier = nets.classifier(predict, "faulty")
    preflight.check(classifier)
    with pytest.raises(InputError, match=f"^Net 'faulty' {message}"):
        preflight.check_gradient(classifier)


def test_a_net_that_is_flat_on_a_black_image_alone_has_a_gradient():
    preflight.check_gradient(nets.classifier(lambda images: tf.nn.softmax(_linear(tf.nn.relu(images - 0.5)))))


def test_a_net_with_some_derivatives_that_are_not_finite_has_a_gradient():
    preflight.check_gradient(nets.classifier(lambda images: tf.nn.softmax(_linear(tf.sqrt(images)))))


def test_probabilities_declared_logits_are_refused():
    with pytest.raises(InputError, match=r"'net' gives probabilities where logits are expected.*remove from_logits"):
        preflight.check_logits("net", np.full((2, 4), 0.25))


def test_logits_declared_logits_pass():
    preflight.check_logits("net", np.array([[0.2, 0.3, 0.1]]))


def test_nets_that_fit_the_seed_images_agree():
    preflight.agree([nets.classifier(tf.identity)], nets.SHAPE, nets.CLASSES)


def test_another_class_count_is_told_with_both_numbers():
    with pytest.raises(InputError, match="'net' has 3 classes and the seed images have 10"):
        preflight.agree([nets.classifier(tf.identity)], nets.SHAPE, 10)


def test_another_image_shape_is_told_with_both_shapes():
    with pytest.raises(InputError, match=r"takes images of shape \(6, 5, 1\) and the seed images have \(28, 28, 1\)"):
        preflight.agree([nets.classifier(tf.identity)], (28, 28, 1), nets.CLASSES)


SEEDS = nets.images(40).astype(np.float32) / 255.0  # more than a batch, and grey enough to be none of the probes


def _soft(images: tf.Tensor) -> tf.Tensor:
    return tf.nn.softmax(_linear(images, gain=3.0))


def _normalised(images: tf.Tensor) -> tf.Tensor:
    mean, variance = tf.nn.moments(images, axes=(0, 1, 2, 3))
    return _soft((images - mean) / tf.sqrt(variance + 1e-3))


def _shifted_by_company(images: tf.Tensor) -> tf.Tensor:
    return _soft(images + 0.05 * tf.reduce_mean(images[:, :1, :1], axis=0))


def _counting(images: tf.Tensor) -> tf.Tensor:
    return _soft(images * (1.0 if images.shape[0] > 1 else 0.5))


def _where_grey(images: tf.Tensor, then: tf.Tensor) -> tf.Tensor:
    """Gives other answers to some of the seed images, and to none that is black, white or as grey as noise."""
    brightness = _brightness(images)
    return tf.where((brightness > 0.1) & (brightness < 0.47), then, _soft(images))


def _sometimes_random(images: tf.Tensor) -> tf.Tensor:
    return _where_grey(images, _random(images))


def _sometimes_not_one(images: tf.Tensor) -> tf.Tensor:
    return _where_grey(images, 0.9 * _soft(images))


def _sometimes_nan(images: tf.Tensor) -> tf.Tensor:
    return _where_grey(images, np.nan * _soft(images))


def _nan_beside_white(images: tf.Tensor) -> tf.Tensor:
    return _soft(images) * tf.where(tf.reduce_any(_brightness(images) == 1.0), np.nan, 1.0)


def _nan(images: tf.Tensor) -> tf.Tensor:
    return np.nan * _soft(images)


def _squeezed(images: tf.Tensor) -> tf.Tensor:
    return tf.squeeze(_soft(images))


@pytest.mark.parametrize(
    ("predict", "message"),
    [
        (_normalised, r"does not answer each image by itself: .* differ by 0\.\d+ in two batches of other images"),
        (_shifted_by_company, r"does not answer each image by itself: .* differ by 0\.\d+ in two batches"),
        (_counting, r"does not answer each image by itself: .* differ by 0\.\d+ alone and in a batch"),
        (_nan_beside_white, r"does not answer each image by itself: .* differ by inf in two batches"),
        (_sometimes_random, r"is not deterministic: two calls on the same images differ by 0\.\d+"),
        (_sometimes_not_one, r"gives values in \[0, 1\] that are not probabilities of one class \(a row sums to 0\.9"),
        (_nan, r"gives values that are not finite on each of 40 seed images"),
        (_squeezed, r"answers a batch of 1 with shape \(3,\), not \(1, 3\)"),
    ],
)
def test_a_net_that_is_no_function_of_one_image_is_refused_on_seed_images(predict, message):
    with pytest.raises(InputError, match=f"^Net 'faulty' {message}"):
        preflight.check_on(preflight.Asked(nets.classifier(predict, "faulty")), SEEDS)


@pytest.mark.parametrize("predict", [_sometimes_random, _sometimes_not_one, _normalised, _shifted_by_company])
def test_what_only_seed_images_show_passes_without_them(predict):
    preflight.check(nets.classifier(predict))


@pytest.mark.parametrize("count", [1, 9, 32, 33])
def test_company_differs_however_few_images_there_are(count):
    with pytest.raises(InputError, match="does not answer each image by itself"):
        preflight.check_on(preflight.Asked(nets.classifier(_shifted_by_company)), SEEDS[:count])


@pytest.mark.parametrize("policy", ["float32", "float64", "float16", "mixed_float16", "mixed_bfloat16"])
def test_the_rounding_of_an_honest_net_of_any_precision_passes(policy):
    layers, wide = tf.keras.layers, tf.keras.initializers.RandomNormal(0, 1)
    model = nets.sequential(
        layers.Conv2D(16, 3, activation="relu", dtype=policy),
        layers.BatchNormalization(dtype=policy),
        layers.Flatten(dtype=policy),
        layers.Dropout(0.5, dtype=policy),
        layers.Dense(nets.CLASSES, "softmax", kernel_initializer=wide, dtype=policy),
    )

    def predict(images: tf.Tensor) -> tf.Tensor:
        return tf.cast(model(images, training=False), tf.float32)

    answers = preflight.check_on(preflight.Asked(nets.classifier(predict)), SEEDS)
    np.testing.assert_allclose(answers, predict(tf.constant(SEEDS)), atol=0.02)
    assert answers.dtype == np.float32


def test_images_on_which_a_net_gives_nan_are_left_to_the_run():
    answers = preflight.check_on(preflight.Asked(nets.classifier(_sometimes_nan)), SEEDS)
    assert 0 < np.isfinite(answers).all(axis=-1).sum() < len(SEEDS)

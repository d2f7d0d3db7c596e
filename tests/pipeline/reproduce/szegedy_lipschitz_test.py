"""Bounds of layers against explicit matrices, and what they certify against changes that change the answer."""

import io
import itertools
import math

import numpy as np
import pytest
import tensorflow as tf

from models import zoo
from models.errors import InputError
from pipeline.reproduce import lipschitz, papers, szegedy_lipschitz
from pipeline.reproduce.bench import Bench
from pipeline.reproduce.registry import EXPERIMENTS
from pipeline.workdir.ledger import Workdir

SHAPE = (5, 6, 2)
CASES = list(itertools.product([(1, 1), (2, 2), (2, 3), (3, 3)], ["same", "valid"]))


def _net(*layers, shape=SHAPE):
    tf.keras.utils.set_random_seed(0)
    return tf.keras.Sequential([tf.keras.Input(shape), *layers])


def _matrix(function, shape):
    """Returns the matrix `[n, m]` of a linear function of images, by asking it about every unit image."""
    size = math.prod(shape)
    return np.reshape(function(np.eye(size, dtype=np.float32).reshape(size, *shape)), (size, -1))


@pytest.mark.parametrize(("strides", "padding"), CASES)
def test_the_norm_of_a_convolution_is_that_of_its_matrix(strides, padding):
    convolution = tf.keras.layers.Conv2D(3, (3, 2), strides, padding, use_bias=False)
    (bound,) = lipschitz.bounds(_net(convolution))
    assert bound.whole == pytest.approx(np.linalg.norm(_matrix(convolution, SHAPE), 2), rel=1e-5)
    assert bound.whole <= bound.circular + 1e-9


def test_the_norm_on_a_torus_is_that_of_its_matrix():
    kernel = np.random.default_rng(0).normal(size=(3, 2, 2, 3))

    def around(images):
        shifted = [np.roll(images, (down, across), (1, 2)) @ kernel[down, across] for down, across in np.ndindex(3, 2)]
        return np.sum(shifted, axis=0)

    expected = np.linalg.norm(_matrix(around, SHAPE), 2)
    assert lipschitz.circular_norm(kernel, SHAPE[:2]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("activation", "steepest"), [("tanh", 1.0), ("sigmoid", 0.25), ("relu", 1.0)])
def test_a_dense_layer_is_its_largest_singular_value_times_its_steepest_slope(activation, steepest):
    dense = tf.keras.layers.Dense(4, activation)
    *_, bound = lipschitz.bounds(_net(tf.keras.layers.Flatten(), dense))
    kernel = dense.get_weights()[0]
    assert bound.whole == pytest.approx(steepest * math.sqrt(np.linalg.eigvalsh(kernel.T @ kernel)[-1]), rel=1e-5)


@pytest.mark.parametrize(("window", "stride"), [(2, 2), (3, 3), (2, 3), (2, 1), (3, 2), (3, 1)])
def test_pooling_reaches_its_bound_with_one_pixel_and_never_exceeds_it(window, stride):
    pool = tf.keras.layers.MaxPooling2D(window, stride)
    (bound,) = lipschitz.bounds(_net(pool, shape=(9, 9, 1)))
    stretched = np.linalg.norm(_matrix(pool, (9, 9, 1)), axis=1)  # of one pixel each, from a black image
    assert stretched.max() == pytest.approx(bound.whole)
    one, other = np.random.default_rng(1).normal(size=(2, 50, 9, 9, 1)).astype(np.float32)
    change = np.linalg.norm(np.reshape(pool(one) - pool(other), (50, -1)), axis=1)
    assert (change <= bound.whole * np.linalg.norm(np.reshape(one - other, (50, -1)), axis=1)).all()


@pytest.mark.parametrize("architecture", ["fc10", "fc8-8-10", "mlp-8", "cnn-2-3-8"])
def test_no_two_answers_differ_by_more_than_the_product_allows(architecture):
    net = _lively(architecture)
    product = np.prod([bound.whole for bound in lipschitz.bounds(net)])
    one, other = np.random.default_rng(2).random((2, 200, 8, 8, 1), dtype=np.float32)
    other = one + 0.01 * other  # near ones come nearest to the bound
    change = np.linalg.norm(net(one) - net(other), axis=1)
    assert (change <= product * np.linalg.norm((one - other).reshape(200, -1), axis=1) + 1e-6).all()


def _lively(architecture):
    """Returns an untrained net whose weights are so large that its answers change nearby."""
    tf.keras.utils.set_random_seed(0)
    net = zoo.build(architecture, (8, 8, 1), 10)
    net.set_weights([4 * weights for weights in net.get_weights()])
    return net


def _images(count):
    return np.random.default_rng(3).integers(0, 256, (count, 8, 8, 1), np.uint8)


def _lengths(changes):
    return np.linalg.norm(np.reshape(changes, (len(changes), -1)), axis=1)


def test_what_is_certified_of_one_layer_is_the_distance_at_which_the_answer_changes():
    net, images = _lively("fc10"), _images(20)
    _, certified = szegedy_lipschitz.margins_of(net, images)
    kernel, bias = (weights.astype(np.float64) for weights in net.layers[-1].get_weights())
    points = images.reshape(20, -1) / 255.0
    logits = points @ kernel + bias
    for point, radius, row in zip(points, certified, logits, strict=True):
        own = row.argmax()
        changed = []
        for other in set(range(10)) - {own}:
            way = kernel[:, other] - kernel[:, own]
            way /= np.linalg.norm(way)
            reached = [(point + scale * radius * way) @ kernel + bias for scale in (0.9999, 1.0001)]
            assert reached[0].argmax() == own
            changed.append(reached[1].argmax() != own)
        assert any(changed)


@pytest.mark.parametrize("architecture", ["fc8-8-10", "mlp-8", "cnn-2-3-8"])
def test_no_answer_changes_within_what_is_certified(architecture):
    net, images = _lively(architecture), _images(50)
    _, certified = szegedy_lipschitz.margins_of(net, images)
    start = tf.constant(images / np.float32(255.0))
    classes = tf.argmax(net(start), axis=1)
    at = start
    for _ in range(30):  # uphill in the loss, step by step, to leave the class soon
        with tf.GradientTape() as tape:
            tape.watch(at)
            loss = tf.keras.losses.sparse_categorical_crossentropy(classes, net(at))
        slope = tape.gradient(loss, at)
        at += 0.02 * slope / _lengths(slope)[:, None, None, None]
        changed = (tf.argmax(net(at), axis=1) != classes).numpy()
        moved = _lengths(at - start)
        assert (moved[changed] >= certified[changed]).all()
    assert changed.sum() > 10 and (certified > 0).all()


def test_a_layer_without_a_bound_is_told():
    with pytest.raises(InputError, match="is a BatchNormalization that there is no bound for"):
        lipschitz.bounds(_net(tf.keras.layers.BatchNormalization()))
    with pytest.raises(InputError, match="has the activation 'gelu'"):
        lipschitz.bounds(_net(tf.keras.layers.Dense(3, "gelu")))


def test_a_net_that_ends_otherwise_is_told():
    with pytest.raises(InputError, match="does not end with a dense layer and a softmax"):
        szegedy_lipschitz.margins_of(_net(tf.keras.layers.Flatten(), tf.keras.layers.Dense(3)), _images(1))


def test_a_task_of_another_kind_is_told(tmp_path):
    bench = Bench(Workdir.at(str(tmp_path)), None, "cpu")
    with pytest.raises(InputError, match="makes no adversarial pairs"):
        szegedy_lipschitz.Lipschitz("small/digits.toml").run(bench)


@pytest.mark.slow
def test_the_small_form_tells_of_every_net(tmp_path):
    experiment = papers.load(EXPERIMENTS, "szegedy-lipschitz", papers.SMALL)
    findings = experiment.run(Bench(Workdir.at(str(tmp_path)), None, "cpu"))
    _, below, _ = findings.claims
    assert below.held and below.found.startswith("0 of ")
    assert [row[0] for row in findings.tables[1].cells[1:]] == ["fc30-10", "cnn-4-8-16"]
    findings.pictures[0].draw(io.BytesIO())

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from models.classifier import Classifier, PeerGroup
from models.errors import InputError
from tests.models import nets

BATCH = 16


@pytest.fixture(scope="module")
def group() -> PeerGroup:
    models = {name: nets.seeded(name, 3) for name in ("mlp-7", "mlp-9-8", "cnn")}
    return PeerGroup(tuple(nets.classifier(model, name) for name, model in models.items()))


def test_a_row_alone_equals_the_row_in_a_batch_bit_for_bit(group):
    images = nets.images(37)
    together = group.probabilities(images, BATCH)
    for row in (0, 1, 15, 16, 36):
        np.testing.assert_array_equal(group.probabilities(images[row : row + 1], BATCH)[:, 0], together[:, row])


def test_the_order_of_images_does_not_matter_bit_for_bit(group):
    images, order = nets.images(37), np.random.default_rng(5).permutation(37)
    moved = group.probabilities(images[order], BATCH)
    np.testing.assert_array_equal(moved, group.probabilities(images, BATCH)[:, order])


def test_probabilities_are_those_of_each_net_in_order(group):
    images = nets.images(5)
    answers = group.probabilities(images, BATCH)
    assert answers.shape == (3, 5, nets.CLASSES) and answers.dtype == np.float32
    for place, classifier in enumerate(group.classifiers):
        direct = classifier.predict(tf.constant(images / 255.0, tf.float32))
        np.testing.assert_allclose(answers[place], direct, atol=1e-6)


def _holding(name: str, copies: int) -> Classifier:
    """A net that holds, of each image of 4 x 4 pixels (64 bytes), so many copies and no more at a time."""

    def predict(images: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(tf.tile(images, [1, copies, 1, 1]), axis=[1, 2])

    return Classifier(name, predict, (4, 4, 1), 1, name, name)


@pytest.mark.parametrize(
    ("copies", "expected"),
    [((1,), 1024), ((2**14 - 1,), 1024), ((2**14,), 512), ((1, 2**20, 3), 8), ((2**25,), 1)],
)
def test_so_many_images_at_a_time_that_no_net_makes_more_than_a_gib_of_them(copies, expected):
    group = PeerGroup(tuple(_holding(f"net{place}", count) for place, count in enumerate(copies)))
    assert group.batch == expected


def test_a_net_that_holds_nothing_for_an_image_is_shown_the_most():
    net = Classifier("same", lambda images: tf.ones([2, 3]), (4, 4, 1), 3, "same", "same")
    assert PeerGroup((net,)).batch == 1024


def test_no_images_give_no_probabilities(group):
    assert group.probabilities(nets.images(0), BATCH).shape == (3, 0, nets.CLASSES)


def test_images_of_another_shape_are_not_broadcast(group):
    with pytest.raises(ValueError):
        group.probabilities(np.zeros((2, 1, 5, 1), np.uint8), BATCH)


def test_a_group_works_inside_a_compiled_function(group):
    images = tf.constant(nets.images(4) / 255.0, tf.float32)
    compiled = tf.function(lambda batch: group(batch), jit_compile=True, autograph=False)
    np.testing.assert_allclose(compiled(images), group(images), atol=1e-6)


def test_a_group_tells_its_nets(group):
    assert group.names == ("mlp-7", "mlp-9-8", "cnn")
    assert group.digests == tuple(classifier.digest for classifier in group.classifiers)
    assert (group.input_shape, group.num_classes) == (nets.SHAPE, nets.CLASSES)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_classes": 4}, r"'b' has class count 4 and net 'a' has 3"),
        ({"input_shape": (8, 8, 1)}, r"'b' has images of shape \(8, 8, 1\) and net 'a' has \(6, 5, 1\)"),
        ({"name": "a"}, r"2 nets of a peer group are named 'a'"),
    ],
)
def test_nets_that_do_not_fit_together_are_named(changes, message):
    first = nets.classifier(tf.identity, "a")
    with pytest.raises(InputError, match=message):
        PeerGroup((first, nets.classifier(tf.identity, **{"name": "b", **changes})))


def test_a_group_of_none_is_refused():
    with pytest.raises(InputError, match="at least one net"):
        PeerGroup(())

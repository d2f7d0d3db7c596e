from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from models import training
from models.errors import InputError
from pipeline.retrain import lessons
from pipeline.retrain.pairs import selective
from pipeline.retrain.pairs.selective import Selective
from pipeline.retrain.recipe import STREAMS, Moment
from pipeline.retrain.settings import Retraining
from tests.pipeline.retrain.pairs import tiny


def test_the_volatility_of_a_dense_unit_by_hand():
    """Two pairs, three units: the largest difference of absolute values, whichever pair it is of."""
    originals = np.array([[1.0, -2.0, 0.0], [0.5, 1.0, 3.0]])
    twins = np.array([[-1.0, 2.5, 0.1], [2.0, 1.0, 2.8]])
    np.testing.assert_allclose(selective.volatility(twins, originals), [1.5, 0.5, 0.2])


def test_the_volatility_of_a_filter_is_that_of_its_maps_norm():
    """A map of 3 and 4 has norm 5; one of 5 and 12 has 13: moving a map's parts about is no change."""
    originals = np.zeros((1, 2, 1, 2))
    originals[0, :, 0, 0], originals[0, :, 0, 1] = [3.0, 4.0], [3.0, 4.0]
    twins = np.zeros((1, 2, 1, 2))
    twins[0, :, 0, 0], twins[0, :, 0, 1] = [4.0, -3.0], [5.0, 12.0]
    np.testing.assert_allclose(selective.volatility(twins, originals), [0.0, 8.0])


def _volatile(model: tf.keras.Model, name: str) -> np.ndarray:
    cut = selective.cuts.cut(model, name, "layer")
    return selective.volatility(*(selective.activity(cut, images) for images in tiny.PAIRED[:2]))


def _chosen(recipe: Selective, step: int, model: tf.keras.Model | None = None) -> np.ndarray:
    masks = tiny.lesson(recipe, model or tiny.net()).learns(tiny.moment(step))
    given = [mask.numpy() for mask in masks if mask is not None]
    assert len(given) == 2 and np.array_equal(*given)  # of the kernel and of the bias
    return given[0]


def test_on_twins_the_most_the_least_or_any_units_learn_and_on_originals_all():
    order = np.argsort(-_volatile(tiny.net(), "#2"))
    assert set(np.flatnonzero(_chosen(Selective(p=0.5), 0))) == set(order[:3])
    assert set(np.flatnonzero(_chosen(Selective(p=0.5, units="least"), 0))) == set(order[3:])
    assert _chosen(Selective(p=0.5, units="random"), 0).sum() == 3
    for units in ("most", "least", "random"):
        assert _chosen(Selective(p=0.5, units=units), 1).all()


def test_p_rises_over_the_training():
    counts = [_chosen(Selective(p=0.2, alpha=2.0), step).sum() for step in (0, 10, 20, 38)]
    expected = [round(6 * (0.2 + 0.8 * (1 - np.exp(-2.0 * step / 40)))) for step in (0, 10, 20, 38)]
    assert counts == expected == sorted(expected) and expected[0] < expected[-1]
    assert _chosen(Selective(p=0.0), 0).sum() == 0 and _chosen(Selective(p=1.0), 0).all()


def test_a_convolutions_filters_are_its_units():
    model = tiny.net(convolution=True)
    order = np.argsort(-_volatile(model, "#1"))
    assert np.flatnonzero(_chosen(Selective(layer="#1", p=0.25), 0, model)).tolist() == [order[0]]


def _taught(count: int) -> tuple[list[list[np.ndarray]], np.ndarray]:
    """Returns the weights after each step, and the units that are chosen."""
    strategy, weights = tf.distribute.OneDeviceStrategy("/CPU:0"), []
    with strategy.scope():
        model = tiny.net()
        taught = tiny.lesson(Selective(p=0.5), model)
    stream = tf.data.Dataset.zip((tf.data.Dataset.from_tensors(tiny.batch()).repeat(), taught.stream))

    def at(step: tf.Tensor) -> Moment:
        return Moment(tf.cast(step, tf.float32) / 40.0, tf.stack([tf.constant(3), STREAMS * step]))

    training.fit(
        model,
        stream,
        lambda net, element, step: taught.loss(net, *element, at(step)),
        1,
        count,
        0.05,
        strategy,
        lambda *_: weights.append(model.get_weights()),
        lambda step: taught.learns(at(step)),
    )
    return weights, taught.learns(tiny.moment(0))[2].numpy()


@pytest.mark.slow
def test_in_steps_on_twins_the_weights_of_other_units_stay_to_the_bit_and_all_else_moves():
    weights, chosen = _taught(6)
    assert chosen.sum() == 3
    for step in range(1, 5):
        moved = [before != after for before, after in zip(weights[step - 1], weights[step], strict=True)]
        kernel, bias = moved[2], moved[3]
        assert kernel[:, chosen].any(axis=0).all() and bias[chosen].all()
        if step % 2 == 0:
            assert not kernel[:, ~chosen].any() and not bias[~chosen].any()
        else:
            assert kernel[:, ~chosen].any(axis=0).all() and bias[~chosen].all()
        assert all(other.any() for place, other in enumerate(moved) if place not in (2, 3))


def test_steps_take_twins_and_their_originals_by_turns():
    model = tiny.net()
    taught = tiny.lesson(Selective(), model)
    given = tiny.extra(taught)
    for step, images in ((0, given[0]), (1, given[1])):
        expected = tf.keras.losses.sparse_categorical_crossentropy(given[2], model(tf.cast(images, tf.float32) / 255.0))
        np.testing.assert_allclose(tiny.loss(taught, model, step, given), np.mean(expected), rtol=1e-5)


def test_the_curve_tells_when_the_twins_were_learned():
    model = tiny.net()
    taught = tiny.lesson(Selective(), model)
    tiny.loss(taught, model, 0)
    right = model(tiny.PAIRED.twins / 255.0).numpy().argmax(axis=1) == tiny.PAIRED.labels
    told = taught.notes()
    assert told["held_in_accuracy"][:2] == [round(float(right.mean()), 4), -1.0] and len(told["held_in_accuracy"]) == 40
    assert told["steps_to_95"] is None and told["every"] == 1
    upper = model.layers[-1]
    upper.kernel.assign(tf.zeros_like(upper.kernel))
    taught._curve._labels = tf.zeros_like(taught._curve._labels)  # the class that such a net gives
    for step in (5, 9):
        tiny.loss(taught, model, step)
    assert taught.notes()["steps_to_95"] == 5


@pytest.mark.parametrize(("layer", "told"), [("input", "has no weights"), ("flat", "has no weights"), ("#9", "'#9'")])
def test_a_layer_without_units_that_learn_is_one_sentence(layer, told):
    with pytest.raises(InputError, match=told):
        tiny.lesson(Selective(layer=layer), tiny.net())


@pytest.mark.slow
def test_equal_arguments_give_equal_weights():
    made = []
    for _ in range(2):
        strategy = tf.distribute.OneDeviceStrategy("/CPU:0")
        with strategy.scope():
            model = tiny.net()
        how = Retraining(epochs=2, batch_size=tiny.BATCH)
        told = lessons.teach(model, Selective(), how, tiny.SEEDS, tiny.PAIRED, {}, 0, strategy).notes()
        assert -1.0 not in told["held_in_accuracy"] and len(told["held_in_accuracy"]) == 6
        made.append(model.get_weights())
    assert all(np.array_equal(one, other) for one, other in zip(*made, strict=True))

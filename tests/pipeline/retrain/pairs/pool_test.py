from __future__ import annotations

import re

import numpy as np
import pytest
import tensorflow as tf

from models import kernels
from models.errors import InputError
from pipeline.retrain.pairs import layers, twins
from pipeline.retrain.pairs.pool import Pool
from tests.pipeline.retrain.pairs import tiny

EVERY = ("input", "#1", "#2")


def _rms(changes: np.ndarray) -> np.ndarray:
    return np.sqrt(np.mean(np.square(changes.reshape(len(changes), -1)), axis=1))


def _twins(name: str, radius: float = 0.2, steps: int = 8, seed: int = 0, model: tf.keras.Model | None = None) -> tuple:
    cut = layers.cut(model or tiny.net(), name, "layers")
    outputs = cut.below(tf.constant(tiny.IMAGES / 255.0, tf.float32))
    labels = tf.argmax(cut.above(outputs, False), axis=1, output_type=tf.int32)
    found = twins.found(cut.above, outputs, labels, radius, steps, name == "input", tf.constant([seed, 0]))
    return cut, outputs.numpy(), labels.numpy(), found.numpy()


@pytest.mark.parametrize("name", EVERY)
def test_twins_stay_within_their_distortion_and_images_within_their_range(name):
    _, outputs, _, found = _twins(name)
    sizes = _rms(found - outputs)
    assert sizes.max() <= 0.2 * (1 + 1e-5) and sizes.min() > 0.05
    if name == "input":
        assert found.min() >= 0.0 and found.max() <= 1.0


@pytest.mark.parametrize("name", EVERY)
def test_twins_are_worse_than_noise_of_their_size_for_the_net_as_it_is(name):
    cut, outputs, labels, found = _twins(name)
    noise = np.random.default_rng(0).normal(size=outputs.shape)
    noise *= (_rms(found - outputs) / _rms(noise)).reshape(-1, *[1] * (outputs.ndim - 1))

    def right(moved: np.ndarray) -> np.ndarray:
        return cut.above(tf.constant(moved, tf.float32), False).numpy()[np.arange(len(labels)), labels]

    assert (right(found) < right(outputs + noise)).mean() > 0.9
    assert right(found).mean() < right(outputs).mean() - 0.02


def test_twins_are_a_function_of_their_seed_and_of_the_net():
    assert np.array_equal(_twins("#1")[3], _twins("#1")[3])
    assert not np.array_equal(_twins("#1")[3], _twins("#1", seed=1)[3])
    other = tiny.net()
    other.get_layer("upper").kernel.assign(-other.get_layer("upper").kernel)
    assert not np.allclose(_twins("#1")[3], _twins("#1", model=other)[3], atol=0.1)


@pytest.mark.parametrize(("replaced", "count"), [(0.25, 3), (1.0, 12)])
def test_a_step_replaces_its_part_of_a_pool_and_leaves_the_rest(replaced, count):
    model = tiny.net()
    taught = tiny.start(model)._replace(batch=12)
    pools = Pool(layers=("input", "#1"), size=12, replaced=replaced, eps=0.3).lesson(taught)
    batch = {"image": tf.constant(tiny.IMAGES[:12]), "label": tf.constant(tiny.LABELS[:12])}
    changed_rows = []
    for step in range(4):
        before = [pool.outputs.numpy() for pool in pools.pools]
        pools.loss(model, batch, None, tiny.moment(step))
        for old, pool in zip(before, pools.pools, strict=True):
            changed = (old != pool.outputs.numpy()).reshape(12, -1).any(axis=1)
            assert changed.sum() == count
            changed_rows.append(tuple(np.flatnonzero(changed)))
    assert count == 12 or len(set(changed_rows)) > 1  # not always the same part


def test_what_is_put_into_a_pool_is_twins_of_the_batch_with_its_labels():
    model = tiny.net()
    pools = tiny.lesson(Pool(size=8, replaced=0.5, eps=0.2), model)
    (pool,) = pools.pools
    before = pool.outputs.numpy()
    tiny.loss(pools, model)
    fresh = np.flatnonzero((before != pool.outputs.numpy()).reshape(8, -1).any(axis=1))
    images = tiny.IMAGES[:4] / 255.0
    for row in fresh:
        sizes = _rms(pool.outputs.numpy()[row][None] - images)
        assert sizes.min() <= 0.2 * (1 + 1e-5)
        assert pool.labels.numpy()[row] == tiny.LABELS[sizes.argmin()]


def test_every_so_many_steps_a_pool_is_attacked_anew():
    model = tiny.net()
    pools = tiny.lesson(Pool(size=8, replaced=1.0, every=3), model)
    fresh = []
    for step in range(7):
        before = pools.pools[0].outputs.numpy()
        tiny.loss(pools, model, step)
        fresh.append(bool((before != pools.pools[0].outputs.numpy()).any()))
    assert fresh == [True, False, False, True, False, False, True]


@pytest.mark.parametrize(("name", "trained"), [("input", 6), ("#1", 4), ("#2", 2)])
def test_a_layers_pool_trains_only_the_part_of_the_net_above_it(name, trained):
    model = tiny.net()
    (pool,) = tiny.lesson(Pool(layers=(name,), size=8, replaced=0.5), model).pools
    with tf.GradientTape() as tape:
        pool.replace(
            tf.constant(tiny.IMAGES[:8] / 255.0, tf.float32), tf.constant(tiny.LABELS[:8]), tf.constant([0, 0])
        )
        loss = tf.reduce_mean(pool.losses(4, tf.constant([0, 0])))
    gradients = tape.gradient(loss, model.trainable_variables)
    assert [gradient is not None for gradient in gradients] == [False] * (6 - trained) + [True] * trained


def test_a_layers_distortion_is_relative_to_its_activity():
    model = tiny.net()
    for scale in (1.0, 8.0):
        model.get_layer("lower").kernel.assign(scale * model.get_layer("lower").kernel)
        (pool,) = tiny.lesson(Pool(layers=("#1",), size=8, replaced=1.0, relative_eps=0.5), model).pools
        images = tf.constant(tiny.IMAGES[:8] / 255.0, tf.float32)
        outputs = layers.cut(model, "#1", "layers").below(images).numpy()
        pool.replace(images, tf.constant(tiny.LABELS[:8]), tf.constant([0, 0]))
        apart = np.stack([_rms(pool.outputs.numpy() - own) for own in outputs]).min(axis=0)
        radius = 0.5 * np.sqrt(np.mean(np.square(outputs)))
        assert 0.5 * radius < apart.max() <= radius * (1 + 1e-5)


def test_the_loss_is_the_mean_of_the_images_and_of_what_is_drawn():
    """With no share replaced but one example, and a distortion of almost 0, all losses are those of originals."""
    model = tiny.net()
    recipe = Pool(size=8, replaced=0.125, share=0.5, eps=1e-6)
    taught = tiny.lesson(recipe, model)
    loss = tiny.loss(taught, model)
    drawn = taught.pools[0].losses(4, tiny.moment(0).seed + [0, 1])
    images = tf.constant(tiny.IMAGES[:8] / 255.0, tf.float32)
    own = tf.keras.losses.sparse_categorical_crossentropy(tiny.LABELS[:8], model(images))
    np.testing.assert_allclose(loss, np.concatenate([own, drawn]).mean(), rtol=1e-4)


def test_the_cost_counts_what_is_drawn_from_each_pool_and_the_steps_of_attacks():
    recipe = Pool(layers=EVERY, size=8, replaced=0.25, share=0.5, steps=6, every=3)
    assert recipe.cost(8) == (8 + 3 * 4, 3 * 2 * 6 // 3)


@pytest.mark.slow
def test_a_step_is_the_same_where_xla_compiles_it():
    values = []
    for compile_it in (False, True):
        model = tiny.net()
        pools = tiny.lesson(Pool(layers=EVERY, size=8, replaced=0.5), model)

        def step(pools=pools, model=model) -> tf.Tensor:
            return tiny.loss(pools, model)

        values.append((kernels.cluster(step)() if compile_it else step(), [p.outputs.numpy() for p in pools.pools]))
    np.testing.assert_allclose(values[0][0], values[1][0], rtol=1e-4)
    for plain, compiled in zip(values[0][1], values[1][1], strict=True):
        np.testing.assert_allclose(plain, compiled, atol=1e-3)


@pytest.mark.parametrize(
    ("recipe", "told"),
    [
        (Pool(layers=("input", "#7")), "layers is '#7'"),
        (Pool(layers=()), "layers is [], expected at least one"),
        (Pool(layers=("input", "input")), "each once"),
        (Pool(size=100, replaced=0.5), "needs 50 images at a time, and a batch has 8"),
    ],
)
def test_a_pool_that_cannot_be_is_one_sentence(recipe, told):
    with pytest.raises(InputError, match=re.escape(told)):
        tiny.lesson(Pool(size=8, layers=recipe.layers) if recipe.size == 512 else recipe, tiny.net())

from __future__ import annotations

import numpy as np
import tensorflow as tf

from pipeline.retrain.garbage import pool
from pipeline.retrain.garbage.pool import Pool

SHAPE = (3, 4, 2)
RNG = np.random.default_rng(0)


def _images(count: int, grey: int) -> np.ndarray:
    return np.full((count, *SHAPE), grey, np.uint8)


def _greys(drawn: tf.Tensor) -> set[int]:
    return set(np.round(drawn.numpy()[:, 0, 0, 0] * 255).astype(int).tolist())


def test_a_compiled_draw_gives_what_was_added_since_and_nothing_else():
    there = Pool(SHAPE, 10)
    draw = tf.function(lambda seed: there.draw(200, seed), jit_compile=True)
    there.add(_images(2, 51))
    assert _greys(draw(tf.constant([0, 0]))) == {51}
    there.add(_images(1, 102))
    there.add(_images(3, 204))
    assert len(there) == 6
    assert _greys(draw(tf.constant([0, 0]))) == {51, 102, 204}
    np.testing.assert_array_equal(there.images[:, 0, 0, 0], np.float32([51, 51, 102, 204, 204, 204]) / np.float32(255))


def test_every_image_is_drawn_alike_often_and_by_the_seed_alone():
    there = Pool(SHAPE, 4)
    there.add(np.stack([_images(1, 60 * place)[0] for place in range(4)]))
    first, again, other = (there.draw(4000, tf.constant([seed, 0])).numpy() for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    _, counts = np.unique(first[:, 0, 0, 0], return_counts=True)
    assert len(counts) == 4 and all(880 < count < 1120 for count in counts)  # four standard deviations


def test_permuted_images_have_the_pixels_of_theirs_in_orders_of_their_own():
    images = RNG.random((5, *SHAPE), np.float32)
    moved = tf.function(pool.permuted, jit_compile=True)(tf.constant(images), tf.constant([0, 1])).numpy()
    orders = []
    for before, after in zip(images.reshape(5, 12, 2), moved.reshape(5, 12, 2), strict=True):
        order = [np.flatnonzero((before == pixel).all(axis=1)).item() for pixel in after]  # channels stay together
        assert sorted(order) == list(range(12))
        orders.append(tuple(order))
    assert len(set(orders)) == 5


def test_static_is_uniform_and_another_with_another_seed():
    like = tf.zeros([50, *SHAPE])
    first, other = (pool.static(like, tf.constant([seed, 0])).numpy() for seed in (1, 2))
    assert first.shape == (50, *SHAPE) and 0.0 <= first.min() < 0.01 < 0.99 < first.max() < 1.0
    assert abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]) < 0.12

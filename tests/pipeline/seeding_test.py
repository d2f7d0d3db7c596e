from __future__ import annotations

import hashlib

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import seeding

# From kat_vectors of Random123, the authors' own library: counter, key, words.
KNOWN_ANSWERS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]
RUN_SEED = 0xC0FFEE42
uint32 = st.integers(0, 2**32 - 1)


def _words(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


def _trials(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    numbers = np.random.default_rng(3)
    words = numbers.integers(0, 2**32, (count, 2), np.uint32)
    return words, numbers.integers(0, 5, count).astype(np.int32), numbers.integers(0, 10**6, count).astype(np.int32)


def _draws_tf(run_seed: int, words, stream, step, count: int, compiled: bool) -> np.ndarray:
    function = tf.function(seeding.draws_tf, jit_compile=True) if compiled else seeding.draws_tf
    arguments = tf.constant(words), tf.constant(stream), tf.constant(step)
    return function(tf.constant(run_seed, tf.uint32), *arguments, count).numpy()


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN_ANSWERS)
def test_philox_gives_the_published_words(counter, key, words):
    answer = seeding.philox(_words(key), _words(counter))
    assert answer.dtype == np.uint32 and answer.tolist() == _words(words)


@pytest.mark.parametrize("compiled", [False, True])
def test_philox_in_tensorflow_gives_the_published_words(compiled):
    function = tf.function(seeding.philox_tf, jit_compile=True) if compiled else seeding.philox_tf
    counters, keys, words = (np.array([_words(row[place]) for row in KNOWN_ANSWERS], np.uint32) for place in range(3))
    answer = function([tf.constant(column) for column in keys.T], [tf.constant(column) for column in counters.T])
    np.testing.assert_array_equal(np.stack(answer, axis=-1), words)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.tuples(uint32, uint32), st.tuples(*[uint32] * 4))
def test_numpy_and_tensorflow_give_the_same_words(key, counter):
    tensors = [[tf.constant([word], tf.uint32) for word in words] for words in (key, counter)]
    words = tf.concat(seeding.philox_tf(*tensors), axis=0)
    np.testing.assert_array_equal(words, seeding.philox(list(key), list(counter)))


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("count", [1, 4, 6])
def test_numpy_and_tensorflow_draw_the_same_numbers_bit_for_bit(compiled, count):
    trials = _trials(33)
    drawn = _draws_tf(RUN_SEED, *trials, count, compiled)
    assert drawn.dtype == np.float32 and drawn.shape == (33, count)
    np.testing.assert_array_equal(drawn.astype(np.float64), seeding.draws(RUN_SEED, *trials, count))


def test_a_row_alone_equals_the_row_in_a_batch():
    trials = _trials(9)
    together = seeding.draws(RUN_SEED, *trials, 6)
    for row in range(9):
        alone = seeding.draws(RUN_SEED, *(array[row : row + 1] for array in trials), 6)
        np.testing.assert_array_equal(alone[0], together[row])


def test_the_order_of_rows_does_not_matter():
    trials, order = _trials(9), np.random.default_rng(1).permutation(9)
    moved = seeding.draws(RUN_SEED, *(array[order] for array in trials), 6)
    np.testing.assert_array_equal(moved, seeding.draws(RUN_SEED, *trials, 6)[order])


def test_fewer_numbers_are_the_first_of_more():
    trials = _trials(9)
    np.testing.assert_array_equal(seeding.draws(RUN_SEED, *trials, 5), seeding.draws(RUN_SEED, *trials, 9)[:, :5])


@pytest.mark.parametrize("changed", ["run_seed", "first_word", "second_word", "stream", "step"])
def test_any_other_argument_draws_other_numbers(changed):
    words, stream, step = _trials(9)
    before = seeding.draws(RUN_SEED, words, stream, step, 6)
    words = words + np.uint32([changed == "first_word", changed == "second_word"])
    after = seeding.draws(
        RUN_SEED + (changed == "run_seed"), words, stream + (changed == "stream"), step + (changed == "step"), 6
    )
    assert (before != after).all()


def test_the_numbers_of_a_step_differ_among_themselves():
    drawn = seeding.draws(RUN_SEED, *_trials(9), 12)
    assert len(np.unique(drawn)) == drawn.size


def test_uniform_numbers_are_from_0_to_below_1_in_both():
    words = np.array([0, 255, 256, 2**31, 2**32 - 1], np.uint32)
    expected = np.array([0.0, 0.0, 2.0**-24, 0.5, 1 - 2.0**-24])
    np.testing.assert_array_equal(seeding.uniform(words), expected)
    np.testing.assert_array_equal(seeding.uniform_tf(tf.constant(words)).numpy().astype(np.float64), expected)


def test_uniform_numbers_fill_the_interval_evenly():
    words, stream = np.zeros((4000, 2), np.uint32), np.zeros(4000, np.int32)
    drawn = seeding.draws(RUN_SEED, words, stream, np.arange(4000), 6)
    counts = np.histogram(drawn, bins=10, range=(0, 1))[0]
    assert counts.sum() == drawn.size and np.abs(counts / drawn.size - 0.1).max() < 0.01


def test_no_step_draws_no_numbers():
    assert seeding.draws(RUN_SEED, *_trials(0), 6).shape == (0, 6)


def test_a_seed_key_is_the_start_of_a_sha_256():
    data = hashlib.sha256(b"mnist-train.tfrecord-00000-of-00001__7").digest()
    expected = (int.from_bytes(data[:4], "little"), int.from_bytes(data[4:8], "little"))
    assert seeding.seed_key("mnist-train.tfrecord-00000-of-00001__7") == expected


def test_a_run_id_has_a_run_seed_of_its_own_within_uint32():
    expected = int.from_bytes(hashlib.sha256(b"nightly-2026-01-01").digest()[:4], "little")
    assert seeding.derived_run_seed("nightly-2026-01-01") == expected < 2**32
    assert seeding.derived_run_seed("nightly-2026-01-02") != expected

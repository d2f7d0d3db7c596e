"""Counter-based random numbers: Philox-4x32-10, the same bits from NumPy and from a compiled TensorFlow graph.

A value is a function of (run seed, seed id, counter) and of nothing else, so that a result does not depend on
batch, lane, order, worker or retry. Source: Salmon, Moraes, Dror, Shaw, "Parallel Random Numbers: As Easy as
1, 2, 3" (SC 2011).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
_UNIT = 2.0**-24

Multiply = Callable[[Any, int], tuple[Any, Any]]


def seed_key(seed_id: str) -> tuple[int, int]:
    """Returns the two uint32 words that stand for a seed image in keys and counters (the start of a SHA-256)."""
    words = np.frombuffer(hashlib.sha256(seed_id.encode()).digest()[:8], dtype="<u4")
    return int(words[0]), int(words[1])


def derived_run_seed(run_id: str) -> int:
    """Returns the run seed, uint32, that stands for a run id (the start of a SHA-256)."""
    return int.from_bytes(hashlib.sha256(run_id.encode()).digest()[:4], "little")


def _multiply_numpy(word: np.ndarray, multiplier: int) -> tuple[np.ndarray, np.ndarray]:
    product = word.astype(np.uint64) * np.uint64(multiplier)
    return (product >> np.uint64(32)).astype(np.uint32), product.astype(np.uint32)


def _multiply_tf(word: tf.Tensor, multiplier: int) -> tuple[tf.Tensor, tf.Tensor]:
    product = tf.cast(word, tf.uint64) * tf.constant(multiplier, tf.uint64)
    high = tf.bitwise.right_shift(product, tf.constant(32, tf.uint64))
    return tf.cast(high, tf.uint32), tf.cast(product, tf.uint32)


def _rounds(key: list[Any], counter: list[Any], multiply: Multiply, uint32: Callable[[int], Any]) -> list[Any]:
    for step in range(_ROUNDS):
        keys = [word + uint32(step * weyl & 0xFFFFFFFF) for word, weyl in zip(key, _KEY_STEPS, strict=True)]
        high0, low0 = multiply(counter[0], _MULTIPLIERS[0])
        high1, low1 = multiply(counter[2], _MULTIPLIERS[1])
        counter = [high1 ^ counter[1] ^ keys[0], low1, high0 ^ counter[3] ^ keys[1], low0]
    return counter


def philox(key: list[Any], counter: list[Any]) -> np.ndarray:
    """Returns Philox-4x32-10 words.

    Args:
      key: two uint32 words, scalars or arrays that broadcast.
      counter: four uint32 words, likewise.

    Returns:
      uint32 `[..., 4]`.
    """
    keys, counters = [np.broadcast_arrays(*(np.asarray(word, np.uint32) for word in words)) for words in (key, counter)]
    with np.errstate(over="ignore"):
        return np.stack(np.broadcast_arrays(*_rounds(list(keys), list(counters), _multiply_numpy, np.uint32)), axis=-1)


def philox_tf(key: list[tf.Tensor], counter: list[tf.Tensor]) -> list[tf.Tensor]:
    """`philox` on uint32 tensors of equal shape, made of operations that XLA compiles for every device.

    Returns:
      The four words apart, each of that shape: XLA works out all of them anew wherever one is put beside another.
    """
    return _rounds(key, counter, _multiply_tf, lambda word: tf.constant(word, tf.uint32))


def uniform(words: np.ndarray) -> np.ndarray:
    """Returns float64 in [0, 1), multiples of 2**-24, so that float32 and float64 hold the same number."""
    return (words >> np.uint32(8)) * _UNIT


def uniform_tf(words: tf.Tensor) -> tf.Tensor:
    """`uniform` as float32."""
    return tf.cast(tf.cast(tf.bitwise.right_shift(words, tf.constant(8, tf.uint32)), tf.int32), tf.float32) * _UNIT


def _counters(step: Any, stream: Any, seed_high: Any, blocks: Any) -> list[Any]:
    return [step[..., None], blocks, stream[..., None], seed_high[..., None]]


def draws(run_seed: int, seed_words: np.ndarray, stream: np.ndarray, step: np.ndarray, count: int) -> np.ndarray:
    """Returns the `count` uniform numbers that belong to a step of a trial.

    Args:
      run_seed: uint32.
      seed_words: uint32 `[B, 2]`, from `seed_key`.
      stream: `[B]`, tells the trials of one seed image apart (the target net's place in its group).
      step: `[B]`, the number of the candidate within its trial.
      count: how many numbers.

    Returns:
      float64 `[B, count]` in [0, 1).
    """
    seed_words, stream, step = (np.asarray(array).astype(np.uint32) for array in (seed_words, stream, step))
    blocks = np.arange(-(-count // 4), dtype=np.uint32)
    words = philox(
        [np.uint32(run_seed), seed_words[:, 0, None]], list(_counters(step, stream, seed_words[:, 1], blocks))
    )
    return uniform(words.reshape(len(step), 4 * len(blocks))[:, :count])


def words_tf(
    run_seed: tf.Tensor, seed_words: tf.Tensor, stream: tf.Tensor, step: tf.Tensor, blocks: tf.Tensor
) -> list[tf.Tensor]:
    """Returns the random words of a step, of which `draws_tf` makes numbers; see there, and `philox_tf`.

    Args:
      run_seed: uint32 scalar.
      seed_words: uint32 `[L, 2]`.
      stream: int32 `[L]`.
      step: int32 `[L]`.
      blocks: int32 `[N]`, at least 0; numbers 4 i to 4 i + 3 of a step are block i.

    Returns:
      Four uint32 `[L, N]`.
    """
    shape = [step.shape[0], blocks.shape[0]]
    counter = _counters(
        tf.cast(step, tf.uint32), tf.cast(stream, tf.uint32), seed_words[:, 1], tf.cast(blocks, tf.uint32)
    )
    key = [run_seed, seed_words[:, 0, None]]
    return philox_tf([tf.broadcast_to(word, shape) for word in key], [tf.broadcast_to(word, shape) for word in counter])


def draws_tf(run_seed: tf.Tensor, seed_words: tf.Tensor, stream: tf.Tensor, step: tf.Tensor, count: int) -> tf.Tensor:
    """`draws` in a graph: uint32 scalar, `[L, 2]`, int32 `[L]`, int32 `[L]` -> float32 `[L, count]`, equal numbers."""
    words = tf.stack(words_tf(run_seed, seed_words, stream, step, tf.range(-(-count // 4))), axis=-1)
    return uniform_tf(tf.reshape(words, [step.shape[0], -1])[:, :count])

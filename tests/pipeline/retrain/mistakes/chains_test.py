from __future__ import annotations

import numpy as np
import tensorflow as tf

from pipeline.operators.affine import Affine
from pipeline.retrain.mistakes import chains
from pipeline.retrain.mistakes.chains import Chains

OPERATOR = Affine(rotation_degrees=20.0)
IMAGES = np.random.default_rng(0).integers(0, 256, (6, 9, 9, 1), np.uint8)


def _apply(drawn: Chains, rows: list[int]) -> np.ndarray:
    return chains.apply(OPERATOR, OPERATOR.sources(IMAGES), tf.constant(rows), drawn).numpy()


def test_chains_are_applied_as_they_are_rendered():
    drawn = chains.random(OPERATOR, 6, 4, tf.constant([3, 1]))
    made = _apply(drawn, list(range(6)))
    numbers = zip(drawn.numbers.numpy(), drawn.lengths.numpy(), strict=True)
    moves = [OPERATOR.parameters(row[:length].astype(np.float64), 9, 9) for row, length in numbers]
    assert np.abs(made * 255.0 - OPERATOR.render(IMAGES, moves)).max() <= 1.0


def test_what_comes_behind_a_chains_end_changes_nothing_and_a_row_alone_is_a_row_in_company():
    drawn = chains.random(OPERATOR, 6, 4, tf.constant([3, 1]))
    lengths = np.array([1, 2, 3, 4, 0, 1], np.int32)
    other = np.where(np.arange(4)[None, :, None] < lengths[:, None, None], drawn.numbers.numpy(), 0.9).astype(
        np.float32
    )
    together = _apply(Chains(drawn.numbers, lengths), list(range(6)))
    np.testing.assert_array_equal(together, _apply(Chains(other, lengths), list(range(6))))
    for row in range(6):
        alone = Chains(drawn.numbers[row : row + 1], lengths[row : row + 1])
        np.testing.assert_array_equal(_apply(alone, [row])[0], together[row])
    np.testing.assert_array_equal(np.rint(together[4] * 255.0), IMAGES[4])  # no move


def test_random_chains_have_every_length_and_are_a_function_of_the_seed():
    drawn = chains.random(OPERATOR, 2000, 5, tf.constant([0, 4]))
    assert set(drawn.lengths.numpy()) == {1, 2, 3, 4, 5}
    assert 0.0 <= drawn.numbers.numpy().min() < 0.01 and 0.99 < drawn.numbers.numpy().max() < 1.0
    again, other = (chains.random(OPERATOR, 2000, 5, tf.constant(seed)) for seed in ([0, 4], [0, 8]))
    np.testing.assert_array_equal(drawn.numbers, again.numbers)
    assert not np.array_equal(drawn.numbers, other.numbers)

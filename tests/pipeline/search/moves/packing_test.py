from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from pipeline.search.moves.packing import Packing


class _Rows(NamedTuple):
    numbers: np.ndarray
    pose: dict[str, np.ndarray]
    flags: np.ndarray
    images: np.ndarray


def _rows(count: int) -> _Rows:
    random = np.random.default_rng(3)
    pose = {"words": random.integers(0, 2**32, (count, 2), np.uint32), "shift": random.random(count, np.float32)}
    flags, numbers = random.random(count) < 0.5, np.arange(count, dtype=np.int32)
    return _Rows(numbers, pose, flags, random.random((count, 2, 3, 1), np.float32))


@pytest.mark.parametrize("count", [0, 1, 5])
@pytest.mark.parametrize("by", ["NumPy", "a graph"])
def test_what_is_packed_is_unpacked_bit_for_bit(count, by):
    rows = _rows(count)
    packing = Packing(rows)
    compiled = tf.function(lambda given: packing.unpack(packing.pack(given)), jit_compile=True)
    found = packing.unpack(packing.pack(rows)) if by == "NumPy" else compiled(rows)
    tf.nest.map_structure(np.testing.assert_array_equal, found, rows)


def test_there_is_one_matrix_for_each_type_and_rows_stay_rows():
    rows = _rows(5)
    packed = Packing(rows).pack(rows)
    assert {name: matrix.shape for name, matrix in packed.items()} == {
        "int32": (5, 1),
        "uint32": (5, 2),
        "float32": (5, 7),
        "bool": (5, 1),
    }
    some = Packing(rows).unpack({name: matrix[[3, 1]] for name, matrix in packed.items()})
    tf.nest.map_structure(lambda one, all_: np.testing.assert_array_equal(one, all_[[3, 1]]), some, rows)


def test_zeros_are_rows_of_zeros():
    rows = _rows(5)
    tf.nest.map_structure(
        lambda zero, like: np.testing.assert_array_equal(zero, np.zeros_like(like[:2])),
        Packing(rows).unpack(Packing(rows).zeros(2)),
        rows,
    )

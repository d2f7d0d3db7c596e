"""Rows of many fields as one matrix for each type: few arrays to pick rows of, and to hand over to a graph."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

Packed = dict[str, Any]  # name of a type -> `[R, F]`


class Packing:
    """How structures like one are packed.

    Args:
      like: a structure of `[R, ...]` tensors or arrays.
    """

    def __init__(self, like: Any):
        self._structure = tf.nest.map_structure(lambda field: 0, like)
        self._fields: list[tuple[str, list[int], int]] = []  # each field's type, shape of a row, and first column
        self._widths: dict[str, int] = {}
        for field in tf.nest.flatten(like):
            name, shape = tf.as_dtype(field.dtype).name, [int(side) for side in field.shape[1:]]
            self._fields.append((name, shape, self._widths.get(name, 0)))
            self._widths[name] = self._widths.get(name, 0) + math.prod(shape)

    def zeros(self, rows: int) -> Packed:
        """Returns so many rows of zeros, in NumPy."""
        return {name: np.zeros((rows, width), name) for name, width in self._widths.items()}

    def pack(self, structure: Any) -> Packed:
        """Packs a structure of `[R, ...]` tensors, in a graph, or of arrays."""
        columns: dict[str, list[Any]] = {name: [] for name in self._widths}
        fields = tf.nest.flatten(structure)
        library = np if isinstance(fields[0], np.ndarray) else tf
        for field, (name, shape, _) in zip(fields, self._fields, strict=True):
            columns[name].append(library.reshape(field, [field.shape[0], math.prod(shape)]))
        return {name: library.concat(parts, axis=1) for name, parts in columns.items()}

    def unpack(self, packed: Packed) -> Any:
        """Returns the structure of packed rows, tensors or arrays."""
        flat = []
        for name, shape, first in self._fields:
            matrix = packed[name]
            library = np if isinstance(matrix, np.ndarray) else tf
            part = matrix[:, first : first + math.prod(shape)]
            flat.append(library.reshape(part, [matrix.shape[0], *shape]))
        return tf.nest.pack_sequence_as(self._structure, flat)

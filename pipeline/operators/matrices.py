"""What operators have in common whose moves are sampling matrices; see `warp`."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from etils import epy

from pipeline.operators import warp
from pipeline.operators.warp import Entries

with epy.lazy_imports():  # see `warp`
    import numpy as np
    import tensorflow as tf


class MatrixMoves(abc.ABC):
    """The part of an operator that draws and composes: a pose is a sampling matrix; see `operator.Operator`."""

    parameter_names: ClassVar[Sequence[str]]
    composed_shapes: ClassVar[Mapping[str, tuple[int, ...]]] = {"composed_matrix": (2, 3)}
    has_gradient: ClassVar[bool] = True

    @abc.abstractmethod
    def columns(self, uniform: Any, xp: Any) -> list[Any]:
        """Returns the parameters, P times `[B]`, drawn by uniform numbers `[B, P]`; `xp` is NumPy or TensorFlow."""

    @abc.abstractmethod
    def entries(self, columns: Sequence[Any], height: int, width: int, xp: Any) -> list[Any]:
        """Returns the sampling matrices of moves, six entries `[B]`, from their parameters."""

    def identity(self, lanes: int, sources: tf.Tensor) -> Entries:
        """Returns the sampling matrices that leave images as they are."""
        return [tf.fill([lanes], tf.constant(entry, tf.float32)) for row in warp.IDENTITY for entry in row]

    def then(self, pose: Entries, uniform: tf.Tensor, sources: tf.Tensor) -> Entries:
        """Returns the sampling matrices after one more move."""
        height, width = (side - 2 * warp.BORDER for side in sources.shape[1:3])
        return warp.compose_entries(pose, self.entries(self.columns(uniform, tf), height, width, tf))

    def parameters(self, uniform: np.ndarray, height: int, width: int) -> np.ndarray:
        """Returns the moves, float64 `[M, P]`, the same on images of every size."""
        return np.stack(self.columns(uniform, np), axis=-1).reshape(len(uniform), len(self.parameter_names))

    def matrices(self, parameters: np.ndarray, height: int, width: int) -> np.ndarray:
        """Returns the sampling matrix of each move, float64 `[M, 2, 3]`."""
        columns = [np.asarray(column, np.float64) for column in np.asarray(parameters).T]
        return np.stack(self.entries(columns, height, width, np), axis=-1).reshape(-1, 2, 3)

    def composed(self, chains: Sequence[np.ndarray], height: int, width: int) -> dict[str, np.ndarray]:
        """Returns the sampling matrices of all moves of a chain in one."""
        return {"composed_matrix": self.totals(chains, height, width)}

    def totals(self, chains: Sequence[np.ndarray], height: int, width: int) -> np.ndarray:
        """Returns the sampling matrices of all moves of each of B chains in one, float64 `[B, 2, 3]`."""
        moves = np.concatenate([np.zeros((0, len(self.parameter_names))), *chains])
        return warp.compose_each(self.matrices(moves, height, width), [len(chain) for chain in chains])

"""How an image may be changed and still be the same thing: what every operator has.

An operator draws small moves, composes them, and applies them. In a search it does so for many lanes at once, in
float32, with operations that XLA compiles; what is stored is rendered from the record by NumPy in float64, so that
anybody can do it again. A `Pose` is all moves so far in one: any structure of `[L, ...]` tensors, not always a matrix.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

Compose = Literal["matrix", "image"]  # all moves in one on the seed image; or each on what the last one made
Pose = Any  # a structure of `[L, ...]` tensors
_ROUNDING = 1e-9  # so that a move of exactly a limit is within it


class Operator(Protocol):
    """A frozen dataclass whose fields are its ranges, made by `models.settings.setting`.

    Attributes:
      name: in configurations and records.
      parameter_names: what a move is recorded by, P names; P numbers are drawn for it.
      composed_shapes: what is recorded of all moves in one: name of a feature -> its shape; may be empty.
      has_gradient: whether `then` and `apply` have a gradient by the numbers that moves are drawn by.
    """

    name: ClassVar[str]
    parameter_names: ClassVar[Sequence[str]]
    composed_shapes: ClassVar[Mapping[str, tuple[int, ...]]]
    has_gradient: ClassVar[bool]

    def sources(self, images: tf.Tensor) -> tf.Tensor:
        """Returns what `apply` takes, `[S, ...]`, of images `[S, H, W, C]` with values 0 to 255.

        Raises:
          InputError: images of so many channels cannot be changed so.
        """

    def identity(self, lanes: int, sources: tf.Tensor) -> Pose:
        """Returns the pose of L lanes before the first move, on images as `sources`."""

    def then(self, pose: Pose, uniform: tf.Tensor, sources: tf.Tensor) -> Pose:
        """Returns the pose after one more move, drawn by uniform numbers `[L, P]` in [0, 1), on images as `sources`."""

    def apply(self, sources: tf.Tensor, rows: tf.Tensor, pose: Pose) -> tf.Tensor:
        """Returns images, float32 `[L, H, W, C]` on the uint8 grid (0 to 255), of the sources at int32 `rows` `[L]`."""

    def parameters(self, uniform: np.ndarray, height: int, width: int) -> np.ndarray:
        """Returns the moves, float64 `[M, P]`, drawn by uniform numbers float64 `[M, P]`, on images of a size."""

    def render(self, images: np.ndarray, chains: Sequence[np.ndarray]) -> np.ndarray:
        """Applies chains of moves, all moves of a chain in one, with NumPy in float64.

        Args:
          images: uint8 `[B, H, W, C]`.
          chains: B times float64 `[M, P]`; M may be 0, which leaves the image as it is.

        Returns:
          uint8 `[B, H, W, C]`; the same arguments give the same bytes on every machine, whatever the batch.
        """

    def composed(self, chains: Sequence[np.ndarray], height: int, width: int) -> dict[str, np.ndarray]:
        """Returns what is recorded of each of B chains `[M, P]` as a whole, float64 `[B, ...]` of `composed_shapes`."""

    def realistic(self, chain: np.ndarray, height: int, width: int, limits: Any) -> bool:
        """Tells whether all moves of a chain `[M, P]` in one are within `limits`, the section [grade]."""

    def amounts(self, chain: np.ndarray, height: int, width: int) -> dict[str, float]:
        """Returns what all moves of a chain `[M, P]` come to, for people: name -> number; may be empty."""


def all_within(changes: Iterable[tuple[float, float]]) -> bool:
    """Tells of pairs of a change, at least 0, and its limit whether none is beyond."""
    return all(bool(change <= limit + _ROUNDING) for change, limit in changes)

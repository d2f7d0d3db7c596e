"""Moves of natural photographs: the geometric and the photometric part in one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol

from etils import epy

from pipeline.operators import affine, photometric, warp
from pipeline.operators.geometric import Geometric, GeometricRanges
from pipeline.operators.photometric import Photometric, PhotometricRanges
from pipeline.operators.warp import Entries

with epy.lazy_imports():  # see `warp`
    import numpy as np
    import tensorflow as tf


class Limits(affine.Limits, photometric.Limits, Protocol):
    """How far all moves in one may go."""


class PhotoPose(NamedTuple):
    """A geometric and a photometric pose."""

    frame: Entries
    light: list[tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Photo(PhotometricRanges, GeometricRanges):
    """[operator]: a move is a geometric one, then a photometric one.

    See `operator.Operator`. All geometric moves in one come first, then all photometric ones in one, then black beyond
    the image, which stays black whatever the light. Nothing is rounded in between.
    """

    name: ClassVar[str] = "photo"
    parameter_names: ClassVar[Sequence[str]] = (*Geometric.parameter_names, *Photometric.parameter_names)
    composed_shapes: ClassVar[Mapping[str, tuple[int, ...]]] = {
        **Geometric.composed_shapes,
        **Photometric.composed_shapes,
    }
    has_gradient: ClassVar[bool] = True

    @property
    def _frame(self) -> Geometric:
        return Geometric(**_ranges(self, GeometricRanges))

    @property
    def _light(self) -> Photometric:
        return Photometric(**_ranges(self, PhotometricRanges))

    def sources(self, images: tf.Tensor) -> tf.Tensor:
        """Returns the geometric part's; raises InputError as `Photometric.check` does."""
        self._light.check(images.shape[-1])
        return self._frame.sources(images)

    def identity(self, lanes: int, sources: tf.Tensor) -> PhotoPose:
        """Returns both parts' poses before the first move."""
        return PhotoPose(self._frame.identity(lanes, sources), self._light.identity(lanes, sources))

    def then(self, pose: PhotoPose, uniform: tf.Tensor, sources: tf.Tensor) -> PhotoPose:
        """Returns both parts' poses after one more move."""
        framing, lighting = _split(uniform)
        frame = self._frame.then(pose.frame, framing, sources)
        return PhotoPose(frame, self._light.then(pose.light, lighting, sources))

    def apply(self, sources: tf.Tensor, rows: tf.Tensor, pose: PhotoPose) -> tf.Tensor:
        """Samples one source a lane, and lights it."""
        sampled = warp.sample_tf(sources, rows, pose.frame)
        lit = photometric.relight(sampled, photometric.told(pose.light, tf), tf)
        return warp.on_grid(warp.on_black(lit, pose.frame, tf))

    def parameters(self, uniform: np.ndarray, height: int, width: int) -> np.ndarray:
        """Returns the moves, float64 `[M, P]`: the geometric part's parameters, then the photometric part's."""
        framing, lighting = _split(uniform)
        parts = self._frame.parameters(framing, height, width), self._light.parameters(lighting, height, width)
        return np.concatenate(parts, axis=1)

    def render(self, images: np.ndarray, chains: Sequence[np.ndarray]) -> np.ndarray:
        """Samples each image once, by the matrix of its whole chain, and lights it once."""
        frames, lights = self.composed(chains, *images.shape[1:3]).values()
        lit = photometric.relight(warp.sample(images, frames, "edge"), list(lights.T), np)
        return np.rint(warp.on_black(lit, warp.entries_of(frames), np)).astype(np.uint8)

    def composed(self, chains: Sequence[np.ndarray], height: int, width: int) -> dict[str, np.ndarray]:
        """Returns both parts' moves of a chain in one."""
        framings, lightings = zip(*map(_split, chains), strict=True) if chains else ((), ())
        return {**self._frame.composed(framings, height, width), **self._light.composed(lightings, height, width)}

    def amounts(self, chain: np.ndarray, height: int, width: int) -> dict[str, float]:
        """Returns both parts' amounts."""
        framing, lighting = _split(chain)
        return {**self._frame.amounts(framing, height, width), **self._light.amounts(lighting, height, width)}

    def realistic(self, chain: np.ndarray, height: int, width: int, limits: Limits) -> bool:
        """Tells whether both parts are within all limits."""
        framing, lighting = _split(chain)
        framed = self._frame.realistic(framing, height, width, limits)
        return framed and self._light.realistic(lighting, height, width, limits)


def _ranges(operator: Photo, part: type[Any]) -> dict[str, Any]:
    return {field.name: getattr(operator, field.name) for field in dataclasses.fields(part)}


def _split(rows: Any) -> tuple[Any, Any]:
    """Returns the columns of `[B, P]` of the geometric part, and of the photometric one."""
    count = len(Geometric.parameter_names)
    return rows[:, :count], rows[:, count:]

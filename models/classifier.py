"""A trained net as a function, and a group of peer nets as one function."""

from __future__ import annotations

import collections
import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from models import kernels
from models.errors import InputError
from models.footprint import footprint
from models.kernels import XLA, Kernels

_MOST, _HELD = 1024, 2**30  # images that nets are shown at a time, and bytes that each makes of them


@dataclasses.dataclass(frozen=True)
class Classifier:
    """A trained net.

    Attributes:
      name: what messages and records call it.
      predict: from images float32 `[B, H, W, C]` in [0, 1] to probabilities float32 `[B, K]`.
      input_shape: `(H, W, C)`.
      num_classes: K.
      digest: SHA-256, in hexadecimal, of the architecture and the weights.
      source: the path that it came from.
      kernels: those that it is fastest with where it was loaded (`models.kernels`).
    """

    name: str
    predict: Callable[[tf.Tensor], tf.Tensor]
    input_shape: tuple[int, int, int]
    num_classes: int
    digest: str
    source: str
    kernels: Kernels = XLA


@dataclasses.dataclass(frozen=True)
class PeerGroup:
    """Nets that answer together; N is their number, and their order is that of every `[N, ...]` array.

    Attributes:
      classifiers: at least one, with different names, equal input shapes and equal class counts.

    Raises:
      InputError: the classifiers do not fit together.
    """

    classifiers: tuple[Classifier, ...]

    def __post_init__(self) -> None:
        if not self.classifiers:
            raise InputError("A peer group needs at least one net and has none; list its nets.")
        _require_unique(self.names)
        for other in self.classifiers[1:]:
            _require_match(self.classifiers[0], other)

    @property
    def names(self) -> tuple[str, ...]:
        """The nets' names, in order."""
        return tuple(classifier.name for classifier in self.classifiers)

    @property
    def digests(self) -> tuple[str, ...]:
        """The nets' digests, in order."""
        return tuple(classifier.digest for classifier in self.classifiers)

    @property
    def num_classes(self) -> int:
        """K."""
        return self.classifiers[0].num_classes

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """`(H, W, C)`."""
        return self.classifiers[0].input_shape

    def __call__(self, images: tf.Tensor) -> tf.Tensor:
        """Returns probabilities float32 `[N, B, K]` of images float32 `[B, H, W, C]` in [0, 1]; compiles under XLA."""
        return tf.stack([predict(images) for predict in self._functions])

    @functools.cached_property
    def clusters(self) -> list[Callable[[tf.Tensor], tf.Tensor]]:
        """The nets for a graph that XLA does not compile: those with XLA's kernels are compiled each for itself."""
        nets = self.classifiers
        return [kernels.cluster(net.predict) if net.kernels == XLA else net.predict for net in nets]

    @functools.cached_property
    def batch(self) -> int:
        """How many images nets are shown at a time where nothing else decides it: a power of two, at most 1,024.

        No net holds more than a GiB of what it makes of them, by its graph.
        """
        held = max(1, *(footprint(net.predict, self.input_shape).forward for net in self.classifiers))
        return min(_MOST, 2 ** (max(1, _HELD // held).bit_length() - 1))

    def probabilities(self, images: np.ndarray, batch: int) -> np.ndarray:
        """Asks every net, always `batch` images at a time: another shape can change a net's last bits.

        Args:
          images: uint8 `[B, H, W, C]`; B may be 0 and need not be a multiple of `batch`.
          batch: images in one call, at least 1; what is missing in the last call is padded.

        Returns:
          float32 `[N, B, K]`.
        """
        answers = [np.zeros((len(self.classifiers), 0, self.num_classes), np.float32)]
        for start in range(0, len(images), batch):
            rows = images[start : start + batch]
            padding = np.zeros((batch - len(rows), *self.input_shape), np.uint8)
            answer = self._compiled(tf.constant(np.concatenate([rows, padding])))
            answers.append(answer.numpy()[:, : len(rows)])
        return np.concatenate(answers, axis=1)

    @property
    def kernels(self) -> tuple[Kernels, ...]:
        """The nets' kernels, in order."""
        return tuple(classifier.kernels for classifier in self.classifiers)

    @property
    def _functions(self) -> list[Callable[[tf.Tensor], tf.Tensor]]:
        """The nets for a graph that XLA compiles where all of them have its kernels."""
        mixed = len(set(self.kernels)) > 1
        return self.clusters if mixed else [net.predict for net in self.classifiers]

    @functools.cached_property
    def _compiled(self) -> Any:
        return kernels.compiled(lambda images: self(tf.cast(images, tf.float32) / 255.0), *self.kernels)


def _require_unique(names: tuple[str, ...]) -> None:
    name, count = collections.Counter(names).most_common(1)[0]
    if count > 1:
        raise InputError(f"{count} nets of a peer group are named {name!r}; give every net a name of its own.")


def _require_match(first: Classifier, other: Classifier) -> None:
    for what, ours, theirs in (
        ("images of shape", first.input_shape, other.input_shape),
        ("class count", first.num_classes, other.num_classes),
    ):
        if ours != theirs:
            raise InputError(
                f"Net {other.name!r} has {what} {theirs} and net {first.name!r} has {ours}; "
                "the nets of a peer group must agree, so leave one out or train it anew."
            )

"""Dataset files whose bytes depend on their examples alone.

TFDS serialises the feature map of a `tf.train.Example` in an arbitrary order, so that two builds of the same dataset
differ in their bytes. A builder that derives from `DeterministicFiles` writes each map sorted by its keys:

    class Builder(DeterministicFiles, tfds.core.GeneratorBasedBuilder): ...

Values, example order, file names and sizes stay as TFDS makes them.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import tensorflow as tf
import tensorflow_datasets as tfds

KeyExample = tuple[Any, bytes]


def sort_features(serialized_example: bytes) -> bytes:
    """Returns the same `tf.train.Example`, serialised with its features sorted by name."""
    return tf.train.Example.FromString(serialized_example).SerializeToString(deterministic=True)


def sort_features_of_each(examples: Iterable[KeyExample]) -> Iterator[KeyExample]:
    """Yields the (key, serialised example) pairs in their order, each with its features sorted."""
    for key, serialized_example in examples:
        yield key, sort_features(serialized_example)


class DeterministicExampleWriter(tfds.core.ExampleWriter):
    """An `ExampleWriter` for any file format of TFDS that writes equal examples as equal bytes."""

    def write(self, path, examples: Iterable[KeyExample]):
        """Writes one shard of (key, serialised example) pairs, and returns the positions that the format reports."""
        return super().write(path, sort_features_of_each(examples))


class DeterministicFiles:
    """Mixin for a `GeneratorBasedBuilder`, named before it: equal examples give byte-identical files."""

    info: Any

    def _example_writer(self) -> DeterministicExampleWriter:
        return DeterministicExampleWriter(file_format=self.info.file_format)

"""What a net learns from: labelled images that are all in memory, or of which only some are at a time."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from models import streams
from models.errors import InputError

_MEASURED = 10_000  # images whose mean a net subtracts; of more, so many or fewer, evenly spread
_BLOCK = 512  # places that are read at a time, or fewer
_MEASURED_BLOCKS = 16
_READERS = 8  # threads; decoding leaves Python, so that as many as there are cores are busy


class Block(NamedTuple):
    """Examples that were read together: places int64 `[b]`, images uint8 `[b, H, W, C]`, labels int32 `[b]`."""

    places: np.ndarray
    images: np.ndarray
    labels: np.ndarray


class Examples(Protocol):
    """Labelled images to learn from."""

    @property
    def count(self) -> int:
        """How many there are."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """`(H, W, C)`."""

    def measured(self) -> np.ndarray:
        """Returns images uint8 `[b, H, W, C]`, evenly spread over all, whose mean stands for that of all."""

    def in_epochs(self, size: int, seed: int, done: int = 0) -> tf.data.Dataset:
        """Returns an endless stream of epochs in batches; deterministic.

        Args:
          size: examples of a batch; if there are fewer, all.
          seed: decides the order, in each epoch another.
          done: epochs to leave out at the beginning.

        Returns:
          The stream. Its elements: the number of the epoch, int64, from 0; the places of the examples, int64 `[B]`;
          uint8 images `[B, H, W, C]` and int32 labels `[B]`.
        """

    def check(self, num_classes: int) -> None:
        """Raises InputError for labels that are none of so many classes, where they are known before they are read."""

    def telling(self) -> contextlib.AbstractContextManager[None]:
        """While a net learns, raises what reading raised, in place of what TensorFlow makes of it."""


@dataclasses.dataclass(frozen=True)
class Held:
    """Examples that are all in memory.

    Attributes:
      images: uint8 `[B, H, W, C]`.
      labels: integers `[B]`.
    """

    images: np.ndarray
    labels: np.ndarray

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.images)

    @property
    def shape(self) -> tuple[int, int, int]:
        """`(H, W, C)`."""
        height, width, channels = self.images.shape[1:]
        return height, width, channels

    def measured(self) -> np.ndarray:
        """Returns at most 10,000 of the images, evenly spaced."""
        return self.images[:: -(-self.count // _MEASURED)]

    def in_epochs(self, size: int, seed: int, done: int = 0) -> tf.data.Dataset:
        """Returns an endless stream of epochs; each shuffles all examples (`Examples.in_epochs`)."""
        return streams.in_epochs((self.images, self.labels.astype(np.int32)), size, seed, done)

    def check(self, num_classes: int) -> None:
        """Raises InputError for a label that is none of so many classes."""
        check_labels(self.labels, num_classes)

    def telling(self) -> contextlib.AbstractContextManager[None]:
        """Does nothing: nothing is read any more."""
        return contextlib.nullcontext()


@dataclasses.dataclass(frozen=True)
class Streamed:
    """Examples that are read in every epoch anew, of which some are held at a time: for more than fit into memory.

    An epoch reads blocks of neighbouring examples in random order, several at a time, into a pool, and draws its
    batches from the pool at random: the larger the pool, the better they are mixed.

    Attributes:
      read: gives the examples at ascending places from one place up to another; what cannot be used is left out, until
        it raises InputError because there is too much of it. Called by several threads.
      count: how many places there are, at least one.
      shape: `(H, W, C)`.
      held: the images of the pool, or those of a batch if these are more; half as many again may be under way to it.
    """

    read: Callable[[int, int], Block]
    count: int
    shape: tuple[int, int, int]
    held: int
    _raised: list[BaseException] = dataclasses.field(default_factory=list, repr=False, compare=False)

    def measured(self) -> np.ndarray:
        """Returns at most 10,000 of the images, in blocks that are evenly spread."""
        length = max(1, min(_MEASURED, self.held, self.count) // _MEASURED_BLOCKS)
        starts = np.unique(np.linspace(0, self.count - length, _MEASURED_BLOCKS, dtype=np.int64))
        return np.concatenate([self.read(int(start), int(start) + length).images for start in starts])

    def in_epochs(self, size: int, seed: int, done: int = 0) -> tf.data.Dataset:
        """Returns an endless stream of epochs, each of so many batches as all examples fill (`Examples.in_epochs`)."""
        size = min(size, self.count)
        batch = (
            tf.TensorSpec([], tf.int64),
            tf.TensorSpec([size], tf.int64),
            (tf.TensorSpec([size, *self.shape], tf.uint8), tf.TensorSpec([size], tf.int32)),
        )
        return tf.data.Dataset.from_generator(lambda: self._batches(size, seed, done), output_signature=batch)

    def check(self, num_classes: int) -> None:
        """Does nothing: `read` checks what it reads."""

    @contextlib.contextmanager
    def telling(self) -> Iterator[None]:
        """Raises what `read` raised, in place of what TensorFlow makes of it."""
        self._raised.clear()
        try:
            yield
        except tf.errors.OpError as error:
            if self._raised:
                raise self._raised[0] from error
            raise

    def _batches(self, size: int, seed: int, done: int) -> Iterator[tuple[int, np.ndarray, tuple[np.ndarray, ...]]]:
        try:
            with ThreadPoolExecutor(_READERS, "examples") as executor:
                for epoch in itertools.count(done):
                    for batch in self._epoch(size, np.random.default_rng([seed, epoch]), executor):
                        yield epoch, batch.places, (batch.images, batch.labels)
        except Exception as error:
            self._raised.append(error)
            raise

    def _epoch(self, size: int, generator: np.random.Generator, executor: ThreadPoolExecutor) -> Iterator[Block]:
        """Yields the batches of an epoch; some show examples again where others cannot be used."""
        length = self._block
        pool = _Pool(max(self.held, size) + length, self.shape)
        starts = generator.permutation(np.arange(0, self.count, length)).tolist()
        left = streams.steps(self.count, size)
        while left:
            before = left
            for block in _ahead(self._read, starts, executor):
                pool.add(block)
                while left and pool.count > max(self.held, size):
                    yield pool.drawn(size, generator)
                    left -= 1
                if not left:
                    return
            while left and pool.count >= size:
                yield pool.drawn(size, generator)
                left -= 1
            if left == before and not pool.count:
                raise InputError("None of the training images can be read; check the dataset and its split.")

    @property
    def _block(self) -> int:
        """How many places are read at a time; it decides the order, so that it is the same on every machine."""
        return max(1, min(_BLOCK, self.held // (2 * _READERS)))

    def _read(self, start: int) -> Block:
        return self.read(start, min(start + self._block, self.count))


class _Pool:
    """Examples that wait to be drawn, in memory that is taken once.

    Args:
      room: the most that there are.
      shape: `(H, W, C)` of the images.
    """

    def __init__(self, room: int, shape: tuple[int, int, int]):
        self._held = Block(np.empty(room, np.int64), np.empty((room, *shape), np.uint8), np.empty(room, np.int32))
        self.count = 0

    def add(self, block: Block) -> None:
        """Takes in examples, for which there has to be room."""
        added = slice(self.count, self.count + len(block.places))
        for held, new in zip(self._held, block, strict=True):
            held[added] = new
        self.count = added.stop

    def drawn(self, size: int, generator: np.random.Generator) -> Block:
        """Takes out so many at random; the last ones move to their places."""
        chosen = generator.choice(self.count, size, replace=False)
        found = Block(*(held[chosen] for held in self._held))
        self.count -= size
        emptied = chosen[chosen < self.count]
        last = np.setdiff1d(np.arange(self.count, self.count + size), chosen)
        for held in self._held:
            held[emptied] = held[last]
        return found


def _ahead(read: Callable[[int], Block], starts: Iterable[int], executor: ThreadPoolExecutor) -> Iterator[Block]:
    """Yields blocks in order, while the next ones are read."""
    waiting: collections.deque[Future[Block]] = collections.deque()
    for start in starts:
        waiting.append(executor.submit(read, start))
        if len(waiting) == _READERS:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def check_labels(labels: np.ndarray, num_classes: int) -> None:
    """Raises InputError for a label that is none of the classes, 0 to `num_classes` - 1."""
    lowest, highest = (int(np.min(labels)), int(np.max(labels))) if len(labels) else (0, 0)
    if lowest < 0 or highest >= num_classes:
        raise InputError(
            f"Training labels run from {lowest} to {highest}, but the net has {num_classes} classes, "
            f"0 to {num_classes - 1}; correct the labels or the number of classes."
        )

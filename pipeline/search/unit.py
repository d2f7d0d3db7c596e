"""One work unit through the nets: which seed images can be tried, and what became of each trial."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, NamedTuple

import numpy as np
import tensorflow as tf

from models.classifier import PeerGroup
from pipeline import criteria, transforms
from pipeline.search import lanes as lane_runner
from pipeline.search.hillclimb import Hillclimb, HillclimbResult

ClassFrom = Literal["label", "consensus"]


class SeedArrays(NamedTuple):
    """The seed images of a unit: uint8 `[B, H, W, C]`, int32 `[B]` (-1: no label), uint32 `[B, 2]` words."""

    images: np.ndarray
    labels: np.ndarray
    words: np.ndarray


class UnitResult(NamedTuple):
    """What the search says of a unit, in NumPy.

    Attributes:
      probabilities: float32 `[N, B, K]`, every net on every seed image.
      classes: int32 `[B]`, the class that the peers have to hold.
      finite: bool `[B]`, no net gave NaN or infinity.
      held: bool `[B]`, every net puts the seed image in its class, so that it can be tried.
      trials: `[R]` fields, the search's results, seed by seed and target by target, for held seed images only.
    """

    probabilities: np.ndarray
    classes: np.ndarray
    finite: np.ndarray
    held: np.ndarray
    trials: HillclimbResult


@dataclasses.dataclass(frozen=True)
class UnitSearch:
    """Runs a searcher on work units of at most `unit_size` seed images, compiled once.

    Attributes:
      searcher: the search.
      group: the nets.
      target_nets: places in the group of the nets to mislead, one trial each for every seed image.
      class_from: "label", or "consensus" of all nets.
      run_seed: uint32.
      lanes: candidates that the nets see at a time.
      unit_size: seed images that the compiled graph has room for; smaller units are padded.
    """

    searcher: Hillclimb
    group: PeerGroup
    target_nets: tuple[int, ...]
    class_from: ClassFrom
    run_seed: int
    lanes: int
    unit_size: int

    def compiled(self) -> Any:
        """Returns the compiled function of padded seed images; keep it, compiling takes seconds."""
        return tf.function(self._search, jit_compile=True)

    def run(self, compiled: Any, seeds: SeedArrays) -> UnitResult:
        """Searches a unit with the function that `compiled` gave."""
        count = len(seeds.images)
        padded = [_pad_rows(array, self.unit_size) for array in seeds]
        outputs = compiled(*padded, tf.constant(count))
        probabilities, classes, finite, held, results = tf.nest.map_structure(lambda tensor: tensor.numpy(), outputs)
        trials = int(held.sum()) * len(self.target_nets)
        results = tf.nest.map_structure(lambda rows: rows[:trials], results)
        return UnitResult(probabilities[:, :count], classes[:count], finite[:count], held[:count], results)

    def _search(self, images: tf.Tensor, labels: tf.Tensor, words: tf.Tensor, count: tf.Tensor) -> Any:
        probabilities = self._probabilities(images)
        finite = tf.reduce_all(tf.math.is_finite(probabilities), axis=[0, 2])
        classes = labels if self.class_from == "label" else criteria.consensus(probabilities)[0]
        held = criteria.all_hold(probabilities, classes) & finite & (tf.range(self.unit_size) < count)
        trials, many = self._queue(probabilities, classes, held, words)
        sources = transforms.pad_tf(images, self.searcher.operator.border)
        seed = tf.constant(self.run_seed, tf.uint32)
        results, _ = lane_runner.run(self.searcher, self.group, self.lanes, seed, trials, many, sources)
        return probabilities, classes, finite, held, results

    def _probabilities(self, images: tf.Tensor) -> tf.Tensor:
        """Asks the nets about all seed images, in batches of the shape that the search uses."""
        batches = -(-self.unit_size // self.lanes)
        padded = tf.pad(images, [[0, batches * self.lanes - self.unit_size], [0, 0], [0, 0], [0, 0]])
        blocks = tf.reshape(padded, [batches, self.lanes, *images.shape[1:]])
        answers = tf.map_fn(
            lambda block: self.group(tf.cast(block, tf.float32) / 255.0), blocks, fn_output_signature=tf.float32
        )
        nets, classes = answers.shape[1], answers.shape[3]
        return tf.reshape(tf.transpose(answers, [1, 0, 2, 3]), [nets, batches * self.lanes, classes])[
            :, : self.unit_size
        ]

    def _queue(
        self, probabilities: tf.Tensor, classes: tf.Tensor, held: tf.Tensor, words: tf.Tensor
    ) -> tuple[lane_runner.Trials, tf.Tensor]:
        """The trials of all held seed images first, seed by seed and target by target."""
        targets = len(self.target_nets)
        order = tf.argsort(tf.cast(~held, tf.int32), stable=True)
        row = tf.repeat(order, targets)
        target_net = tf.tile(tf.constant(self.target_nets, tf.int32), [self.unit_size])
        target_class = tf.gather(classes, row)
        own, _ = criteria.class_and_rival(probabilities, classes)
        confidence = tf.gather(tf.reshape(own, [-1]), target_net * self.unit_size + row)
        trials = lane_runner.Trials(row, tf.gather(words, row), target_net, target_class, confidence)
        return trials, tf.reduce_sum(tf.cast(held, tf.int32)) * targets


def _pad_rows(array: np.ndarray, rows: int) -> tf.Tensor:
    return tf.constant(np.pad(array, [(0, rows - len(array))] + [(0, 0)] * (array.ndim - 1)))

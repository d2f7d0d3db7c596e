"""All nets asked at once, in one compiled loop: the lane runner, block by block."""

from __future__ import annotations

import time

import numpy as np
import tensorflow as tf

from models import kernels
from models.classifier import PeerGroup
from pipeline.search.moves import lanes as lane_runner
from pipeline.search.moves.lanes import Loop, Queue, Report, Searched, Searcher, Trials, pad_rows

_SECONDS = 2.0  # between two returns of the compiled search to Python
_GROWTH = 8  # a block is at most so many times as long as the last: the first one's time is that of compiling


class Pace:
    """Finds how many steps take a few seconds; how many are taken at a time changes no result."""

    def __init__(self) -> None:
        self.steps = 1

    def took(self, steps: int, seconds: float) -> None:
        """Learns from a block of `steps`, at least 1, how long the next one may be."""
        wanted = steps * _SECONDS / max(seconds, 1e-6)
        self.steps = int(min(max(wanted, 1), self.steps * _GROWTH, 2**31 - 1))


class InGraph:
    """Runs queues of trials in the lane runner; see `lanes.Runner`. Compiled once; `pace` says how long blocks are.

    Args:
      searcher: the search.
      group: the nets.
      run_seed: uint32.
      lanes: candidates that the nets see at a time.
      room: trials that the compiled graph has room for; fewer are padded.
    """

    def __init__(self, searcher: Searcher, group: PeerGroup, run_seed: int, lanes: int, room: int):
        self._searcher, self._group, self._run_seed, self._lanes, self._room = searcher, group, run_seed, lanes, room
        self._begin = kernels.cluster(self._begun)
        self._advance = kernels.cluster(self._advanced)
        self.pace = Pace()

    def _begun(self, images: tf.Tensor, trials: Trials, count: tf.Tensor) -> tuple[Queue, Loop]:
        queue = Queue(trials, count, self._searcher.sources(images))
        return queue, lane_runner.begin(self._searcher, len(self._group.classifiers), self._lanes, queue)

    def _advanced(self, queue: Queue, loop: Loop, most: tf.Tensor) -> Loop:
        seed = tf.constant(self._run_seed, tf.uint32)
        return lane_runner.advance(self._searcher, self._group, seed, queue, loop, most)

    def run(self, images: np.ndarray, trials: Trials, report: Report) -> Searched:
        """See `lanes.Runner`."""
        many = len(trials.row)
        padded = Trials(*(pad_rows(column, self._room) for column in trials))
        queue, loop = self._begin(images, padded, tf.constant(many))
        while busy := int(np.count_nonzero(loop.busy)):
            report(int(loop.next_trial) - busy, many)
            start = time.perf_counter()
            loop = self._advance(queue, loop, tf.constant(self.pace.steps))
            self.pace.took(int(loop.steps), time.perf_counter() - start)
        results, counts = tf.nest.map_structure(lambda rows: rows.numpy()[:many], loop.results)
        asked = np.repeat(counts.asked[:, None], counts.refused.shape[1], axis=1)
        return Searched(results, asked, counts.refused)

"""Steps measured in turns, for the machine's speed drifts; and the bare net that others are measured by."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from models import kernels

Step = Callable[[], int]  # works, and returns on how many images


class Rate(NamedTuple):
    """Images a second, and images a second of processor time, which what else runs on the machine hardly changes."""

    wall: float
    processor: float


def in_turns(steps: dict[str, Step], seconds: float, turn: float = 0.5) -> dict[str, Rate]:
    """Returns the rate of each step, run in turns of so many seconds until each has had `seconds`."""
    images = dict.fromkeys(steps, 0)
    spent = {name: np.zeros(2) for name in steps}
    while min(wall for wall, _ in spent.values()) < seconds:
        for name, step in steps.items():
            start = _clocks()
            while _clocks()[0] - start[0] < turn:
                images[name] += step()
            spent[name] += _clocks() - start
    return {name: Rate(*(images[name] / spent[name])) for name in steps}


def _clocks() -> np.ndarray:
    return np.array([time.perf_counter(), time.process_time()])


def best_bare(
    predict: Callable[[tf.Tensor], tf.Tensor], shape: tuple[int, int, int], batches: Sequence[int]
) -> tuple[Step, int]:
    """Returns a step that asks a net alone, with its fastest kernels, about a batch in memory; and its size."""
    compiled = kernels.compiled(predict, kernels.fastest(predict, shape))

    def step(size: int) -> Step:
        images = tf.random.stateless_uniform([size, *shape], [0, 0])
        compiled(images)

        def run() -> int:
            compiled(images).numpy()
            return size

        return run

    steps = {str(size): step(size) for size in batches}
    rates = in_turns(steps, 1.0)
    best = max(rates, key=lambda name: rates[name].wall)
    return steps[best], int(best)

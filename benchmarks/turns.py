"""Steps measured in turns, for the machine's speed drifts; and the bare net that others are measured by."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import tensorflow as tf

from models import kernels

Step = Callable[[], int]  # works, and returns on how many images


def in_turns(steps: dict[str, Step], seconds: float, turn: float = 0.5) -> dict[str, float]:
    """Returns images a second of each step, run in turns of so many seconds until each has had `seconds`."""
    images, spent = dict.fromkeys(steps, 0), dict.fromkeys(steps, 0.0)
    while min(spent.values()) < seconds:
        for name, step in steps.items():
            start = time.perf_counter()
            while time.perf_counter() - start < turn:
                images[name] += step()
            spent[name] += time.perf_counter() - start
    return {name: images[name] / spent[name] for name in steps}


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
    best = max(rates, key=lambda name: rates[name])
    return steps[best], int(best)

"""What kinds that are made of seed images have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from models.classifier import PeerGroup
from pipeline import criteria
from pipeline.config.config import Config
from pipeline.criteria import ClassFrom
from pipeline.seeds import plan
from pipeline.seeds.source import SeedSource

Usable = Callable[[np.ndarray, np.ndarray], np.ndarray]


def units(config: Config, group: PeerGroup, source: SeedSource, usable: Usable) -> list[plan.Unit]:
    """Returns units of whole splits, or, with [search] trials, of so many seed images drawn at random.

    Args:
      config: the task.
      group: the nets.
      source: the seed images.
      usable: tells, bool `[B]`, which seed images count when they are drawn, by the nets' float32 `[N, B, K]` and int32
        labels `[B]`.
    """
    trials, run = config.sections["search"].trials, config.run
    most = run.images_of_unit(source.shape())  # in memory at a time; each read goes through a split from its start
    if not trials:
        return plan.whole_splits(source, config.seeds.splits, run.unit_size)

    def counts(split: str, positions: Sequence[int]) -> np.ndarray:
        good: dict[int, bool] = {}
        for start in range(0, len(positions), most):
            seeds = source.read(split, positions[start : start + most])
            flags = usable(group.probabilities(seeds.images, run.lanes), seeds.labels)
            good.update(zip(seeds.positions, flags.tolist(), strict=True))
        return np.array([good.get(position, False) for position in positions])

    return plan.drawn_trials(source, config.seeds.splits, run.unit_size, trials, run.run_seed, counts)


def all_right(probabilities: np.ndarray, labels: np.ndarray, class_from: ClassFrom) -> np.ndarray:
    """Tells, bool `[B]`, which images every net puts in their class, by float32 `[N, B, K]` and int32 labels `[B]`."""
    answers = tf.constant(probabilities)
    classes = labels if class_from == "label" else criteria.consensus(answers)[0]
    return criteria.all_hold(answers, classes).numpy()

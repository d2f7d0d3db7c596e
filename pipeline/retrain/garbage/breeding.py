"""Garbage images evolved against a net as it is, again and again, by the search that mines them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from models.classifier import Classifier, PeerGroup
from pipeline.config.config import Run
from pipeline.config.method import Method
from pipeline.kinds.garbage import mining
from pipeline.kinds.garbage.islands import Island
from pipeline.kinds.garbage.methods import Garbage

FOOLED = 0.99  # a net is fooled by an image that it is as sure of


class Bred(NamedTuple):
    """What came out of one island.

    Attributes:
      images: uint8 `[K, H, W, C]`, the best of each class.
      confidences: float32 `[K]`, the net's probabilities of their classes.
      medians: float32 `[G]`, median confidence over the classes after each generation, the 0th included.
      population: images of a generation.
      generations: the most that there could have been, the 0th not counted.
    """

    images: np.ndarray
    confidences: np.ndarray
    medians: np.ndarray
    population: int
    generations: int

    @property
    def asked(self) -> int:
        """How many images the net was asked about."""
        return len(self.medians) * self.population

    def told(self) -> dict[str, float]:
        """Returns how well it went: what stands in records.

        - `confidence`: median over the classes of the best confidence, in %;
        - `fooled`: classes at 99% or more, in %;
        - `evaluations`: images until the median was at 99%; all that there could have been where it never was.
        """
        reached = np.flatnonzero(self.medians >= FOOLED)
        generations = 1 + (int(reached[0]) if len(reached) else self.generations)
        return {
            "confidence": 100.0 * float(np.median(self.confidences)),
            "fooled": 100.0 * float(np.mean(self.confidences >= FOOLED)),
            "evaluations": float(generations * self.population),
        }


def mean(islands: Sequence[Bred]) -> dict[str, float]:
    """Returns the means over islands, at least one, of what `Bred.told` tells."""
    told = [island.told() for island in islands]
    return {name: float(np.mean([each[name] for each in told])) for name in told[0]}


class Breeder:
    """Evolves garbage images against a net whenever asked; compiled once, whatever becomes of the net's weights.

    Args:
      net: of at least `classes` classes.
      purpose: decides the random numbers, with `run_seed` and the number of the island.
      classes: K; garbage is evolved for classes 0 to K - 1.
      method: the method.
      garbage: [garbage] of the method.
      run_seed: uint32.

    Raises:
      InputError: the encoding cannot make such images, or there are more generations than can be counted.
    """

    def __init__(self, net: Classifier, purpose: str, classes: int, method: Method, garbage: Garbage, run_seed: int):
        group, run = PeerGroup((dataclasses.replace(net, digest=purpose),)), Run(run_seed=run_seed)
        self._task = mining.task_of(method, {"garbage": garbage}, run, group, tuple(range(classes)), "", None)
        self._miner = self._task.miner(group, None)

    def breed(self, island: int) -> Bred:
        """Returns what an island gives, a function of the net's weights and the island's number."""
        course, champions = self._miner.evolve(Island(0, 0, island))
        found = champions.images, champions.confidences, course.history().medians
        return Bred(*found, self._task.search.population, self._task.generations)

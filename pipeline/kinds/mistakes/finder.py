"""What finds mistakes in a unit of seed images: what every method of this kind is to the miner."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from models.classifier import PeerGroup
from pipeline.criteria import PeerPressure
from pipeline.operators.operator import Compose, Operator
from pipeline.seeds.source import SeedBatch

Report = Callable[[int, int], None]


class Find(NamedTuple):
    """A trial that found a candidate mistake.

    Attributes:
      trial: its place among the trials of the unit.
      chain: float64 `[M, P]`, the parameters of the operator's moves.
      steps: int32 `[M]`, the number of each accepted candidate; empty where candidates have no numbers.
      confidences: float32 `[M]`, the target net's probability of the class after each move; empty if it is not known.
    """

    trial: int
    chain: np.ndarray
    steps: np.ndarray
    confidences: np.ndarray


class Tried(NamedTuple):
    """What became of a unit of B seed images in R trials.

    Attributes:
      probabilities: float32 `[N, B, K]`, every net on every seed image.
      finite: bool `[B]`, no net gave NaN or infinity.
      usable: bool `[B]`, the seed image was tried.
      rows: int32 `[R]`, each trial's seed image.
      target_nets: int32 `[R]`.
      classes: int32 `[R]`, the class that the peers have to hold.
      outcomes: `[R]`, `records.FOUND` where there is a find.
      moves: int32 `[R]`.
      candidates: int64 `[R]`, how many were shown to all nets, the seed image not counted.
      confidences: float32 `[R]`, the target net's last probability of the class.
      finds: those of the trials found, in their order.
      asked: int32 `[R, N]`, how many candidates were shown to each net; None if it was not counted.
      refused: int32 `[R, N]`, how many fell by each net's answer; likewise.
    """

    probabilities: np.ndarray
    finite: np.ndarray
    usable: np.ndarray
    rows: np.ndarray
    target_nets: np.ndarray
    classes: np.ndarray
    outcomes: np.ndarray
    moves: np.ndarray
    candidates: np.ndarray
    confidences: np.ndarray
    finds: Sequence[Find]
    asked: np.ndarray | None = None
    refused: np.ndarray | None = None


class Setting(NamedTuple):
    """Where a finder works: the nets, the places of the target nets, uint32 run seed, lanes and largest unit."""

    group: PeerGroup
    target_nets: tuple[int, ...]
    run_seed: int
    lanes: int
    unit_size: int


class Finder(Protocol):
    """A frozen dataclass whose fields are its configuration.

    Attributes:
      operator: whose moves lead from a seed image to a find.
      compose: how the moves of a chain are rendered.
      criterion: when an image is a mistake.
    """

    operator: Operator
    compose: Compose
    criterion: PeerPressure

    def searcher(self, setting: Setting) -> Callable[[SeedBatch, Report], Tried]:
        """Returns what searches units, compiled once, when first needed.

        It is given a unit of at least one seed image, and what to call now and then with the number of trials that have
        ended, and of all trials; an error that this raises ends the search.
        """

    def usable(self, probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Tells, bool `[B]`, which seed images are trials, by the nets' float32 `[N, B, K]` and int32 labels `[B]`."""

    def drawn(
        self,
        run_seed: int,
        words: np.ndarray,
        target_nets: np.ndarray,
        steps: Sequence[np.ndarray],
        height: int,
        width: int,
    ) -> list[np.ndarray] | None:
        """Returns the chains of T trials, `[M, P]` each; None if steps say nothing.

        Args:
          run_seed: uint32, by which they are drawn.
          words: uint32 `[T, 2]`, `seeding.seed_key` of the seed images' ids.
          target_nets: `[T]`.
          steps: of each trial those accepted, `[M]`.
          height, width: of the images.
        """

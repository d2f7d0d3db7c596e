"""Published mistakes as material to train on: their images, and the uniform numbers that their moves were drawn by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from models.errors import InputError
from pipeline import records, seeding
from pipeline.config.recorded import Recorded
from pipeline.kinds.kind import Example


class Mined(NamedTuple):
    """T mistakes.

    Attributes:
      images, seed_images: uint8 `[T, H, W, C]`.
      labels: int32 `[T]`.
      high: bool `[T]`, of high grade.
      peer_margins: float32 `[T]`, the least lead, in probability, that a peer gives the label.
      numbers: float32 `[T, M, P]` in [0, 1), what each of the moves was drawn by; zeros behind a chain's end.
      lengths: int32 `[T]`, each chain's moves.
    """

    images: np.ndarray
    seed_images: np.ndarray
    labels: np.ndarray
    high: np.ndarray
    peer_margins: np.ndarray
    numbers: np.ndarray
    lengths: np.ndarray


def read(examples: Sequence[Example], runs: Mapping[str, Recorded]) -> Mined:
    """Returns what there is to train on.

    Args:
      examples: published mistakes that were found by moves, as NumPy.
      runs: the runs that made them, by run id.

    Raises:
      InputError: there are none, or they have no moves.
    """
    if not examples:
        raise InputError(
            "the mined dataset has no example whose seed image may be learned from; mine some with `peerpressure run`."
        )
    if any("steps" not in example["transform"] or not len(example["transform"]["steps"]) for example in examples):
        raise InputError(
            "the mined dataset has examples without moves; expected those of [search] method = 'hillclimb'."
        )
    chains = [_numbers(example, runs[example["run"]["id"].decode()]) for example in examples]
    numbers = np.zeros((len(chains), max(map(len, chains)), chains[0].shape[1]), np.float32)
    for row, chain in enumerate(chains):
        numbers[row, : len(chain)] = chain
    return Mined(
        np.stack([example["image"] for example in examples]),
        np.stack([example["seed_image"] for example in examples]),
        np.array([example["label"] for example in examples], np.int32),
        np.array([example["grade"].decode() == records.HIGH for example in examples]),
        np.array([example["peer_margin"] for example in examples], np.float32),
        numbers,
        np.array([len(chain) for chain in chains], np.int32),
    )


def _numbers(example: Example, run: Recorded) -> np.ndarray:
    """Returns the numbers of each move, float64 `[M, P]`: those of the candidates that were accepted."""
    steps, parameters = example["transform"]["steps"], example["transform"]["parameters"].shape[1]
    place = [net["name"] for net in run["nets"]].index(example["target_net"].decode())
    words = np.array([seeding.seed_key(example["seed"]["id"].decode())] * len(steps), np.uint32)
    return seeding.draws(run.run.run_seed, words, np.full(len(steps), place), np.asarray(steps), parameters)

"""The plan of a run: fixed work units of seed images, decided before any work is done."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pipeline import seeding
from pipeline.seeds.source import SeedSource

_DRAW_KEY = 0x5EED0000  # keeps the drawing of seed images apart from every seed image's own stream


@dataclasses.dataclass(frozen=True)
class Unit:
    """A work unit: seed images at ascending positions of one split; `stop` past the last of a gapless range."""

    number: int
    split: str
    positions: tuple[int, ...] | range

    def to_json(self) -> dict[str, Any]:
        """Returns what the plan file says of the unit."""
        positions = self.positions
        listed = [positions.start, positions.stop] if isinstance(positions, range) else list(positions)
        kind = "range" if isinstance(positions, range) else "positions"
        return {"number": self.number, "split": self.split, kind: listed}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Unit:
        """Returns the unit of which the plan file says this."""
        positions = range(*value["range"]) if "range" in value else tuple(value["positions"])
        return cls(value["number"], value["split"], positions)


def whole_splits(source: SeedSource, splits: Sequence[str], unit_size: int) -> list[Unit]:
    """Cuts splits into units of `unit_size` consecutive seed images; a split's last unit may be smaller."""
    ranges = []
    for split in splits:
        count = source.count(split)
        ranges += [(split, range(start, min(start + unit_size, count))) for start in range(0, count, unit_size)]
    return [Unit(number, split, positions) for number, (split, positions) in enumerate(ranges)]


def drawn_trials(
    source: SeedSource,
    splits: Sequence[str],
    unit_size: int,
    trials: int,
    run_seed: int,
    held: Callable[[str, Sequence[int]], np.ndarray],
) -> list[Unit]:
    """Draws seed images at random until `trials` of them are held by all nets, and cuts them into units.

    Args:
      source: the seed images.
      splits: where to draw from.
      unit_size: the largest unit.
      trials: how many held seed images are wanted; all are taken if there are fewer.
      run_seed: decides the order in which seed images are drawn.
      held: tells, bool `[B]`, which seed images at ascending positions of a split every net gets right.

    Returns:
      Units with every seed image that was drawn, the skipped ones included.
    """
    order, ends = _drawing_order(source, splits, run_seed)
    drawn: list[tuple[str, int]] = []
    missing, at = trials, 0
    while missing > 0 and at < len(order):
        # Every wave reads through the splits once, so that where few are held the waves have to grow.
        wave = _places(order[at : at + max(at, missing + missing // 8 + 16)], splits, ends)
        good = _held_in_order(wave, held)
        taken = np.searchsorted(np.cumsum(good), missing) + 1 if good.sum() >= missing else len(wave)
        drawn += wave[:taken]
        missing -= int(good[:taken].sum())
        at += len(wave)
    cuts = []
    for split in splits:
        positions = sorted(position for drawn_split, position in drawn if drawn_split == split)
        cuts += [(split, tuple(positions[start : start + unit_size])) for start in range(0, len(positions), unit_size)]
    return [Unit(number, split, positions) for number, (split, positions) in enumerate(cuts)]


def _drawing_order(source: SeedSource, splits: Sequence[str], run_seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the places of all seed images, counted through the splits, as they are drawn; and each split's end."""
    ends = np.cumsum([source.count(split) for split in splits])
    words = seeding.philox(
        [np.uint32(run_seed), np.uint32(_DRAW_KEY)], [np.arange(ends[-1], dtype=np.uint32), *[np.uint32(0)] * 3]
    )
    return np.lexsort((words[:, 1], words[:, 0])), ends


def _places(order: np.ndarray, splits: Sequence[str], ends: np.ndarray) -> list[tuple[str, int]]:
    """Returns which positions of which splits places are."""
    of_split = np.searchsorted(ends, order, side="right")
    positions = order - np.concatenate([[0], ends])[of_split]
    return [(splits[split], position) for split, position in zip(of_split.tolist(), positions.tolist(), strict=True)]


def _held_in_order(wave: list[tuple[str, int]], held: Callable[[str, Sequence[int]], np.ndarray]) -> np.ndarray:
    good = {}
    for split in dict.fromkeys(split for split, _ in wave):
        positions = sorted(position for wave_split, position in wave if wave_split == split)
        good.update(
            {(split, position): bool(flag) for position, flag in zip(positions, held(split, positions), strict=True)}
        )
    return np.array([good[place] for place in wave])

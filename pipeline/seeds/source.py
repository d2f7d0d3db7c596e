"""Where seed images come from: what every source of them has."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np

from models.errors import InputError

Part = list[tuple[str, range]]  # splits, and the positions in them

_MOST_REASONS = 5


@dataclasses.dataclass(frozen=True)
class SeedBatch:
    """Seed images that were read together.

    Attributes:
      split: the split they are from.
      positions: where in the split they are, `[B]`.
      ids: stable ids, `[B]` (the TFDS id, or the path within the folder).
      images: uint8 `[B, H, W, C]`.
      labels: int32 `[B]`, -1 where there is none.
      failures: (id, reason) of images that could not be read.
    """

    split: str
    positions: list[int]
    ids: list[str]
    images: np.ndarray
    labels: np.ndarray
    failures: list[tuple[str, str]]

    @property
    def nbytes(self) -> int:
        """The images' size."""
        return self.images.nbytes


class SeedSource(Protocol):
    """Where seed images come from; small and picklable, so that it travels to workers."""

    @property
    def name(self) -> str:
        """The dataset with its version, "mnist:3.0.1", or the folder's name."""

    def count(self, split: str) -> int:
        """Returns how many images the split has; raises InputError if there is no such split."""

    def part(self, name: str) -> Part:
        """Returns what TFDS's split syntax names, such as "train[:50%]"; raises InputError if that is nothing."""

    def shape(self) -> tuple[int, int, int]:
        """Returns (H, W, C)."""

    def class_names(self) -> list[str]:
        """Returns the classes' names, in the order of the labels; empty without labels."""

    def reading(self) -> dict[str, str]:
        """Returns what of the source is read, and by which rule pixels become uint8; it determines results."""

    def read(self, split: str, positions: Sequence[int]) -> SeedBatch:
        """Reads the images at ascending positions of the split."""

    def fingerprint(self, split: str) -> str:
        """Returns a digest (hex) that tells whether a split's images and classes are still those of another start."""

    def unusable(self, split: str) -> list[tuple[str, str]]:
        """Returns (id, reason) of the images that are known to be unusable before any is decoded."""

    def notes(self, splits: Sequence[str]) -> list[str]:
        """Returns lines that tell a person what will be read of some splits, and what not."""

    def for_workers(self) -> SeedSource:
        """Returns the same source, with what workers then need not find out again."""


def check_usable(what: str, unusable: Sequence[tuple[str, str]], tried: int, most: float) -> None:
    """Raises InputError if more than a share, `most`, of images cannot be used.

    Args:
      what: the images, such as "images of NAME".
      unusable: (id, reason) of those that cannot be used.
      tried: how many there are in all.
      most: [run] max_set_aside.
    """
    if len(unusable) > most * tried:
        raise InputError(
            f"[seeds] {len(unusable)} of {tried} {what} cannot be used, more than [run] max_set_aside = "
            f"{most:g}: {grouped((reason, seed_id) for seed_id, reason in unusable)}; bring all images to one size "
            "([seeds] resize does it), mend or remove the others, or raise max_set_aside."
        )


def has_split(source: SeedSource, split: str) -> bool:
    """Tells whether a split is there and has images."""
    try:
        return source.count(split) > 0
    except InputError:
        return False


def stack(images: list[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """Returns images of `shape`, or none, as uint8 `[B, H, W, C]`."""
    return np.array(images, np.uint8).reshape(len(images), *shape)


def not_of_size(found: Sequence[int], shape: tuple[int, ...]) -> str:
    """Returns why an image cannot be used whose shape is not the one that all have to have; "" if it is."""
    return f"the image is {size(found)}, expected {size(shape)}" if tuple(found) != tuple(shape) else ""


def size(shape: Sequence[Any]) -> str:
    """Returns a shape as people write it."""
    return "x".join(str(part) for part in shape)


def not_empty(part: Part, name: str) -> Part:
    """Returns a part without its empty pieces; raises InputError if it has no other."""
    if not any(positions for _, positions in part):
        raise InputError(f"'{name}' holds no image; name a larger part.")
    return [(split, positions) for split, positions in part if positions]


def printable(name: str) -> str:
    """Returns a name with what is no printable character, or no UTF-8, in its escaped form."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in name)


def grouped(reasons: Iterable[tuple[str, str]]) -> str:
    """Returns the most frequent of (reason, name), each with its count and one of the names."""
    names: dict[str, list[str]] = collections.defaultdict(list)
    for reason, name in reasons:
        names[reason].append(name)
    often = sorted(names, key=lambda reason: (-len(names[reason]), reason))
    told = [f"{reason} ({_with_example(names[reason])})" for reason in often[:_MOST_REASONS]]
    return "; ".join([*told, *([f"and {len(often) - len(told)} reasons more"] if len(often) > len(told) else [])])


def _with_example(names: list[str]) -> str:
    return f"{len(names)}{', such as' if len(names) > 1 else ':'} {printable(names[0])}"

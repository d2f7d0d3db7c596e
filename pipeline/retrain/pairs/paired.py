"""Published pairs as material to train on and to measure by: which are learned from, and which by no net."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import NamedTuple

import numpy as np

from models.errors import InputError
from pipeline.kinds.kind import Example

_GROUPS: dict[str, tuple[str, ...]] = {
    "both": ("label", "wrong_class"),
    "original": ("label",),
    "adversarial": ("wrong_class",),
}


class Paired(NamedTuple):
    """T pairs of one net.

    Attributes:
      twins, originals: uint8 `[T, H, W, C]`.
      labels: int32 `[T]`, the right classes.
    """

    twins: np.ndarray
    originals: np.ndarray
    labels: np.ndarray


class Split(NamedTuple):
    """The pairs of one net.

    Attributes:
      learned: what recipes may learn from.
      of_groups: one pair of each perturbation group (Hinthorn), from which no recipe learns.
      measured: those whose original is an image to measure on, from which no net has learned.
    """

    learned: Paired
    of_groups: Paired
    measured: Paired


def split(examples: Iterable[Example], target_digest: str, held_out: Callable[[np.ndarray], bool], group: str) -> Split:
    """Splits the pairs that were made for one net; the order of the examples does not matter.

    Args:
      examples: published pairs, as NumPy.
      target_digest: of the net; pairs of other nets are left out.
      held_out: tells of a seed image whether it is measured on.
      group: "both", "original" or "adversarial": which pairs are of one group. Of each, the pair with the smallest id
        is held out.

    Raises:
      InputError: none is left to learn from.
    """
    own = [example for example in examples if example["target_digest"].decode() == target_digest]
    own.sort(key=lambda example: example["id"])
    learned, of_groups, measured = [], [], []
    seen: set[Hashable] = set()
    for example in own:
        key = tuple(int(example[name]) for name in _GROUPS[group])
        if held_out(example["seed_image"]):
            measured.append(example)
        elif key not in seen:
            seen.add(key)
            of_groups.append(example)
        else:
            learned.append(example)
    if not learned:
        raise InputError(
            f"of the mined pairs, {len(own)} are of the net to retrain, and none is left to learn from: "
            f"{len(measured)} are of images to measure on and {len(of_groups)} are held out, one of each group; mine "
            "pairs of more images of this net ([search] targets), or measure on fewer ([measure] images, group)."
        )
    return Split(*(_stacked(part, learned[0]) for part in (learned, of_groups, measured)))


def together(*parts: Paired) -> Paired:
    """Returns all pairs of several."""
    return Paired(*(np.concatenate(fields) for fields in zip(*parts, strict=True)))


def _stacked(examples: list[Example], like: Example) -> Paired:
    shape = (0, *like["image"].shape)
    images = [
        np.concatenate([np.zeros(shape, np.uint8), *(example[name][None] for example in examples)])
        for name in ("image", "seed_image")
    ]
    return Paired(images[0], images[1], np.array([example["label"] for example in examples], np.int32))

"""A sample of the seed images, shown to the nets before any search: is each net a function of one image, and right?"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from models import accuracy, devices, preflight
from models.classifier import PeerGroup
from pipeline.seeds.source import SeedSource

_SIZE = 128
_NEAR = 512  # images that are read through at once
_BLOCKS = 8  # of consecutive images, in a larger split: every read of a dataset has to find its place


@dataclasses.dataclass(frozen=True)
class Sample:
    """Seed images of one split.

    Attributes:
      split: the split.
      images: float32 `[B, H, W, C]` in [0, 1].
      labels: int32 `[B]`, -1 where there is none.
      class_names: `[K]`, or none.
    """

    split: str
    images: np.ndarray
    labels: np.ndarray
    class_names: list[str]

    @property
    def labeled(self) -> bool:
        """Whether accuracies can be told."""
        return bool(self.class_names) and bool(len(self.labels)) and bool((self.labels >= 0).all())


def read(source: SeedSource, split: str) -> Sample:
    """Reads a sample of a split, from all over it."""
    count = source.count(split)
    batches = [source.read(split, positions) for positions in _positions(count)]
    shape, names = source.shape(), source.class_names()
    images = [np.zeros((0, *shape), np.float32), *(batch.images.astype(np.float32) / 255.0 for batch in batches)]
    labels = [np.zeros(0, np.int32), *(batch.labels for batch in batches)]
    return Sample(split, np.concatenate(images), np.concatenate(labels), names)


def _positions(count: int) -> list[Sequence[int]]:
    """Returns ascending positions, as they are read together, of at most `_SIZE` of a split's images."""
    if count <= _NEAR:
        wanted = min(_SIZE, count)
        return [[place * count // wanted for place in range(wanted)]] if wanted else []
    rows = _SIZE // _BLOCKS
    starts = [block * (count - rows) // (_BLOCKS - 1) for block in range(_BLOCKS)]
    return [range(start, start + rows) for start in starts]


def examine(
    sample: Sample, group: PeerGroup, judge: PeerGroup | None, device: str, told: bool = True
) -> dict[str, Any] | None:
    """Checks the nets on a sample; prints how often each is right, and warns of those that hardly are.

    Args:
      sample: the seed images.
      group: the peers.
      judge: a group of one.
      device: as in `models.devices`.
      told: whether to print how often they are right.

    Returns:
      What the manifest says of it: the split, how many images, and each net's accuracy; None without labels.

    Raises:
      InputError: as `preflight.check_on`.
    """
    if not len(sample.images):
        return None
    judges = judge.classifiers if judge else ()
    with tf.device(devices.device_name(device)):
        asked = [preflight.Asked(classifier) for classifier in (*group.classifiers, *judges)]
        answers = [preflight.check_on(one, sample.images) for one in asked]
        if not sample.labeled:
            return None
        values = [accuracy.accuracy(one, sample.labels) for one in answers]
        if told:
            right = ", ".join(f"{one.classifier.name} {value:.3f}" for one, value in zip(asked, values, strict=True))
            print(f"accuracy on {len(sample.images)} seed images of split {sample.split}: {right}", flush=True)
        _warn(sample, asked, values, best=max(values[: len(group.names)]))
    peers = values[: len(group.names)]
    return {
        "split": sample.split,
        "images": len(sample.images),
        "nets": dict(zip(group.names, peers, strict=True)),
        "judge": values[-1] if judge else None,
    }


def _warn(sample: Sample, asked: Sequence[preflight.Asked], values: Sequence[float], best: float) -> None:
    for one, value in zip(asked, values, strict=True):
        if accuracy.is_low(value, best, len(sample.images), len(sample.class_names)):
            cause = accuracy.likely_cause(one, sample.images, sample.labels, sample.class_names)
            print(
                f"peerpressure: warning: net '{one.classifier.name}' gets {value:.2f} of {len(sample.images)} seed "
                f"images right, and the best peer {best:.2f}; {cause}.",
                file=sys.stderr,
                flush=True,
            )

"""Published datasets looked at again: every example checked against given nets."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from models.classifier import PeerGroup
from pipeline import ahead
from pipeline.config.recorded import Recorded
from pipeline.kinds.kind import Example
from pipeline.progress import Bar
from pipeline.versions.published import Published, together

_TOLERANCE = 1e-3  # by which a probability may differ on another device

_FEATURES = ("id", "image", "probabilities_after", "status")  # and those that the kind names

OTHER_PROBABILITIES = "the nets give other probabilities than stored"
OTHER_STATUS = "the status is none that a recheck gives"


@dataclasses.dataclass(frozen=True)
class Verified:
    """What `check` found: examples looked at, failures by reason, and ids of the first that failed."""

    checked: int
    reasons: dict[str, int]
    failed_ids: tuple[str, ...]


def check(published: Published, groups: Mapping[str, PeerGroup], batch: int) -> Verified:
    """Checks every example: record, pixels, id, and what its nets say of the stored image.

    Args:
      published: the dataset.
      groups: run id -> the run's nets, in the run's order.
      batch: images that the nets see at a time.
    """
    reasons: collections.Counter[str] = collections.Counter()
    failed: list[str] = []
    checked = 0

    def group(example: Example) -> tuple[PeerGroup, int]:
        run = published.run(example)
        return groups[run["run_id"]], published.kind.batch(run, batch)

    def ask(mine: list[Example]) -> np.ndarray:
        nets, size = group(mine[0])
        return nets.probabilities(np.stack([example["image"] for example in mine]), size)

    examples = published.examples((*_FEATURES, "run/id", *published.kind.checked))
    with Bar("verify", published.count, "example") as bar:
        for mine, answers in ahead.asked(together(examples, group), ask):
            for run, places in published.places_by_run(mine):
                of_run = [mine[place] for place in places]
                for example, found in zip(of_run, _failures(of_run, published, run, answers[:, places]), strict=True):
                    reasons.update(found)
                    failed += [example["id"].decode()] if found else []
            checked += len(mine)
            bar.show(checked, f"{reasons.total():,} failures")
    return Verified(checked, dict(reasons), tuple(failed[:10]))


def _failures(examples: Sequence[Example], published: Published, run: Recorded, answers: np.ndarray) -> list[list[str]]:
    """Returns why each example, all of one run, does not hold, given what its nets say, `[N, B, K]`."""
    kind = published.kind
    found = kind.failures(examples, run, answers)
    for place, example in enumerate(examples):
        if np.abs(answers[:, place] - example["probabilities_after"]).max() > _TOLERANCE:
            found[place].append(OTHER_PROBABILITIES)
        if example.get("status", b"").decode() not in ("", *kind.statuses):
            found[place].append(OTHER_STATUS)
    return found

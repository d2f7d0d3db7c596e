"""What the group of nets does: every net misled in turn from one image, and groups of more and more peers."""

from __future__ import annotations

import collections
import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np

from models.errors import InputError
from models.settings import setting
from pipeline.config.config import Config
from pipeline.kinds import targets
from pipeline.kinds.kind import Example
from pipeline.report import picture, rates
from pipeline.report.page import Picture
from pipeline.report.tables import Table
from pipeline.reproduce.bench import Bench, with_keys
from pipeline.reproduce.experiment import BALUJA, Claim, Experiment, Findings
from pipeline.versions.of_run import RunExamples

_TASK = "the task whose nets are searched: its configuration, relative to this file"
_SHOWN = 4  # seed images of the picture


@dataclasses.dataclass(frozen=True)
class EachInTurn(Experiment):
    """Seed images from which every net of the group is led to a mistake, one after the other, while its peers hold."""

    task: str = setting("", _TASK)
    trials: int = setting(10_000, "seed images, each tried for every target", low=1, high=1_000_000)

    name: ClassVar[str] = "peer-each-in-turn"
    title: ClassVar[str] = "Figure 9: every net in turn led to a mistake from one seed image"
    paper: ClassVar[str] = BALUJA
    takes: ClassVar[str] = "5 minutes"

    def run(self, bench: Bench) -> Findings:
        """See `Experiment`."""
        keys: dict[str, dict[str, object]] = {
            "search": {"trials": self.trials, "targets": "all"},
            "judge": {"architecture": ""},
        }
        run = RunExamples(bench.mined(with_keys(bench.task(self.task), "in_turn", **keys)))
        nets = targets.names(run.run.manifest)
        misled: dict[str, dict[str, Example]] = collections.defaultdict(dict)
        for example in run.examples():
            misled[example["seed"]["id"].decode()][example["target_net"].decode()] = example
        whole = [of_seed for of_seed in misled.values() if len(of_seed) == len(nets)]
        counts = collections.Counter(len(of_seed) for of_seed in misled.values())
        claim = Claim(
            "There is a seed image from which every net in turn is led to a mistake while all its peers hold.",
            bool(whole),
            f"{len(whole)} of {self.trials} seed images: all {len(nets)} nets.",
        )
        rows = [["nets misled", "seed images"], *([str(n), str(counts[n])] for n in range(1, len(nets) + 1))]
        shown = [self._drawn(whole, nets, run.run.class_names)] if whole else []
        return Findings([claim], [Table(rows, note=f"of {self.trials} seed images, all nets right on each")], shown)

    def _drawn(self, whole: Sequence[dict[str, Example]], nets: Sequence[str], names: Sequence[str]) -> Picture:
        strips = []
        for of_seed in whole[:_SHOWN]:
            examples = [of_seed[net] for net in nets]
            images = np.stack([examples[0]["seed_image"], *(example["image"] for example in examples)])
            wrong = [
                f"{net}: {names[int(example['wrong_class'])]}" for net, example in zip(nets, examples, strict=True)
            ]
            strips.append(picture.Strip(f"a {names[int(examples[0]['label'])]}", images, ["seed image", *wrong]))
        alt = f"Rows of a seed image and, for each of {', '.join(nets)}, the image that this net alone misreads."
        return Picture("turns", "Each net alone is wrong", alt, functools.partial(picture.draw_strips, strips))


@dataclasses.dataclass(frozen=True)
class PeerCount(Experiment):
    """One target net under 1, 2, 3, ... peers: the more of them vouch for the label, the surer it is, and the rarer."""

    task: str = setting(
        "", f"{_TASK}; it has a judge; its first net is the target, the others are the peers, in this order"
    )
    trials: int = setting(1000, "seed images for each number of peers", low=1, high=1_000_000)

    name: ClassVar[str] = "peer-count"
    title: ClassVar[str] = "How many peers: reliable labels against many mistakes"
    paper: ClassVar[str] = f"{BALUJA}, which leaves it open"
    takes: ClassVar[str] = "10 minutes"

    def run(self, bench: Bench) -> Findings:
        """See `Experiment`."""
        base = bench.task(self.task)
        target, *peers = base.peers.architectures  # the first, for a net's place decides its first weights
        if not base.judge.architecture:
            raise InputError(f"{self.task} has no judge; give it [judge] architecture.")
        counted = [self._counted(bench, base, count) for count in range(1, len(peers) + 1)]
        cells = [["peers", "found", "of trials, % (95% interval)", "judge reads the label, % (95% interval)"]]
        cells += [one.cells(str(count)) for count, one in enumerate(counted, start=1)]
        note = f"target: {target}; peers in this order: {', '.join(peers)}; judge: {base.judge.architecture}"
        return Findings([_rarer(counted), _surer(counted)], [Table(cells, note=note)], [_curve(counted)])

    def _counted(self, bench: Bench, base: Config, count: int) -> _Counted:
        target, *peers = base.peers.architectures
        keys: dict[str, dict[str, object]] = {
            "peers": {"architectures": (target, *peers[:count])},
            "search": {"trials": self.trials, "targets": (target,)},
        }
        folder = bench.mined(with_keys(base, f"peers{count}", **keys))
        manifest = folder.manifest()
        assert manifest is not None
        _, ran = rates.rate(manifest, target)
        examples = list(RunExamples(folder).examples())
        read = sum(int(example["judge"]["class"]) == int(example["label"]) for example in examples)
        return _Counted(ran, len(examples), read)


class _Counted(NamedTuple):
    """What was found under some peers.

    Attributes:
      trials: trials that were run.
      found: mistakes.
      read: those whose label the judge reads.
    """

    trials: int
    found: int
    read: int

    @property
    def coverage(self) -> float:
        """Trials that find a mistake, in %."""
        return 100.0 * self.found / max(self.trials, 1)

    @property
    def reliability(self) -> float:
        """Mistakes whose label the judge reads, in %; NaN where there is none."""
        return 100.0 * self.read / self.found if self.found else math.nan

    def cells(self, peers: str) -> list[str]:
        """Returns a row of the table."""
        return [peers, str(self.found), rates.percent(self.found, self.trials), rates.percent(self.read, self.found)]


def _rarer(counted: Sequence[_Counted]) -> Claim:
    first, last = counted[0], counted[-1]
    return Claim(
        "The more peers, the fewer mistakes are found.",
        last.coverage < first.coverage,
        f"{first.coverage:.1f}% of the trials with 1 peer, {last.coverage:.1f}% with {len(counted)}.",
    )


def _surer(counted: Sequence[_Counted]) -> Claim:
    first, last = counted[0], counted[-1]
    return Claim(
        "The more peers, the more reliable the label is (the judge, a stronger net, reads it too).",
        last.reliability > first.reliability if first.found and last.found else None,
        f"{first.reliability:.1f}% with 1 peer, {last.reliability:.1f}% with {len(counted)}.",
    )


def _curve(counted: Sequence[_Counted]) -> Picture:
    lines = {
        "trials that find a mistake": [one.coverage for one in counted],
        "mistakes whose label the judge reads": [one.reliability for one in counted],
    }
    places = [str(count) for count in range(1, len(counted) + 1)]
    drawn = functools.partial(picture.draw_lines, lines, places, "%")
    return Picture("curve", "Coverage and reliability by the number of peers", "Two lines over the peers.", drawn)

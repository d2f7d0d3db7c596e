"""The experiments that retrain nets, by retraining files: pools, garbage rounds, selective dropout, rounds of peers."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from models.settings import setting
from pipeline.report import front, rounds
from pipeline.report.page import Picture
from pipeline.reproduce.bench import Bench
from pipeline.reproduce.experiment import BALUJA, HINTHORN, NGUYEN, SZEGEDY, Claim, Experiment, Findings
from pipeline.retrain import comparison, experiment, significance
from pipeline.retrain.garbage import encodings
from pipeline.retrain.garbage.measuring import ENCODINGS, named
from pipeline.retrain.mistakes import rounds_tables
from pipeline.retrain.session import Retrained
from pipeline.retrain.settings import Plan

_RETRAINING = "the retraining file, relative to this file"
Records = Sequence[Mapping[str, Any]]  # of one recipe, in the order of training seeds


def _mean(records: Records, measure: str) -> float:
    return float(np.mean([record["measured"][measure] for record in records]))


def _told(records: Records, measure: str) -> str:
    """Returns a mean with its 95% bootstrap interval over training seeds."""
    values = [record["measured"][measure] for record in records]
    low, high = comparison.interval(values)
    return f"{np.mean(values):.2f} ({low:.2f} to {high:.2f})"


def _front(done: Retrained) -> list[Picture]:
    measured = done.plan.subject.measures.front
    if not measured:
        return []
    points = list(experiment.points(done.plan, done.results, measured))

    def draw(stream: Any) -> None:
        stream.write(front.draw(points, *measured.labels))

    return [Picture("front", "What recipes cost and give", "Each recipe's nets by error and gain.", draw)]


@dataclasses.dataclass(frozen=True)
class _Retraining(Experiment):
    """What experiments have in common that retrain a net by recipes."""

    retraining: str = setting("", _RETRAINING)

    def run(self, bench: Bench) -> Findings:
        """See `Experiment`."""
        done = bench.retrained(self.retraining)
        seeds = f"{done.plan.retraining.seeds} training seeds; intervals are over these."
        return Findings(self.claims(done.results, done.plan), done.tables, _front(done), [seeds])

    @abc.abstractmethod
    def claims(self, results: Mapping[str, Records], plan: Plan) -> list[Claim]:
        """Returns the paper's claims, beside the records of each recipe of the retraining file."""


@dataclasses.dataclass(frozen=True)
class Pool(_Retraining):
    """Training with a pool of adversarial images of which a part is continually replaced."""

    name: ClassVar[str] = "szegedy-pool"
    title: ClassVar[str] = "A pool of adversarial images, kept fresh in training"
    paper: ClassVar[str] = SZEGEDY
    takes: ClassVar[str] = "2 hours"

    def claims(self, results: Mapping[str, Records], plan: Plan) -> list[Claim]:
        """See `_Retraining`."""
        pools = [name for name in results if name.startswith("pool")]
        best = min(pools, key=lambda name: _mean(results[name], "clean_error"))
        others = [name for name in ("nothing", "weight-decay", "dropout") if name in results]
        own = _mean(results[best], "clean_error")
        told = ", ".join(f"{name} {_told(results[name], 'clean_error')}" for name in [best, *others])
        chosen = f" The best of {len(pools)} pools, chosen by this very error, which flatters it." if pools[1:] else ""
        further = [_mean(results[name], "distortion") for name in ("nothing", best)]
        return [
            Claim("With pools the test error is below 1.2%.", own < 1.2, f"{best}: {own:.2f}%.{chosen}"),
            Claim(
                "That is less than with weight decay (1.6%) or dropout (1.3%) alone.",
                all(own < _mean(results[name], "clean_error") for name in others),
                f"{told}, in %.",
            ),
            Claim(
                "An adversary has to go further after it (expected of any such training; the paper has no figure).",
                further[1] > further[0],
                f"distortion {further[0]:.4f} without, {further[1]:.4f} with the pool '{best}'.",
            ),
        ]


@dataclasses.dataclass(frozen=True)
class GarbageRounds(_Retraining):
    """Rounds of evolving garbage and training with it as a class of its own."""

    name: ClassVar[str] = "fooling-garbage-rounds"
    title: ClassVar[str] = "A garbage class, learned in rounds"
    paper: ClassVar[str] = NGUYEN
    takes: ClassVar[str] = "45 minutes"

    def claims(self, results: Mapping[str, Records], plan: Plan) -> list[Claim]:
        """See `_Retraining`."""
        records = results["garbage-class"]
        learned = [record["training"]["rounds"] for record in records]
        last = [seed[-1]["fooled"] for seed in learned]
        own, *others = sorted(ENCODINGS, key=lambda name: name != encodings.own(plan.mined.sections).name)
        after = {name: _told(records, named(name, "fooled")) for name in (own, *others)}
        beside = "; ".join(f"{name}, which it has not learned from: {after[name]}%" for name in others)
        return [
            Claim(
                f"The net is still fooled after {len(learned[0])} rounds (the paper: 15).",
                _mean(records, named(own, "fooled")) > 0,
                f"new garbage against the net after all rounds, {own}: {after[own]}% of the classes ({beside}). In the "
                f"last round's own search: {np.mean(last):.0f}%.",
            )
        ]


@dataclasses.dataclass(frozen=True)
class SelectiveDropout(_Retraining):
    """On twins, only the most volatile units of a layer learn; beside it the least volatile, and any."""

    name: ClassVar[str] = "hinthorn-selective-dropout"
    title: ClassVar[str] = "Selective dropout: only the most volatile units learn from twins"
    paper: ClassVar[str] = HINTHORN
    takes: ClassVar[str] = "40 minutes"

    def claims(self, results: Mapping[str, Records], plan: Plan) -> list[Claim]:
        """See `_Retraining`; the recipe `all` is the control, in which all units learn."""
        del plan
        most = [name for name in results if name.startswith("most")]
        steps = {name: _steps(results[name]) for name in ["all", *most]}
        originals = [100 - _mean(results[name], "original_error") for name in ("all", *most)]
        named_steps = ", ".join(f"{name} {value:.1f}" for name, value in steps.items())
        return [
            Claim(
                "Training converges in a half to a third of the steps.",
                min(steps[name] for name in most) <= steps["all"] / 2,
                f"steps until 95% of the twins are read rightly, median over seeds: {named_steps}.",
            ),
            _ahead_of_all(results, most),
            _ahead_of_others(results),
            Claim(
                "Accuracy on the originals stays near 100% (the control: about 98%).",
                min(originals[1:]) > 99,
                f"{min(originals[1:]):.2f}% at least; control {originals[0]:.2f}%.",
            ),
        ]


def _ahead_of_all(results: Mapping[str, Records], most: Sequence[str]) -> Claim:
    """Tells whether a share of volatile units beats all units; of several shares, after Holm's correction."""
    compared = {name: results[name] for name in ("all", *most)}
    apart = {name: float(np.mean(comparison.differences(compared, name, "group_error"))) for name in most}
    sure = {name: told.holm for name, told in comparison.p_values(compared, "group_error").items()}
    better = [name for name in most if apart[name] < 0 and sure[name] < significance.LEVEL]
    told = ", ".join(f"{name} {-apart[name]:+.2f} (p = {sure[name]:.3f})" for name in most)
    return Claim(
        "More of the held-out twins are read rightly than when all units learn.",
        bool(better),
        f"{100 - _mean(results['all'], 'group_error'):.1f}% with all units; in points more, p by flipping signs with "
        f"Holm's correction: {told}.",
    )


def _ahead_of_others(results: Mapping[str, Records]) -> Claim:
    """Tells whether the most volatile units beat as many of the least volatile, or any, of the same layer."""
    pairs = {name: f"most-{name.partition('-')[2]}" for name in results if name.startswith(("least-", "any-"))}
    ahead, told = [], []
    for name, volatile in pairs.items():
        more = comparison.differences({side: results[side] for side in (volatile, name)}, name, "group_error")
        low, high = comparison.interval(more)
        ahead.append(low > 0)
        told.append(f"than {name} by {np.mean(more):.2f} ({low:.2f} to {high:.2f})")
    return Claim(
        "It is the volatile units that matter: as many of the least volatile, or any, do worse.",
        all(ahead) if ahead else None,
        f"error of the most volatile less, in points, {', '.join(told)}." if told else "no such recipes in this form.",
    )


def _steps(records: Records) -> float:
    """Returns the median number of steps to 95% of the twins; nets that never get there count as infinity."""
    return float(np.median([np.inf if (at := one["training"]["steps_to_95"]) is None else at for one in records]))


@dataclasses.dataclass(frozen=True)
class SteadyState(Experiment):
    """Mine, retrain every net on what is found, and mine again, all nets being each other's peers."""

    retraining: str = setting("", f"{_RETRAINING}, with [rounds]")

    name: ClassVar[str] = "peer-steady-state"
    title: ClassVar[str] = "All nets each other's peers, over rounds of mining and retraining"
    paper: ClassVar[str] = f"{BALUJA}, which leaves it open"
    takes: ClassVar[str] = "60 minutes"

    def run(self, bench: Bench) -> Findings:
        """See `Experiment`."""
        results = bench.rounds(self.retraining)
        found = {name: _found(chains) for name, chains in results.items()}
        claims = [
            Claim(
                f"Retrained on what is found, nets are found fewer mistakes of ('{name}').",
                steps[-1] < steps[0],
                f"{', '.join(f'{step:.1f}' for step in steps)}% of the trials, round by round.",
            )
            for name, steps in found.items()
            if name != "nothing"
        ]
        panels = rounds_tables.panels(results)

        def draw(stream: Any) -> None:
            stream.write(rounds.draw(panels))

        alt = "Panels over rounds: share of trials that find a mistake, and measures of the nets and of their ensemble."
        return Findings(claims, rounds_tables.tables(results), [Picture("rounds", "Round by round", alt, draw)])


def _found(chains: Sequence[Records]) -> list[float]:
    return [float(np.mean(rounds_tables.figures(step)["found"])) for step in rounds_tables.by_round(chains)]


@dataclasses.dataclass(frozen=True)
class Ensemble(Experiment):
    """The nets that learned from each other beside the vote of the nets as they were."""

    retraining: str = setting("", f"{_RETRAINING}, with [rounds]")

    name: ClassVar[str] = "peer-ensemble"
    title: ClassVar[str] = "Nets that learned from their peers, beside the ensemble's vote"
    paper: ClassVar[str] = f"{BALUJA}, which leaves it open"
    takes: ClassVar[str] = "nothing more than peer-steady-state"

    def run(self, bench: Bench) -> Findings:
        """See `Experiment`."""
        results = bench.rounds(self.retraining)
        claims = []
        for name, chains in results.items():
            if name != "nothing":
                claims += [_against_vote(name, chains, measure) for measure in _AGAINST]
        return Findings(claims, rounds_tables.tables(results))


_AGAINST = {"clean_error": "clean images", "moved_error": "moved images"}


def _against_vote(name: str, chains: Sequence[Records], measure: str) -> Claim:
    steps = [rounds_tables.figures(step) for step in rounds_tables.by_round(chains)]
    first, last = steps[0], steps[-1]
    vote, nets = (float(np.mean(told)) for told in (first[f"ensemble_{measure}"], last[f"nets_{measure}"]))
    before, after = float(np.mean(first[f"nets_{measure}"])), float(np.mean(last[f"ensemble_{measure}"]))
    return Claim(
        f"A net that learned from its peers' mistakes ('{name}') is as good on {_AGAINST[measure]} as their vote was.",
        nets <= vote,
        f"error of a net {before:.2f}% before, {nets:.2f}% after; of the vote {vote:.2f}% before, {after:.2f}% after.",
    )

"""Garbage images that nets are nearly certain about: by evolution, by the gradient, and whom else they fool."""

from __future__ import annotations

import abc
import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from models.settings import setting
from pipeline.config.config import Config
from pipeline.kinds import targets
from pipeline.kinds.garbage.islands import SPLIT, Islands
from pipeline.kinds.kind import Manifest
from pipeline.kinds.registry import of
from pipeline.report import picture
from pipeline.report.page import Picture
from pipeline.report.tables import Table, number
from pipeline.reproduce.bench import Bench, with_keys
from pipeline.reproduce.experiment import NGUYEN, Claim, Experiment, Findings
from pipeline.versions.of_run import RunExamples
from pipeline.workdir.ledger import RunFolder

_TASK = "the task whose nets are fooled: its configuration, relative to this file"


@dataclasses.dataclass(frozen=True)
class Course:
    """How one island went.

    Attributes:
      net: the target.
      done: classes at the confidence wanted, after each generation, `[G]`.
      medians: median confidence over the classes, likewise.
    """

    net: str
    done: np.ndarray
    medians: np.ndarray

    def first(self, reached: np.ndarray) -> int | None:
        """Returns the first generation in which something is reached, bool `[G]`; None if it never is."""
        return int(np.argmax(reached)) if reached.any() else None


def _courses(folder: RunFolder, manifest: Manifest) -> list[Course]:
    nets = targets.names(manifest)
    islands, found = Islands(tuple(range(len(nets)))), []
    for unit in manifest["units"]:
        curve = np.loadtxt(folder.curve(unit["number"]).open(), delimiter=",", skiprows=1, ndmin=2)
        island = islands.read(SPLIT, [unit["number"]])
        found.append(Course(nets[island.net], curve[:, 1], curve[:, 2]))
    return found


@dataclasses.dataclass(frozen=True)
class _Fooling(Experiment):
    """What the three ways to make garbage have in common."""

    task: str = setting("", _TASK)
    islands: int = setting(5, "independent runs for each net", low=1, high=1000)

    paper: ClassVar[str] = NGUYEN

    def run(self, bench: Bench) -> Findings:
        """See `Experiment`."""
        task = with_keys(bench.task(self.task), "fooling", garbage={"islands": self.islands})
        folder = bench.mined(task)
        manifest = folder.manifest()
        assert manifest is not None
        courses, classes = _courses(folder, manifest), manifest["num_classes"]
        shown = [_generations(courses, classes, task), *of(task).tables(folder, manifest)]
        return Findings(self.claims(courses, classes, manifest), shown, [_sheet(folder), _curves(courses)])

    @abc.abstractmethod
    def claims(self, courses: Sequence[Course], classes: int, manifest: Manifest) -> list[Claim]:
        """Returns the paper's claims of this way to make garbage."""


def _generations(courses: Sequence[Course], classes: int, task: Config) -> Table:
    least = task.sections["garbage"].confidence
    heads = [
        "net",
        "islands",
        f"all {classes} classes done",
        "generation of that",
        "median first at it",
        "median at the end",
    ]
    cells = [heads]
    for net in dict.fromkeys(course.net for course in courses):
        mine = [course for course in courses if course.net == net]
        whole = [course.first(course.done >= classes) for course in mine]
        median = [course.first(course.medians >= least) for course in mine]
        ends = float(np.median([course.medians[-1] for course in mine]))
        cells.append([net, str(len(mine)), str(_reached(whole)), _span(whole), _span(median), f"{ends:.6f}"])
    note = f"done: at {100 * least:g}% or more; generations (steps of the ascent): median over islands [least, most]"
    return Table(cells, note=note)


def _reached(generations: Sequence[int | None]) -> int:
    return sum(each is not None for each in generations)


def _span(generations: Sequence[int | None]) -> str:
    there = [each for each in generations if each is not None]
    return f"{np.median(there):g} [{min(there)}, {max(there)}]" if there else "-"


def _sheet(folder: RunFolder) -> Picture:
    examples = RunExamples(folder)
    first: dict[tuple[str, int], dict[str, Any]] = {}
    for example in examples.examples():
        first.setdefault((example["target_net"].decode(), int(example["wrong_class"])), example)
    shown = [first[key] for key in sorted(first)]
    names = examples.run.class_names
    titles = [f"{names[int(one['wrong_class'])]} {100 * one['confidence']:.2f}%" for one in shown]
    nets = ", ".join(dict.fromkeys(net for net, _ in sorted(first)))
    images = [one["image"] for one in shown]
    draw = functools.partial(_draw_sheet, images, titles)
    return Picture("sheet", f"One of each class, for {nets or 'no net'}", f"Garbage images: {', '.join(titles)}.", draw)


def _draw_sheet(images: Sequence[np.ndarray], titles: Sequence[str], stream: Any) -> None:
    blank = np.zeros((1, 8, 8, 1), np.uint8)
    picture.draw_sheet(np.stack(images) if images else blank, titles or ["none was done"], stream)


def _curves(courses: Sequence[Course]) -> Picture:
    curves = [np.stack([np.arange(len(one.done)), one.done, one.medians], axis=-1) for one in courses]
    title, alt = "Confidence by generation", "Median confidence and classes done by generation, a line for each island."
    return Picture("curves", title, alt, functools.partial(picture.draw_curves, curves))


def _medians_told(courses: Sequence[Course], least: float) -> tuple[list[int | None], str]:
    firsts = [course.first(course.medians >= least) for course in courses]
    return (
        firsts,
        f"median over the classes first at {100 * least:g}%: {_span(firsts)}, {_reached(firsts)} of {len(firsts)}",
    )


@dataclasses.dataclass(frozen=True)
class Direct(_Fooling):
    """Evolved pixels: static that nets are certain about."""

    name: ClassVar[str] = "fooling-direct"
    title: ClassVar[str] = "Evolved pixels that MNIST nets are certain are digits"
    takes: ClassVar[str] = "10 minutes"

    def claims(self, courses: Sequence[Course], classes: int, manifest: Manifest) -> list[Claim]:
        """See `_Fooling`."""
        soon = [(course.done[:51] >= classes).any() for course in courses]
        firsts, told = _medians_told(courses, 0.9999)
        held = _reached(firsts) == len(firsts) and np.median([each for each in firsts if each is not None]) <= 200
        return [
            Claim(
                "All ten digits are at 99.99% or more within 50 generations.",
                all(soon),
                f"{sum(soon)} of {len(soon)} islands.",
            ),
            Claim("The median confidence is 99.99% by generation 200.", bool(held), f"{told} islands."),
        ]


@dataclasses.dataclass(frozen=True)
class CPPN(_Fooling):
    """Evolved networks that draw patterns."""

    name: ClassVar[str] = "fooling-cppn"
    title: ClassVar[str] = "Evolved patterns that MNIST nets are certain are digits"
    takes: ClassVar[str] = "15 minutes"

    def claims(self, courses: Sequence[Course], classes: int, manifest: Manifest) -> list[Claim]:
        """See `_Fooling`."""
        done = [course.done[-1] >= classes for course in courses]
        _, told = _medians_told(courses, 0.9999)
        return [
            Claim(
                "Patterns bring every digit to 99.99%.",
                all(done),
                f"{sum(done)} of {len(done)} islands bring all {classes} there; {told} islands.",
            )
        ]


@dataclasses.dataclass(frozen=True)
class Ascent(_Fooling):
    """Along the gradient of the net, from noise."""

    name: ClassVar[str] = "fooling-ascent"
    title: ClassVar[str] = "Gradient ascent to images that MNIST nets are certain are digits"
    takes: ClassVar[str] = "10 minutes"

    def claims(self, courses: Sequence[Course], classes: int, manifest: Manifest) -> list[Claim]:
        """See `_Fooling`."""
        whole = [course.first(course.done >= classes) for course in courses]
        held = all(each is not None and each <= 500 for each in whole)
        found = f"{_reached(whole)} of {len(whole)} islands bring all {classes} classes there, in steps {_span(whole)}."
        return [Claim("The gradient finds such images too, in 300 to 500 steps at most.", held, found)]


@dataclasses.dataclass(frozen=True)
class Transfer(Experiment):
    """Garbage made for one net, shown to the others of its group."""

    tasks: tuple[str, ...] = setting((), "the tasks whose garbage is shown: configurations, relative to this file")
    islands: int = setting(5, "independent runs for each net", low=1, high=1000)

    name: ClassVar[str] = "fooling-transfer"
    title: ClassVar[str] = "Garbage of one net, shown to others"
    paper: ClassVar[str] = NGUYEN
    takes: ClassVar[str] = "2 minutes more than the three before it"

    def run(self, bench: Bench) -> Findings:
        """See `Experiment`."""
        cells: list[list[str]] = []
        shares = []
        for path in self.tasks:
            task = with_keys(bench.task(path), "fooling", garbage={"islands": self.islands})
            examples = RunExamples(bench.mined(task))
            nets = [net["name"] for net in examples.run["nets"]]
            cells = cells or [["made by", "made for", "images", *(f"{net} %" for net in nets)]]
            for target in targets.names(examples.run.manifest):
                same = _same(target, examples)
                shown = [100 * float(np.mean(column)) for column in same.T] if len(same) else [float("nan")] * len(nets)
                cells.append([task.method.name, target, str(len(same)), *map(number, shown)])
                shares += [share for net, share in zip(nets, shown, strict=True) if net != target and len(same)]
        told = (
            f"{min(shares):.0f} to {max(shares):.0f}% of a net's garbage, by the net shown it." if shares else "none."
        )
        claim = Claim(
            "Garbage of one net gets the same class from others too, but not all of it does.",
            bool(shares) and max(shares) > 0 and float(np.mean(shares)) < 100,
            told,
        )
        return Findings([claim], [Table(cells, note="% to which each net gives the same class", left=2)])


def _same(target: str, examples: RunExamples) -> np.ndarray:
    """Returns whether each net gives each image of a target net its class, bool `[R, N]`."""
    mine = [one for one in examples.examples() if one["target_net"].decode() == target]
    wanted = [int(one["wrong_class"]) for one in mine]
    given = [one["net_classes"] for one in mine]
    return np.array(given) == np.array(wanted)[:, None] if mine else np.zeros((0, 0), bool)

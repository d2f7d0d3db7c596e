"""One retraining from its file to its summary: nets made and measured, recipes beside each other, files written."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from etils import epath

from pipeline.progress import Bar
from pipeline.report import front
from pipeline.report import rounds as picture
from pipeline.report.tables import Table
from pipeline.retrain import comparison, experiment
from pipeline.retrain.mistakes import rounds, rounds_tables
from pipeline.retrain.settings import Plan
from pipeline.workdir import ledger, lock
from pipeline.workdir.ledger import Workdir


@dataclasses.dataclass(frozen=True)
class Retrained:
    """What a retraining gave.

    Attributes:
      plan: its file.
      results: the records, recipe by recipe, in the order of training seeds.
      tables: what is shown.
      csv: every mean.
      folder: where all is kept.
    """

    plan: Plan
    results: dict[str, list[dict[str, Any]]]
    tables: Sequence[Table]
    csv: str
    folder: epath.Path


def carry_out(plan: Plan, workdir: Workdir, data_dir: str | None, device: str, wait: bool) -> Retrained:
    """Retrains and measures what is missing, and writes the summary.

    Args:
      plan: the file.
      workdir: with the mined task's dataset, if a recipe uses it.
      data_dir: TFDS's, of the seed images.
      device: where nets are trained.
      wait: until nobody else works on the same results; else HeldError is raised.
    """
    name, measures = f"retrained/{plan.task}", plan.subject.measures
    workdir.check_writable()
    with lock.hold(workdir.lock(name), name, "`peerpressure retrain`", wait):
        material = experiment.prepare(plan, str(workdir.path), data_dir, device)
        material = experiment.with_published(material)
        results = experiment.run(material, told_by_bar("retrain", "net"))
        folder = experiment.folder(workdir, plan.task)
        controls = [name for name, recipe in plan.recipes.items() if not recipe.needs_mined()]
        ledger.write_json(folder / "summary.json", comparison.summary(results, controls, measures))
        every_mean = comparison.whole(results, measures).csv()
        ledger.write_whole(folder / "summary.csv", every_mean.encode())
        if measures.front:
            points = experiment.points(plan, results, measures.front)
            ledger.write_whole(folder / "front.png", front.draw(points, *measures.front.labels))
    return Retrained(plan, results, comparison.tables(results, controls, measures), every_mean, folder)


def carry_out_rounds(
    plan: Plan, workdir: Workdir, data_dir: str | None, device: str, wait: bool
) -> rounds_tables.Chains:
    """Mines and retrains in rounds, what is missing of them, and writes the summary; arguments as of `carry_out`."""
    rounds.check(plan)
    name = f"retrained/{plan.task}"
    workdir.check_writable()
    with lock.hold(workdir.lock(name), name, "`peerpressure rounds`", wait):
        material = experiment.prepare(plan, str(workdir.path), data_dir, device)
        results = rounds.run(material, told_by_bar("rounds", "round"))
        folder = rounds_folder(plan, workdir)
        ledger.write_json(folder / "summary.json", rounds_tables.summary(results))
        ledger.write_whole(folder / "rounds.csv", rounds_tables.csv(results).csv().encode())
        ledger.write_whole(folder / "rounds.png", picture.draw(rounds_tables.panels(results)))
    return results


def rounds_folder(plan: Plan, workdir: Workdir) -> epath.Path:
    """Returns where the rounds of a retraining file are kept."""
    return experiment.folder(workdir, plan.task) / "rounds"


def told_by_bar(what: str, unit: str) -> Callable[[str, int, int], None]:
    """Returns what shows how far a retraining is; see `experiment.Told`."""
    bars: list[Bar] = []

    def told(now: str, done: int, of: int) -> None:
        """Shows how much is done, and what is next."""
        if not bars:
            bars.append(Bar(what, of, unit))
        bars[0].show(done, now)
        if done == of:
            bars[0].close()

    return told

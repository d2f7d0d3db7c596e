"""What there is in a workdir: tasks with their runs and versions, and what was retrained."""

from __future__ import annotations

from typing import Any

from etils import epath

from pipeline.kinds import registry
from pipeline.report.tables import Table
from pipeline.versions import published
from pipeline.workdir.ledger import RunFolder, Workdir


def tables(workdir: Workdir) -> list[Table]:
    """Returns tables of the tasks' runs, of the versions, and of retrained nets by recipe; none that is empty.

    Raises:
      InputError: a manifest or a version is damaged, or of another format.
    """
    tasks = [
        (f"{kind.name}/{folder.name}", folder)
        for kind in registry.KINDS
        for folder in _folders(workdir.path / "ledger" / kind.name)
    ]
    runs = [_run(name, RunFolder(path)) for name, folder in tasks for path in _folders(folder)]
    versions = [
        [name := f"{kind.name}/{task.name}:{version.name}", str(version), f"{_examples(name, workdir):,}"]
        for kind in registry.KINDS
        for task in _folders(workdir.datasets / kind.name)
        for version in sorted(_folders(task), key=_number)
        if (version / "dataset_info.json").exists()
    ]
    retrained = [
        [task.name, recipe.name.rpartition("-")[0], str(recipe), str(count)]
        for task in _folders(workdir.path / "retrained")
        for recipe in _folders(task)
        if (count := len(list(recipe.glob("seed-*/retrained.json"))))
    ]
    told = [
        Table([["run of", "run", "state", "examples", "finished"], *runs], "runs", left=3),
        Table([["dataset", "folder", "examples"], *versions], "versions", left=2),
        Table([["task", "recipe", "folder", "nets"], *retrained], "retrained nets", left=3),
    ]
    return [table for table in told if len(table.cells) > 1]


def _folders(folder: epath.Path) -> list[epath.Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.exists() else []


def _number(version: epath.Path) -> tuple[int, ...]:
    return tuple(int(part) if part.isdigit() else 0 for part in version.name.split("."))


def _run(name: str, folder: RunFolder) -> list[str]:
    manifest, plan = folder.manifest(), folder.plan()
    if manifest:
        return [name, folder.run_id, "finished", f"{manifest['examples']:,}", manifest["finished_at"]]
    units: list[Any] = plan["units"] if plan else []
    return [name, folder.run_id, f"{len(folder.finished_units())} of {len(units)} units", "-", "-"]


def _examples(dataset: str, workdir: Workdir) -> int:
    return published.open_dataset(dataset, workdir.datasets).count

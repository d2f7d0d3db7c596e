"""The command that draws a page of a dataset or a run: `report`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from models.errors import InputError
from pipeline.commands import libraries, options, outputs
from pipeline.commands.dataset_commands import Command
from pipeline.commands.outputs import OK
from pipeline.kinds import registry

if TYPE_CHECKING:
    from etils import epath

    from pipeline.report.page import Page
    from pipeline.workdir.ledger import Workdir


def add(command: Command) -> None:
    """Adds the command to the command line; `command` takes a name, the function to call and a sentence about it."""
    options.report(command("report", _report, "Write a page about a dataset, or a run, to open in a browser."))


def _report(arguments: argparse.Namespace) -> int:
    libraries.load()
    from etils import epath

    from pipeline.versions import pages
    from pipeline.workdir.ledger import Workdir

    workdir = Workdir.at(arguments.workdir)
    page, path = _page(arguments, workdir)
    if arguments.out:
        path = epath.Path(arguments.out) / path.name
    with outputs.writing("--out", str(path.parent), "folder"):
        pages.write(page, path)
    print(path)
    return OK


def _page(arguments: argparse.Namespace, workdir: Workdir) -> tuple[Page, epath.Path]:
    """Returns the page that was asked for, and where it goes if nothing else is said."""
    from pipeline.studies import report
    from pipeline.versions import pages
    from pipeline.versions.of_run import RunExamples

    name, _, run_id = arguments.dataset.partition("@")
    if not run_id:
        published = outputs.open_dataset(arguments)
        return report.of_version(published, workdir), pages.path(workdir, published.name, published.version)
    if not name.startswith(tuple(f"{kind.name}/" for kind in registry.KINDS)):
        expected = ", ".join(f"{kind.name}/TASK@RUN" for kind in registry.KINDS)
        raise InputError(f"'{arguments.dataset}' is no run of a task; expected {expected}.")
    if arguments.sample is not None:
        raise InputError(f"--sample is for datasets, and '{arguments.dataset}' is a run; leave it out.")
    run = RunExamples(workdir.run(name, run_id))
    return report.of_run(run, workdir), pages.path(workdir, name, run_id)

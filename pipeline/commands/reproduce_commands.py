"""The command that carries out the papers' experiments: `reproduce`."""

from __future__ import annotations

import argparse
import os
import shlex
import time
from typing import TYPE_CHECKING, Any

from models.errors import InputError
from pipeline.commands import libraries, options, outputs
from pipeline.commands.dataset_commands import Command
from pipeline.commands.outputs import OK
from pipeline.reproduce import papers

if TYPE_CHECKING:
    from pipeline.report.tables import Table

_SUBFOLDER = "reproduced"  # a workdir of its own: what people mine is not mixed with it


def add(command: Command) -> None:
    """Adds the command to the command line; `command` takes a name, the function to call and a sentence about it."""
    parser = command("reproduce", _reproduce, "Carry out a paper's experiment, and set its figures beside ours.")
    options.reproduce(parser)


def _reproduce(arguments: argparse.Namespace) -> int:
    if arguments.list:
        return _list(arguments)
    if not arguments.name:
        raise InputError("`reproduce` needs the name of an experiment; `peerpressure reproduce --list` tells them all.")
    papers.check(arguments.name)
    if arguments.out:
        outputs.check_folder("--out", arguments.out)  # before hours of work
    libraries.load()
    from etils import epath

    from models import devices
    from pipeline.report import tables
    from pipeline.reproduce import page
    from pipeline.reproduce.bench import Bench
    from pipeline.reproduce.registry import EXPERIMENTS
    from pipeline.workdir.ledger import Workdir

    form = papers.SMALL if arguments.small else papers.FULL
    experiment = papers.load(EXPERIMENTS, arguments.name, form)
    workdir = Workdir.at(os.path.join(arguments.workdir, _SUBFOLDER))
    workdir.check_writable()
    bench = Bench(workdir, arguments.data_dir, arguments.device)
    folder = epath.Path(arguments.out) if arguments.out else workdir.path / "pages" / form
    began = time.monotonic()
    findings = experiment.run(bench)
    seconds = time.monotonic() - began
    device = f"{devices.device_name(arguments.device) or 'CPU'}, {os.cpu_count()} CPU cores"
    made = page.Made(form, _command(arguments), _code(), seconds, device)
    with outputs.writing("--out", str(folder), "folder"):
        path = page.write(folder, experiment, findings, made)
    print("\n\n".join(table.text() for table in [_claims(findings.claims), *findings.tables]))
    outputs.write_tables(arguments, findings.tables)
    held = [claim.held for claim in findings.claims]
    print(tables.last_line(claims=len(held), held=held.count(True), failed=held.count(False), page=path))
    return OK


def _list(arguments: argparse.Namespace) -> int:
    libraries.load()
    from pipeline.report.tables import Table
    from pipeline.reproduce.registry import EXPERIMENTS

    rows = [[one.name, one.takes, one.title] for one in EXPERIMENTS.values()]
    shown = Table([["experiment", "takes", "what it shows"], *rows], left=3)
    print(shown.text())
    outputs.write_tables(arguments, [shown])
    return OK


def _claims(claims: Any) -> Table:
    from pipeline.report.tables import Table
    from pipeline.reproduce.page import VERDICTS

    rows = [[VERDICTS[claim.held], claim.text, claim.found] for claim in claims]
    return Table([["here", "claim", "what was found"], *rows], left=3)


def _command(arguments: argparse.Namespace) -> str:
    small = ["--small"] * arguments.small
    return shlex.join(["peerpressure", "reproduce", arguments.name, *small])


def _code() -> str:
    """Returns the version of the code and, in a clone, the commit, with a plus where files were changed since."""
    import importlib.metadata
    import subprocess

    version = importlib.metadata.version("peer-pressure")
    git = ["git", "-C", os.path.dirname(os.path.abspath(__file__))]
    try:
        commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run([*git, "status", "--porcelain", "--", "."], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return version
    return f"{version}, commit {commit.stdout.strip()}{'+' * bool(changed.stdout.strip())}"

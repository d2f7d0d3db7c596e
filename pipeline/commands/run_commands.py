"""The commands that make datasets: `run`, and its steps `train`, `mine`, `package`."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from models.errors import InputError
from pipeline.commands import libraries, options, outputs
from pipeline.commands.dataset_commands import Command
from pipeline.commands.outputs import OK
from pipeline.config import config_file
from pipeline.config.config import Config
from pipeline.kinds import registry

if TYPE_CHECKING:
    from pipeline.runs.job import Job
    from pipeline.workdir.ledger import RunFolder

ON_BEAM = ("run", "mine")  # the commands that take Beam's options too


def add(command: Command) -> None:
    """Adds the commands to the command line; `command` takes a name, the function to call and a sentence about it."""
    for name, call, about in (
        ("run", _run, "Train what is missing, mine, package, and print the table of the run."),
        ("check", _check, "Say what a task would do and how long it takes, before any work."),
        ("train", _train, "Train the nets of a task that are not in the workdir yet."),
        ("mine", _mine, "Search, verify and write the chunks of a run; goes on where a killed run stopped."),
        ("package", _package, "Make all finished runs of a task the next version of its dataset."),
    ):
        step = command(name, call, about)
        options.task(step)
        if name in ON_BEAM:
            options.run(step)
        if name in (*ON_BEAM, "check"):
            options.tables(step)
        if name not in ("check", "train"):
            options.wait(step)


def _load(arguments: argparse.Namespace) -> Config:
    """Reads the configuration, and loads the libraries if it is right."""
    task = config_file.load(arguments.config, registry.methods())
    if hasattr(arguments, "run_seed"):
        task = _with_options(task.with_run_seed(arguments.run_seed, arguments.run_id), arguments)
    libraries.load()
    return task


def _with_options(task: Config, arguments: argparse.Namespace) -> Config:
    """Returns the task with the numbers that the options of its kind give."""
    for kind in registry.KINDS:
        for option, (section, key) in kind.options.items():
            number = getattr(arguments, option)
            if number is not None and task.method not in kind.methods:
                method = task.method.name
                raise InputError(f"--{option} is for {kind.noun}, and [search] method is '{method}'; leave it out.")
            if number is not None:
                task = task.with_number(section, key, number, f"--{option}")
    return task


def _job(task: Config, arguments: argparse.Namespace) -> Job:
    from pipeline.runs import job

    return job.open_job(task, arguments.workdir, arguments.data_dir, arguments.device)


@contextlib.contextmanager
def _job_alone(arguments: argparse.Namespace, who: str) -> Iterator[Job]:
    """Opens a job on a task that no other run works on meanwhile."""
    task = _load(arguments)
    from pipeline.workdir import lock
    from pipeline.workdir.ledger import Workdir

    workdir, name = Workdir.at(arguments.workdir), registry.dataset_name(task)
    workdir.check_writable()
    with lock.hold(workdir.lock(name), name, who, arguments.wait):
        yield _job(task, arguments)


def _run_alone(arguments: argparse.Namespace) -> contextlib.AbstractContextManager[Job]:
    who = f"run '{arguments.run_id}'" if arguments.run_id else "a run without --run_id"
    return _job_alone(arguments, who)


def _check(arguments: argparse.Namespace) -> int:
    job = _job(_load(arguments), arguments)
    from pipeline.report.tables import Table
    from pipeline.runs import rehearsal

    shown = []
    for told in rehearsal.rehearse(job):
        print(told.text() if isinstance(told, Table) else told, flush=True)
        shown += [told] if isinstance(told, Table) else []
    outputs.write_tables(arguments, shown)
    return OK


def _train(arguments: argparse.Namespace) -> int:
    job = _job(_load(arguments), arguments)
    from pipeline.runs import steps

    nets = steps.train(job)
    for net in [*nets.peers, *([nets.judge] if nets.judge else [])]:
        print(f"{net.name}: {net.path}")
    steps.examine(job, *nets.load())
    return OK


def _mine(arguments: argparse.Namespace) -> int:
    with _run_alone(arguments) as job:
        folder = _mined(job, arguments)
    _tell(folder, arguments)
    print(f"run {folder.run_id}: {folder.path}")
    _end({**_of_run(folder), **_reported(job, folder)})
    return OK


def _package(arguments: argparse.Namespace) -> int:
    with _job_alone(arguments, "`peerpressure package`") as job:
        packaged = _packaged(job)
    _tell_version(job, packaged)
    _end(packaged.fields())
    return OK


def _run(arguments: argparse.Namespace) -> int:
    with _run_alone(arguments) as job:
        folder = _mined(job, arguments)
        packaged = _packaged(job)
    _tell(folder, arguments)
    _tell_version(job, packaged)
    _end({**_of_run(folder), **packaged.fields(), **_reported(job, folder)})
    return OK


def _mined(job: Job, arguments: argparse.Namespace) -> RunFolder:
    from pipeline.runs import steps

    return steps.mine(job, arguments.run_id, arguments.beam_arguments)


def _packaged(job: Job) -> Any:
    from pipeline.versions import package

    return package.package(job.workdir, registry.of(job.config).name, job.config.task)


def _tell(folder: RunFolder, arguments: argparse.Namespace) -> None:
    from pipeline.runs import finish

    shown = finish.tables(folder)
    print(finish.summary(folder, shown))
    outputs.write_tables(arguments, shown)


def _tell_version(job: Job, packaged: Any) -> None:
    from pipeline.versions import package

    print(f"\n{package.text(packaged, job.workdir.datasets)}")


def _of_run(folder: RunFolder) -> dict[str, Any]:
    manifest = folder.manifest()
    assert manifest is not None
    counted = {"examples": manifest["examples"], "set_aside": manifest["set_aside"]}
    return {"run": folder.run_id, **counted, "manifest": folder.path / "manifest.json"}


def _reported(job: Job, folder: RunFolder) -> dict[str, Any]:
    """Writes the page of a finished run, if it is not there, and returns where it is."""
    from pipeline.studies import report
    from pipeline.versions import pages
    from pipeline.versions.of_run import RunExamples

    path = pages.path(job.workdir, job.dataset_name, folder.run_id)
    if not path.exists():
        pages.write(report.of_run(RunExamples(folder), job.workdir), path)
    return {"report": path}


def _end(fields: dict[str, Any]) -> None:
    from pipeline.report import tables

    print(tables.last_line(**fields))

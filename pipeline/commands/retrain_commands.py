"""The commands that make nets better: `retrain` and `rounds`."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from pipeline.commands import libraries, options
from pipeline.commands.dataset_commands import Command
from pipeline.commands.outputs import CHECK_FAILED, OK, write_tables, write_text
from pipeline.kinds import registry

if TYPE_CHECKING:
    from pipeline.retrain.settings import Plan


def add(command: Command) -> None:
    """Adds the commands to the command line; `command` takes a name, the function to call and a sentence about it."""
    parser = command("retrain", _retrain, "Retrain a net on mined mistakes by recipes, and measure what each is worth.")
    options.task(parser)
    options.wait(parser)
    parser.add_argument(
        "--require",
        nargs="+",
        default=[],
        metavar="BOUND",
        help='what must hold of means, such as "candidates>100" or "mixed:moved_error<7.5"; else the exit code is 1',
    )
    parser.add_argument("--csv", default="", metavar="FILE", help="write the table here too")
    options.tables(parser)
    rounds = command(
        "rounds", _rounds, "Mine, retrain every net on what is found, and mine again, until little changes."
    )
    options.task(rounds)
    options.wait(rounds)
    rounds.add_argument("--csv", default="", metavar="FILE", help="write all figures here too")
    options.tables(rounds)


def _load(arguments: argparse.Namespace) -> Plan:
    """Reads the retraining file, and loads the libraries if it is right."""
    from pipeline.retrain import settings, subjects

    plan = settings.load(arguments.config, dict(registry.methods()), subjects.of)
    libraries.load()
    return plan


def _retrain(arguments: argparse.Namespace) -> int:
    plan = _load(arguments)
    from pipeline.report import tables
    from pipeline.retrain import comparison, session
    from pipeline.workdir.ledger import Workdir

    required = [
        comparison.Requirement(text, list(plan.recipes), plan.subject.measures.names) for text in arguments.require
    ]
    workdir = Workdir.at(arguments.workdir)
    done = session.carry_out(plan, workdir, arguments.data_dir, arguments.device, arguments.wait)
    print("\n\n".join(table.text() for table in done.tables))
    write_text("--csv", arguments.csv, done.csv)
    write_tables(arguments, done.tables)
    failures = [failure for requirement in required for failure in requirement.failures(done.results)]
    for failure in failures:
        print(failure, file=sys.stderr)
    nets = sum(map(len, done.results.values()))
    print(tables.last_line(nets=nets, required=len(required), failed=len(failures), folder=done.folder))
    return CHECK_FAILED if failures else OK


def _rounds(arguments: argparse.Namespace) -> int:
    plan = _load(arguments)
    from pipeline.report import tables
    from pipeline.retrain import session
    from pipeline.retrain.mistakes import rounds_tables
    from pipeline.workdir.ledger import Workdir

    workdir = Workdir.at(arguments.workdir)
    results = session.carry_out_rounds(plan, workdir, arguments.data_dir, arguments.device, arguments.wait)
    shown = rounds_tables.tables(results)
    print("\n\n".join(table.text() for table in shown))
    write_text("--csv", arguments.csv, rounds_tables.csv(results).csv())
    write_tables(arguments, shown)
    chains = sum(map(len, results.values()))
    print(tables.last_line(chains=chains, folder=session.rounds_folder(plan, workdir)))
    return OK

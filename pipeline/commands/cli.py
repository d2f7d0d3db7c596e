"""The command line, `peerpressure COMMAND`.

Exit codes: 0, done; 1, a check found something wrong; 2, a mistake in what was given; 3, another run holds the task; 4,
a disk or bucket failed, or was full, or a worker process died (2 to 4 with one sentence on stderr); 5, anything else,
with a stack trace; 130, interrupted; 141, nobody reads what is printed (`| head`). `run`, `mine`, `package` and
`recheck --publish` end with one line "peerpressure: status=done key=value ...".
"""

from __future__ import annotations

import argparse
import difflib
import importlib.metadata
import itertools
import os
import select
import sys
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

from absl import app, logging
from absl.flags import argparse_flags

from models.errors import InputError
from pipeline.commands import (
    dataset_commands,
    garbage_commands,
    libraries,
    outputs,
    pair_commands,
    report_commands,
    reproduce_commands,
    retrain_commands,
    run_commands,
    workdir_commands,
)
from pipeline.commands.outputs import OK

FAMILIES = (
    run_commands,
    dataset_commands,
    pair_commands,
    garbage_commands,
    retrain_commands,
    reproduce_commands,
    workdir_commands,
    report_commands,
)
DISK_FAILED, FAILED = 4, 5
INTERRUPTED, UNREAD = 130, 141  # as of a process that SIGINT or SIGPIPE ended
_HELP = ("-h", "--help", "--helpshort", "--helpfull")


def main() -> None:
    """Runs the command line of this process and exits with its code."""
    logging.set_verbosity(logging.ERROR)
    try:
        app.run(_main, flags_parser=_parse)
    except SystemExit as left:
        if "pipeline.interruption" in sys.modules:  # else nothing can be under way
            from pipeline import interruption

            if interruption.is_ending():  # a usual end would wait for what is under way
                interruption.leave(int(left.code or OK))
        raise
    except KeyboardInterrupt:  # Ctrl-C again, while the first one's sentence was printed
        from pipeline import interruption

        interruption.leave(INTERRUPTED)


def _main(arguments: argparse.Namespace) -> int:
    try:
        outputs.check_files(arguments)
        code = arguments.call(arguments)
        sys.stdout.flush()
        return code
    except InputError as error:
        print(_sentence(error), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(_sentence("interrupted; the same command goes on from there."), file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        return _failed(error)


def _failed(error: Exception) -> int:
    """Tells what no input is to blame for, and returns the exit code."""
    if isinstance(error, BrokenPipeError) and _is_unread():
        return UNREAD
    if isinstance(error, OSError) or libraries.is_of_file_systems(error):
        told = " ".join(getattr(error, "message", str(error)).split())
        print(_sentence(f"{told}; mend that, and the same command goes on from there."), file=sys.stderr)
        return DISK_FAILED
    traceback.print_exception(error)  # of a runner, or a defect of ours: whatever is known of it helps
    print(_sentence("the above is unexpected; the same command goes on from there."), file=sys.stderr)
    return FAILED


def _is_unread() -> bool:
    """Tells whether nobody reads our output any more; what is still buffered then goes nowhere."""
    try:
        stdout = sys.stdout.fileno()
    except OSError:  # it is no file
        return False
    watched = select.poll()
    watched.register(stdout, 0)
    unread = bool(watched.poll(0))  # of a pipe without a reader an error, which is told unasked
    if unread:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stdout)
    return unread


def _sentence(error: InputError | str) -> str:
    return f"peerpressure: error: {error}"


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line; what our parser does not know has to be Beam's."""
    parser, commands = _parser()
    if "_ARGCOMPLETE" in os.environ:  # a shell asks for completions, which ends the process
        import argcomplete

        argcomplete.autocomplete(parser)
    try:
        _check_command(argv[1:], commands.choices, parser.options)
        arguments, unknown = parser.parse_known_args(argv[1:])
        _check_unknown(arguments.command, unknown)
        if unknown:
            _beam().check_values(unknown)
    except InputError as error:
        print(_sentence(error), file=sys.stderr)
        sys.exit(error.exit_code)
    arguments.beam_arguments = unknown
    return arguments


def _check_command(arguments: Sequence[str], parsers: dict[str, Any], before: Sequence[str]) -> None:
    """Checks names before anything is parsed, so that a misspelt option is not reported as a missing one.

    Args:
      arguments: of the command line.
      parsers: of the commands, by name.
      before: the options that may stand in a command's place.
    """
    if not arguments:
        raise InputError(f"a command is missing; give one of {', '.join(parsers)}, or see `peerpressure --help`.")
    command = arguments[0]
    if command in parsers:
        _check_options(command, arguments[1:], parsers[command])
    elif command not in (*before, *_HELP):
        what, known = ("option", before) if command.startswith("-") else ("command", parsers)
        near = difflib.get_close_matches(command, known, 1, 0.6)
        hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(known)}."
        raise InputError(f"unknown {what} '{command}'; {hint}")


def _check_unknown(command: str, unknown: Sequence[str]) -> None:
    """Checks that what our parser does not know are Beam's options, whose values may stand apart from them."""
    for before, argument in itertools.pairwise(["", *unknown]):
        is_value = before.startswith("--") and "=" not in before and not argument.startswith("-")
        if not argument.startswith("--") and not is_value:
            raise InputError(f"unexpected argument '{argument}'; see `peerpressure {command} --help`.")


def _check_options(command: str, arguments: Sequence[str], parser: _Parser) -> None:
    given = [argument.split("=", 1)[0] for argument in arguments if argument.startswith("--")]
    others = [name for name in given if name not in parser.options]
    if others and command in run_commands.ON_BEAM:
        _beam().check_options(others, parser.options)
    elif others:
        raise InputError(_refused(command, others[0], parser.options))


def _beam() -> Any:
    """Returns what knows Beam's options; it takes seconds to load."""
    libraries.load()
    from pipeline.runs import stages

    return stages


def _refused(command: str, option: str, ours: Sequence[str]) -> str:
    if _beam().is_of_beam(option):
        return f"{option}: `{command}` runs no Beam pipeline; leave it out."
    if near := difflib.get_close_matches(option, ours, 1, 0.6):
        return f"unknown option {option}; did you mean {near[0]}?"
    taken = [name for name in ours if name not in _HELP]
    return f"`{command}` takes no {option}; it takes {', '.join(taken)}."


class _Parser(argparse_flags.ArgumentParser):
    """Tells a mistake in one sentence, as everything else here does, in place of argparse's usage."""

    _REQUIRED = "the following arguments are required: "

    def __init__(self, *given: Any, **named: Any):
        self.options: list[str] = []  # as they are given, with their dashes
        super().__init__(*given, **named)

    def add_argument(self, *names: Any, **about: Any) -> argparse.Action:
        """Adds an argument as argparse does; its help says the default too, unless that means "not given"."""
        self.options += [name for name in names if name.startswith("-")]
        if about.get("default") not in (None, False, "", [], argparse.SUPPRESS):
            about["help"] = f"{about['help']} (default: %(default)s)"
        return super().add_argument(*names, **about)

    def error(self, message: str) -> NoReturn:
        """Raises InputError for what argparse found wrong, `message`, in place of leaving with code 2."""
        if message.startswith(self._REQUIRED):
            missing = message.removeprefix(self._REQUIRED).replace(", ", " and ")
            raise InputError(f"`{self.prog}` needs {missing}; `{self.prog} --help` says what to give.")
        raise InputError(f"{message.removeprefix('argument ')}; see `{self.prog} --help`.")


def _parser() -> tuple[Any, Any]:
    parser = _Parser(
        prog="peerpressure",
        description="Mines the inputs on which one net is wrong while its peers are right, as versioned TFDS datasets.",
        epilog="Exit codes: 0 done, 1 a check failed, 2 wrong input, 3 another run holds the task, 4 a disk, a bucket "
        "or a worker process failed, 5 anything else. Options of Apache Beam (--runner, --direct_num_workers, ...) may "
        "be given to run and mine.",
        allow_abbrev=False,
    )
    version = importlib.metadata.version("peer-pressure")
    parser.add_argument(
        "-V", "--version", action="version", version=f"%(prog)s {version}", help="show the version and exit"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, call: Any, about: str) -> Any:
        """Adds a command that `call` carries out, and returns its parser."""
        added = commands.add_parser(
            name,
            help=about,
            description=about,
            allow_abbrev=False,
            inherited_absl_flags=None,
        )
        added.set_defaults(call=call)
        return added

    for family in FAMILIES:
        family.add(command)
    return parser, commands

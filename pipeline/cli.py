"""The command line, `peerpressure COMMAND`.

Exit codes: 0, done; 1, a check found something wrong; 2, a mistake in what was given; 3, another run holds the task; 4,
a disk or bucket failed, or was full, or a worker process died (2 to 4 with one sentence on stderr); 5, anything else,
with a stack trace; 130, interrupted; 141, nobody reads what is printed (`| head`). `run`, `mine`, `package` and
`recheck --publish` end with one line "peerpressure: status=done key=value ...".
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import itertools
import os
import select
import sys
import traceback
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import tensorflow as tf
import tensorflow_datasets as tfds
from absl import app, logging
from absl.flags import argparse_flags

from models.errors import InputError
from pipeline import config_file, dataset_commands, finish, interruption, lock, options, stages, steps, tables
from pipeline import package as packaging
from pipeline.config import Config
from pipeline.dataset_commands import OK
from pipeline.ledger import RunFolder, Workdir

WRONG_INPUT, TASK_HELD, DISK_FAILED, FAILED = 2, 3, 4, 5
INTERRUPTED, UNREAD = 130, 141  # as of a process that SIGINT or SIGPIPE ended
_ON_BEAM = ("run", "mine")  # the commands that take Beam's options too
_HELP = ("-h", "--help", "--helpshort", "--helpfull")
_OF_GRAPHS = (tf.errors.InvalidArgumentError, tf.errors.InternalError)  # TensorFlow's others are of its file systems


def main() -> None:
    """Runs the command line of this process and exits with its code."""
    logging.set_verbosity(logging.ERROR)
    try:
        app.run(_main, flags_parser=_parse)
    except SystemExit as left:
        if interruption.is_ending():  # a usual end would wait for what is under way
            interruption.leave(int(left.code or OK))
        raise
    except KeyboardInterrupt:  # Ctrl-C again, while the first one's sentence was printed
        interruption.leave(INTERRUPTED)


def _main(arguments: argparse.Namespace) -> int:
    tfds.disable_progress_bar()
    try:
        code = arguments.call(arguments)
        sys.stdout.flush()
        return code
    except InputError as error:
        print(_sentence(error), file=sys.stderr)
        return TASK_HELD if isinstance(error, lock.HeldError) else WRONG_INPUT
    except KeyboardInterrupt:
        print(_sentence("interrupted; the same command goes on from there."), file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        return _failed(error)


def _failed(error: Exception) -> int:
    """Tells what no input is to blame for, and returns the exit code."""
    if isinstance(error, BrokenPipeError) and _is_unread():
        return UNREAD
    if isinstance(error, (OSError, tf.errors.OpError)) and not isinstance(error, _OF_GRAPHS):
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
    try:
        _check_command(argv[1:], commands.choices)
        arguments, unknown = parser.parse_known_args(argv[1:])
        _check_unknown(arguments.command, unknown)
        stages.check_values(unknown)
    except InputError as error:
        print(_sentence(error), file=sys.stderr)
        sys.exit(WRONG_INPUT)
    arguments.beam_arguments = unknown
    return arguments


def _check_command(arguments: Sequence[str], parsers: dict[str, Any]) -> None:
    """Checks names before anything is parsed, so that a misspelt option is not reported as a missing one."""
    if not arguments:
        raise InputError(f"a command is missing; give one of {', '.join(parsers)}, or see `peerpressure --help`.")
    command = arguments[0]
    if command in parsers:
        _check_options(command, arguments[1:], parsers[command])
    elif not command.startswith("-"):
        near = difflib.get_close_matches(command, parsers, 1, 0.6)
        hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(parsers)}."
        raise InputError(f"unknown command '{command}'; {hint}")


def _check_unknown(command: str, unknown: Sequence[str]) -> None:
    """Checks that what our parser does not know are Beam's options, whose values may stand apart from them."""
    for before, argument in itertools.pairwise(["", *unknown]):
        is_value = before.startswith("--") and "=" not in before and not argument.startswith("-")
        if not argument.startswith("--") and not is_value:
            raise InputError(f"unexpected argument '{argument}'; see `peerpressure {command} --help`.")


def _check_options(command: str, arguments: Sequence[str], parser: _Parser) -> None:
    given = [argument.split("=", 1)[0] for argument in arguments if argument.startswith("--")]
    others = [name for name in given if name not in parser.options]
    if command in _ON_BEAM:
        stages.check_options(others, parser.options)
    elif others:
        raise InputError(_refused(command, others[0], parser.options))


def _refused(command: str, option: str, ours: Sequence[str]) -> str:
    if stages.is_of_beam(option):
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

    for name, call, about in (
        ("run", _run, "Train what is missing, mine, package, and print the table of the run."),
        ("train", _train, "Train the nets of a task that are not in the workdir yet."),
        ("mine", _mine, "Search, verify and write the chunks of a run; goes on where a killed run stopped."),
        ("package", _package, "Make all finished runs of a task the next version of its dataset."),
    ):
        step = command(name, call, about)
        _task_options(step)
        if name in _ON_BEAM:
            _run_options(step)
        if name != "train":
            options.wait(step)
    dataset_commands.add(command)
    return parser, commands


def _task_options(parser: Any) -> None:
    parser.add_argument("--config", required=True, help="the task's TOML file; required", default=argparse.SUPPRESS)
    options.workdir(parser)
    parser.add_argument(
        "--data_dir", help="TFDS data_dir that holds the seed images' dataset (TFDS's own if not given)"
    )
    parser.add_argument(
        "--device",
        choices=("auto", "cpu", "gpu", "tpu"),
        default="auto",
        help="where nets are trained and asked; auto takes TPU, GPU, CPU in this order",
    )


def _run_options(parser: Any) -> None:
    parser.add_argument(
        "--run_id", default="", help="name of the run in the workdir; by default a digest of config and nets"
    )
    parser.add_argument(
        "--run_seed",
        default="",
        metavar="auto|N",
        help="in place of the configuration's [run] run_seed; auto derives it from --run_id",
    )
    parser.add_argument("--islands", type=int, help="garbage images: in place of [garbage] islands")


def _job(task: Config, arguments: argparse.Namespace) -> steps.Job:
    return steps.open_job(task, arguments.workdir, arguments.data_dir, arguments.device)


@contextlib.contextmanager
def _job_alone(task: Config, arguments: argparse.Namespace, who: str) -> Iterator[steps.Job]:
    """Opens a job on a task that no other run works on meanwhile."""
    workdir = Workdir.at(arguments.workdir)
    workdir.check_writable()
    with lock.hold(workdir.lock(task.dataset_name), task.dataset_name, who, arguments.wait):
        yield _job(task, arguments)


def _run_alone(arguments: argparse.Namespace) -> contextlib.AbstractContextManager[steps.Job]:
    task = config_file.load(arguments.config).with_run_seed(arguments.run_seed, arguments.run_id)
    task = task.with_islands(arguments.islands)
    who = f"run '{arguments.run_id}'" if arguments.run_id else "a run without --run_id"
    return _job_alone(task, arguments, who)


def _train(arguments: argparse.Namespace) -> int:
    job = _job(config_file.load(arguments.config), arguments)
    nets = steps.train(job)
    for net in [*nets.peers, *([nets.judge] if nets.judge else [])]:
        print(f"{net.name}: {net.path}")
    steps.examine(job, *nets.load())
    return OK


def _mine(arguments: argparse.Namespace) -> int:
    with _run_alone(arguments) as job:
        folder = steps.mine(job, arguments.run_id, arguments.beam_arguments)
    print(finish.summary(folder))
    print(f"run {folder.run_id}: {folder.path}")
    print(tables.last_line(**_of_run(folder)))
    return OK


def _package(arguments: argparse.Namespace) -> int:
    with _job_alone(config_file.load(arguments.config), arguments, "`peerpressure package`") as job:
        packaged = packaging.package(job.workdir, job.config.dataset, job.config.task)
    print(f"\n{packaging.text(packaged, job.workdir.datasets)}")
    print(tables.last_line(**packaged.fields()))
    return OK


def _run(arguments: argparse.Namespace) -> int:
    with _run_alone(arguments) as job:
        folder = steps.mine(job, arguments.run_id, arguments.beam_arguments)
        packaged = packaging.package(job.workdir, job.config.dataset, job.config.task)
    print(finish.summary(folder))
    print(f"\n{packaging.text(packaged, job.workdir.datasets)}")
    print(tables.last_line(**_of_run(folder), **packaged.fields()))
    return OK


def _of_run(folder: RunFolder) -> dict[str, Any]:
    manifest = folder.manifest()
    assert manifest is not None
    counted = {"examples": manifest["examples"], "set_aside": manifest["set_aside"]}
    return {"run": folder.run_id, **counted, "manifest": folder.path / "manifest.json"}

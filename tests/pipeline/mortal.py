"""Commands in processes of their own that die by kill -9, or meet a failing disk, at a set change of their workdir.

What changes a folder is seen by an audit hook (files opened for writing, folders made, names changed or removed) and,
for what TensorFlow's native code writes, in `tf.io.TFRecordWriter`. That is all: so says a trace of the system calls.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import json
import os
import pathlib
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

_LOADED = ("runs.steps", "versions.package", "kinds.mistakes.mining", "kinds.pairs.mining", "kinds.garbage.mining")
_CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_PATIENCE = 300.0  # seconds, after which a command is taken to hang
_SPARED = {errno.ENOSPC: ("os.rename", "os.remove", "os.rmdir", "os.truncate")}  # what a full disk lets do


class Ended(NamedTuple):
    """How a command ended: its exit code (-9: killed), what it printed, and the paths that it changed, one by one."""

    code: int
    said: str
    changed: list[str]


class Nursery:
    """Runs commands in processes forked from one that has everything imported, and has not used TensorFlow yet."""

    def __init__(self, process: subprocess.Popen[str]):
        self._process = process

    def run(
        self,
        arguments: Sequence[Any],
        folder: pathlib.Path,
        at: int = -1,
        error: int = 0,
        below: str = "",
        step: str = "",
    ) -> Ended:
        """Runs a command line, or one step of it.

        Args:
          arguments: after the command's name; of a step, those of its function here.
          folder: where changes are told.
          at: the change, from 0, right before which the process is killed; -1 lets it live.
          error: in place of the kill, the `errno` with which this and every later change fails.
          below: how the paths, relative to the folder, begin whose changes count for `at`.
          step: "finish" or "package", in place of a command line.
        """
        words = [str(word) for word in arguments]
        order = {"arguments": words, "folder": str(folder), "at": at, "error": error, "below": below, "step": step}
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        assert select.select([self._process.stdout], [], [], _PATIENCE)[0], f"no end of {order}"
        return Ended(*json.loads(self._process.stdout.readline()))


@contextlib.contextmanager
def nursery() -> Iterator[Nursery]:
    """Starts a nursery, which ends with the `with`."""
    root = pathlib.Path(__file__).parents[2]
    command, pipes = [sys.executable, "-m", "tests.pipeline.mortal"], {"stdin": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root, **pipes) as process:  # type: ignore[call-overload]
        yield Nursery(process)
        process.stdin.close()


def die(what: str, path: str) -> None:
    """Kills this process; where a file would get its last name, half of it is there, as if it died while it wrote."""
    if what == "os.rename" and os.path.isfile(path):
        os.truncate(path, os.path.getsize(path) // 2)
    os.kill(os.getpid(), signal.SIGKILL)


def die_alone(folder: str, at: int, mark: str) -> None:
    """Lets this process die at its change number `at`, from 0, in a folder, unless another made the file `mark`."""
    changes: list[str] = []

    def changing(what: str, path: str) -> None:
        changes.append(path)
        if len(changes) == at + 1:
            with contextlib.suppress(FileExistsError):
                open(mark, "x").close()
                die(what, path)

    watch(folder, changing)


def interrupt_once(folder: str, mark: str) -> None:
    """Sends Ctrl-C to this process's group at its first change in a folder, unless another made the file `mark`, and
    writes there what this process itself does about it.
    """

    def changing(what: str, path: str) -> None:
        with contextlib.suppress(FileExistsError):
            with open(mark, "x") as file:
                file.write(str(signal.getsignal(signal.SIGINT)))
            os.killpg(os.getpgrp(), signal.SIGINT)

    watch(folder, changing)


def watch(folder: str, changing: Callable[[str, str], None]) -> None:
    """Calls `changing(what, path)` right before each change in a folder, for the life of the process."""

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _CHANGES or (event == "open" and arguments[2] & _WRITES):
            path = arguments[0] if isinstance(arguments[0], (str, bytes, os.PathLike)) else ""
            if os.fsdecode(path).startswith(folder):
                changing(event, os.fsdecode(path))

    sys.addaudithook(audit)


def _watch_records(changing: Callable[[str, str], None]) -> None:
    import tensorflow as tf

    class Writer(tf.io.TFRecordWriter):
        def __init__(self, path: str, *arguments: Any):
            self._path = path
            self._about_to("open")
            super().__init__(path, *arguments)

        def close(self) -> None:
            self._about_to("close")
            super().close()

        def _about_to(self, what: str) -> None:
            try:
                changing(what, self._path)
            except OSError as error:
                raise tf.errors.UnknownError(None, None, f"{self._path}; {error.strerror}") from error

    tf.io.TFRecordWriter = Writer


def _serve() -> None:
    from pipeline.commands import libraries

    libraries.load()
    for name in _LOADED:
        importlib.import_module(f"pipeline.{name}")
    for line in sys.stdin:
        print(json.dumps(_run(json.loads(line))), flush=True)


def _run(order: dict[str, Any]) -> list[Any]:
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as log:
        child = os.fork()
        if not child:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
            _live(**order, log=log.fileno())
        _, status = os.waitpid(child, 0)
        said.seek(0)
        log.seek(0)
        return [os.waitstatus_to_exitcode(status), said.read().decode(), log.read().decode().splitlines()]


def finish(workdir: str, task: str) -> None:
    """Sums up run "first", whose chunks are all there, as `peerpressure mine` does at its end."""
    from pipeline.config import config_file
    from pipeline.kinds import registry
    from pipeline.runs import finish as finishing
    from pipeline.runs.job import Job
    from pipeline.seeds import plan
    from pipeline.workdir.ledger import Workdir

    job = Job(config_file.load(task, registry.methods()), Workdir.at(workdir), None, "cpu")  # type: ignore[arg-type]
    folder = job.workdir.run(job.dataset_name, "first")
    identity = folder.plan()
    assert identity is not None
    units = [plan.Unit.from_json(unit) for unit in identity.pop("units")]
    finishing.finish(job, folder, units, {**identity, "num_classes": 10, "net_paths": {}})


def package(workdir: str, task: str) -> None:
    """Packages a task, as `peerpressure package` does."""
    from pipeline.config import config_file
    from pipeline.kinds import registry
    from pipeline.versions import package as packaging
    from pipeline.workdir.ledger import Workdir

    config = config_file.load(task, registry.methods())
    packaging.package(Workdir.at(workdir), registry.of(config).name, config.task)


_STEPS = {"finish": finish, "package": package}


def _live(arguments: list[str], folder: str, at: int, error: int, below: str, step: str, log: int) -> None:
    """Runs a command line as the installed command, or a step, and ends the process."""
    from pipeline import __main__
    from pipeline.kinds.garbage import mining as garbage

    garbage._CHECKPOINT_SECONDS = -1.0  # after every block, not by the clock
    changes: list[str] = []

    def changing(what: str, path: str) -> None:
        where = os.path.relpath(path, folder)
        os.write(log, f"{where}\n".encode())
        changes.extend([path] * where.startswith(below))
        if at < 0 or len(changes) <= at:
            return
        if not error:
            die(what, path)
        elif what not in _SPARED.get(error, ()):
            raise OSError(error, os.strerror(error), path)

    watch(folder, changing)
    _watch_records(changing)
    sys.argv = ["peerpressure", *arguments]
    code = 70
    try:
        if step:
            _STEPS[step](*arguments)
            code = 0
        else:
            __main__.console()
    except SystemExit as left:
        code = int(left.code or 0)
    finally:
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()

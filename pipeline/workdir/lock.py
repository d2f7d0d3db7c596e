"""One run at a time: a lock on a file, which the operating system drops with the process that holds it."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import os
import socket
import sys
from collections.abc import Iterator
from typing import TextIO

from etils import epath

from models.errors import InputError


class HeldError(InputError):
    """Another process holds the lock."""

    exit_code = 3


@contextlib.contextmanager
def hold(path: epath.Path, task: str, who: str, wait: bool) -> Iterator[None]:
    """Holds a task for the time of a `with`; the file stays, empty.

    A killed process holds nothing. Nothing is held in a bucket ("://"), which knows no such locks.

    Args:
      path: the file to lock; it tells others who holds it.
      task: the name of what is held, for messages.
      who: a name for this process in the messages of others.
      wait: wait until the task is free.

    Raises:
      HeldError: another process holds the task, and `wait` is not set.
      InputError: the file may not be written, or its file system knows no locks.
    """
    if "://" in os.fspath(path):
        yield
        return
    with _open(path) as file:
        _take(file, task, wait)
        try:
            _write(file, f"{who} (pid {os.getpid()} on {socket.gethostname()}, since {_now()})")
            yield
        finally:
            _write(file, "")
            fcntl.flock(file, fcntl.LOCK_UN)  # also for a child that was forked with it


def _open(path: epath.Path) -> TextIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return open(path, "a+")
    except (FileExistsError, NotADirectoryError, PermissionError) as error:
        raise InputError(f"{path} cannot be written to ({error.strerror}); mend that.") from error


def _take(file: TextIO, task: str, wait: bool) -> None:
    try:
        _lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        held = f"task '{task}' is held by {file.read() or 'another run'}"
        if not wait:
            raise HeldError(f"{held}; give --wait to start when it has ended, or try again then.") from error
        print(f"{held}; waiting for its end.", file=sys.stderr, flush=True)
        _lock(file, fcntl.LOCK_EX)


def _lock(file: TextIO, how: int) -> None:
    try:
        fcntl.flock(file, how)
    except BlockingIOError:
        raise
    except OSError as error:
        raise InputError(
            f"{file.name} cannot be locked ({error.strerror}); name a --workdir on a file system that can lock files."
        ) from error


def _write(file: TextIO, text: str) -> None:
    file.truncate(0)
    file.write(text)
    file.flush()


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")

"""Ctrl-C while a run mines: one thread mines, another waits and hears at once, whatever is under way.

Python acts on a signal between two of its own instructions, on the main thread; a compiled search, a compilation or a
batch of attacks is one instruction, which may take minutes.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable
from typing import NoReturn, TypeVar

import psutil

T = TypeVar("T")

_SECONDS = 0.5  # between two looks at the clock: some systems tell another thread of a signal, which wakes no sleeper
_asked = threading.Event()  # the work is to end
_leaving = threading.Event()  # this process is


def listen_during(work: Callable[[], T]) -> T:
    """Returns what work gives, done in a thread of its own, so that this one, the main thread, hears Ctrl-C.

    Raises:
      KeyboardInterrupt: on Ctrl-C, at once; the work ends at its next `check`.

    What the work raises is raised here.
    """
    results: list[T] = []
    failures: list[BaseException] = []
    done = threading.Event()

    def do() -> None:
        try:
            results.append(work())
        except BaseException as error:
            failures.append(error)
        finally:
            done.set()
            _asked.clear()

    try:
        threading.Thread(target=do, name="mine", daemon=True).start()
        while not done.wait(_SECONDS):  # an interrupted `join` takes a thread for ended
            pass
    except KeyboardInterrupt:
        _asked.set()
        if done.is_set():
            _asked.clear()
        raise
    if failures:
        raise failures[0]
    return results[0]


def is_ending() -> bool:
    """Tells whether Ctrl-C was pressed and the work has not ended yet, or this process is about to `leave`."""
    return _asked.is_set() or _leaving.is_set()


def check() -> None:
    """Raises KeyboardInterrupt where the work is to end."""
    if is_ending():
        raise KeyboardInterrupt


def leave(code: int) -> NoReturn:
    """Ends this process and those that it started, without waiting for what they are at, nor letting it complain."""
    _leaving.set()
    with contextlib.suppress(OSError):  # nobody reads it any more
        sys.stdout.flush()
        sys.stderr.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            child.kill()
    os._exit(code)

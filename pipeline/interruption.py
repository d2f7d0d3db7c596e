"""Ctrl-C while a run mines: one thread mines, another waits and hears at once, whatever is under way.

Python acts on a signal between two of its own instructions, on the main thread; a compiled search, a compilation or a
batch of attacks is one instruction, which may take minutes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import NoReturn

import psutil

_SECONDS = 0.5  # between two looks at the clock: some systems tell another thread of a signal, which wakes no sleeper
_ending = threading.Event()


def listen_during(work: Callable[[], None]) -> None:
    """Does work in a thread of its own; to be called on the main thread.

    The processes that the work starts do not hear Ctrl-C, which a terminal sends to all: this one ends them.

    Raises:
      KeyboardInterrupt: on Ctrl-C, at once; the work ends at its next `check`.

    What the work raises is raised here.
    """
    failures: list[BaseException] = []

    def do() -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    _ending.clear()
    thread = threading.Thread(target=do, name="mine", daemon=True)
    try:
        _start_deaf(thread)
        while thread.is_alive():
            thread.join(_SECONDS)
    except KeyboardInterrupt:
        _ending.set()
        raise
    if failures:
        raise failures[0]


def _start_deaf(thread: threading.Thread) -> None:
    """Starts a thread that has SIGINT blocked, and with it every thread and process that it will start."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        thread.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def is_ending() -> bool:
    """Tells whether Ctrl-C was pressed during the last `listen_during`, or this process is about to `leave`."""
    return _ending.is_set()


def check() -> None:
    """Raises KeyboardInterrupt where the work is to end."""
    if is_ending():
        raise KeyboardInterrupt


def leave(code: int) -> NoReturn:
    """Ends this process and those that it started, without waiting for what they are at."""
    _ending.set()
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            child.kill()
    with contextlib.suppress(OSError):  # nobody reads it any more
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)

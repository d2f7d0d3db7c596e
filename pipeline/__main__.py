"""Entry of the command: quiets the libraries before they are loaded, then hands over to `pipeline.commands.cli`."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sys


def console() -> None:
    """The installed command."""
    code: list[int] = []
    atexit.register(_end, code)  # the first registered is called last
    try:
        _run()
    except SystemExit as left:
        if left.code is None or isinstance(left.code, int):
            code.append(left.code or 0)
        raise


def _end(code: list[int]) -> None:
    """Ends the process before the libraries' threads are torn down: where one aborts, a finished run exits with -6."""
    if not code:
        return
    with contextlib.suppress(OSError):  # nobody reads it any more
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code[0])


def _run() -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger().setLevel(logging.ERROR)  # the libraries' warnings are not for who runs a job
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)  # what it logs with a stack trace, it raises too
    from pipeline.commands import cli

    cli.main()


if __name__ == "__main__":
    console()

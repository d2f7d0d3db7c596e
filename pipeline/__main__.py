"""Entry of the command: quiets the libraries before they are imported, then hands over to `pipeline.cli`."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from collections.abc import Iterator


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    """TensorFlow's native code greets on stderr when it is imported, whatever its log level."""
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def console() -> None:
    """The installed command."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger().setLevel(logging.ERROR)  # the libraries' warnings are not for who runs a job
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)  # what it logs with a stack trace, it raises too
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C while libraries are imported: silence, not their stack trace
    with _silent_stderr():
        import tensorflow  # noqa: F401
    from pipeline import cli

    signal.signal(signal.SIGINT, signal.default_int_handler)
    cli.main()


if __name__ == "__main__":
    console()

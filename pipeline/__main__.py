"""Entry of the command: quiets the libraries before they are loaded, then hands over to `pipeline.commands.cli`."""

from __future__ import annotations

import logging
import os


def console() -> None:
    """The installed command."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger().setLevel(logging.ERROR)  # the libraries' warnings are not for who runs a job
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)  # what it logs with a stack trace, it raises too
    from pipeline.commands import cli

    cli.main()


if __name__ == "__main__":
    console()

"""What holds for every test, and for the processes that tests start: TensorFlow on the CPU, no proxy for loopback.

A process of tests also watches its memory mappings: XLA's compiled code keeps some for as long as a process lives, and
where Linux gives no more, the process dies without a word.
"""

from __future__ import annotations

import os
import pathlib

import pytest

from models import compilation_cache
from pipeline import mappings

# Tests compare bits, and two test processes would each take a GPU's whole memory.
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
os.environ.setdefault("no_grpc_proxy", "localhost,127.0.0.1,::1")  # Beam's workers talk to each other over loopback
os.environ["COLUMNS"] = "120"  # argparse wraps help texts to the terminal
compilation_cache.use(pathlib.Path(__file__).parents[1] / ".pytest_cache" / "compiled")


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Fails the last test of a file after which a process has nearly all the mappings that Linux gives it."""
    if nextitem is not None and nextitem.path == item.path:
        return
    try:
        mappings.check()
    except mappings.SpentError as error:
        pytest.fail(f"{error} Let `make slow` run these files in more goes.")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tells the process that shows the results how many mappings this one has had."""
    if (output := getattr(session.config, "workeroutput", None)) is not None:
        output["mappings"] = "{} of {}".format(*mappings.counted())


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    """Shows what a worker process told."""
    if told := getattr(node, "workeroutput", {}).get("mappings"):
        print(f"\nmemory mappings of a process at its end: {told}")

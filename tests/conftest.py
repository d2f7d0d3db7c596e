"""What holds for every test, and for the processes that tests start: TensorFlow on the CPU, no proxy for loopback.

A process of tests also watches its memory mappings: XLA's compiled code keeps some for as long as a process lives, and
where Linux gives no more, the process dies without a word.
"""

from __future__ import annotations

import os
import pathlib

import pytest

# Tests compare bits, and two test processes would each take a GPU's whole memory.
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
os.environ.setdefault("no_grpc_proxy", "localhost,127.0.0.1,::1")  # Beam's workers talk to each other over loopback
os.environ["COLUMNS"] = "120"  # argparse wraps help texts to the terminal

_MAPPINGS = pathlib.Path("/proc/self/maps")
_MOST_MAPPINGS = pathlib.Path("/proc/sys/vm/max_map_count")
_ENOUGH = 0.8  # of them; one file of tests adds a tenth at most


def _mappings() -> tuple[int, int]:
    """Returns how many memory mappings this process has, and how many it may have; (0, 1) where Linux is not."""
    if not _MOST_MAPPINGS.exists():
        return 0, 1
    with _MAPPINGS.open() as lines:
        return sum(1 for _ in lines), int(_MOST_MAPPINGS.read_text())


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Fails the last test of a file after which a process has nearly all the mappings that Linux gives it."""
    if nextitem is not None and nextitem.path == item.path:
        return
    count, most = _mappings()
    if count > _ENOUGH * most:
        pytest.fail(f"this process has {count} of {most} memory mappings; let `make slow` run these files in more goes")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tells the process that shows the results how many mappings this one has had."""
    if (output := getattr(session.config, "workeroutput", None)) is not None:
        output["mappings"] = "{} of {}".format(*_mappings())


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    """Shows what a worker process told."""
    if told := getattr(node, "workeroutput", {}).get("mappings"):
        print(f"\nmemory mappings of a process at its end: {told}")

"""Puts each fault into a copy of the project, runs the tests that have to notice, and says which did not.

    python -m tests.faults            # all of them
    python -m tests.faults lanes pgd  # those whose description or file has one of these words

Exit code 1 if a fault went unnoticed. Libraries are imported once; each fault's tests run in a process that is forked.
"""

from __future__ import annotations

import argparse
import importlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator

import pytest

from tests.faults.fault import ROOT, Fault, all_faults

_NOTICED = (1, 3)  # pytest's exit codes: a test failed, also by its time limit; a worker ended
_LIBRARIES = ("tensorflow", "keras", "tensorflow_datasets", "apache_beam", "pyarrow.parquet", "matplotlib.pyplot")
_OURS = ("tests", "pipeline", "models", "tfds_builders", "benchmarks", "deploy")


def _copy(tree: pathlib.Path) -> None:
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)


def _start(fault: Fault, tree: pathlib.Path, seconds: int) -> int:
    """Forks a process that runs a fault's tests in a copy of the project; returns its id."""
    _copy(tree)
    fault.put_into(tree)
    if process := os.fork():
        return process
    code = 5
    try:
        os.setsid()  # what the tests start ends with them
        os.chdir(tree)
        with open(tree / ".said", "wb") as said:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
        os.environ["PYTHONPATH"] = str(tree)
        sys.path[:] = [str(tree), *(entry for entry in sys.path if entry not in ("", str(ROOT)))]
        for name in [name for name in sys.modules if name.split(".")[0] in _OURS]:
            del sys.modules[name]
        limit = ["--timeout", str(seconds), "-p", "no:cacheprovider", "-x", "-q", "--no-header"]
        code = int(pytest.main([*limit, *fault.tests]))
    finally:
        os._exit(code)


def _ended(code: int, tree: pathlib.Path) -> str:
    if code in _NOTICED:
        return "noticed"
    if code == 0:
        return "NOT NOTICED"
    return f"NOT RUN (exit code {code})\n{(tree / '.said').read_text(errors='replace')[-2000:]}"


def run(faults: Iterable[Fault], jobs: int, seconds: int) -> Iterator[tuple[Fault, str]]:
    """Yields each fault with how its tests ended, in the order in which they end; `jobs` of them run at a time."""
    waiting, running = list(faults)[::-1], {}
    while waiting or running:
        while waiting and len(running) < jobs:
            fault, folder = waiting.pop(), tempfile.TemporaryDirectory()
            running[_start(fault, pathlib.Path(folder.name), seconds)] = (fault, folder)
        process, status = os.wait()
        fault, folder = running.pop(process)
        yield fault, _ended(os.waitstatus_to_exitcode(status), pathlib.Path(folder.name))
        folder.cleanup()


def main() -> int:
    """Runs the faults that are asked for, and returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__.split("\n")[0])
    parser.add_argument("words", nargs="*", help="only faults whose description or file has one of these words")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time (default: 2)")
    parser.add_argument("--seconds", type=int, default=300, help="time limit of one test (default: 300)")
    arguments = parser.parse_args()
    faults = [
        fault
        for fault in all_faults()
        if not arguments.words or any(word in f"{fault.what} {fault.file}" for word in arguments.words)
    ]
    os.environ.update({"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"})
    for name in _LIBRARIES:
        importlib.import_module(name)
    unnoticed = 0
    for fault, ended in run(faults, arguments.jobs, arguments.seconds):
        print(f"{ended}: {fault.what} ({fault.file})", flush=True)
        unnoticed += ended != "noticed"
    print(f"{len(faults) - unnoticed} of {len(faults)} faults noticed")
    return 1 if unnoticed or not faults else 0


if __name__ == "__main__":
    sys.exit(main())

"""Puts each fault into a copy of the project, runs the tests that have to notice, and says which did not.

    python -m tests.faults            # all of them
    python -m tests.faults lanes pgd  # those whose description or file has one of these words

Exit code 1 if a fault went unnoticed.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from concurrent import futures

from tests.faults.fault import ROOT, Fault, all_faults

_FAILED, _CRASHED = 1, 3  # pytest's exit codes: a test failed; a worker ended, as a time limit does to it


def _copy(tree: pathlib.Path) -> None:
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)


def _notices(fault: Fault, seconds: int) -> str:
    """Returns how the tests ended with the fault in place: "noticed", or what went wrong."""
    with tempfile.TemporaryDirectory() as folder:
        tree = pathlib.Path(folder)
        _copy(tree)
        fault.put_into(tree)
        limit = ["--timeout", str(seconds), "-p", "no:cacheprovider", "-x", "-q", "--no-header"]
        ended = subprocess.run(
            [sys.executable, "-m", "pytest", *limit, *fault.tests],
            cwd=tree,
            env={**os.environ, "PYTHONPATH": str(tree), "TF_CPP_MIN_LOG_LEVEL": "2"},
            capture_output=True,
            text=True,
        )
    timed_out = "+ Timeout +" in ended.stdout + ended.stderr  # pytest-timeout ends the process, whatever its code
    if timed_out or ended.returncode in (_FAILED, _CRASHED):
        return "noticed"
    return "NOT NOTICED" if ended.returncode == 0 else f"NOT RUN (pytest's exit code {ended.returncode})"


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
    unnoticed = 0
    with futures.ThreadPoolExecutor(arguments.jobs) as pool:
        for fault, ended in zip(faults, pool.map(lambda fault: _notices(fault, arguments.seconds), faults)):
            print(f"{ended}: {fault.what} ({fault.file})", flush=True)
            unnoticed += ended != "noticed"
    print(f"{len(faults) - unnoticed} of {len(faults)} faults noticed")
    return 1 if unnoticed or not faults else 0


if __name__ == "__main__":
    sys.exit(main())

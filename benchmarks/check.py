"""What `peerpressure check` says that mining takes, beside what it takes: `python -m benchmarks.check CONFIG ...`.

The nets are trained first. Then each configuration is told and mined in turn, so that both see the same machine. What
it takes is the time from the run's plan to its last chunk, by the files' own times.
"""

from __future__ import annotations

import argparse
import pathlib
import re
import subprocess
import sys
import tempfile

from benchmarks import mnist


def main() -> None:
    """Tells and mines each configuration as often as is asked for, and prints both times and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", nargs="+", metavar="CONFIG", help="configurations of tasks")
    parser.add_argument("--times", type=int, default=3, help="how often (default: 3)")
    parser.add_argument("--workdir", default="", help="folder that keeps nets (default: a new one)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workdir = pathlib.Path(arguments.workdir or folder)
        for config in arguments.configs:
            _peerpressure("train", config, workdir)
            for _ in range(arguments.times):
                told, taken = _told(config, workdir), _taken(config, workdir)
                print(f"{config}: told {told} s, taken {taken:.1f} s, ratio {told / taken:.2f}", flush=True)


def _peerpressure(command: str, config: str, workdir: pathlib.Path, *more: str) -> str:
    data_dir = ["--data_dir", folder] if (folder := mnist.data_dir()) else []
    given = [command, "--config", config, "--workdir", str(workdir), *data_dir, *more]
    done = subprocess.run([sys.executable, "-m", "pipeline", *given], check=True, capture_output=True, text=True)
    return done.stdout


def _told(config: str, workdir: pathlib.Path) -> int:
    """Returns the seconds that `check` tells."""
    (told,) = re.findall(r"^time: mining takes about ([\d:]+)", _peerpressure("check", config, workdir), re.MULTILINE)
    seconds = 0
    for part in told.split(":"):
        seconds = 60 * seconds + int(part)
    return seconds


def _taken(config: str, workdir: pathlib.Path) -> float:
    """Mines a new run, and returns the seconds from its plan to its last chunk."""
    number = len(list(workdir.glob("ledger/*/*/*")))
    _peerpressure("mine", config, workdir, "--run_id", f"run-{number}")
    (folder,) = workdir.glob(f"ledger/*/*/run-{number}")
    ended = max(path.stat().st_mtime for path in (folder / "chunks").iterdir())
    return ended - (folder / "plan.json").stat().st_mtime


if __name__ == "__main__":
    main()

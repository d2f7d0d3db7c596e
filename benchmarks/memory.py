"""Peak memory of a whole run, training included, at ten times the images: `python -m benchmarks.memory`.

Two small nets learn from a part of CIFAR-10 (TFDS's `cifar10`, or another dataset with its features) and from ten times
as much, and as many times the seed images are mined; with [run] memory so small that neither part is held. Beside it,
the larger part all in memory. Each is a process of its own: the table gives its peak memory and how right nets are.

Every figure is from this run and this machine; only the ratios carry over.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
from typing import NamedTuple

from benchmarks.nights import peak_memory
from pipeline.commands import cli

_CONFIG = """
task = "memory"
[seeds]
dataset = "{dataset}"
splits = ["train"]
[peers]
architectures = ["mlp-20", "mlp-30"]
trained_on = ["train[:{part}%]", "train[:{part}%]"]
[training]
epochs = 2
[search]
trials = {trials}
peer_confidence = 0.3
target_confidence = 0.3
patience = 20
[run]
memory = "{memory}"
unit_size = 500
lanes = 256
"""
_TRIALS = 300


class _Run(NamedTuple):
    """A run: of the training images in %, how many trials, and how much memory images may take."""

    part: int
    trials: int
    memory: str


class _Peak(NamedTuple):
    """What a run took, in bytes, and how many percent of some seed images its nets get right."""

    memory: int
    right: float


_RUNS = (_Run(10, _TRIALS, "16 MB"), _Run(100, 10 * _TRIALS, "16 MB"), _Run(100, 10 * _TRIALS, "4 GB"))


def _measured(run: _Run, dataset: str, data_dir: str) -> _Peak:
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        config = folder / "memory.toml"
        config.write_text(_CONFIG.format(dataset=dataset, **run._asdict()))
        command = ["run", "--config", config, "--workdir", folder / "work", "--run_id", "one"]
        command += ["--data_dir", data_dir] if data_dir else []
        child = [sys.executable, "-m", "benchmarks.memory", "--one", *map(str, command)]
        out = subprocess.run(child, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
        manifest = next((folder / "work" / "ledger").rglob("manifest.json"))
        right = json.loads(manifest.read_text())["seed_accuracy"]["nets"]
        return _Peak(int(out.splitlines()[-1]), 100 * sum(right.values()) / len(right))


def main(dataset: str, data_dir: str) -> None:
    """Measures the runs and prints the table."""
    first: _Peak | None = None
    for run in _RUNS:
        peak = _measured(run, dataset, data_dir)
        first = first or peak
        told = f"{run.part:4}% of the training images, {run.trials:,} trials, memory = {run.memory!r}"
        ratio = peak.memory / first.memory
        print(
            f"{told}: {peak.memory / 1e6:,.0f} MB, {ratio:.2f} of the first; nets right: {peak.right:.1f}%", flush=True
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="cifar10", help="a TFDS dataset with CIFAR-10's features")
    parser.add_argument("--data_dir", default="", help="where it is prepared (default: TFDS's own folder)")
    parser.add_argument("--one", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)  # what a process of its own does
    arguments = parser.parse_args()
    if arguments.one:
        sys.argv = ["peerpressure", *arguments.one]
        try:
            cli.main()
        finally:
            print(peak_memory(), flush=True)
    else:
        main(arguments.dataset, arguments.data_dir)

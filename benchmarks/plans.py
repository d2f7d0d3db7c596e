"""What a run costs besides searching, by the number of its units: `python -m benchmarks.plans [--units N ...]`.

Miners do nothing: each chunk has one trial, in vain. Every number of units is measured in a process of its own:

- draw: choosing as many seed images of 1,281,167 (ImageNet's train split) by `[search] trials`, all of them held;
- start: writing the plan;
- mine: Beam's own runner in one process, a chunk file for each unit, with the bar's looks at them;
- resume: starting anew with all chunks there: the plan read and compared, the folder swept and listed;
- finish: tables and manifest;
- the process's peak memory, and that before.

Every figure is from this run and this machine; only how they grow carries over.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pyarrow as pa
from etils import epath

from benchmarks.nights import peak_memory
from pipeline import progress, records
from pipeline.config import config_file
from pipeline.kinds import registry
from pipeline.kinds.mistakes.kind import MISTAKES
from pipeline.kinds.standing import Images
from pipeline.runs import finish, stages
from pipeline.runs.job import Job, open_job
from pipeline.runs.nets import NetFiles
from pipeline.seeds import plan
from pipeline.seeds.plan import Unit
from pipeline.seeds.source import SeedSource
from pipeline.workdir.ledger import RunFolder

_IMAGENET = 1_281_167
_STEPS = ("draw", "start", "mine", "resume", "finish")
_CONFIG = (
    'task = "plans"\n[seeds]\ndataset = "digits"\nsplits = ["train"]\n[peers]\narchitectures = ["mlp-2", "mlp-3"]\n'
)


class _Seeds:
    """As many seed images as ImageNet has, none of which can be read."""

    def count(self, split: str) -> int:
        del split
        return _IMAGENET


@dataclasses.dataclass(frozen=True)
class _Position:
    """What is read for a unit: where its seed image is."""

    position: int
    nbytes: int = 8


class _Positions:
    def read(self, split: str, positions: Sequence[int]) -> _Position:
        del split
        return _Position(positions[0])


class _Miner:
    lower = "nothing"

    def mine(self, material: _Position) -> pa.Table:
        columns = {"seed_id": [str(material.position)], "split": ["train"], "seed_label": [0], "target_net": ["mlp-2"]}
        columns |= {"outcome": [records.EXHAUSTED], "reason": [""], "candidates": [1], "inferences": [1], "moves": [0]}
        return records.chunk_table(MISTAKES.schema(), columns, 1)

    def set_aside(self, material: _Position, reason: str) -> pa.Table:
        raise AssertionError(f"{material}: {reason}")


class _Task:
    def miner(self, group: Any, judge: Any) -> _Miner:
        del group, judge
        return _Miner()


class _NoNets:
    def load(self) -> tuple[None, None]:
        return None, None


def _measured(count: int) -> dict[str, float]:
    """Returns seconds by step, and bytes of memory at the beginning and at the end."""
    with tempfile.TemporaryDirectory() as folder:
        config = epath.Path(folder) / "plans.toml"
        config.write_text(_CONFIG)
        job = open_job(config_file.load(str(config), registry.methods()), f"{folder}/work", None, "cpu")
        run = job.workdir.run(job.dataset_name, "run")
        before, told = peak_memory(), dict[str, float]()
        units, told["draw"] = _seconds(lambda: _drawn(count))
        written = {"format": 1, "units": [unit.to_json() for unit in units]}
        _, told["start"] = _seconds(lambda: run.start(written))
        _, told["mine"] = _seconds(lambda: _mine(job, run, units))
        _, told["resume"] = _seconds(lambda: _resume(run, written))
        _, told["finish"] = _seconds(lambda: finish.finish(job, run, units, {"num_classes": 10}))
        return {**told, "before": before, "memory": peak_memory()}


def _seconds(step: Any) -> tuple[Any, float]:
    begun = time.perf_counter()
    result = step()
    return result, time.perf_counter() - begun


def _drawn(count: int) -> list[Unit]:
    def held(split: str, positions: Sequence[int]) -> np.ndarray:
        del split
        return np.ones(len(positions), bool)

    return plan.drawn_trials(cast(SeedSource, _Seeds()), ["train"], 1, count, 0, held)


def _mine(job: Job, run: RunFolder, units: Sequence[Unit]) -> None:
    with progress.watching("mine", Images(run, units)):
        stages.mine(units, _Positions(), _Task(), cast(NetFiles, _NoNets()), run, job.device, [])


def _resume(run: RunFolder, written: dict[str, Any]) -> None:
    told = run.plan()
    assert told is not None
    units = [Unit.from_json(unit) for unit in told["units"]]
    run.start(written)
    assert len(run.finished_units()) == len(units)


def main(counts: Sequence[int]) -> None:
    """Measures each number of units in a process of its own, and prints a table."""
    heads = "".join(f"{step:>9} " for step in _STEPS)
    print(f"{'units':>8} {heads}{'memory before':>14} {'peak':>9}")
    for count in counts:
        command = [sys.executable, "-m", "benchmarks.plans", "--one", str(count)]
        out = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
        told = json.loads(out.splitlines()[-1])
        steps = " ".join(f"{told[step]:>7.2f} s" for step in _STEPS)
        print(f"{count:>8,} {steps} {told['before'] / 1e6:>11.0f} MB {told['memory'] / 1e6:>6.0f} MB", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--units", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)  # what a process of its own does
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(_measured(arguments.one)))
    else:
        main(arguments.units)

"""What `peerpressure check` tells of a task's mining, over what it takes: `python -m benchmarks.check CONFIG ...`.

Both in this process and in turn, in processor time, which what else runs on the machine hardly changes: the search uses
all cores, so that the ratio is that of the clock's times on a machine that does nothing else. Nets that are missing are
trained first.
"""

from __future__ import annotations

import argparse
import tempfile
import time

import tensorflow as tf
from etils import epath

from models import devices
from pipeline.config import config_file
from pipeline.kinds import registry
from pipeline.runs import rehearsal, steps
from pipeline.runs.job import Job, open_job
from pipeline.workdir.ledger import RunFolder


def main() -> None:
    """Rehearses and mines each configuration as often as is asked for, and prints the times and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", nargs="+", metavar="CONFIG", help="configurations of tasks")
    parser.add_argument("--times", type=int, default=3, help="how often (default: 3)")
    parser.add_argument("--workdir", default="", help="folder that keeps nets (default: a new one)")
    parser.add_argument("--data_dir", help="TFDS folder with the seed images (default: TFDS's own)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for config in arguments.configs:
            task = config_file.load(config, registry.methods())
            job = open_job(task, arguments.workdir or folder, arguments.data_dir, "cpu")
            for _ in range(arguments.times):
                told, taken = _told_and_taken(job)
                print(f"{config}: told {told:.1f} s, taken {taken:.1f} s, ratio {told / taken:.2f}", flush=True)


def _told_and_taken(job: Job) -> tuple[float, float]:
    """Returns the seconds of processor time that are told, and that a run's units take, compilation included."""
    group, judge = steps.train(job).load()
    units = job.kind.units(job.config, group, job.source)
    told = sum(map(sum, rehearsal.paces(job, group, judge, units, time.process_time)))
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder, tf.device(devices.device_name(job.device)):
        names = job.source.class_names()
        miner = job.kind.task(job.config, group, names, "", RunFolder(epath.Path(folder))).miner(group, judge)
        material = job.kind.material(job.config, group, job.source)
        for unit in units:
            miner.mine(material.read(unit.split, unit.positions))
    return told, time.process_time() - start


if __name__ == "__main__":
    main()

"""How near the search comes to its limit, and how far it is from the plain way: `make bench`.

On MNIST with the nets of configs/mnist.toml and one target net (the hardest), at the shipped unit size and lanes; or
with five nets of one --architecture, convolutional ones, and all of them targets:

  search / bare loop      useful candidates a second, every unit's tail included, over the best rate that a bare loop of
                          the same warp and all nets, each with its fastest kernels, reaches at any batch size
  nets asked              of all nets, how many saw a candidate, mean
  search / eager Keras    over the same algorithm with one candidate at a time and eager Keras calls
  mine / search           seeds a second of the whole job (read, search, verify, encode, write) over the search alone
  time, memory            seconds and peak memory of the whole job on all seeds over those on a tenth of them; start
                          and compilation are in both

Every figure is from this run and this machine; compare ratios, not rates.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from etils import epath

from benchmarks import mnist
from models import kernels
from models.classifier import PeerGroup
from pipeline import seeding
from pipeline.config import config_file
from pipeline.config.config import Judge
from pipeline.kinds import registry, targets
from pipeline.operators import warp
from pipeline.runs import stages, steps
from pipeline.runs.job import Job, open_job
from pipeline.search.moves.unit import SeedArrays, UnitSearch
from pipeline.seeds import plan
from pipeline.seeds.source import SeedBatch

_TARGET = "mlp-50"
_BATCHES = (64, 128, 256, 512, 1024, 2048, 4096)


def _open(workdir: str, architecture: str = "") -> Job:
    path = os.path.join(os.path.dirname(__file__), "..", "configs", "mnist.toml")
    settings = config_file.load(path, registry.methods())
    settings = dataclasses.replace(settings, judge=Judge()).with_section("search", targets=(_TARGET,))
    if architecture:
        peers = dataclasses.replace(settings.peers, architectures=(architecture,) * 5)
        run = dataclasses.replace(settings.run, lanes=512)
        training = dataclasses.replace(settings.training, epochs=1)
        settings = dataclasses.replace(settings, peers=peers, run=run, training=training)
        settings = settings.with_section("search", targets="all")
    mnist.seeds()
    return open_job(settings, workdir, mnist.data_dir(), "cpu")


def _best_of(call: Callable[[], Any], times: int = 3) -> float:
    """Seconds of the fastest of some calls, after one that compiles."""
    call()
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def bare_rates(group: PeerGroup, images: np.ndarray, candidates: int) -> dict[int, float]:
    """Candidates a second of warp and nets in a compiled loop, by batch size."""
    rates = {}
    for batch in _BATCHES:
        count = max(2, candidates // batch)
        loop = _bare_loop(group, images, batch)
        rates[batch] = count * batch / _best_of(lambda loop=loop, count=count: loop(count))
    return rates


def _bare_loop(group: PeerGroup, images: np.ndarray, batch: int) -> Callable[[int], Any]:
    rows = tf.constant(np.arange(batch) % len(images), tf.int32)
    move = [tf.fill([batch], entry) for entry in (1.0, 0.05, -0.6, -0.05, 1.0, 0.7)]

    @kernels.cluster
    def moved(sources: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        drift = tf.cast(step, tf.float32) * 1e-4
        return warp.warp_tf(sources, rows, [entry + drift for entry in move]) / 255.0

    def loop(images: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
        sources = warp.pad_tf(images, "constant")

        def body(step: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return step + 1, total + tf.reduce_sum(group(moved(sources, step)), axis=[0, 2])

        return tf.while_loop(lambda step, _: step < count, body, (0, tf.zeros([batch])))[1]

    compiled = kernels.compiled(loop, *group.kernels)
    return lambda count: compiled(tf.constant(images), tf.constant(count)).numpy()


def search_alone(job: Job, group: PeerGroup, seeds: SeedBatch, batch: int) -> tuple[int, int, float, float]:
    """Useful candidates, nets asked about them, and seconds, of the search over all seeds at the shipped unit size; and
    the seconds that the bare loop takes for as many, unit by unit in turn with the search, so that both meet the same
    machine.
    """
    settings = job.config
    finder = settings.method.build(settings.sections)
    search = UnitSearch(
        group,
        targets.places(settings, group),
        finder.class_from,
        settings.run.run_seed,
        settings.run.lanes,
        settings.run.unit_size,
        finder.search,
    )
    runner = search.runner()
    words = np.array([seeding.seed_key(seed_id) for seed_id in seeds.ids], np.uint32)
    arrays = SeedArrays(seeds.images, seeds.labels, words)
    units = [
        SeedArrays(*(part[start : start + settings.run.unit_size] for part in arrays))
        for start in range(0, len(seeds.images), settings.run.unit_size)
    ]
    search.run(runner, SeedArrays(*(part[:2] for part in arrays)))
    bare = _bare_loop(group, seeds.images[: settings.run.unit_size], batch)
    bare(1)
    drawn, asked, searching, looping = 0, 0, 0.0, 0.0
    for unit in units:
        start = time.perf_counter()
        searched = search.run(runner, unit).searched
        middle = time.perf_counter()
        useful = int(searched.results.drawn.sum())
        bare(-(-useful // batch))
        drawn, asked = drawn + useful, asked + int(searched.asked.sum())
        searching, looping = searching + middle - start, looping + time.perf_counter() - middle
    return drawn, asked, searching, looping


def eager_rate(job: Job, paths: list[str], seeds: SeedBatch, seconds: float) -> float:
    """Candidates a second of the same hillclimb, one candidate at a time with eager Keras calls."""
    nets = [tf.keras.models.load_model(path, compile=False) for path in paths]
    climb = job.config.method.build(job.config.sections).search
    operator, criterion = climb.operator, climb.criterion
    target = len(nets) - 1
    rng = np.random.default_rng(0)
    candidates, row = 0, 0
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        image, label = seeds.images[row : row + 1].astype(np.float32), int(seeds.labels[row])
        composed, confidence, failures = np.eye(3), 2.0, 0
        while failures < climb.patience and time.perf_counter() - start < seconds:
            parameters = operator.parameters(rng.random((1, 6)), 28, 28)
            trial = composed @ np.vstack([operator.matrices(parameters, 28, 28)[0], [0, 0, 1]])
            warped = _eager_warp(image, trial)
            answers = np.stack([net(warped, training=False).numpy()[0] for net in nets])
            candidates, failures = candidates + 1, failures + 1
            own, rivals = answers[:, label], np.delete(answers, label, axis=1).max(axis=1)
            held = np.delete((own > rivals) & (own >= criterion.peer_confidence), target).all()
            if held and own[target] < confidence:
                composed, confidence, failures = trial, own[target], 0
                if rivals[target] > own[target] and rivals[target] >= criterion.target_confidence:
                    break
        row = (row + 1) % len(seeds.images)
    return candidates / (time.perf_counter() - start)


def _eager_warp(image: np.ndarray, matrix: np.ndarray) -> tf.Tensor:
    warped = tf.raw_ops.ImageProjectiveTransformV3(
        images=image,
        transforms=np.append(matrix[:2].ravel(), [0, 0]).astype(np.float32)[None],
        output_shape=[28, 28],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
    return tf.round(warped) / 255.0


def mine_child(workdir: str, architecture: str, seeds: int) -> None:
    """Mines the first `seeds` seed images in a process of its own; prints seconds and peak memory as JSON."""
    job = _open(workdir, architecture)
    nets = steps.train(job)
    group, _ = nets.load()
    units = [
        plan.Unit(number, "train", range(start, min(start + job.config.run.unit_size, seeds)))
        for number, start in enumerate(range(0, seeds, job.config.run.unit_size))
    ]
    folder = job.workdir.run("bench", f"mine-{seeds}-{os.getpid()}")
    task = job.kind.task(job.config, group, job.source.class_names(), "", folder)
    start = time.perf_counter()
    stages.mine(units, job.source, task, nets, folder, "cpu", [])
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "peak_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}))


def _measure_mine(workdir: str, architecture: str, seeds: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.search", "--child", str(seeds), "--workdir", workdir]
    command += ["--architecture", architecture]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measures everything and prints the ratios with the figures they come from."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=60_000, help="seed images (default: all 60,000)")
    parser.add_argument("--workdir", default="", help="folder that keeps the trained nets (default: a new one)")
    parser.add_argument("--architecture", default="", help="five nets of this, in place of those of configs/mnist.toml")
    parser.add_argument("--child", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        mine_child(arguments.workdir, arguments.architecture, arguments.child)
        return
    with tempfile.TemporaryDirectory() as folder:
        _report(arguments.workdir or folder, arguments.architecture, arguments.seeds)


def _report(workdir: str, architecture: str, count: int) -> None:
    job = _open(workdir, architecture)
    nets = steps.train(job)
    group, _ = nets.load()
    seeds = job.source.read("train", range(count))
    rates = bare_rates(group, seeds.images[: job.config.run.unit_size], 20_000 if architecture else 200_000)
    print("bare loop, candidates/s:", {batch: round(rate) for batch, rate in rates.items()}, flush=True)
    best = max(rates, key=lambda batch: rates[batch])
    drawn, asked, seconds, bare_seconds = search_alone(job, group, seeds, best)
    print(f"search alone: {drawn} candidates in {seconds:.1f} s, {drawn / seconds:.0f}/s", flush=True)
    print(f"bare loop, batches of {best}, in turn with it: {drawn / bare_seconds:.0f}/s", flush=True)
    eager = eager_rate(job, [net.path for net in nets.peers], seeds, 15.0)
    print(f"eager Keras: {eager:.0f} candidates/s", flush=True)
    whole, tenth = (_measure_mine(workdir, architecture, images) for images in (count, count // 10))
    print(
        f"mine: {whole['seconds']:.1f} s, a tenth {tenth['seconds']:.1f} s; "
        f"peak {whole['peak_kib'] / 1024:.0f} MiB, {tenth['peak_kib'] / 1024:.0f} MiB"
    )
    wanted = 2.5 if architecture else 0.85
    print(f"search / bare loop    {bare_seconds / seconds:8.2f}  (wanted: at least {wanted})")
    print(f"nets asked            {asked / drawn:8.2f}  of {len(group.classifiers)}")
    print(f"search / eager Keras  {drawn / seconds / eager:8.0f}  (wanted: at least 1500)")
    print(f"mine / search         {seconds / whole['seconds']:8.2f}  (wanted: at least 0.7)")
    print(f"time, all / a tenth   {whole['seconds'] / tenth['seconds']:8.2f}  (wanted: at most 10.5)")
    print(f"memory, all / a tenth {whole['peak_kib'] / tenth['peak_kib']:8.2f}  (wanted: at most 1.1)")
    epath.Path(os.path.join(workdir, "ledger", "bench")).rmtree(missing_ok=True)


if __name__ == "__main__":
    main()

"""How fast the batched L-BFGS makes adversarial pairs beside SciPy's, image by image: `python -m benchmarks.attack`.

On MNIST test digits with two of Szegedy et al.'s nets, toward a class drawn at random, the same objective, bracketing
and bisection for both (`benchmarks.scipy_attack`). Success and mean distortion are printed for the images that both
did, so that a faster but worse attack shows. Compilation is left out of both. Every figure is from this run and this
machine.
"""

from __future__ import annotations

import argparse
import functools
import os
import tempfile
import time
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from benchmarks import mnist, scipy_attack
from models import kernels, training
from models.recipe import Training
from pipeline import seeding
from pipeline.search.attacks import gradient
from pipeline.search.attacks.gradient import Originals
from pipeline.search.attacks.lbfgs import LBFGS
from pipeline.seeds.source import SeedBatch

_NETS = ("fc10@1e-4", "fc100-100-10@1e-5,1e-5,1e-6")


def command_line(description: str | None) -> argparse.ArgumentParser:
    """Returns a parser of what the comparisons of attacks have in common."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=256, help="images that are attacked at a time (default: 256)")
    parser.add_argument("--workdir", default="", help="folder that keeps the trained nets (default: a new one)")
    return parser


def subjects(workdir: str, count: int) -> Iterator[tuple[str, tf.keras.Model, Originals]]:
    """Yields each net's name, the net, and `count` images that it reads right."""
    source = mnist.seeds()
    data, test = source.read("train", range(source.count("train"))), source.read("test", range(2 * count))
    with tempfile.TemporaryDirectory() as folder:
        for architecture in _NETS:
            net = _trained(architecture, workdir or folder, data)
            yield architecture, net, _originals(net, test, count)


def _trained(architecture: str, workdir: str, data: SeedBatch) -> tf.keras.Model:
    """Returns a net trained for 10 epochs, from the workdir if it is there."""
    path = os.path.join(workdir, f"{architecture}.keras")
    recipe = (architecture, 0, Training(epochs=10), data.images, data.labels, 10, "cpu")
    training.cached(path, functools.partial(training.train, *recipe))
    return tf.keras.models.load_model(path, compile=False)


def _originals(net: tf.keras.Model, seeds: SeedBatch, count: int) -> Originals:
    """Returns the first `count` images that the net reads right, each with an aimed class drawn at random."""
    images = seeds.images.astype(np.float32) / 255.0
    right = np.flatnonzero(net.predict(images, verbose=0).argmax(-1) == seeds.labels)[:count]
    words = np.array([seeding.seed_key(seeds.ids[row]) for row in right], np.uint32)
    zeros = np.zeros(count, np.int64)
    drawn = seeding.draws(0, words, zeros, zeros, 1)[:, 0]
    aims = (seeds.labels[right] + 1 + (drawn * 9).astype(np.int32)) % 10
    parts = (images[right], seeds.labels[right], aims.astype(np.int32), words)
    return Originals(*(tf.constant(part) for part in parts))


def compiled(attack: gradient.Attack, net: tf.keras.Model) -> Callable[[Originals], gradient.Twins]:
    """Returns an attack, compiled as the pipeline compiles it, to be called with as many images each time."""

    def run(*parts: tf.Tensor) -> gradient.Twins:
        return attack.attack(net, tf.constant(0, tf.uint32), Originals(*parts))

    by_kernels = kernels.compiled(run, kernels.fastest(net, net.input_shape[1:]))
    return lambda start: gradient.Twins(*(field.numpy() for field in by_kernels(*start)))


def _measure(architecture: str, net: tf.keras.Model, start: Originals, reference: int) -> None:
    lbfgs = LBFGS()
    attack = compiled(lbfgs, net)
    attack(start)
    began = time.perf_counter()
    twins = attack(start)
    batched = len(twins.misread) / (time.perf_counter() - began)
    scipy_attack.twin(net, start, 0, lbfgs, eager=True)
    began = time.perf_counter()
    theirs = [scipy_attack.twin(net, start, row, lbfgs, eager=True) for row in range(reference)]
    rate = reference / (time.perf_counter() - began)
    ours = gradient.distortion(tf.constant(twins.images), start.images).numpy()
    both = [row for row in range(reference) if theirs[row] is not None and twins.misread[row]]
    stored = tf.constant(np.concatenate([theirs[row] for row in both]))
    other = gradient.distortion(stored, tf.gather(start.images, both)).numpy()
    print(f"{architecture}: {len(twins.misread)} images at a time, {twins.evaluations.mean():.0f} evaluations an image")
    print(f"  batched   {batched:8.1f} pairs/s, success {twins.misread.mean():.3f}")
    found = sum(twin is not None for twin in theirs)
    print(f"  SciPy     {rate:8.3f} pairs/s, success {found / reference:.3f} of {reference}")
    print(f"  mean distortion on {len(both)} images of both: {ours[both].mean():.4f}, SciPy {other.mean():.4f}")
    print(f"  batched / SciPy {batched / rate:8.0f}  (wanted: at least 200)", flush=True)


def main() -> None:
    """Measures both nets and prints the ratios."""
    parser = command_line(__doc__)
    parser.add_argument("--reference", type=int, default=8, help="images that SciPy attacks (default: 8)")
    arguments = parser.parse_args()
    for architecture, net, start in subjects(arguments.workdir, arguments.images):
        _measure(architecture, net, start, arguments.reference)


if __name__ == "__main__":
    main()

"""How fast the batched L-BFGS makes adversarial pairs beside SciPy's, image by image: `python -m benchmarks.attack`.

On MNIST test digits with two of Szegedy et al.'s nets, toward a class drawn at random, the same objective, bracketing
and bisection for both (`benchmarks.scipy_attack`). Success and mean distortion are printed for the images that both
did, so that a faster but worse attack shows. Compilation is left out of both. Every figure is from this run and this
machine.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time

import numpy as np
import tensorflow as tf

from benchmarks import scipy_attack
from models import training
from models.training import Training
from pipeline import seeding
from pipeline.search import gradient
from pipeline.search.gradient import Originals
from pipeline.search.lbfgs import LBFGS
from pipeline.seeds import SeedBatch, TfdsSeeds

_NETS = ("fc10@1e-4", "fc100-100-10@1e-5,1e-5,1e-6")


def _net(architecture: str, workdir: str, data: SeedBatch, epochs: int) -> tf.keras.Model:
    path = os.path.join(workdir, f"{architecture}-{epochs}.keras")
    training.train_cached(path, architecture, 0, Training(epochs=epochs), data.images, data.labels, 10, "cpu")
    return tf.keras.models.load_model(path, compile=False)


def _originals(net: tf.keras.Model, seeds: SeedBatch, count: int) -> Originals:
    images = seeds.images.astype(np.float32) / 255.0
    right = np.flatnonzero(net.predict(images, verbose=0).argmax(-1) == seeds.labels)[:count]
    words = np.array([seeding.seed_key(seeds.ids[row]) for row in right], np.uint32)
    zeros = np.zeros(count, np.int64)
    drawn = seeding.draws(0, words, zeros, zeros, 1)[:, 0]
    aims = (seeds.labels[right] + 1 + (drawn * 9).astype(np.int32)) % 10
    parts = (images[right], seeds.labels[right], aims.astype(np.int32), words)
    return Originals(*(tf.constant(part) for part in parts))


def _measure(architecture: str, net: tf.keras.Model, start: Originals, reference: int) -> None:
    lbfgs = LBFGS()

    @tf.function(jit_compile=True, autograph=False)
    def attack(*parts: tf.Tensor) -> gradient.Twins:
        return lbfgs.attack(net, tf.constant(0, tf.uint32), Originals(*parts))

    attack(*start)
    began = time.perf_counter()
    twins = gradient.Twins(*(field.numpy() for field in attack(*start)))
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=256, help="images that are attacked at a time (default: 256)")
    parser.add_argument("--reference", type=int, default=8, help="images that SciPy attacks (default: 8)")
    parser.add_argument("--workdir", default="", help="folder that keeps the trained nets (default: a new one)")
    arguments = parser.parse_args()
    source = TfdsSeeds("mnist", os.environ.get("PEERPRESSURE_SHARED_TFDS"))
    data, test = source.read("train", range(source.count("train"))), source.read("test", range(2 * arguments.images))
    with tempfile.TemporaryDirectory() as folder:
        for architecture in _NETS:
            net = _net(architecture, arguments.workdir or folder, data, epochs=10)
            _measure(architecture, net, _originals(net, test, arguments.images), arguments.reference)


if __name__ == "__main__":
    main()

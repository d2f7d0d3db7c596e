"""How fast garbage images evolve beside the bare net, and beside pyribs driving it: `python -m benchmarks.garbage`.

- island / bare: images that MAP-Elites has the net judge a second, over what the net alone answers at its best batch
  size, in turns.
- island / pyribs: the same over pyribs' scheduler with a `GridArchive` of one cell a class, its own Gaussian emitter
  and the net compiled as here. pyribs adds a solution to the one cell of its measures, so that a child is offered to
  the class it is most confident of, and not to all classes as here: it has less to do for an image.

Compilation is left out. Every figure is from this run and this machine; only the ratios carry over.
"""

from __future__ import annotations

import argparse
import functools
import os
import tempfile
import warnings
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from benchmarks import mnist
from benchmarks.turns import Step, best_bare, in_turns
from models import kernels, training
from models.recipe import Training
from pipeline import seeding
from pipeline.search.evolution.cppn_encoding import CPPN
from pipeline.search.evolution.direct import Direct
from pipeline.search.evolution.elites import Island, Key
from pipeline.search.evolution.map_elites import Encoding, MapElites

_SHAPE, _CLASSES = (28, 28, 1), 10
_NETS = ("cnn-32-64-200", "mlp-50")
_BATCHES = (50, 100, 200, 400, 1000)
_POPULATION, _BLOCK = 200, 20
_NEVER_DONE = 2.0  # no probability reaches it


def main() -> None:
    """Measures every net with both encodings, and prints the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="for each figure (default: 10)")
    parser.add_argument("--workdir", default="", help="folder that keeps the trained nets (default: a new one)")
    arguments = parser.parse_args()
    source = mnist.seeds()
    data = source.read("train", range(source.count("train")))
    with tempfile.TemporaryDirectory() as folder:
        for architecture in _NETS:
            path = os.path.join(arguments.workdir or folder, f"{architecture}.keras")
            recipe = (architecture, 0, Training(epochs=2), data.images, data.labels, _CLASSES, "cpu")
            training.cached(path, functools.partial(training.train, *recipe))
            _measure(architecture, tf.keras.models.load_model(path, compile=False), arguments.seconds)


def _measure(name: str, net: tf.keras.Model, seconds: float) -> None:
    bare, size = best_bare(_asked(net)[0], _SHAPE, _BATCHES)
    steps = {
        "bare": bare,
        "direct": _island(net, Direct(_SHAPE)),
        "CPPN": _island(net, CPPN(_SHAPE)),
        "pyribs": _pyribs(net),
    }
    rates = {name: rate.wall for name, rate in in_turns(steps, seconds).items()}
    print(f"{name}: the bare net {rates['bare']:,.0f} images/s (batches of {size})")
    for encoding in ("direct", "CPPN"):
        rate = rates[encoding]
        print(
            f"  {encoding}: {rate:,.0f} images/s, {rate / rates['bare']:.2f} of the bare net, "
            f"{rate / rates['pyribs']:.1f} x pyribs ({rates['pyribs']:,.0f} images/s)"
        )


def _asked(net: tf.keras.Model) -> tuple[Callable[[tf.Tensor], tf.Tensor], kernels.Kernels]:
    """Returns a net as a function, and the kernels with which it is fastest."""

    def predict(images: tf.Tensor) -> tf.Tensor:
        return net(images, training=False)

    return predict, kernels.fastest(predict, _SHAPE)


def _island(net: tf.keras.Model, encoding: Encoding) -> Step:
    """Returns a step of `_BLOCK` generations of an island that is never done."""
    predict, fastest = _asked(net)
    island = Island(
        MapElites(encoding, _POPULATION),
        predict,
        tuple(range(_CLASSES)),
        _NEVER_DONE,
        2**30 // _POPULATION,
        _BLOCK,
        fastest,
    )
    key = Key(tf.constant(0, tf.uint32), tf.constant(seeding.seed_key("benchmark"), tf.uint32))
    state, _ = island.begin()(key)
    advance = island.advance()
    held = [advance(key, state, tf.constant(0))[:2]]

    def run() -> int:
        held[0] = advance(key, *held[0])[:2]
        held[0][1].numpy()
        return _BLOCK * _POPULATION

    return run


def _pyribs(net: tf.keras.Model) -> Step:
    """Returns a generation of pyribs' scheduler, with its Gaussian emitter on pixels in [0, 1]."""
    from ribs.archives import GridArchive
    from ribs.emitters import GaussianEmitter
    from ribs.schedulers import Scheduler

    warnings.filterwarnings("ignore", module="ribs")
    pixels = int(np.prod(_SHAPE))
    archive = GridArchive(solution_dim=pixels, dims=[_CLASSES], ranges=[(-0.5, _CLASSES - 0.5)], seed=0)
    first = np.random.default_rng(0).random((_POPULATION, pixels))
    emitter = GaussianEmitter(
        archive, sigma=0.1, initial_solutions=first, bounds=[(0.0, 1.0)] * pixels, batch_size=_POPULATION, seed=0
    )
    scheduler = Scheduler(archive, [emitter])
    predict, fastest = _asked(net)
    compiled = kernels.compiled(predict, fastest)

    def run() -> int:
        images = np.round(scheduler.ask() * 255.0).astype(np.float32).reshape(-1, *_SHAPE) / 255.0
        answers = compiled(tf.constant(images)).numpy()
        classes = answers.argmax(axis=1)
        scheduler.tell(answers[np.arange(len(answers)), classes], classes[:, None])
        return len(answers)

    run()
    return run


if __name__ == "__main__":
    main()

"""What training and the commands that ask nets make of a convolutional net: `python -m benchmarks.nets`.

- train: images a second that `models.training.train` learns from, over plain Keras `fit` on NumPy arrays in memory, the
  same net, images and batch size, with and without XLA, the faster. The first epoch, which compiles, is left out.
- verify, recheck, transfer, probe: images that nets are shown a second by what these commands do when libraries and
  nets are loaded (reading, decoding, drawing noise, checking included), an image counted once for each net, over what
  the bare net answers with its fastest kernels at its best batch size.

All of it in turns. The datasets are small ones of MNIST, mined first and read again and again. Every figure is from
this run and this machine; only the ratios carry over.
"""

from __future__ import annotations

import argparse
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks import mnist
from benchmarks.turns import Step, best_bare, in_turns
from models import training, zoo
from models.classifier import PeerGroup
from models.examples import Held
from models.recipe import Training
from pipeline.runs.nets import Finder
from pipeline.studies import default_sizes, probe, transfer
from pipeline.versions import check, published, recheck
from pipeline.versions.published import Published
from pipeline.workdir.ledger import Workdir

_NET, _NETS, _CLASSES = "cnn-32-64-200", 5, 10
_BATCHES = (50, 100, 200, 400, 1000, 2000)
_DRAWS = 3  # of noise of each size
_EXAMPLES = 8192  # of which a command is given a dataset
_CONFIG = f"""
task = "bench"
[seeds]
dataset = "mnist"
splits = ["test"]
[peers]
architectures = {[_NET] * _NETS}
[training]
epochs = 1
"""
_MISTAKES = """
[search]
trials = 550
peer_confidence = 0.5
target_confidence = 0.0
[run]
lanes = 512
"""
_PAIRS = """
[search]
method = "fgsm"
trials = 400
[attack]
aim = "untargeted"
eps = 0.2
[run]
lanes = 256
"""


class _Again:
    """A TFDS builder whose examples are read again and again, until there are `_EXAMPLES`."""

    def __init__(self, builder: Any):
        self._builder, self.info, self.data_dir = builder, builder.info, builder.data_dir

    def as_dataset(self, **given: Any) -> tf.data.Dataset:
        """Returns a split, over and over."""
        return self._builder.as_dataset(**given).repeat().take(_EXAMPLES)


def main() -> None:
    """Measures everything and prints the ratios with the figures they come from."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="for each figure (default: 20)")
    parser.add_argument("--images", type=int, default=12_800, help="in an epoch of training (default: 12,800)")
    parser.add_argument("--workdir", default="", help="folder that keeps nets and datasets (default: a new one)")
    arguments = parser.parse_args()
    mnist.seeds()
    _report_training(arguments.images, arguments.seconds)
    with tempfile.TemporaryDirectory() as folder:
        _report_commands(arguments.workdir or folder, arguments.seconds)


def _report_training(count: int, seconds: float) -> None:
    data = mnist.seeds().read("train", range(count))
    epochs = {
        "train": _trained(data.images, data.labels),
        "fit": _fitted(data.images, data.labels, by_xla=False),
        "fit with XLA": _fitted(data.images, data.labels, by_xla=True),
    }
    spent: dict[str, list[float]] = {name: [] for name in epochs}
    while min(map(sum, spent.values())) < seconds:
        for name, epoch in epochs.items():
            spent[name].append(epoch())
    rates = {name: count * len(times) / sum(times) for name, times in spent.items()}
    for name, rate in rates.items():
        print(f"{name}: {rate:,.0f} images/s", flush=True)
    best = max(rates["fit"], rates["fit with XLA"])
    print(f"train / Keras fit     {rates['train'] / best:8.2f}  (wanted: at least 1)", flush=True)


def _trained(images: np.ndarray, labels: np.ndarray) -> Callable[[], float]:
    """Returns what trains for two epochs and returns the seconds of the second."""

    def epoch() -> float:
        ended: dict[float, float] = {}

        def told(step: int, steps: int, accuracy: float) -> None:
            ended[step / steps] = time.perf_counter()

        training.train(_NET, 0, Training(epochs=2), Held(images, labels), _CLASSES, "cpu", told)
        return ended[1.0] - ended[0.5]

    return epoch


def _fitted(images: np.ndarray, labels: np.ndarray, by_xla: bool) -> Callable[[], float]:
    scaled, size = images.astype(np.float32) / 255.0, Training().batch_size

    def epoch() -> float:
        ended: list[float] = []
        net = zoo.build(_NET, images.shape[1:], _CLASSES)
        net.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=by_xla)
        told = tf.keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: ended.append(time.perf_counter()))
        net.fit(scaled, labels, batch_size=size, epochs=2, verbose=0, callbacks=[told])
        return ended[1] - ended[0]

    return epoch


def _report_commands(folder: str, seconds: float) -> None:
    workdir = Workdir.at(folder)
    mistakes = _mined(workdir, "high_value_mistakes", _MISTAKES)
    pairs = _mined(workdir, "adversarial_pairs", _PAIRS)
    group = Finder(workdir, mistakes.name).group(next(iter(mistakes.runs.values())))
    bare, size = best_bare(group.classifiers[0].predict, group.input_shape, _BATCHES)
    rates = in_turns({"the bare net": bare, **_commands(mistakes, pairs, group)}, seconds, seconds / 4)
    own = rates.pop("the bare net")
    print(f"the bare net answers {own.wall:,.0f} images/s (batches of {size})")
    for name, rate in rates.items():
        ratio, by_processor = rate.wall / own.wall, rate.processor / own.processor
        told = f"{rate.wall:,.0f} images/s; by processor time {by_processor:.2f}; wanted: at least 0.8"
        print(f"{name + ' / bare net':22}{ratio:8.2f}  ({told})")


def _mined(workdir: Workdir, dataset: str, sections: str) -> Published:
    """Returns a dataset, mined by `peerpressure run` if it is not there."""
    if not (workdir.datasets / dataset / "bench").exists():
        config = pathlib.Path(str(workdir.path)) / f"{dataset}.toml"
        config.parent.mkdir(parents=True, exist_ok=True)
        config.write_text(_CONFIG + sections)
        command = [sys.executable, "-m", "pipeline", "run", "--config", str(config), "--workdir", str(workdir.path)]
        command += ["--device", "cpu", *(["--data_dir", folder] if (folder := mnist.data_dir()) else [])]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return Published(_Again(published.open_dataset(f"{dataset}/bench", workdir.datasets).builder))


def _commands(mistakes: Published, pairs: Published, group: PeerGroup) -> dict[str, Step]:
    """Returns what the commands do when nets are loaded; steps return images shown, once for each net."""
    groups = dict.fromkeys(mistakes.runs, group)
    named = dict(zip(group.names, group.classifiers, strict=True))
    size = group.batch
    given = recheck.groups_to_ask(mistakes, {run_id: named for run_id in mistakes.runs})

    def verify() -> int:
        verified = check.check(mistakes, groups, size)
        assert not verified.reasons, verified.reasons
        return verified.checked * len(group.classifiers)

    def rechecked() -> int:
        return len(recheck.recheck(mistakes, given, size)) * len(group.classifiers)

    def transferred() -> int:
        rows = transfer.table(pairs.examples(transfer.FEATURES), group, [0.1], size)
        return 2 * sum(row.twins for row in rows) * len(group.classifiers)

    def probed() -> int:
        rows = probe.table(pairs.examples(probe.FEATURES), group, default_sizes.NOISE, _DRAWS, size)
        return 2 * _DRAWS * sum(row.pairs for row in rows)

    steps = {"verify": verify, "recheck": rechecked, "transfer": transferred, "probe": probed}
    for step in steps.values():  # compiles
        step()
    return steps


if __name__ == "__main__":
    main()

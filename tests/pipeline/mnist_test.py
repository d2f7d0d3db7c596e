"""The main job on a small share of real datasets that others have prepared: MNIST digits, and colour images."""

from __future__ import annotations

import collections
import os
import pathlib

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from models import training
from models.examples import Held
from models.recipe import Training
from pipeline import records
from pipeline.seeds.tfds_dataset import TfdsSeeds

layers = tf.keras.layers

_PREPARED = os.environ.get("PEERPRESSURE_SHARED_TFDS", "")
_FIRST = range(2000)
_COLOUR_TRIALS = 20
_WILD_MOVES = {
    "affine": {"rotation_degrees": 90, "translation_pixels": 10, "scale": 0.5, "stretch": 0.5, "shear_degrees": 30},
    "photo": {"rotation_degrees": 90, "shear_degrees": 30, "crop": 0.7, "aspect": 0.3, "flip": 0.5, "contrast": 0.5},
}


def _require(dataset: str) -> None:
    if not _PREPARED:
        pytest.skip("PEERPRESSURE_SHARED_TFDS does not name a TFDS data_dir")
    if not (pathlib.Path(_PREPARED) / dataset).is_dir():
        pytest.skip(f"there is no {dataset} in PEERPRESSURE_SHARED_TFDS = {_PREPARED}")


def _train(dataset: str, architectures: tuple[str, ...], folder: pathlib.Path, rate: float) -> dict[str, list[str]]:
    """Trains nets on the dataset's first images for a few epochs; returns the task's [peers]."""
    data = TfdsSeeds(dataset, _PREPARED).read("train", _FIRST)
    paths = []
    for init_seed, architecture in enumerate(architectures):
        how = Training(epochs=5, batch_size=50, learning_rate=rate)
        net = training.train(architecture, init_seed, how, Held(data.images, data.labels), 10)
        paths.append(str(folder / f"{architecture}.keras"))
        net.save(paths[-1])
    return {"files": paths}


@pytest.mark.slow
def test_the_papers_setting_on_a_few_digits(peerpressure, config, tmp_path):
    _require("mnist")
    nets = ("mlp-10", "mlp-20", "mlp-30", "mlp-40", "mlp-50")
    task = config(
        seeds={"dataset": "mnist", "splits": ["test"]},
        peers=_train("mnist", nets, tmp_path, 0.01),
        search={"peer_confidence": 0.9, "target_confidence": 0.5, "patience": 150, "trials": 30},
        run={"unit_size": 128, "lanes": 64},
    )
    workdir = tmp_path / "work"
    outcome = peerpressure("run", "--config", task, "--workdir", workdir, "--data_dir", _PREPARED)
    assert outcome.code == 0, outcome.err
    rates = outcome.out.split("\n\n")[0]  # the table that comes first
    table = {line.split()[0]: line.split() for line in rates.splitlines() if line.startswith("mlp-")}
    assert list(table) == list(nets)
    assert all(row[1] == "30" for row in table.values()) and any(int(row[2]) > 0 for row in table.values())
    assert peerpressure("verify", "high_value_mistakes/tiny", "--workdir", workdir).code == 0


@pytest.mark.slow
@pytest.mark.parametrize(("operator", "compose"), [("affine", "matrix"), ("photo", "matrix"), ("photo", "image")])
def test_colour_images(peerpressure, config, tmp_path, operator, compose):
    _require("cifar10_jpeg")
    # Nothing hangs on how a net happens to train: the trained one only grades, the searched ones agree on most images
    # though not on all, and moves that tear the images apart meet no thresholds.
    (judge,) = _train("cifar10_jpeg", ("mlp-8",), tmp_path, 0.001)["files"]
    task = config(
        seeds={"dataset": "cifar10_jpeg", "splits": ["test"]},
        peers={"files": _drawn_nets(tmp_path)},
        judge={"file": judge},
        search={"trials": _COLOUR_TRIALS, "patience": 100, "class_from": "consensus", "compose": compose},
        operator={"name": operator, **_WILD_MOVES[operator]},
    )
    workdir = tmp_path / "work"
    outcome = peerpressure(
        *("run", "--config", task, "--workdir", workdir, "--data_dir", _PREPARED, "--run_id", "first")
    )
    assert outcome.code == 0, outcome.err
    found = _found(workdir / "ledger" / "high_value_mistakes" / "tiny" / "first" / "trials.parquet", ["left", "right"])
    data, info = tfds.load("high_value_mistakes/tiny", data_dir=workdir / "datasets", split="test", with_info=True)
    assert info.features["image"].shape == (32, 32, 3) and info.features["label"].names[0] == "airplane"
    examples = list(tfds.as_numpy(data))
    assert len(examples) == found > 0
    assert all(example["image"].shape == example["seed_image"].shape == (32, 32, 3) for example in examples)
    assert any(np.ptp(example["image"], axis=-1).any() for example in examples)  # colours, not greys throughout
    assert {example["transform"]["operator"].decode() for example in examples} == {operator}
    outcome = peerpressure("verify", "high_value_mistakes/tiny", "--workdir", workdir)
    assert outcome.code == 0 and f": {found:,} examples checked, 0 shown of those that fail" in outcome.out


def _drawn_nets(folder: pathlib.Path) -> list[str]:
    """Writes two alike nets for 32x32x3 images whose weights are drawn, not learned."""
    generator = np.random.default_rng(0)
    shared = generator.normal(size=(32 * 32 * 3, 10))
    paths = [str(folder / f"{name}.keras") for name in ("left", "right")]
    for path in paths:
        weights = shared + 0.5 * generator.normal(size=shared.shape)
        output = layers.Dense(10, activation="softmax", use_bias=False)
        net = tf.keras.Sequential([tf.keras.Input((32, 32, 3)), layers.Flatten(), output])
        output.set_weights([0.1 * (weights - weights.mean(axis=0))])  # so that brightness alone decides nothing
        net.save(path)
    return paths


def _found(path: pathlib.Path, nets: list[str]) -> int:
    """Checks that every trial of a run ended in one way, as many for each net as asked for; returns the finds."""
    rows = pq.read_table(path).to_pylist()
    trials = [(row["seed_id"], row["target_net"]) for row in rows if row["target_net"]]
    assert len(trials) == len(set(trials)) and {net for _, net in trials} == set(nets)
    held = {seed_id for seed_id, _ in trials}
    skipped = [row["seed_id"] for row in rows if not row["target_net"]]
    assert len(held) == _COLOUR_TRIALS and len(trials) == len(nets) * len(held)
    assert len(skipped) == len(set(skipped)) and not held & set(skipped)
    outcomes = collections.Counter(row["outcome"] for row in rows)
    assert outcomes.keys() <= {records.FOUND, records.EXHAUSTED, records.MOVES_SPENT, records.DROPPED, records.SKIPPED}
    assert outcomes[records.SKIPPED] == len(skipped)
    return outcomes[records.FOUND]

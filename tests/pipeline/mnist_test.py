"""The main job on a small share of real datasets that others have prepared: MNIST digits, and colour images."""

from __future__ import annotations

import os
import pathlib

import pytest
import tensorflow_datasets as tfds

from models import training
from pipeline.seeds import TfdsSeeds

_PREPARED = os.environ.get("PEERPRESSURE_SHARED_TFDS", "")
_FIRST = range(2000)


def _require(dataset: str) -> None:
    if not _PREPARED:
        pytest.skip("PEERPRESSURE_SHARED_TFDS does not name a TFDS data_dir")
    if not (pathlib.Path(_PREPARED) / dataset).is_dir():
        pytest.skip(f"there is no {dataset} in PEERPRESSURE_SHARED_TFDS = {_PREPARED}")


def _train(dataset: str, architectures: tuple[str, ...], folder: pathlib.Path, rate: float) -> dict[str, object]:
    """Trains nets on the dataset's first images for a few epochs; returns the task's [peers]."""
    data = TfdsSeeds(dataset, _PREPARED).read("train", _FIRST)
    paths = []
    for init_seed, architecture in enumerate(architectures):
        how = training.Training(epochs=5, batch_size=50, learning_rate=rate)
        net = training.train(architecture, init_seed, how, data.images, data.labels, 10)
        paths.append(str(folder / f"{architecture}.keras"))
        net.save(paths[-1])
    return {"files": paths}


def test_the_papers_setting_on_a_few_digits(peerpressure, config, tmp_path):
    _require("mnist")
    nets = ("mlp-10", "mlp-20", "mlp-30", "mlp-40", "mlp-50")
    task = config(
        seeds={"dataset": "mnist", "splits": ["train"]},
        peers=_train("mnist", nets, tmp_path, 0.01),
        search={"peer_confidence": 0.9, "target_confidence": 0.5, "patience": 250, "trials": 60},
        run={"unit_size": 128, "lanes": 64},
    )
    workdir = tmp_path / "work"
    outcome = peerpressure("run", "--config", task, "--workdir", workdir, "--data_dir", _PREPARED)
    assert outcome.code == 0, outcome.err
    table = {line.split()[0]: line.split() for line in outcome.out.splitlines() if line.startswith("mlp-")}
    assert list(table) == list(nets)
    assert all(row[1] == "60" for row in table.values()) and any(int(row[2]) > 0 for row in table.values())
    assert peerpressure("verify", "high_value_mistakes/tiny", "--workdir", workdir).code == 0


def test_colour_images(peerpressure, config, tmp_path):
    _require("cifar10_jpeg")
    task = config(
        seeds={"dataset": "cifar10_jpeg", "splits": ["test"]},
        peers=_train("cifar10_jpeg", ("mlp-16", "mlp-24-16"), tmp_path, 0.001),
        search={"trials": 30},
    )
    workdir = tmp_path / "work"
    outcome = peerpressure("run", "--config", task, "--workdir", workdir, "--data_dir", _PREPARED)
    assert outcome.code == 0, outcome.err
    info = tfds.builder("high_value_mistakes/tiny", data_dir=workdir / "datasets").info
    assert info.features["image"].shape == (32, 32, 3) and info.features["label"].names[0] == "airplane"
    assert info.splits["test"].num_examples > 0
    assert peerpressure("verify", "high_value_mistakes/tiny", "--workdir", workdir).code == 0

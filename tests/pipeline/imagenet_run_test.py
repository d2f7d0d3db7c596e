"""configs/imagenet.toml, end to end, on a dataset that has ImageNet's name and features and a few small pictures."""

from __future__ import annotations

import io
import json
import pathlib

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from models import loading
from pipeline.runs import memory
from tests.pipeline import conftest

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
NAME = "high_value_mistakes/imagenet"
SMALLER = {
    '["googlenet", "googlenet", "googlenet", "googlenet", "googlenet"]': str(["googlenet-small@0.1"] * 2),
    "size = [224, 224]": "size = [16, 16]",
    "epochs = 250": "epochs = 10",
    "learning_rate = 0.01": "learning_rate = 0.003",  # so few images and so many classes diverge with more
    "batch_size = 256": "batch_size = 8",
    "peer_confidence = 0.5": "peer_confidence = 0.0",
    "target_confidence = 0.5": "target_confidence = 0.0",
    "flip = 0.5": "flip = 0.5\nbrightness = 1.0\ngamma = 1.0",  # what tells the two classes apart
}


class Imagenet2012(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Dark pictures of class 1 and light ones of class 2, of 1,000, as JPEG and of many sizes."""

    VERSION = tfds.core.Version("5.1.0")
    name = "imagenet2012"

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(encoding_format="jpeg"),
            "label": tfds.features.ClassLabel(names=[f"n{number:08d}" for number in range(1000)]),
            "file_name": tfds.features.Text(),
        }
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features), supervised_keys=("image", "label")
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples("train", 80), "validation": self._generate_examples("val", 10)}

    def _generate_examples(self, split: str, count: int):
        random = np.random.default_rng(count)
        for number in range(count):
            height, width = random.integers(20, 60, 2)
            pixels = random.integers(0, 100, (height, width, 3)) + (0 if number % 2 else 150)
            stream = io.BytesIO()
            Image.fromarray(pixels.astype(np.uint8)).save(stream, "JPEG")
            name = f"{split}_{number:08d}.JPEG"
            yield name, {"image": io.BytesIO(stream.getvalue()), "label": 1 + number % 2, "file_name": name}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("tfds")
    Imagenet2012(data_dir=folder).download_and_prepare()
    return folder


def _smaller() -> str:
    text = (CONFIGS / "imagenet.toml").read_text()
    for old, new in SMALLER.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


@pytest.mark.slow
def test_the_imagenet_task_is_trained_mined_and_verified_on_a_stand_in(data_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "learned_images", lambda run, shape: 48)  # of 80
    task = tmp_path / "imagenet.toml"
    task.write_text(_smaller())
    work = ("--workdir", tmp_path / "work", "--data_dir", data_dir)
    outcome = conftest.call("run", "--config", task, *work, "--run_id", "first")
    assert outcome.code == 0, outcome
    nets = sorted((tmp_path / "work" / "nets").glob("*.keras"))
    assert len(nets) == 2 and len({loading.load(net).digest for net in nets}) == 2
    assert loading.load(nets[0]).input_shape == (16, 16, 3) and loading.load(nets[0]).num_classes == 1000
    logs = (tmp_path / "work" / "nets" / "logs").iterdir()
    assert sorted(folder.name for folder in logs) == [net.stem for net in nets]
    manifest = json.loads((tmp_path / "work" / "ledger" / NAME / "first" / "manifest.json").read_text())
    assert manifest["reading"]["resize"].startswith("crop") and manifest["image_shape"] == [16, 16, 3]
    assert manifest["seed_accuracy"]["images"] == 10, "none is set aside"
    assert min(manifest["seed_accuracy"]["nets"].values()) >= 0.5, "of 1,000 classes they know at least one"
    assert sum(sum(counts.values()) for counts in manifest["counts"].values()) >= 10
    assert manifest["examples"] > 0, manifest["counts"]
    assert conftest.call("verify", NAME, "--workdir", tmp_path / "work").code == 0

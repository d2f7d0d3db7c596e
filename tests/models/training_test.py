from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from models import loading, training
from models.errors import InputError
from models.training import Training
from tests.models import nets

SETTINGS = Training(epochs=2, batch_size=16, learning_rate=0.01)


def _data(count: int = 70) -> tuple[np.ndarray, np.ndarray]:
    images = nets.images(count)
    return images, images[:, 0, 0, 0].astype(np.int64) * nets.CLASSES // 256


def _train(init_seed: int = 1, settings: Training = SETTINGS, count: int = 70, **options) -> tf.keras.Model:
    return training.train("mlp-6", init_seed, settings, *_data(count), nets.CLASSES, "cpu", **options)


def _train_cached(path, **options) -> bool:
    return training.train_cached(path, "mlp-6", 1, SETTINGS, *_data(), nets.CLASSES, "cpu", **options)


@pytest.fixture(scope="module")
def trained_digest() -> str:
    return loading.digest(_train())


def test_equal_seeds_give_equal_weights_bit_for_bit(trained_digest):
    assert loading.digest(_train()) == trained_digest


def test_another_seed_gives_other_weights(trained_digest):
    assert loading.digest(_train(init_seed=2)) != trained_digest


def test_training_learns_and_reports_every_epoch():
    seen: list[tuple[int, int, float]] = []
    settings = Training(epochs=12, batch_size=8, learning_rate=0.03)
    _train(settings=settings, progress=lambda *report: seen.append(report))
    assert [report[:2] for report in seen] == [(epoch, 12) for epoch in range(1, 13)]
    assert seen[-1][2] > 0.75 > seen[0][2]


def test_fewer_images_than_a_batch_are_still_trained_on():
    untrained = nets.seeded("mlp-6", 1)
    assert loading.digest(_train(count=5)) != loading.digest(untrained)


def test_plain_gradient_descent_is_another_training(trained_digest):
    settings = dataclasses.replace(SETTINGS, optimizer="sgd")
    assert loading.digest(_train(settings=settings)) != trained_digest


def test_labels_beyond_the_classes_are_refused():
    images, labels = _data()
    with pytest.raises(InputError, match="labels run from 0 to 2, but the net has 2 classes, 0 to 1"):
        training.train("mlp-6", 1, SETTINGS, images, labels, 2, "cpu")


def test_no_images_are_refused():
    with pytest.raises(InputError, match="no images to train on"):
        _train(count=0)


def test_an_unknown_optimizer_is_refused():
    with pytest.raises(InputError, match="no optimizer 'lion'"):
        _train(settings=Training(optimizer="lion"))


def test_the_second_call_trains_nothing_and_leaves_the_file_alone(tmp_path):
    path, epochs = tmp_path / "nets" / "net.keras", []
    assert _train_cached(path)
    content = path.read_bytes()
    assert not _train_cached(path, progress=lambda *report: epochs.append(report))
    assert epochs == [] and path.read_bytes() == content


def test_the_cached_file_is_the_trained_net(tmp_path, trained_digest):
    _train_cached(tmp_path / "net.keras")
    assert loading.load(tmp_path / "net.keras").digest == trained_digest
    assert [path.name for path in tmp_path.iterdir()] == ["net.keras"]


def test_training_that_is_broken_off_leaves_no_file(tmp_path):
    def stop(epoch: int, epochs: int, accuracy: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _train_cached(tmp_path / "net.keras", progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_saving_that_is_broken_off_leaves_no_file(tmp_path, monkeypatch):
    def save(model: tf.keras.Model, path: str) -> None:
        with open(path, "wb") as file:
            file.write(b"half of it")
        raise OSError("disk full")

    monkeypatch.setattr(tf.keras.Sequential, "save", save)
    with pytest.raises(OSError, match="disk full"):
        _train_cached(tmp_path / "net.keras")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "changed",
    [
        ("mlp-7", 1, Training(), "data"),
        ("mlp-6", 2, Training(), "data"),
        ("mlp-6", 1, Training(epochs=11), "data"),
        ("mlp-6", 1, Training(), "other"),
    ],
)
def test_the_cache_key_tells_every_ingredient_apart(changed):
    assert training.digest(*changed) != training.digest("mlp-6", 1, Training(), "data")


def test_the_cache_key_never_changes():
    key = training.digest("mlp-6", 1, Training(), "data")
    assert key == "0a8035e1c53d0d9a96914bef90a7faa704134ce1557ef0c8ba232c7f6d143428"

from __future__ import annotations

import dataclasses
import math
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from models import devices, examples, loading, training, zoo
from models.errors import InputError
from models.examples import Held
from models.recipe import Training
from tests.models import nets

SETTINGS = Training(epochs=2, batch_size=16, learning_rate=0.01)


def _data(count: int = 70) -> tuple[np.ndarray, np.ndarray]:
    images = nets.images(count)
    return images, images[:, 0, 0, 0].astype(np.int64) * nets.CLASSES // 256


def _train(
    init_seed: int = 1, settings: Training = SETTINGS, count: int = 70, architecture: str = "mlp-6", **options
) -> tf.keras.Model:
    return training.train(architecture, init_seed, settings, Held(*_data(count)), nets.CLASSES, "cpu", **options)


def _train_cached(path, **options) -> bool:
    return training.cached(path, lambda: _train(**options))


@pytest.fixture(scope="module")
def trained_digest() -> str:
    return loading.digest(_train())


def test_equal_seeds_give_equal_weights_bit_for_bit(trained_digest):
    assert loading.digest(_train()) == trained_digest


def test_equal_seeds_give_equal_weights_of_convolutions_too():
    first, second = (_train(architecture="cnn-4-4-8") for _ in range(2))
    assert first.jit_compile is False and _train().jit_compile is True
    assert loading.digest(first) == loading.digest(second) != loading.digest(nets.seeded("cnn-4-4-8", 1))


def test_another_seed_gives_other_weights(trained_digest):
    assert loading.digest(_train(init_seed=2)) != trained_digest


def test_training_learns_and_reports_every_step_with_the_last_whole_epochs_accuracy():
    seen: list[tuple[int, int, float]] = []
    settings = Training(epochs=12, batch_size=8, learning_rate=0.03)
    _train(settings=settings, progress=lambda *report: seen.append(report))
    steps = len(seen) // 12
    assert steps > 1 and [report[:2] for report in seen] == [(step, 12 * steps) for step in range(1, 12 * steps + 1)]
    accuracies = np.array([report[2] for report in seen])
    assert np.isnan(accuracies[: steps - 1]).all() and not np.isnan(accuracies[steps - 1 :]).any()
    assert (accuracies[steps : 2 * steps - 1] == accuracies[steps - 1]).all()
    assert accuracies[-1] > 0.75 > accuracies[steps - 1]


def test_fewer_images_than_a_batch_are_still_trained_on():
    untrained = nets.seeded("mlp-6", 1)
    assert loading.digest(_train(count=5)) != loading.digest(untrained)


def test_plain_gradient_descent_is_another_training(trained_digest):
    settings = dataclasses.replace(SETTINGS, optimizer="sgd")
    assert loading.digest(_train(settings=settings)) != trained_digest


def test_momentum_is_another_training_and_not_for_adam():
    settings = dataclasses.replace(SETTINGS, optimizer="sgd")
    with_momentum = _train(settings=dataclasses.replace(settings, momentum=0.9))
    assert loading.digest(with_momentum) != loading.digest(_train(settings=settings))
    with pytest.raises(InputError, match=r"momentum is 0\.9, but optimizer 'adam' has none to set; leave momentum out"):
        _train(settings=dataclasses.replace(SETTINGS, momentum=0.9))


def _rates(schedule: str, epochs: int, steps: int) -> list[float]:
    """Returns the learning rate at the first step of each epoch, and at the last step of all."""
    settings = Training(epochs=epochs, learning_rate=0.5, schedule=schedule, optimizer="sgd")
    optimizer = training._optimizer(settings, steps)
    rates = []
    for step in [*range(0, epochs * steps, steps), epochs * steps]:
        optimizer.iterations.assign(step)
        rates.append(float(optimizer.learning_rate))
    return rates


def test_a_constant_learning_rate_stays():
    assert _rates("constant", 4, 5) == [0.5] * 5


def test_a_cosine_goes_to_zero_at_the_end():
    by_hand = [0.25 * (1 + math.cos(math.pi * epoch / 4)) for epoch in range(5)]
    np.testing.assert_allclose(_rates("cosine", 4, 5), by_hand, atol=1e-7)


def test_the_papers_schedule_goes_down_by_4_percent_every_8_epochs():
    by_hand = [0.5 * 0.96 ** (epoch // 8) for epoch in range(18)]
    np.testing.assert_allclose(_rates("step", 17, 3), by_hand, rtol=1e-6)


def test_schedules_reach_the_weights(trained_digest):
    for schedule in ("cosine", "step"):
        settings = dataclasses.replace(SETTINGS, schedule=schedule)
        assert (loading.digest(_train(settings=settings)) != trained_digest) == (schedule == "cosine")


@pytest.mark.slow
def test_changed_images_are_learned_from_and_equal_seeds_give_equal_weights(trained_digest):
    for changed in ({"smallest_crop": 0.2}, {"flip": True}, {"photometric": 0.5}):
        settings = dataclasses.replace(SETTINGS, **changed)
        first, second = (loading.digest(_train(settings=settings)) for _ in range(2))
        assert first == second != trained_digest


def test_half_precision_is_for_the_steps_alone(monkeypatch, trained_digest):
    """On a CPU, which would not use it."""
    settings = dataclasses.replace(SETTINGS, mixed_precision=True)
    assert loading.digest(_train(settings=settings)) == trained_digest
    monkeypatch.setattr(devices, "half_precision", lambda device: "mixed_bfloat16")
    model, whole = _train(settings=settings), _train()
    assert {layer.compute_dtype for layer in model.layers} == {"float32"} and model.dtype_policy.name == "float32"
    assert tf.keras.config.dtype_policy().name == "float32"
    for rounded, exact in zip(model.get_weights(), whole.get_weights(), strict=True):
        assert rounded.dtype == np.float32 and not np.array_equal(rounded, exact)
        np.testing.assert_allclose(rounded, exact, atol=0.03)


GOOGLENET = "googlenet-small@0.05"


def test_auxiliary_classifiers_have_three_tenths_of_a_say_in_the_loss():
    tf.keras.utils.set_random_seed(1)
    model = zoo.for_training(GOOGLENET, zoo.build(GOOGLENET, (8, 8, 3), 3))
    training._compile(model, SETTINGS, 1, devices.strategy("cpu"), **training._objective(model))
    images = np.random.default_rng(0).random((6, 8, 8, 3)).astype(np.float32)
    labels = np.arange(6) % 3
    told = model.evaluate(images, [labels] * 3, verbose=0, return_dict=True)
    own, *auxiliary = (-np.log(answers.numpy()[np.arange(6), labels]).mean() for answers in model(images))
    assert told["loss"] == pytest.approx(own + 0.3 * sum(auxiliary), rel=1e-5)
    assert told[training._metric(model)] == pytest.approx((model(images)[0].numpy().argmax(-1) == labels).mean())


def _train_googlenet(**options) -> tf.keras.Model:
    images = np.random.default_rng(2).integers(0, 256, (40, 8, 8, 3), np.uint8)
    labels = images[:, 0, 0, 0].astype(np.int64) * nets.CLASSES // 256
    settings = Training(epochs=2, batch_size=10, smallest_crop=0.5, flip=True, photometric=0.3)
    return training.train(GOOGLENET, 1, settings, Held(images, labels), nets.CLASSES, "cpu", **options)


@pytest.mark.slow
def test_a_googlenet_is_trained_with_auxiliary_classifiers_and_returned_without():
    seen: list[tuple[int, int, float]] = []
    first = _train_googlenet(progress=lambda *report: seen.append(report))
    assert len(first.outputs) == 1 and loading.digest(first) == loading.digest(_train_googlenet())
    assert [report[:2] for report in seen] == [(step, 8) for step in range(1, 9)] and 0 <= seen[-1][2] <= 1
    mean = np.random.default_rng(2).integers(0, 256, (40, 8, 8, 3), np.uint8).mean(axis=(0, 1, 2))
    np.testing.assert_allclose(first.get_layer("mean_subtraction").offset, -mean)


def test_the_mean_is_that_of_the_pixels_and_of_many_images_that_of_some_of_them(monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (70, 4, 4, 3), np.uint8)
    held = Held(images, np.zeros(70, np.int32))
    np.testing.assert_allclose(training._mean(held.measured()), images.mean(axis=(0, 1, 2)) / 255)
    monkeypatch.setattr(examples, "_MEASURED", 30)
    np.testing.assert_allclose(training._mean(held.measured()), images[::3].mean(axis=(0, 1, 2)) / 255)


TWO_CPUS = """
import sys
import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

from models import devices
from tests.models import training_test

assert devices.strategy("cpu").num_replicas_in_sync == 2
np.savez(sys.argv[1], *training_test._train().get_weights())
net = training_test._train_googlenet()
net.save(sys.argv[2])
"""


@pytest.mark.slow
def test_two_devices_train_what_one_trains_up_to_rounding(tmp_path):
    weights, net = tmp_path / "weights.npz", tmp_path / "net.keras"
    command = [sys.executable, "-c", TWO_CPUS, os.fspath(weights), os.fspath(net)]
    child = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert child.returncode == 0, child.stderr
    with np.load(weights) as two:
        for ours, theirs in zip(_train().get_weights(), two.values(), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-4)
    untrained = zoo.build(GOOGLENET, (8, 8, 3), nets.CLASSES)
    assert loading.load(net).num_classes == nets.CLASSES and loading.load(net).digest != loading.digest(untrained)


def test_labels_beyond_the_classes_are_refused():
    images, labels = _data()
    with pytest.raises(InputError, match="labels run from 0 to 2, but the net has 2 classes, 0 to 1"):
        training.train("mlp-6", 1, SETTINGS, Held(images, labels), 2, "cpu")


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


@pytest.fixture
def no_training(monkeypatch):
    """Nets come out untrained, at once."""
    monkeypatch.setattr(training, "train", lambda architecture, init_seed, *_: nets.seeded(architecture, init_seed))


def test_what_a_killed_process_left_is_removed_once_the_file_is_there(tmp_path, no_training):
    left = [tmp_path / name for name in (f".net.{'0a' * 16}.keras", f".net.{'0a' * 16}.checkpoint", "net.checkpoint")]
    others = [
        ".net.keras",
        f".other.{'0a' * 16}.keras",
        f".net.{'0a' * 15}.keras",
        f".net.x.{'0a' * 16}.keras",
        "a.keras",
        "other.checkpoint",
    ]
    for file in [*left, *(tmp_path / name for name in others)]:
        file.write_bytes(b"half of it")
    _train_cached(tmp_path / "net.keras")
    assert {path.name for path in tmp_path.iterdir()} == {"net.keras", *others}


def test_two_processes_that_train_the_same_net_do_not_disturb_each_other(tmp_path, monkeypatch, no_training):
    path, save, finished = tmp_path / "net.keras", tf.keras.Sequential.save, []

    def save_after_another(model: tf.keras.Model, unfinished: str) -> None:
        save(model, unfinished)
        monkeypatch.setattr(tf.keras.Sequential, "save", save)
        finished.append(_train_cached(path))

    monkeypatch.setattr(tf.keras.Sequential, "save", save_after_another)
    assert _train_cached(path) and finished == [True]
    assert loading.load(path).digest == loading.digest(nets.seeded("mlp-6", 1))
    assert [file.name for file in tmp_path.iterdir()] == ["net.keras"]


def test_the_file_is_on_the_disk_before_it_gets_its_name(tmp_path, monkeypatch, no_training):
    synced, sync = [], os.fsync

    def record(descriptor: int) -> None:
        sync(descriptor)
        synced.append((os.fstat(descriptor).st_ino, (tmp_path / "net.keras").exists()))

    monkeypatch.setattr(os, "fsync", record)
    _train_cached(tmp_path / "net.keras")
    assert synced == [((tmp_path / "net.keras").stat().st_ino, False)]


def _blobs(count: int = 640) -> np.ndarray:
    """Returns uint8 `[count, 6, 5, 1]` that few units can describe: mixtures of two pictures."""
    random = np.random.default_rng(3)
    mixtures = random.uniform(size=(count, 2)) @ random.uniform(0, 127, (2, 30))
    return mixtures.astype(np.uint8).reshape(count, *nets.SHAPE)


PATIENT = Training(epochs=4, batch_size=16, learning_rate=0.02)


@pytest.fixture(scope="module")
def untrained() -> list[np.ndarray]:
    return nets.seeded("ae8-3", 1).get_weights()


@pytest.fixture(scope="module")
def pretrained() -> tuple[tf.keras.Model, tf.keras.Model]:
    strategy = devices.strategy("cpu")
    with strategy.scope():
        model = nets.seeded("ae8-3", 1)
    return model, training.pretrain(model, 1, PATIENT, Held(_blobs(), np.zeros(640, np.int32)), strategy)


def test_pretraining_learns_to_reconstruct(pretrained, untrained):
    images, (model, autoencoder) = _blobs() / np.float32(255), pretrained

    def error() -> float:
        return float(np.mean((autoencoder(images) - images) ** 2))

    learnt, weights = error(), model.get_weights()
    model.set_weights(untrained)
    with_first_encoder = error()
    model.set_weights(weights)
    of_the_mean_image = np.mean((images.mean(axis=0) - images) ** 2)
    assert learnt < 0.5 * min(with_first_encoder, of_the_mean_image)


def test_pretraining_brings_activity_to_its_target(pretrained):
    images = _blobs().reshape(-1, 30) / np.float32(255)
    kernel, bias = pretrained[0].get_weights()[:2]
    activity = tf.sigmoid(images @ kernel + bias).numpy().mean(axis=0)
    np.testing.assert_allclose(activity, 0.1, atol=0.05)


def test_pretraining_leaves_the_softmax_alone_and_the_layer_frozen(pretrained, untrained):
    model, _ = pretrained
    np.testing.assert_array_equal(model.layers[2].get_weights()[0], untrained[2])
    assert [layer.trainable for layer in model.layers] == [True, False, True]


@pytest.fixture(scope="module")
def with_softmax() -> tuple[tf.keras.Model, list[tuple[int, int, float]]]:
    seen: list[tuple[int, int, float]] = []
    images = _blobs()
    labels = images[:, 0, 0, 0].astype(np.int64) * nets.CLASSES // 256
    model = training.train(
        "ae8-3", 1, PATIENT, Held(images, labels), nets.CLASSES, "cpu", progress=lambda *report: seen.append(report)
    )
    return model, seen


def test_training_the_softmax_leaves_the_pretrained_layer_unchanged(with_softmax, pretrained, untrained):
    trained = with_softmax[0].get_weights()
    for mine, alone in zip(trained[:2], pretrained[0].get_weights()[:2], strict=True):
        np.testing.assert_array_equal(mine, alone)
    assert not np.array_equal(trained[2], untrained[2])


def test_pretraining_is_reported_without_an_accuracy(with_softmax):
    seen = with_softmax[1]
    assert [report[:2] for report in seen] == [(step, len(seen)) for step in range(1, len(seen) + 1)]
    known = ~np.isnan([accuracy for _, _, accuracy in seen])
    assert len(seen) % (2 * PATIENT.epochs) == 0
    first = len(seen) // 2 + len(seen) // (2 * PATIENT.epochs)  # the end of the first epoch after pre-training
    assert not known[: first - 1].any() and known[first - 1 :].all()


def test_a_pretrained_net_is_saved_and_loaded(with_softmax, tmp_path):
    with_softmax[0].save(tmp_path / "net.keras")
    classifier, images = loading.load(tmp_path / "net.keras"), tf.constant(nets.images(4) / 255.0, tf.float32)
    np.testing.assert_array_equal(classifier.predict(images), with_softmax[0](images))
    assert classifier.digest == loading.digest(with_softmax[0])


def _stream(count: int = 200) -> tf.data.Dataset:
    rng = np.random.default_rng(0)
    images = rng.random((count, 6, 6, 1)).astype(np.float32)
    rows = tf.data.Dataset.from_tensor_slices((images, (images.mean(axis=(1, 2, 3)) > 0.5).astype(np.int32)))
    return rows.shuffle(count, seed=0).repeat().batch(20, drop_remainder=True)


def _fit(loss, steps: int = 10, epochs: int = 4, progress=None, learns=None, seen=None) -> tf.keras.Model:
    strategy = devices.strategy("cpu")
    tf.keras.utils.set_random_seed(0)
    with strategy.scope():
        model = zoo.build("mlp-8", (6, 6, 1), 2)

    def after_epoch(epoch: int) -> None:
        if seen is not None:
            seen.append(model.get_weights())

    training.fit(model, _stream(), loss, steps, epochs, 0.01, strategy, progress, learns, after_epoch)
    return model


def _cross_entropy(net, batch, step):
    images, labels = batch
    return tf.reduce_mean(tf.keras.losses.sparse_categorical_crossentropy(labels, net(images)))


def test_any_loss_on_any_stream_trains_and_equal_arguments_give_equal_weights():
    told = []
    model = _fit(_cross_entropy, progress=lambda *figures: told.append(figures))
    assert [figures[:2] for figures in told] == [(step, 40) for step in range(1, 41)]
    assert math.isnan(told[8][2]) and told[-1][2] < told[9][2]
    for ours, again in zip(model.get_weights(), _fit(_cross_entropy).get_weights(), strict=True):
        np.testing.assert_array_equal(ours, again)


def test_what_is_not_to_learn_in_a_step_stays_to_the_bit_though_momentum_would_move_it():
    """Half of the hidden units learn in the first step alone, everything else in all steps."""
    half, seen = tf.range(8) < 4, []

    def learns(step):
        return [half | (step == 0), half | (step == 0), None, None]

    _fit(_cross_entropy, 1, 3, learns=learns, seen=seen)
    for place, weights in enumerate(zip(*seen, strict=True)):
        first, second, third = (weight.T if place == 0 else weight for weight in weights)
        if place < 2:
            np.testing.assert_array_equal(first[4:], second[4:])
            np.testing.assert_array_equal(first[4:], third[4:])
            first, second, third = first[:4], second[:4], third[:4]
        assert (first != second).any() and (second != third).any()


def test_a_loss_hears_the_number_of_its_step():
    """Trained on the steps before the fifth only: what comes later has no gradient, and Adam's momentum fades."""
    seen = tf.Variable(tf.zeros([12], tf.int32))

    def loss(net, batch, step):
        seen.scatter_nd_update([[step]], [step + 1])
        return _cross_entropy(net, batch, step)

    _fit(loss, steps=6, epochs=2)
    np.testing.assert_array_equal(seen.numpy(), np.arange(1, 13))

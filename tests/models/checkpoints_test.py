"""A training that is broken off, or killed, and goes on from its checkpoint, gives the net of an unbroken one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from models import checkpoints, files, loading, training
from models.errors import InputError
from models.examples import Held
from models.recipe import Training
from tests.models import nets

SGD = Training(
    epochs=4, batch_size=16, optimizer="sgd", momentum=0.9, learning_rate=0.05, schedule="cosine", checkpoint_every=1
)
ALL = Training(epochs=3, batch_size=16, smallest_crop=0.3, flip=True, photometric=0.5, checkpoint_every=1)
PATIENT = Training(epochs=4, batch_size=16, checkpoint_every=2)


class _BrokenOff(Exception):
    pass


def _train(architecture: str, settings: Training, path, **options) -> tf.keras.Model:
    images = np.random.default_rng(2).integers(0, 256, (70, 8, 8, 3), np.uint8)
    labels = images[:, 0, 0, 0].astype(np.int64) * nets.CLASSES // 256
    return training.train(architecture, 1, settings, Held(images, labels), nets.CLASSES, "cpu", path=path, **options)


def _break_off_at(step: int):
    def progress(number: int, steps: int, accuracy: float) -> None:
        if number == step:
            raise _BrokenOff

    return progress


def _state(model: tf.keras.Model) -> list[np.ndarray]:
    """Returns all that a model is, the states of its random numbers too."""
    return [variable.numpy() for variable in model.variables]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "settings", "step"),
    [
        ("mlp-6", SGD, 11),  # in the third epoch of four steps
        ("ae8-3", PATIENT, 27),  # four epochs of pre-training, and in the third after them
    ],
)
def test_a_training_that_is_broken_off_goes_on_to_the_same_net(architecture, settings, step, tmp_path):
    path, told = tmp_path / "net.keras", []
    with pytest.raises(_BrokenOff):
        _train(architecture, settings, path, progress=_break_off_at(step))
    resumed = _train(architecture, settings, path, progress=lambda *report: told.append(report))
    unbroken = _train(architecture, settings, tmp_path / "other" / "net.keras")
    for ours, theirs in zip(_state(resumed), _state(unbroken), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    steps = told[0][1]
    assert [report[:2] for report in told] == [(number, steps) for number in range(told[0][0], steps + 1)]
    assert 1 < told[0][0] <= step


KILLED = """
import os, signal, sys
from tests.models import checkpoints_test

def die(step, steps, accuracy):
    if step == 10:  # in the third epoch of four steps
        os.kill(os.getpid(), signal.SIGKILL)

checkpoints_test._train("googlenet-small@0.05", checkpoints_test.ALL, sys.argv[1], progress=die)
"""


@pytest.mark.slow
def test_a_training_that_is_killed_goes_on_to_the_same_net(tmp_path):
    path = tmp_path / "net.keras"
    child = subprocess.run([sys.executable, "-c", KILLED, os.fspath(path)], capture_output=True, timeout=300)
    assert child.returncode == -signal.SIGKILL and [file.name for file in tmp_path.iterdir()] == ["net.checkpoint"]
    assert training.cached(path, lambda: _train("googlenet-small@0.05", ALL, path))
    assert [file.name for file in tmp_path.iterdir()] == ["net.keras"]
    unbroken = _train("googlenet-small@0.05", ALL, tmp_path / "other.keras")
    assert loading.load(path).digest == loading.digest(unbroken)


def test_checkpoints_are_written_after_every_so_many_epochs(tmp_path):
    path, seen = tmp_path / "net.keras", []
    kept = files.checkpoint_of(path)
    _train("mlp-6", PATIENT, path, progress=lambda step, *_: seen.append(kept.exists()))
    assert seen == [False] * 8 + [True] * 8  # two epochs of four steps before the first


def test_without_checkpoints_nothing_is_left(tmp_path):
    _train("mlp-6", Training(epochs=2, batch_size=16), tmp_path / "net.keras")
    assert list(tmp_path.iterdir()) == []


def test_what_is_kept_besides_changes_no_net(tmp_path):
    plain = _train("mlp-6", Training(epochs=4, batch_size=16), None)
    assert loading.digest(_train("mlp-6", PATIENT, tmp_path / "net.keras")) == loading.digest(plain)


@pytest.mark.parametrize("damaged", [b"", b"half of it", None])
def test_a_damaged_checkpoint_or_that_of_another_net_is_told(damaged, tmp_path):
    path = tmp_path / "net.keras"
    if damaged is None:
        with pytest.raises(_BrokenOff):
            _train("mlp-5", SGD, path, progress=_break_off_at(11))
    else:
        files.checkpoint_of(path).write_bytes(damaged)
    with pytest.raises(InputError, match=r"net\.checkpoint is damaged or of another net .*delete it"):
        _train("mlp-6", SGD, path)


def test_a_checkpoint_holds_optimizer_and_random_numbers_too(tmp_path):
    model = tf.keras.Sequential([tf.keras.Input((2,)), tf.keras.layers.Dropout(0.5), tf.keras.layers.Dense(1)])
    model.compile(tf.keras.optimizers.Adam(0.1), "mse")
    model.fit(
        np.ones((4, 2)),
        np.ones((4, 1)),
        verbose=0,
        callbacks=[checkpoints.Saver(files.checkpoint_of(tmp_path / "a.keras"), 1)],
    )
    state = [*_state(model), *(variable.numpy() for variable in model.optimizer.variables)]
    model.fit(np.ones((4, 2)), np.zeros((4, 1)), verbose=0)
    assert checkpoints.restore(files.checkpoint_of(tmp_path / "a.keras"), model) == 1
    for ours, before in zip([*_state(model), *(v.numpy() for v in model.optimizer.variables)], state, strict=True):
        np.testing.assert_array_equal(ours, before)

"""Training of the zoo's nets: seeded, compiled, and kept in a cache."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import uuid
from collections.abc import Callable
from typing import Literal

import numpy as np
import tensorflow as tf
from etils import epath

from models import devices, zoo
from models.errors import InputError

Progress = Callable[[int, int, float], None]


@dataclasses.dataclass(frozen=True)
class Training:
    """How a net is trained.

    Attributes:
      epochs: passes over the training images.
      batch_size: images in one step.
      learning_rate: of the optimizer.
      optimizer: "adam" or "sgd" (plain, without momentum).
    """

    epochs: int = 10
    batch_size: int = 128
    learning_rate: float = 0.001
    optimizer: Literal["adam", "sgd"] = "adam"


def digest(architecture: str, init_seed: int, training: Training, data_digest: str) -> str:
    """Returns the SHA-256, in hexadecimal, of all that determines a trained net: the key to cache it under."""
    recipe = [architecture, init_seed, dataclasses.asdict(training), data_digest]
    return hashlib.sha256(json.dumps(recipe, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def train(
    architecture: str,
    init_seed: int,
    training: Training,
    images: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    device: str = "auto",
    progress: Progress | None = None,
) -> tf.keras.Model:
    """Trains a net; on a CPU, equal arguments give equal weights, bit for bit.

    Seeds Python's, NumPy's and TensorFlow's global random states.

    Args:
      architecture: see `zoo.build`.
      init_seed: uint32, decides the first weights and the order of the images.
      training: the settings.
      images: uint8 `[B, H, W, C]`.
      labels: integers `[B]`, 0 to K - 1.
      num_classes: K.
      device: see `devices.strategy`.
      progress: called after each epoch with its number (from 1), the number of epochs, and the training accuracy.

    Returns:
      The trained model.

    Raises:
      InputError: no such architecture or device, no images, or a label out of range.
    """
    _check_data(images, labels, num_classes)
    strategy = devices.strategy(device)
    tf.keras.utils.set_random_seed(init_seed)
    with strategy.scope():
        model = zoo.build(architecture, images.shape[1:], num_classes)
        # XLA cannot compile a step that spans several replicas; a TPU's strategy compiles by itself.
        one_device = isinstance(strategy, tf.distribute.OneDeviceStrategy)
        model.compile(
            _optimizer(training), "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=one_device
        )
    examples = _examples(images, labels, training.batch_size, init_seed)
    callbacks = _callbacks(training.epochs, progress)
    model.fit(examples, epochs=training.epochs, shuffle=False, verbose=0, callbacks=callbacks)
    return model


def train_cached(
    path: epath.PathLike,
    architecture: str,
    init_seed: int,
    training: Training,
    images: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    device: str = "auto",
    progress: Progress | None = None,
) -> bool:
    """Trains a net into a `.keras` file unless the file is there; the file appears whole or not at all.

    Args:
      path: the file, local or in a bucket, best named by `digest`; a file that is there is trusted to be that net.
      architecture: as in `train`, like all that follow.
      init_seed: see there.
      training: see there.
      images: see there.
      labels: see there.
      num_classes: see there.
      device: see there.
      progress: see there.

    Returns:
      Whether it trained.

    Raises:
      InputError: see `train`.
    """
    path = epath.Path(path)
    if path.exists():
        return False
    model = train(architecture, init_seed, training, images, labels, num_classes, device, progress)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.parent / f".{path.stem}.{uuid.uuid4().hex}.keras"
    try:
        model.save(os.fspath(unfinished))
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return True


def _check_data(images: np.ndarray, labels: np.ndarray, num_classes: int) -> None:
    if not len(images):
        raise InputError("There are no images to train on; check the dataset and its split.")
    lowest, highest = int(np.min(labels)), int(np.max(labels))
    if lowest < 0 or highest >= num_classes:
        raise InputError(
            f"Training labels run from {lowest} to {highest}, but the net has {num_classes} classes, "
            f"0 to {num_classes - 1}; correct the labels or the number of classes."
        )


def _optimizer(training: Training) -> tf.keras.optimizers.Optimizer:
    optimizers = {"adam": tf.keras.optimizers.Adam, "sgd": tf.keras.optimizers.SGD}
    if training.optimizer not in optimizers:
        raise InputError(f"There is no optimizer {training.optimizer!r}; set optimizer to 'adam' or 'sgd'.")
    return optimizers[training.optimizer](training.learning_rate)


def _examples(images: np.ndarray, labels: np.ndarray, batch_size: int, init_seed: int) -> tf.data.Dataset:
    examples = tf.data.Dataset.from_tensor_slices((images, labels.astype(np.int32)))
    examples = examples.shuffle(len(images), seed=init_seed)
    # Batches of one shape compile once; the shuffle gives the images left over in one epoch their turn in the next.
    examples = examples.batch(batch_size, drop_remainder=len(images) >= batch_size)
    return examples.map(_scale).prefetch(tf.data.AUTOTUNE)


def _scale(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return tf.cast(images, tf.float32) / 255.0, labels


def _callbacks(epochs: int, progress: Progress | None) -> list[tf.keras.callbacks.Callback]:
    if progress is None:
        return []

    def report(epoch: int, logs: dict[str, float]) -> None:
        progress(epoch + 1, epochs, float(logs["accuracy"]))

    return [tf.keras.callbacks.LambdaCallback(on_epoch_end=report)]

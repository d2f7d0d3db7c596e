"""Training of the zoo's nets: seeded, compiled, and kept in a cache."""

from __future__ import annotations

import contextlib
import functools
import math
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from etils import epath

from models import (
    augmentation,
    checkpoints,
    devices,
    divergence,
    files,
    googlenet,
    kernels,
    logs,
    recipe,
    streams,
    zoo,
)
from models.errors import InputError
from models.examples import Examples
from models.recipe import Training

Progress = Callable[[int, int, float], None]
Loss = Callable[[Callable[[tf.Tensor], tf.Tensor], Any, tf.Tensor], tf.Tensor]
Learns = Callable[[tf.Tensor], "Sequence[tf.Tensor | None] | None"]

# Of sparse autoencoders: how active a unit is to be, on average, and what departing from it weighs. `digest` does not
# hold them: with other values, `ae` nets in a cache are no longer what would be trained.
_TARGET_ACTIVITY = 0.1
_SPARSITY_WEIGHT = 0.3

_LESS, _LESS_EVERY = 0.96, 8  # the "step" schedule: the rate is multiplied by the one every so many epochs


def train(
    architecture: str,
    init_seed: int,
    training: Training,
    examples: Examples,
    num_classes: int,
    device: str = "auto",
    progress: Progress | None = None,
    path: epath.PathLike | None = None,
) -> tf.keras.Model:
    """Trains a net; on a CPU with as many cores, equal arguments give equal weights, bit for bit.

    An `ae` net's frozen layer is first trained by `pretrain`, with the same settings, and then stays as it is while the
    softmax above it is trained. A net with auxiliary classifiers is trained with them and returned without. Seeds
    Python's, NumPy's and TensorFlow's global random states.

    Args:
      architecture: see `zoo.build`.
      init_seed: uint32, decides the first weights, the order of the images, and what is changed in them at random.
      training: the settings.
      examples: labelled images, with labels from 0 to K - 1.
      num_classes: K.
      device: see `devices.strategy`.
      progress: called after each step with its number (from 1), the number of steps of all epochs, those of
        pre-training too, and the training accuracy of the last whole epoch since the training began or was resumed, NaN
        if there was none.
      path: the file that the net is for (`cached`). Beside it are the checkpoint, from which a training that was killed
        goes on to the same weights, and in `logs` the figures for TensorBoard, where the settings want them.

    Returns:
      The trained model, in float32.

    Raises:
      InputError: no such architecture or device, an architecture for another number of classes, no images, a label
        out of range, images that cannot be read, momentum for "adam", a checkpoint that cannot be read, or a training
        that diverges.
    """
    if not examples.count:
        raise InputError("There are no images to train on; check the dataset and its split.")
    examples.check(num_classes)
    strategy = devices.strategy(device)
    tf.keras.utils.set_random_seed(init_seed)
    build = functools.partial(zoo.build, architecture, examples.shape, num_classes, _mean(examples.measured()))
    precision = devices.half_precision(device) if training.mixed_precision else "float32"
    with strategy.scope(), _computing_in(precision):
        net = build()
        model = zoo.for_training(architecture, net)
    kept = files.checkpoint_of(path) if path and training.checkpoint_every else None
    resumes = kept is not None and kept.exists()
    pretrained = not all(layer.trainable for layer in model.layers)
    steps = streams.steps(examples.count, training.batch_size)
    told = _ProgressCallback(progress, steps, training.epochs * (1 + pretrained), _metric(model))
    if pretrained and not resumes:
        pretrain(model, init_seed, training, examples, strategy, told)
    _compile(model, training, steps, strategy, **_objective(model))
    done = checkpoints.restore(kept, model) if kept and resumes else 0
    told.skip(done + training.epochs * (pretrained and resumes))
    batches = _batches(examples, training, init_seed, len(model.outputs), done)
    with examples.telling():
        _run(model, batches, steps, training, [told, *_kept(path, training)], done)
    return net if precision == "float32" else _with_weights_of(net, build())


def fit(
    model: tf.keras.Model,
    batches: tf.data.Dataset,
    loss: Loss,
    steps: int,
    epochs: int,
    learning_rate: float,
    strategy: tf.distribute.Strategy,
    progress: Progress | None = None,
    learns: Learns | None = None,
    after_epoch: Callable[[int], None] = lambda epoch: None,
) -> None:
    """Trains a net in place on any stream, by any loss, with Adam and a learning rate that falls to 0 as a cosine.

    Args:
      model: the net, from float32 `[B, H, W, C]` in [0, 1] to `[B, K]`.
      batches: endless; what each step is given.
      loss: called with the net (as it trains), an element of `batches`, and the number of the step, int32 from 0;
        gives a scalar. What layers add (weight decay) is added.
      steps: of an epoch.
      epochs: how many.
      learning_rate: at the start.
      strategy: that in whose scope the model was built (`devices.strategy`).
      progress: called after each step with its number (from 1), the number of steps of all epochs, and the mean loss of
        the last whole epoch, NaN if there was none.
      learns: called with the number of the step; gives None, or for each trainable weight bools that broadcast to it,
        or None for all of it. What is False stays as it is in that step, and the optimizer sees no gradient of it.
      after_epoch: called after each epoch with its number, from 1.

    Raises:
      InputError: the training diverges.
    """
    with strategy.scope():
        by_loss = _ByLoss(model, loss, learns)
        falling = tf.keras.optimizers.schedules.CosineDecay(learning_rate, steps * epochs)
        by_loss.compile(tf.keras.optimizers.Adam(falling), jit_compile=_by_xla(model, strategy))
    callbacks = [divergence.Watch(learning_rate=learning_rate)]
    callbacks.append(tf.keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: after_epoch(epoch + 1)))
    callbacks.append(_ProgressCallback(progress, steps, epochs, "loss"))
    batches = streams.read_ahead(batches)
    by_loss.fit(batches, steps_per_epoch=steps, epochs=epochs, shuffle=False, verbose=0, callbacks=callbacks)


class _ByLoss(tf.keras.Model):
    """A net that is trained by a function of the net and what a step is given."""

    def __init__(self, net: tf.keras.Model, loss_of: Loss, learns: Learns | None):
        super().__init__(name="by_loss")
        self.net, self._loss_of, self._learns = net, loss_of, learns
        self._mean = tf.keras.metrics.Mean("loss")
        self.built = True  # the net is, and there is no weight besides

    @property
    def metrics(self) -> list[tf.keras.metrics.Metric]:
        """The mean loss, which Keras sets back before each epoch."""
        return [self._mean]

    def train_step(self, batch: Any) -> dict[str, tf.Tensor]:
        """Takes one step."""
        step = tf.cast(self.optimizer.iterations, tf.int32)
        with tf.GradientTape() as tape:
            loss = self._loss_of(lambda images: self.net(images, training=True), batch, step)
            loss += sum(self.net.losses)
        weights = self.net.trainable_variables
        self._apply(tape.gradient(loss, weights), weights, self._learns(step) if self._learns else None)
        self._mean.update_state(loss)
        return {"loss": self._mean.result()}

    def _apply(self, gradients: list[Any], weights: list[Any], learn: Sequence[tf.Tensor | None] | None) -> None:
        """Changes weights, but where they are not to learn: there momentum would move them without a gradient, too."""
        learn = [None] * len(weights) if learn is None else learn
        held = [
            (weight, where, tf.identity(weight))
            for weight, where in zip(weights, learn, strict=True)
            if where is not None
        ]
        shown = [
            gradient if where is None or gradient is None else tf.where(where, gradient, 0.0)
            for gradient, where in zip(gradients, learn, strict=True)
        ]
        self.optimizer.apply_gradients(zip(shown, weights, strict=True))
        for weight, where, before in held:
            weight.assign(tf.where(where, weight, before))


def pretrain(
    model: tf.keras.Model,
    init_seed: int,
    training: Training,
    examples: Examples,
    strategy: tf.distribute.Strategy,
    *callbacks: tf.keras.callbacks.Callback,
) -> tf.keras.Model:
    """Trains a net's frozen layer, in place, as the hidden layer of a sparse autoencoder, and freezes it again.

    The loss is that of Ng's lecture notes "Sparse autoencoder", without weight decay: half the squared error of the
    reconstruction, summed over the pixels, plus 0.3 * sum_j KL(0.1 || m_j), with m_j the mean activity of unit j over a
    batch. The decoder is a sigmoid layer with weights of its own, not tied to the encoder's.

    Args:
      model: a sequence of layers, of which one is frozen; that one gives activities `[B, units]` in (0, 1).
      init_seed: uint32, decides the order of the images; the decoder's first weights come from the global random state.
      training: the settings.
      examples: the images; their labels are not looked at.
      strategy: that in whose scope the model was built.
      callbacks: of the training.

    Returns:
      The whole autoencoder, from float32 `[B, H, W, C]` in [0, 1] to their reconstruction in the same form.

    Raises:
      InputError: there is no such optimizer, it has no momentum, images cannot be read, or the training diverges.
    """
    frozen = next(place for place, layer in enumerate(model.layers) if not layer.trainable)
    model.layers[frozen].trainable = True
    with strategy.scope():
        autoencoder = _autoencoder(model.layers[: frozen + 1], examples.shape)
    steps = streams.steps(examples.count, training.batch_size)
    _compile(autoencoder, training, steps, strategy, loss=_reconstruction_error)
    rows = examples.in_epochs(training.batch_size, init_seed)
    with examples.telling():
        _run(autoencoder, rows.map(_as_target), steps, training, callbacks)
    model.layers[frozen].trainable = False
    return autoencoder


def cached(path: epath.PathLike, trained: Callable[[], tf.keras.Model]) -> bool:
    """Trains a net into a `.keras` file unless the file is there; the file appears whole or not at all.

    What killed processes left of the same file is removed once it is in place.

    Args:
      path: the file, local or in a bucket, best named by `digest`; a file that is there is trusted to be that net.
      trained: gives the net, by `train`; called only if the file is missing.

    Returns:
      Whether it trained.

    Raises:
      InputError: as `train` does.
    """
    path = epath.Path(path)
    if path.exists():
        return False
    model = trained()
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_whole(path, lambda unfinished: model.save(os.fspath(unfinished)))
    files.sweep(path)
    return True


def _mean(images: np.ndarray) -> list[float]:
    """Returns the mean `[C]` of the pixels of uint8 `[B, H, W, C]`, in [0, 1]."""
    return (images.mean(axis=(0, 1, 2), dtype=np.float64) / 255.0).tolist()


@contextlib.contextmanager
def _computing_in(precision: str) -> Iterator[None]:
    """Lets Keras's layers that are made here compute in a precision."""
    before = tf.keras.config.dtype_policy()
    tf.keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        tf.keras.config.set_dtype_policy(before)


def _with_weights_of(trained: tf.keras.Model, net: tf.keras.Model) -> tf.keras.Model:
    net.set_weights(trained.get_weights())
    return net


def _objective(model: tf.keras.Model) -> dict[str, Any]:
    """Returns what `compile` is to be told of a classifier, or of one with auxiliary classifiers after it."""
    loss, auxiliaries = "sparse_categorical_crossentropy", len(model.outputs) - 1
    if not auxiliaries:
        return {"loss": loss, "metrics": ["accuracy"]}
    weights = [1.0, *[googlenet.AUXILIARY_WEIGHT] * auxiliaries]
    return {"loss": [loss] * len(weights), "loss_weights": weights, "metrics": [["accuracy"], *[[]] * auxiliaries]}


def _metric(model: tf.keras.Model) -> str:
    """Returns what Keras calls the accuracy of a model's first output."""
    return "accuracy" if len(model.outputs) == 1 else f"{model.output_names[0]}_accuracy"


def _kept(path: epath.PathLike | None, training: Training) -> list[tf.keras.callbacks.Callback]:
    """Returns what writes files beside that of the net while it is trained."""
    if path is None:
        return []
    path, found = epath.Path(path), []
    if training.checkpoint_every:
        found.append(checkpoints.Saver(files.checkpoint_of(path), training.checkpoint_every))
    if training.tensorboard:
        found.append(logs.Logger(path.parent / "logs" / path.stem))
    return found


def _run(
    model: tf.keras.Model,
    examples: tf.data.Dataset,
    steps: int,
    training: Training,
    callbacks: Sequence[tf.keras.callbacks.Callback],
    done: int = 0,
) -> None:
    watch = divergence.Watch(learning_rate=training.learning_rate, momentum=training.momentum)
    model.fit(
        streams.read_ahead(examples),
        steps_per_epoch=steps,
        epochs=training.epochs,
        initial_epoch=done,
        shuffle=False,
        verbose=0,
        callbacks=[watch, *callbacks],
    )


def _compile(
    model: tf.keras.Model, training: Training, steps: int, strategy: tf.distribute.Strategy, **objective: Any
) -> None:
    with strategy.scope():
        model.compile(_optimizer(training, steps), **objective, jit_compile=_by_xla(model, strategy))


def _by_xla(model: tf.keras.Model, strategy: tf.distribute.Strategy) -> bool:
    """Tells whether XLA is to compile a training step; to be called in the strategy's scope."""
    # XLA cannot compile a step that spans several replicas; a TPU's strategy compiles by itself.
    several = isinstance(strategy, tf.distribute.MirroredStrategy | tf.distribute.TPUStrategy)
    return not several and kernels.fastest(model, model.input_shape[1:]) == kernels.XLA


def _autoencoder(encoder: list[tf.keras.layers.Layer], shape: tuple[int, ...]) -> tf.keras.Model:
    decoder = tf.keras.layers.Dense(math.prod(shape), activation="sigmoid")
    layers = [tf.keras.Input(shape), *encoder, _SparsityPenalty(), decoder, tf.keras.layers.Reshape(shape)]
    return tf.keras.Sequential(layers)


class _SparsityPenalty(tf.keras.layers.Layer):
    """Passes activities `[B, units]` on and adds to the loss what their means over the batch differ from the target."""

    def call(self, activities: tf.Tensor) -> tf.Tensor:
        smallest = tf.keras.backend.epsilon()
        mean = tf.clip_by_value(tf.reduce_mean(activities, axis=0), smallest, 1 - smallest)
        target = _TARGET_ACTIVITY
        divergence = target * tf.math.log(target / mean) + (1 - target) * tf.math.log((1 - target) / (1 - mean))
        self.add_loss(_SPARSITY_WEIGHT * tf.reduce_sum(divergence))
        return activities


def _reconstruction_error(images: tf.Tensor, reconstructed: tf.Tensor) -> tf.Tensor:
    return 0.5 * tf.reduce_sum(tf.square(reconstructed - images), axis=(1, 2, 3))


def _as_target(epoch: tf.Tensor, places: tf.Tensor, row: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
    return _scaled(row[0]), _scaled(row[0])


def _optimizer(training: Training, steps: int) -> tf.keras.optimizers.Optimizer:
    """Returns the optimizer of a training with so many steps an epoch."""
    rate = _learning_rate(training, steps)
    if training.optimizer == "sgd":
        return tf.keras.optimizers.SGD(rate, momentum=training.momentum)
    if training.optimizer != "adam":
        raise InputError(f"There is no optimizer {training.optimizer!r}; set optimizer to 'adam' or 'sgd'.")
    recipe.check(training)
    return tf.keras.optimizers.Adam(rate)


def _learning_rate(training: Training, steps: int) -> float | tf.keras.optimizers.schedules.LearningRateSchedule:
    schedules, rate = tf.keras.optimizers.schedules, training.learning_rate
    if training.schedule == "cosine":
        return schedules.CosineDecay(rate, steps * training.epochs)
    if training.schedule == "step":
        return schedules.ExponentialDecay(rate, _LESS_EVERY * steps, _LESS, staircase=True)
    return rate


def _batches(examples: Examples, training: Training, init_seed: int, outputs: int, done: int) -> tf.data.Dataset:
    """Returns the batches to train on after `done` epochs: images, and the labels for each output."""
    rows = examples.in_epochs(training.batch_size, init_seed, done)
    changes = augmentation.changes(training)

    def example(epoch: tf.Tensor, places: tf.Tensor, row: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, Any]:
        shown = _scaled(row[0])
        if changes:
            shown = augmentation.augment(shown, places, epoch, init_seed, training)
        return shown, row[1] if outputs == 1 else (row[1],) * outputs

    return rows.map(example, num_parallel_calls=os.cpu_count() if changes else None)


def _scaled(images: tf.Tensor) -> tf.Tensor:
    return tf.cast(images, tf.float32) / 255.0


class _ProgressCallback(tf.keras.callbacks.Callback):
    """Tells `progress`, if there is one, how many steps of one training, or of several in a row, are done."""

    def __init__(self, progress: Progress | None, steps: int, epochs: int, metric: str):
        super().__init__()
        self._progress, self._steps, self._total, self._metric = progress, steps, steps * epochs, metric
        self._done, self._figure = 0, math.nan

    def skip(self, epochs: int) -> None:
        """Counts epochs that were done before."""
        self._done += epochs * self._steps

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Counts a step; the last of an epoch is told with what came of the epoch."""
        self._done += 1
        if self._done % self._steps:
            self._tell()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Takes down the epoch's figure."""
        self._figure = float((logs or {}).get(self._metric, math.nan))
        self._tell()

    def _tell(self) -> None:
        if self._progress:
            self._progress(self._done, self._total, self._figure)

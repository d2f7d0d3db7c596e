"""Recipes of retraining on adversarial pairs, and the controls that they stand beside."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

from etils import epy

from models.errors import InputError
from models.settings import setting
from pipeline.retrain.pairs.pool import Pool
from pipeline.retrain.pairs.selective import Selective
from pipeline.retrain.plain import Plain, cross_entropy, share_of, shown
from pipeline.retrain.recipe import Cost, Lesson, Moment, Recipe, Start, Stateless

with epy.lazy_imports():  # a retraining file's mistakes are told before libraries are loaded
    import tensorflow as tf

if TYPE_CHECKING:
    from pipeline.retrain.pairs.curve import Curve
    from pipeline.retrain.recipe import Net

_FITTINGS = 8  # of the scale of noise to what clipping takes from it


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Published twins of the net and their originals are added to each batch; both are read as the original is."""

    share: float = setting(1 / 3, "twins in a batch, as a share of its images; as many originals", low=0.001, high=10)

    name: ClassVar[str] = "pairs"

    def needs_mined(self) -> bool:
        """See `Recipe`."""
        return True

    def cost(self, batch: int) -> Cost:
        """See `Recipe`."""
        return Cost(batch + 2 * share_of(self.share, batch), 0)

    def net(self, parent: tf.keras.Model) -> tf.keras.Model:
        """The parent itself."""
        return parent

    def lesson(self, start: Start) -> Lesson:
        """See `Recipe`."""
        from pipeline.retrain.pairs.curve import Curve, stream

        count = share_of(self.share, start.batch)
        return _Mixed(stream(start.mined, count, start.seed + 1), Curve(start.model, start.mined, start.steps))


class _Mixed(Lesson):
    def __init__(self, stream: tf.data.Dataset, curve: Curve):
        self.stream, self._curve = stream, curve

    def loss(self, net: Net, batch: dict[str, tf.Tensor], extra: Any, moment: Moment) -> tf.Tensor:
        """Mean cross-entropy of images, twins and originals."""
        self._curve.mark(moment.step)
        twins, originals, labels = extra
        images = shown(tf.concat([batch["image"], twins, originals], axis=0))
        return tf.reduce_mean(cross_entropy(net(images), tf.concat([batch["label"], labels, labels], axis=0)))

    def notes(self) -> dict[str, Any]:
        """The curve of the twins that it learned from."""
        return self._curve.told()


@dataclasses.dataclass(frozen=True)
class Noise(Stateless):
    """Some images are joined by themselves with Gaussian noise of a given distortion: changes that nobody aimed."""

    share: float = setting(1.0, "of the images of a batch, how many are joined by a noisy one", low=0.001, high=1)
    eps: float = setting(
        0.06, "the distortion after clipping to [0, 1], root mean square of a pixel's change", low=0.001, high=0.4
    )

    name: ClassVar[str] = "noise"

    def needs_mined(self) -> bool:
        """See `Recipe`."""
        return False

    def cost(self, batch: int) -> Cost:
        """See `Recipe`."""
        return Cost(batch + share_of(self.share, batch), 0)

    def loss(self, net: Net, batch: dict[str, tf.Tensor], extra: Any, sections: Any, moment: Moment) -> tf.Tensor:
        """Mean cross-entropy of images and noisy ones."""
        images, labels = shown(batch["image"]), batch["label"]
        added = share_of(self.share, images.shape[0])
        noisy = self.noisy(images[:added], moment.seed)
        return tf.reduce_mean(
            cross_entropy(net(tf.concat([images, noisy], axis=0)), tf.concat([labels, labels[:added]], axis=0))
        )

    def noisy(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Adds noise to float32 `[A, H, W, C]` in [0, 1], scaled up by what clipping takes from it."""
        drawn = tf.random.stateless_normal(images.shape, seed, alg="philox")
        scale = tf.fill([images.shape[0], 1, 1, 1], self.eps)
        for _ in range(_FITTINGS):
            changes = tf.clip_by_value(images + scale * drawn, 0.0, 1.0) - images
            size = tf.sqrt(tf.reduce_mean(tf.square(changes), axis=[1, 2, 3], keepdims=True))
            scale *= self.eps / tf.maximum(size, 0.1 * self.eps)
        return tf.clip_by_value(images + scale * drawn, 0.0, 1.0)


@dataclasses.dataclass(frozen=True)
class WeightDecay:
    """Nothing is added but a penalty on weights, as of the zoo's `fc` nets; what the net has of its own stays."""

    decay: float = setting(
        1e-5, "d of d * sum(w^2) / k, over the connection weights of each layer of k units", low=0, high=100
    )

    name: ClassVar[str] = "weight_decay"

    def needs_mined(self) -> bool:
        """See `Recipe`."""
        return False

    def cost(self, batch: int) -> Cost:
        """See `Recipe`."""
        return Cost(batch, 0)

    def net(self, parent: tf.keras.Model) -> tf.keras.Model:
        """The parent itself."""
        return parent

    def lesson(self, start: Start) -> Lesson:
        """See `Recipe`."""
        return _Decaying(start.model, self.decay)


class _Decaying(Lesson):
    def __init__(self, model: tf.keras.Model, decay: float):
        self._kernels = [weight for weight in model.trainable_variables if len(weight.shape) > 1]
        self._decay = decay

    def loss(self, net: Net, batch: dict[str, tf.Tensor], extra: Any, moment: Moment) -> tf.Tensor:
        """Mean cross-entropy, and the penalty."""
        loss = tf.reduce_mean(cross_entropy(net(shown(batch["image"])), batch["label"]))
        return loss + self._decay * sum(tf.reduce_sum(tf.square(w)) / w.shape[-1] for w in self._kernels)


@dataclasses.dataclass(frozen=True)
class Dropout(Plain):
    """Nothing is added, and while the net learns some outputs of its hidden layers are left out at random."""

    rate: float = setting(0.5, "of the outputs of each hidden layer, how many are left out", low=0.01, high=0.99)
    input_rate: float = setting(0.0, "the same of the pixels", low=0, high=0.99)

    name: ClassVar[str] = "dropout"

    def net(self, parent: tf.keras.Model) -> tf.keras.Model:
        """The parent's layers with dropout between them; raises InputError if it is no sequence of layers."""
        if not isinstance(parent, tf.keras.Sequential):
            raise InputError("the recipe dropout takes nets that are a sequence of layers, and this one is not.")
        weighted = [place for place, layer in enumerate(parent.layers) if layer.weights]
        layers = [tf.keras.layers.Dropout(self.input_rate)] if self.input_rate else []
        for place, layer in enumerate(parent.layers):
            layers += [layer, *([tf.keras.layers.Dropout(self.rate)] if place in weighted[:-1] else [])]
        return tf.keras.Sequential([tf.keras.Input(parent.input_shape[1:]), *layers])


RECIPES: tuple[type[Recipe], ...] = (Plain, Pairs, Pool, Selective, Noise, WeightDecay, Dropout)

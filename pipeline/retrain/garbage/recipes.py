"""The recipes of retraining on garbage images, as their settings. A new one is a class and a line in `RECIPES`.

Losses are per image of the step. Both recipes evolve garbage against the net as it is: a few generations between
epochs, as the inner search of Hein et al., "Why ReLU networks yield high-confidence predictions far away from the
training data" (ACET), climbs the net's confidence in each step.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from etils import epy

from models.errors import InputError
from models.settings import setting
from pipeline.retrain.plain import Plain, cross_entropy, share_of, shown
from pipeline.retrain.recipe import Cost, Lesson, Moment, Recipe, Start

with epy.lazy_imports():  # a retraining file's mistakes are told before libraries are loaded
    import tensorflow as tf

if TYPE_CHECKING:
    from pipeline.retrain.recipe import Net

_LEAST = 1e-30  # a net that is fooled gives other classes less than 1e-7, and is to learn from just that


def surprise(probabilities: tf.Tensor) -> tf.Tensor:
    """Returns -log p, clipped so far down only that it is finite."""
    return -tf.math.log(tf.maximum(probabilities, _LEAST))


def to_uniform(probabilities: tf.Tensor) -> tf.Tensor:
    """Returns the cross-entropy from the uniform distribution, `[B]`, of probabilities `[B, K]`."""
    return tf.reduce_mean(surprise(probabilities), axis=-1)


@dataclasses.dataclass(frozen=True)
class Evolving:
    """The base of recipes that learn from a growing pool of garbage.

    A round of evolution comes before the first epoch and after every so many: the mined task's own search, with its
    settings, for all classes.
    """

    every: int = setting(1, "epochs from one round of evolution to the next; 0: nothing is evolved", low=0, high=10_000)
    generations: int = setting(200, "most generations of a round", low=1, high=10_000_000)
    islands: int = setting(1, "independent islands of a round; each gives an image of every class", low=1, high=1000)
    mined: bool = setting(False, "whether the pool begins with the published garbage images")

    def __post_init__(self) -> None:
        """Raises InputError if the pool would stay empty."""
        if self.pooled and not (self.every or self.mined):
            raise InputError("every is 0 and mined is false: there would be no garbage; set one of them.")

    @property
    def pooled(self) -> bool:
        """Whether there is a pool at all."""
        return True

    def needs_mined(self) -> bool:
        """See `Recipe`."""
        return self.pooled and self.mined


class _Evolved(Lesson):
    """Keeps the pool; `classes` are those of the images, K."""

    def __init__(self, recipe: Evolving, start: Start, classes: int):
        from pipeline.retrain import live
        from pipeline.retrain.garbage import encodings
        from pipeline.retrain.garbage.breeding import Breeder
        from pipeline.retrain.garbage.pool import Pool

        self._recipe, self._epochs = recipe, start.epochs
        self._rounds: list[dict[str, float]] = []
        shape, known = start.learned.images.shape[1:], len(start.mined) if recipe.needs_mined() else 0
        rounds = -(-start.epochs // recipe.every) if recipe.pooled and recipe.every else 0
        self.pool = Pool(shape, max(1, known + rounds * recipe.islands * classes))
        if known:
            self.pool.add(start.mined)
        if rounds:
            method = encodings.own(start.sections)
            garbage = encodings.settings(method, start.sections, generations=recipe.generations)
            net = live.classifier(start.model, "retrained", shape)
            self._breeder = Breeder(net, "retrained", classes, method, garbage, start.seed)
            self._evolve()

    def after_epoch(self, epoch: int) -> None:
        """Evolves where a round is due; none is after the last epoch."""
        every = self._recipe.every
        if self._recipe.pooled and every and epoch % every == 0 and epoch < self._epochs:
            self._evolve()

    def _evolve(self) -> None:
        from pipeline.retrain.garbage.breeding import mean

        islands = self._recipe.islands
        bred = [self._breeder.breed(len(self._rounds) * islands + island) for island in range(islands)]
        for island in bred:
            self.pool.add(island.images)
        self.asked += sum(island.asked for island in bred)
        self._rounds.append(mean(bred))

    def notes(self) -> dict[str, Any]:
        """How garbage went, round by round, against the net as it was: `Bred.told`, means over islands."""
        return {"rounds": self._rounds}


@dataclasses.dataclass(frozen=True)
class GarbageClass(Evolving):
    """The net gets a class more, "garbage", and learns to call garbage so: Nguyen, Yosinski and Clune."""

    share: float = setting(0.1, "garbage images in a batch, as a share of its images", low=0.001, high=10)

    name: ClassVar[str] = "garbage_class"

    def cost(self, batch: int) -> Cost:
        """See `Recipe`."""
        return Cost(batch + share_of(self.share, batch), 0)

    def net(self, parent: tf.keras.Model) -> tf.keras.Model:
        """The parent with the class; see `widening.widened`."""
        from pipeline.retrain.garbage import widening

        return widening.widened(parent)

    def lesson(self, start: Start) -> Lesson:
        """See `Recipe`."""
        return _ByLabel(self, start)


class _ByLabel(_Evolved):
    def __init__(self, recipe: GarbageClass, start: Start):
        self._garbage = start.model.output_shape[-1] - 1
        super().__init__(recipe, start, self._garbage)
        self._share = recipe.share

    def loss(self, net: Net, batch: dict[str, tf.Tensor], extra: Any, moment: Moment) -> tf.Tensor:
        """Mean cross-entropy of the images and of garbage, whose class is the last."""
        size = batch["image"].shape[0]
        garbage = self.pool.draw(share_of(self._share, size), moment.seed)
        probabilities = net(tf.concat([shown(batch["image"]), garbage], axis=0))
        known = cross_entropy(probabilities[:size], batch["label"])
        return tf.reduce_mean(tf.concat([known, surprise(probabilities[size:, self._garbage])], axis=0))


@dataclasses.dataclass(frozen=True)
class Uniform(Evolving):
    """The net learns to be sure of no class where there is none: Hendrycks et al., "outlier exposure".

    Of the outliers some are garbage of the pool, the others noise; `evolved = 0` is the control without a search.
    """

    weight: float = setting(0.5, "of the cross-entropy of outliers from the uniform distribution", low=0, high=1000)
    share: float = setting(1.0, "outliers in a batch, as a share of its images", low=0.001, high=10)
    evolved: float = setting(
        0.5, "of the outliers, the share that are garbage images; the rest is noise", low=0, high=1
    )
    noise: Literal["static", "permuted"] = setting(
        "static", 'what the others are: "static" (independent pixels) or "permuted" (originals, pixels in random order)'
    )

    name: ClassVar[str] = "uniform"

    @property
    def pooled(self) -> bool:
        """See `Evolving`."""
        return self.evolved > 0

    def cost(self, batch: int) -> Cost:
        """See `Recipe`."""
        return Cost(batch + share_of(self.share, batch), 0)

    def net(self, parent: tf.keras.Model) -> tf.keras.Model:
        """The parent itself."""
        return parent

    def lesson(self, start: Start) -> Lesson:
        """See `Recipe`."""
        return _ByUniform(self, start)


class _ByUniform(_Evolved):
    def __init__(self, recipe: Uniform, start: Start):
        super().__init__(recipe, start, start.model.output_shape[-1])
        self._uniform = recipe

    def loss(self, net: Net, batch: dict[str, tf.Tensor], extra: Any, moment: Moment) -> tf.Tensor:
        """Mean cross-entropy of the images, and `weight` times that of the outliers from the uniform distribution."""
        images = shown(batch["image"])
        probabilities = net(tf.concat([images, self.outliers(images, moment)], axis=0))
        own, others = probabilities[: images.shape[0]], probabilities[images.shape[0] :]
        known = tf.reduce_mean(cross_entropy(own, batch["label"]))
        return known + self._uniform.weight * tf.reduce_mean(to_uniform(others))

    def outliers(self, images: tf.Tensor, moment: Moment) -> tf.Tensor:
        """Returns the outliers beside images float32 `[B, H, W, C]`, garbage first."""
        from pipeline.retrain.garbage import pool

        count = share_of(self._uniform.share, images.shape[0])
        garbage = round(self._uniform.evolved * count)
        parts = [self.pool.draw(garbage, moment.seed)] if garbage else []
        if garbage < count:
            originals = tf.gather(images, tf.range(count - garbage) % images.shape[0])
            noise = {"static": pool.static, "permuted": pool.permuted}[self._uniform.noise]
            parts.append(noise(originals, moment.seed + [0, 2]))
        return tf.concat(parts, axis=0)


RECIPES: tuple[type[Recipe], ...] = (Plain, GarbageClass, Uniform)

"""Recipes of retraining on mistakes: what each adds to a batch, and its loss.

Of a batch, the first images get what is added: the stream is shuffled, so they are any.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from etils import epy

from models.settings import setting
from pipeline.retrain.plain import LEAST, Plain, cross_entropy, divergence, share_of, shown
from pipeline.retrain.recipe import Cost, Moment, Recipe, Stateless

with epy.lazy_imports():  # a retraining file's mistakes are told before libraries are loaded
    import tensorflow as tf

    from models import streams

if TYPE_CHECKING:
    from pipeline.kinds.mistakes.mined import Mined
    from pipeline.operators.operator import Operator
    from pipeline.retrain.mistakes.chains import Chains
    from pipeline.retrain.recipe import Net


def _risen(moment: Moment, over: float) -> tf.Tensor:
    """Returns from 0 to 1 how far a schedule has risen that rises over a share of the training."""
    return tf.minimum(moment.done / over, 1.0) if over else tf.ones([])


def _chains(mined: Mined, count: int, seed: int) -> tf.data.Dataset:
    """Returns an endless stream of `count` mined chains a time, in random order, as (numbers, lengths)."""
    return streams.shuffled((mined.numbers, mined.lengths), count, seed)


@dataclasses.dataclass(frozen=True)
class Proposals(Stateless):
    """Some images are joined by a changed one: of several random or mined changes, the one that the net errs on.

    With `candidates` 1 it is plain augmentation; with the worst of k random ones it is Engstrom et al., "Exploring the
    Landscape of Spatial Robustness"; drawn in proportion to the loss it is Wu et al., "On the Generalization Effects of
    Linear Transformations in Data Augmentation"; the KL term is that of Yang et al., "Invariance-inducing
    regularization using worst-case transformations".
    """

    share: float = setting(1 / 3, "of the images of a batch, how many are joined by a changed one", low=0.001, high=1)
    candidates: int = setting(1, "changes of an image that the net is asked about", low=1, high=1000)
    mined: float = setting(0.0, "the share of these that are mined chains of moves, of any image", low=0, high=1)
    moves: int = setting(6, "the others are one to so many random moves, composed", low=1, high=64)
    pick: Literal["worst", "by_loss"] = setting(
        "worst",
        'which is learned from: "worst" (misread ones first, then the largest loss) or "by_loss" (drawn in '
        "proportion to its loss)",
    )
    kl: float = setting(0.0, "weight of KL(p(image) || p(changed image))", low=0, high=1000)
    rise: float = setting(0.0, "the share of the training over which `candidates` and `kl` rise", low=0, high=1)

    name: ClassVar[str] = "proposals"

    def _places(self) -> list[bool]:
        """Tells of each of the candidates whether it is a mined one; they are spread evenly."""
        return [
            int((place + 1) * self.mined + 1e-9) > int(place * self.mined + 1e-9) for place in range(self.candidates)
        ]

    def needs_mined(self) -> bool:
        """See `Recipe`."""
        return any(self._places())

    def cost(self, batch: int) -> Cost:
        """See `Recipe`."""
        added = share_of(self.share, batch)
        return Cost(batch + added, added * self.candidates if self.candidates > 1 else 0)

    def stream(self, mined: Mined | None, batch: int, seed: int) -> tf.data.Dataset | None:
        """See `Recipe`."""
        count = share_of(self.share, batch) * sum(self._places())
        return _chains(mined, count, seed) if mined is not None and count else None

    def loss(self, net: Net, batch: dict[str, tf.Tensor], extra: Any, sections: Any, moment: Moment) -> tf.Tensor:
        """Mean cross-entropy of the images and the changed ones, plus `kl` times the mean divergence of the pairs."""
        operator, added = sections["operator"], share_of(self.share, batch["image"].shape[0])
        labels, images = batch["label"][:added], shown(batch["image"])
        changed = self._chosen(net, self._candidates(batch["image"][:added], extra, operator, moment), labels, moment)
        probabilities = net(tf.concat([images, changed], axis=0))
        loss = tf.reduce_mean(cross_entropy(probabilities, tf.concat([batch["label"], labels], axis=0)))
        pairs = divergence(probabilities[:added], probabilities[images.shape[0] :])
        return loss + self.kl * _risen(moment, self.rise) * tf.reduce_mean(pairs)

    def _candidates(self, images: tf.Tensor, extra: Any, operator: Operator, moment: Moment) -> tf.Tensor:
        """Returns float32 `[A, k, H, W, C]` of uint8 images `[A, H, W, C]`."""
        from pipeline.retrain.mistakes import chains

        sources, places = operator.sources(images), self._places()
        drawn = chains.random(operator, images.shape[0] * (len(places) - sum(places)), self.moves, moment.seed)
        sorts = {False: drawn, True: chains.Chains(*extra) if extra is not None else drawn}
        made = {sort: self._of_each(operator, sources, sorts[sort]) for sort in set(places)}
        columns = [made[sort][:, places[:place].count(sort)] for place, sort in enumerate(places)]
        return tf.stack(columns, axis=1)

    def _of_each(self, operator: Operator, sources: tf.Tensor, drawn: Chains) -> tf.Tensor:
        from pipeline.retrain.mistakes import chains

        count, each = sources.shape[0], drawn.lengths.shape[0] // sources.shape[0]
        images = chains.apply(operator, sources, tf.repeat(tf.range(count), each), drawn)
        return tf.reshape(images, [count, each, *images.shape[1:]])

    def _chosen(self, net: Net, candidates: tf.Tensor, labels: tf.Tensor, moment: Moment) -> tf.Tensor:
        """Returns one candidate of each image, `[A, H, W, C]`; the net does not learn from the choice."""
        count, each = candidates.shape[:2]
        if each == 1:
            return candidates[:, 0]
        probabilities = tf.stop_gradient(net(tf.reshape(candidates, [-1, *candidates.shape[2:]])))
        losses = tf.reshape(cross_entropy(probabilities, tf.repeat(labels, each)), [count, each])
        if self.pick == "worst":
            wrong = tf.argmax(probabilities, axis=-1, output_type=tf.int32) != tf.repeat(labels, each)
            score = losses - 2.0 * tf.math.log(LEAST) * tf.cast(tf.reshape(wrong, [count, each]), tf.float32)
        else:
            from pipeline.retrain.mistakes import chains

            uniform = tf.clip_by_value(chains.uniform(count, each, moment.seed + [0, 2]), LEAST, 1.0 - LEAST)
            score = tf.math.log(losses + LEAST) - tf.math.log(-tf.math.log(uniform))  # Gumbel's way of drawing
        open_to = 1.0 + (each - 1) * _risen(moment, self.rise)
        score = tf.where(tf.range(each, dtype=tf.float32)[None] < open_to, score, score.dtype.min)
        return tf.gather(candidates, tf.argmax(score, axis=1), batch_dims=1)


@dataclasses.dataclass(frozen=True)
class Mistakes(Stateless):
    """Some mined mistakes are added to each batch, as they were stored, and if wanted their seed images."""

    share: float = setting(1 / 3, "mined mistakes in a batch, as a share of its images", low=0.001, high=10)
    weight: Literal["equal", "grade", "margin"] = setting(
        "equal", 'what a mistake weighs: "equal", "grade" (low ones a tenth) or "margin" (the least lead of a peer)'
    )
    seeds: bool = setting(False, "whether its seed image is added besides")

    name: ClassVar[str] = "mistakes"

    def needs_mined(self) -> bool:
        """See `Recipe`."""
        return True

    def cost(self, batch: int) -> Cost:
        """See `Recipe`."""
        return Cost(batch + share_of(self.share, batch) * (2 if self.seeds else 1), 0)

    def _weights(self, mined: Mined) -> Any:
        import numpy as np

        ways = {
            "equal": np.ones(len(mined.labels)),
            "grade": np.where(mined.high, 1.0, 0.1),
            "margin": mined.peer_margins,
        }
        return (ways[self.weight] / max(ways[self.weight].mean(), LEAST)).astype(np.float32)

    def stream(self, mined: Mined | None, batch: int, seed: int) -> tf.data.Dataset | None:
        """See `Recipe`."""
        assert mined is not None
        fields = (mined.images, mined.seed_images, mined.labels, self._weights(mined))
        return streams.shuffled(fields, share_of(self.share, batch), seed)

    def loss(self, net: Net, batch: dict[str, tf.Tensor], extra: Any, sections: Any, moment: Moment) -> tf.Tensor:
        """Mean cross-entropy of all, mistakes by their weights."""
        changed, seeds, labels, weights = extra
        parts = [batch["image"], changed, *([seeds] if self.seeds else [])]
        classes = [batch["label"], labels, *([labels] if self.seeds else [])]
        weighs = [tf.ones_like(batch["label"], tf.float32), weights, *([weights] if self.seeds else [])]
        images = tf.cast(tf.concat(parts, axis=0), tf.float32) / 255.0
        losses = cross_entropy(net(images), tf.concat(classes, axis=0))
        return tf.reduce_mean(losses * tf.concat(weighs, axis=0))


@dataclasses.dataclass(frozen=True)
class Hardest(Stateless):
    """Some images are joined by several random changes, whose losses are averaged the more unevenly the later.

    (1/m sum l^q)^(1/q) with q rising from 1: Rice et al., "Robustness between the worst and average case".
    """

    share: float = setting(1 / 12, "of the images of a batch, how many are joined by changed ones", low=0.001, high=1)
    candidates: int = setting(4, "random changes of each, m", low=2, high=1000)
    power: float = setting(10.0, "q at the end; 1 is the mean", low=1, high=1000)
    moves: int = setting(6, "one to so many random moves, composed", low=1, high=64)

    name: ClassVar[str] = "hardest"

    def needs_mined(self) -> bool:
        """See `Recipe`."""
        return False

    def cost(self, batch: int) -> Cost:
        """See `Recipe`."""
        return Cost(batch + share_of(self.share, batch) * self.candidates, 0)

    def loss(self, net: Net, batch: dict[str, tf.Tensor], extra: Any, sections: Any, moment: Moment) -> tf.Tensor:
        """Cross-entropy of the images, and the power mean of that of the changes, each image's as `candidates` ones."""
        from pipeline.retrain.mistakes import chains

        operator, size = sections["operator"], batch["image"].shape[0]
        added = share_of(self.share, size)
        rows = tf.repeat(tf.range(added), self.candidates)
        drawn = chains.random(operator, added * self.candidates, self.moves, moment.seed)
        changed = chains.apply(operator, operator.sources(batch["image"][:added]), rows, drawn)
        labels = tf.concat([batch["label"], tf.gather(batch["label"], rows)], axis=0)
        losses = cross_entropy(net(tf.concat([shown(batch["image"]), changed], axis=0)), labels)
        power = 1.0 + (self.power - 1.0) * moment.done
        logs = tf.math.log(tf.maximum(tf.reshape(losses[size:], [added, self.candidates]), LEAST)) * power
        means = tf.exp((tf.reduce_logsumexp(logs, axis=1) - tf.math.log(float(self.candidates))) / power)
        total = tf.reduce_sum(losses[:size]) + self.candidates * tf.reduce_sum(means)
        return total / (size + added * self.candidates)


@dataclasses.dataclass(frozen=True)
class Consistency(Stateless):
    """Three views of an image are to be read alike: itself, a random change, and a mined or a second random one.

    The Jensen-Shannon term of Hendrycks et al., "AugMix".
    """

    share: float = setting(
        1 / 6, "of the images of a batch, how many are joined by two changed ones", low=0.001, high=1
    )
    weight: float = setting(4.0, "of the Jensen-Shannon divergence", low=0, high=1000)
    mined: bool = setting(True, "whether the third view is a mined chain of moves, of any image; else random")
    moves: int = setting(6, "one to so many random moves, composed", low=1, high=64)

    name: ClassVar[str] = "consistency"

    def needs_mined(self) -> bool:
        """See `Recipe`."""
        return self.mined

    def cost(self, batch: int) -> Cost:
        """See `Recipe`."""
        return Cost(batch + 2 * share_of(self.share, batch), 0)

    def stream(self, mined: Mined | None, batch: int, seed: int) -> tf.data.Dataset | None:
        """See `Recipe`."""
        return _chains(mined, share_of(self.share, batch), seed) if mined is not None and self.mined else None

    def loss(self, net: Net, batch: dict[str, tf.Tensor], extra: Any, sections: Any, moment: Moment) -> tf.Tensor:
        """Mean cross-entropy of all, changed ones by half, plus the mean divergence of the three views."""
        from pipeline.retrain.mistakes import chains

        operator, size = sections["operator"], batch["image"].shape[0]
        added = share_of(self.share, size)
        sources, rows = operator.sources(batch["image"][:added]), tf.range(added)
        first = chains.random(operator, added, self.moves, moment.seed)
        second = (
            chains.Chains(*extra) if self.mined else chains.random(operator, added, self.moves, moment.seed + [0, 2])
        )
        changed = [chains.apply(operator, sources, rows, each) for each in (first, second)]
        answers = net(tf.concat([shown(batch["image"]), *changed], axis=0))
        labels = batch["label"][:added]
        losses = cross_entropy(answers, tf.concat([batch["label"], labels, labels], axis=0))
        views = [answers[:added], answers[size : size + added], answers[size + added :]]
        middle = (views[0] + views[1] + views[2]) / 3.0
        apart = tf.reduce_mean(sum(divergence(view, middle) for view in views)) / 3.0
        mean = (tf.reduce_sum(losses[:size]) + 0.5 * tf.reduce_sum(losses[size:])) / (size + added)
        return mean + self.weight * apart


RECIPES: tuple[type[Recipe], ...] = (Plain, Proposals, Mistakes, Hardest, Consistency)

"""Training with pools of adversarial examples, kept fresh against the net as it is."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

from etils import epy

from models.errors import InputError
from models.settings import setting
from pipeline.retrain.plain import cross_entropy, share_of, shown
from pipeline.retrain.recipe import Cost, Lesson, Moment, Start

with epy.lazy_imports():  # a retraining file's mistakes are told before libraries are loaded
    import numpy as np
    import tensorflow as tf

    from pipeline.retrain.pairs import layers as cuts
    from pipeline.retrain.pairs import twins

if TYPE_CHECKING:
    from pipeline.retrain.recipe import Net


@dataclasses.dataclass(frozen=True)
class Pool:
    """A pool of adversarial examples, of which a random part is always replaced, is mixed into every batch.

    Szegedy et al., "Intriguing properties of neural networks": one pool for the input and one for each layer's outputs;
    a layer's pool trains the layers above it. They attacked by L-BFGS and trained by turns; here the attack is
    projected gradient descent within a distortion, inside the training step, and all pools stand in one loss. With
    `replaced` 1 it is adversarial training (Madry et al., "Towards deep learning models resistant to adversarial
    attacks"), against a net that is at most `every` steps old.
    """

    layers: tuple[str, ...] = setting(
        ("input",),
        'what has a pool: "input", "#1" (the outputs of the lowest layer with weights), "#2", a layer\'s name',
    )
    size: int = setting(512, "examples in a pool", low=1, high=1_000_000)
    replaced: float = setting(0.1, "the share of a pool that is replaced at a time", low=0.001, high=1)
    every: int = setting(1, "steps from one replacement to the next", low=1, high=1_000_000)
    share: float = setting(1 / 3, "examples of each pool in a batch, as a share of its images", low=0.001, high=10)
    eps: float = setting(
        0.06, "the largest distortion at the input: root mean square of a pixel's change, of 1", low=1e-6, high=1
    )
    relative_eps: float = setting(
        0.2, "the same at a layer's outputs, as a share of the root mean square of its activity", low=1e-6, high=100
    )
    steps: int = setting(5, "of projected gradient descent", low=1, high=10_000)

    name: ClassVar[str] = "pool"

    def needs_mined(self) -> bool:
        """See `Recipe`."""
        return False

    def cost(self, batch: int) -> Cost:
        """See `Recipe`; passes are the mean over all steps, of a part of the net where a pool is not the input's."""
        added, attacked = share_of(self.share, batch), share_of(self.replaced, self.size) * self.steps / self.every
        return Cost(batch + len(self.layers) * added, round(len(self.layers) * attacked))

    def net(self, parent: tf.keras.Model) -> tf.keras.Model:
        """The parent itself."""
        return parent

    def lesson(self, start: Start) -> Lesson:
        """See `Recipe`."""
        attacked = share_of(self.replaced, self.size)
        if attacked > start.batch:
            raise InputError(
                f"a pool of {self.size} of which {self.replaced:g} are replaced needs {attacked} images at a time, and "
                f"a batch has {start.batch}; lower size or replaced, or raise [retrain] batch_size."
            )
        if not self.layers or len(set(self.layers)) < len(self.layers):
            raise InputError(f"layers is {list(self.layers)}, expected at least one, each once.")
        return _Pooled(self, [_OfLayer(self, cuts.cut(start.model, name, "layers"), start) for name in self.layers])


class _Pooled(Lesson):
    def __init__(self, recipe: Pool, pools: list[_OfLayer]):
        self._recipe, self.pools = recipe, pools

    def loss(self, net: Net, batch: dict[str, tf.Tensor], extra: Any, moment: Moment) -> tf.Tensor:
        """Mean cross-entropy of the images and of what is drawn from each pool."""
        images, labels = shown(batch["image"]), batch["label"]
        added = share_of(self._recipe.share, images.shape[0])
        losses = [cross_entropy(net(images), labels)]
        for number, pool in enumerate(self.pools):
            seed = moment.seed + tf.constant([0, 1]) + tf.constant([number << 16, 0])
            tf.cond(
                moment.step % self._recipe.every == 0,
                lambda pool=pool, seed=seed: pool.replace(images, labels, seed),
                lambda: tf.zeros([]),
            )
            losses.append(pool.losses(added, seed))
        return tf.reduce_mean(tf.concat(losses, axis=0))


class _OfLayer:
    """The pool of one layer; it begins as the outputs on images as they are, of the net as it was before."""

    def __init__(self, recipe: Pool, cut: cuts.Cut, start: Start):
        self._recipe, self._cut = recipe, cut
        rows = np.random.default_rng(start.seed).integers(0, len(start.learned.labels), recipe.size)
        parts = np.array_split(rows, -(-recipe.size // start.batch))
        outputs = np.concatenate([cut.below(shown(start.learned.images[part])).numpy() for part in parts])
        self.outputs = tf.Variable(outputs, trainable=False)
        self.labels = tf.Variable(start.learned.labels[rows].astype(np.int32), trainable=False)

    def replace(self, images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Puts fresh twins of a batch's first images into a random part of the pool."""
        count = share_of(self._recipe.replaced, self._recipe.size)
        order = tf.argsort(tf.random.stateless_uniform([self._recipe.size], seed, alg="philox"))
        outputs = tf.stop_gradient(self._cut.below(images[:count]))
        radius = self._recipe.eps
        if self._cut.layer is not None:
            radius = self._recipe.relative_eps * tf.sqrt(tf.reduce_mean(tf.square(outputs)))
        boxed = self._cut.layer is None
        found = twins.found(self._cut.above, outputs, labels[:count], radius, self._recipe.steps, boxed, seed + [0, 2])
        places = order[:count, None]
        self.outputs.assign(tf.tensor_scatter_nd_update(self.outputs, places, found))
        self.labels.assign(tf.tensor_scatter_nd_update(self.labels, places, labels[:count]))
        return tf.zeros([])

    def losses(self, count: int, seed: tf.Tensor) -> tf.Tensor:
        """Returns the cross-entropy `[count]` of some of the pool, drawn at random."""
        rows = tf.random.stateless_uniform(
            [count], seed + [0, 1], maxval=self._recipe.size, dtype=tf.int32, alg="philox"
        )
        answers = self._cut.above(tf.gather(self.outputs, rows), True)
        return cross_entropy(answers, tf.gather(self.labels, rows))

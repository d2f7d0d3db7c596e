"""Training on the original images alone, and the losses that recipes are made of.

Probabilities are clipped from below, so that every loss is finite.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

from etils import epy

from pipeline.retrain.recipe import Cost, Moment, Stateless

with epy.lazy_imports():  # a retraining file's mistakes are told before libraries are loaded
    import tensorflow as tf

if TYPE_CHECKING:
    from pipeline.retrain.recipe import Net

LEAST = 1e-7  # probability


def cross_entropy(probabilities: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Returns -log p(label), `[B]`, of probabilities `[B, K]`."""
    own = tf.gather(probabilities, labels, batch_dims=1)
    return -tf.math.log(tf.maximum(own, LEAST))


def divergence(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Returns KL(first || second), `[B]`, of probabilities `[B, K]`."""
    logs = [tf.math.log(tf.maximum(each, LEAST)) for each in (first, second)]
    return tf.reduce_sum(first * (logs[0] - logs[1]), axis=-1)


def shown(images: tf.Tensor) -> tf.Tensor:
    """Returns uint8 images as nets are shown them, float32 in [0, 1]."""
    return tf.cast(images, tf.float32) / 255.0


def share_of(share: float, batch: int) -> int:
    """Returns how many images a share of a batch is, at least one."""
    return max(1, round(share * batch))


@dataclasses.dataclass(frozen=True)
class Plain(Stateless):
    """Nothing is added: the net goes on learning from the original images."""

    name: ClassVar[str] = "plain"

    def needs_mined(self) -> bool:
        """See `Recipe`."""
        return False

    def cost(self, batch: int) -> Cost:
        """See `Recipe`."""
        return Cost(batch, 0)

    def loss(self, net: Net, batch: dict[str, tf.Tensor], extra: Any, sections: Any, moment: Moment) -> tf.Tensor:
        """Mean cross-entropy."""
        return tf.reduce_mean(cross_entropy(net(shown(batch["image"])), batch["label"]))

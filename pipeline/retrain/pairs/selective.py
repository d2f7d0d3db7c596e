"""Selective dropout: on adversarial images, only the most volatile units of a layer learn."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from etils import epy

from models.errors import InputError
from models.settings import setting
from pipeline.retrain.plain import cross_entropy, shown
from pipeline.retrain.recipe import Cost, Lesson, Moment, Start

with epy.lazy_imports():  # a retraining file's mistakes are told before libraries are loaded
    import numpy as np
    import tensorflow as tf

    from pipeline.retrain.pairs import curve as curves
    from pipeline.retrain.pairs import layers as cuts

if TYPE_CHECKING:
    from pipeline.retrain.recipe import Net

_TOGETHER = 256  # images whose activity is asked for at a time


@dataclasses.dataclass(frozen=True)
class Selective:
    """Hard-negative training by turns on twins and on their originals; on twins a share of a layer's units learns.

    Hinthorn's selective dropout. Units are ranked once, by the net as it is before; the weights into the layer's other
    units, and their biases, stay as they are in the steps on twins. Every other layer learns as ever: "trains only the
    proportion p of most volatile units of a layer" speaks of one layer. Batches are made of the pairs alone, and the
    images of [retrain] learn_from decide only how many steps there are; with `p` 1 it is plain hard-negative training.
    """

    layer: str = setting(
        "", 'whose units: "#1" (the lowest layer with weights), "#2", a layer\'s name; by default the last hidden one'
    )
    units: Literal["most", "least", "random"] = setting("most", "which learn: the most or least volatile, or any")
    p: float = setting(0.2, "the share of the units that learn on twins", low=0, high=1)
    alpha: float = setting(
        0.0,
        "p rises: p_t = p + (1 - p)(1 - exp(-alpha t)), t from 0 to 1 over the training; 0: it does not",
        low=0,
        high=1000,
    )

    name: ClassVar[str] = "selective"

    def needs_mined(self) -> bool:
        """See `Recipe`."""
        return True

    def cost(self, batch: int) -> Cost:
        """See `Recipe`."""
        return Cost(batch, 0)

    def net(self, parent: tf.keras.Model) -> tf.keras.Model:
        """The parent itself."""
        return parent

    def lesson(self, start: Start) -> Lesson:
        """See `Recipe`."""
        cut = cuts.cut(start.model, self.layer or cuts.hidden(start.model, "layer")[-1], "layer")
        if cut.layer is None or not cut.layer.trainable_weights:
            raise InputError(f"layer is '{cut.name}', which has no weights that learn; expected one that has.")
        volatile = volatility(*(activity(cut, images) for images in (start.mined.twins, start.mined.originals)))
        orders = {
            "most": np.argsort(-volatile, kind="stable"),
            "least": np.argsort(volatile, kind="stable"),
            "random": np.random.default_rng(start.seed).permutation(len(volatile)),
        }
        return _Alternating(self, start, cut.layer, orders[self.units])


def activity(cut: cuts.Cut, images: np.ndarray) -> np.ndarray:
    """Returns a layer's outputs on uint8 images, float32 `[T, ..., units]`."""
    parts = [images[start : start + _TOGETHER] for start in range(0, len(images), _TOGETHER)]
    return np.concatenate([cut.below(shown(part)).numpy() for part in parts])


def volatility(twins: np.ndarray, originals: np.ndarray) -> np.ndarray:
    """Returns each unit's volatility on pairs, `[units]`.

    The largest, over the pairs, absolute difference of the Frobenius norms of the unit's activity on the twin and on
    the original (Hinthorn).

    Args:
      twins, originals: activity, `[T, ..., units]`: of a convolution, a unit is a filter.
    """
    norms = [np.sqrt(np.sum(np.square(each), axis=tuple(range(1, each.ndim - 1)))) for each in (twins, originals)]
    return np.abs(norms[0] - norms[1]).max(axis=0)


class _Alternating(Lesson):
    def __init__(self, recipe: Selective, start: Start, layer: tf.keras.layers.Layer, order: np.ndarray):
        self._recipe, self._model = recipe, start.model
        self._masked = [any(weight is own for own in layer.weights) for weight in start.model.trainable_variables]
        ranks = np.empty(len(order), np.int32)
        ranks[order] = np.arange(len(order))
        self._ranks = tf.constant(ranks)  # 0: the unit that learns first
        self._curve = curves.Curve(start.model, start.mined, start.steps)
        self.stream = curves.stream(start.mined, start.batch, start.seed + 1)

    def loss(self, net: Net, batch: dict[str, tf.Tensor], extra: Any, moment: Moment) -> tf.Tensor:
        """Mean cross-entropy of twins, or of originals."""
        self._curve.mark(moment.step)
        twins, originals, labels = extra
        images = tf.where(_on_twins(moment), twins, originals)
        return tf.reduce_mean(cross_entropy(net(shown(images)), labels))

    def learns(self, moment: Moment) -> list[tf.Tensor | None]:
        """None for the weights of other layers."""
        p, alpha = self._recipe.p, self._recipe.alpha
        share = p + (1.0 - p) * (1.0 - tf.exp(-alpha * moment.done))
        chosen = self._ranks < tf.cast(tf.round(share * len(self._ranks)), tf.int32)
        chosen |= ~_on_twins(moment)
        return [chosen if masked else None for masked in self._masked]

    def notes(self) -> dict[str, Any]:
        """The curve of the twins that it learned from."""
        return self._curve.told()


def _on_twins(moment: Moment) -> tf.Tensor:
    return moment.step % 2 == 0

"""Which units twins disturb: volatility over groups of perturbations, and what volatile units see in the image."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import tensorflow as tf

from models.settings import setting
from pipeline.kinds.kind import Example
from pipeline.report import picture
from pipeline.report.page import Picture
from pipeline.report.tables import Table
from pipeline.reproduce import nets
from pipeline.reproduce.bench import Bench, with_keys
from pipeline.reproduce.experiment import HINTHORN, Claim, Experiment, Findings
from pipeline.retrain.pairs import layers as cuts
from pipeline.retrain.pairs.selective import activity, volatility
from pipeline.retrain.plain import shown

_FEATURES = ("image", "seed_image", "label", "wrong_class")
_SHOWN = 3  # pairs of the picture
_GROUPS = {"original label": ("label",), "aimed label": ("wrong_class",), "both labels": ("label", "wrong_class")}


class _Layer(NamedTuple):
    """What twins disturb in a layer.

    Attributes:
      name: of the layer.
      units: how many it has.
      blamed: share of the volatility in the most volatile units.
      overlaps: for each of `_GROUPS`, the share of volatile units that two groups of perturbations have in common.
    """

    name: str
    units: int
    blamed: float
    overlaps: Sequence[float]

    def cells(self) -> list[str]:
        """Returns its row of the table."""
        shares = (self.blamed, *self.overlaps)
        return [self.name, str(self.units), *(f"{100 * share:.1f}" for share in shares)]


@dataclasses.dataclass(frozen=True)
class Volatility(Experiment):
    """Volatility of every unit of a net's layers on pairs; of a convolution, a unit is a filter."""

    task: str = setting("", "the task of pairs, of one net: its configuration, relative to this file")
    trials: int = setting(208, "images attacked", low=1, high=1_000_000)
    share: float = setting(0.2, "the share of a layer's units that are called the most volatile", low=0.01, high=1)

    name: ClassVar[str] = "hinthorn-volatility"
    title: ClassVar[str] = "Volatile units: where a twin disturbs a net"
    paper: ClassVar[str] = HINTHORN
    takes: ClassVar[str] = "5 minutes"

    def run(self, bench: Bench) -> Findings:
        """See `Experiment`."""
        task = with_keys(bench.task(self.task), "volatility", search={"trials": self.trials})
        dataset = bench.published(task)
        pairs, group = list(dataset.examples(_FEATURES)), bench.group(dataset)
        model = nets.model(group, group.names[0])
        layers = [self._layer(cuts.cut(model, layer, "layer"), pairs) for layer in cuts.hidden(model, "layer")]
        note = (
            f"of {len(pairs)} pairs of {group.names[0]}; shared: the mean, over two groups of perturbations, of the "
            "volatile units that they share"
        )
        return Findings(
            [self._concentrated(layers), self._of_labels(layers)],
            [Table([["layer", "units", *_heads(self.share)], *(layer.cells() for layer in layers)], note=note)],
            [self._drawn(model, pairs)],
        )

    def _layer(self, cut: cuts.Cut, pairs: Sequence[Example]) -> _Layer:
        twins, originals = _images(pairs)
        acts = activity(cut, twins), activity(cut, originals)
        volatile = volatility(*acts)
        overlaps = [self._overlap(acts, pairs, keys) for keys in _GROUPS.values()]
        return _Layer(cut.name, len(volatile), concentration(volatile, self.share), overlaps)

    def _concentrated(self, layers: Sequence[_Layer]) -> Claim:
        told = "; ".join(
            f"{layer.name}: {100 * layer.blamed:.0f}% of it in the top {100 * self.share:g}%" for layer in layers
        )
        return Claim(
            "Blame is concentrated: a few units have more than 1.5 times their share of the volatility.",
            min(layer.blamed for layer in layers) > 1.5 * self.share,
            f"{told}.",
        )

    def _of_labels(self, layers: Sequence[_Layer]) -> Claim:
        alike = float(np.mean([layer.overlaps for layer in layers]))
        return Claim(
            "Which units are volatile hangs on the labels: each group of perturbations has its own.",
            alike < 0.9,
            f"two groups share {100 * alike:.0f}% of their most volatile units on average; by chance it is "
            f"{100 * self.share:g}%.",
        )

    def _drawn(self, model: Any, pairs: Sequence[Example]) -> Picture:
        cut = cuts.cut(model, cuts.hidden(model, "layer")[-1], "layer")
        volatile = volatility(*(activity(cut, images) for images in _images(pairs)))
        units = sorted(top(volatile, self.share))
        drawn = functools.partial(picture.draw_strips, [_strip(cut, units, pair) for pair in pairs[:_SHOWN]])
        title = "What the most volatile units of the last hidden layer see"
        alt = "Rows: original, twin, change, and the gradients of the volatile units' activity for each."
        return Picture("projections", title, alt, drawn)

    def _overlap(self, acts: tuple[np.ndarray, np.ndarray], pairs: Sequence[Example], keys: Sequence[str]) -> float:
        """Returns the mean share of the most volatile units that two groups of pairs have in common."""
        named = np.array([tuple(int(pair[key]) for key in keys) for pair in pairs])
        groups = [(named == name).all(axis=1) for name in np.unique(named, axis=0)]
        tops = [top(volatility(*(act[group] for act in acts)), self.share) for group in groups]
        shared = [len(one & other) / len(one) for place, one in enumerate(tops) for other in tops[place + 1 :]]
        return float(np.mean(shared)) if shared else 1.0


def _images(pairs: Sequence[Example]) -> tuple[np.ndarray, np.ndarray]:
    """Returns twins and originals, each uint8 `[T, H, W, C]`."""
    twins, originals = (np.stack([pair[key] for pair in pairs]) for key in ("image", "seed_image"))
    return twins, originals


def _strip(cut: cuts.Cut, units: Sequence[int], pair: Example) -> picture.Strip:
    """Returns a pair, and the activity of some units of a layer led back to the image."""
    images = pair["seed_image"], pair["image"]
    seen = [projection(cut, image, units) for image in images]
    change = np.clip(127.5 + 10.0 * (images[1].astype(np.float64) - images[0]), 0, 255).astype(np.uint8)
    led = [*seen, seen[1] - seen[0]]
    titles = ["original", "twin", "change x 10", "seen in original", "seen in twin", "difference"]
    name = f"{int(pair['label'])} read as {int(pair['wrong_class'])}"
    return picture.Strip(name, np.stack([*images, change, *map(_grey, led)]), titles)


def _heads(share: float) -> list[str]:
    return [f"of the volatility in the top {100 * share:g}%, %", *(f"shared by {name}, %" for name in _GROUPS)]


def concentration(volatile: np.ndarray, share: float) -> float:
    """Returns the share of the total volatility, `[units]`, that the most volatile share of the units has."""
    total = float(volatile.sum())
    return float(volatile[sorted(top(volatile, share))].sum()) / total if total else float("nan")


def top(volatile: np.ndarray, share: float) -> set[int]:
    """Returns the places of the most volatile units, at least one; of equal ones the first."""
    count = max(1, round(share * len(volatile)))
    return set(np.argsort(-volatile, kind="stable")[:count].tolist())


def projection(cut: cuts.Cut, image: np.ndarray, units: Sequence[int]) -> np.ndarray:
    """Leads the activity of some units of a layer back to the image, float32 `[H, W, C]`.

    The masked gradient: of half the squared norm of these units' activity, all others' being left out; as a
    deconvolution does (Zeiler and Fergus, arXiv 1311.2901), but with the net's own ReLU masks alone.

    Args:
      cut: the net, cut at the layer.
      image: uint8 `[H, W, C]`.
      units: places in the layer's last axis.
    """
    given = shown(image[None])
    with tf.GradientTape() as tape:
        tape.watch(given)
        chosen = tf.gather(cut.below(given), list(units), axis=-1)
        activity = tf.reduce_sum(tf.square(chosen)) / 2.0
    return tape.gradient(activity, given)[0].numpy()


def _grey(values: np.ndarray) -> np.ndarray:
    """Returns values `[H, W, C]` as an image: 0 is mid-grey, the largest is black or white."""
    largest = max(float(np.abs(values).max()), 1e-12)
    return np.clip(127.5 + 127.5 * values / largest, 0, 255).astype(np.uint8)

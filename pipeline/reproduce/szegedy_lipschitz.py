"""What the layers' norms say of a net's stability, beside the smallest changes found (Szegedy et al., section 4.3)."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import operator
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np
import tensorflow as tf

from models.errors import InputError
from models.settings import setting
from pipeline.kinds import registry
from pipeline.kinds.kind import Example
from pipeline.kinds.pairs.kind import PAIRS
from pipeline.report import picture
from pipeline.report.page import Picture
from pipeline.report.tables import Table, number
from pipeline.reproduce import lipschitz, nets
from pipeline.reproduce.bench import Bench
from pipeline.reproduce.experiment import SZEGEDY, Claim, Experiment, Findings
from pipeline.reproduce.lipschitz import Bound
from pipeline.studies import noise

_HOW = (
    "Lengths are 2-norms. A dense layer's bound is the largest singular value of its weights; a convolution's, that of "
    "the whole zero padded operator with its stride. It cannot exceed that of the same filters on a torus, which "
    "Fourier's transform gives exactly. Pooling without overlap stretches nothing; where windows overlap, the bound is "
    "the root of how many a pixel is in. ReLU, tanh and softmax count as 1, the sigmoid as 1/4.",
    "The least change of an image that can change the net's answer follows from its logits: the lead over another "
    "class, divided by the bound of all layers before the last and by the exact length of the difference of both "
    "classes' weights in the last; of all classes the least. The changes found are those of L-BFGS toward one class "
    "drawn at random, rounded to grey levels, so that smaller ones may exist. Of a net with one layer of weights the "
    "certified size is exact but for the edges of the pixels' range; more was found there as the class was drawn.",
)


_LOOSE = 2.0  # times: a bound is conservative where every change found exceeds the certified size by more


class Margins(NamedTuple):
    """Of one net.

    Attributes:
      name: of the net.
      bounds: of its layers.
      certified: what no change below it can do, 2-norm, float64 `[B]`.
      found: the size of the change that an adversarial pair has, likewise.
      pixels: numbers in an image, n.
    """

    name: str
    bounds: Sequence[Bound]
    certified: np.ndarray
    found: np.ndarray
    pixels: int

    @property
    def product(self) -> float:
        """Of the bounds: one of the whole net's."""
        return float(np.prod([bound.whole for bound in self.bounds]))

    @property
    def ratios(self) -> np.ndarray:
        """How many times the certified size each found one is, float64 `[B]`."""
        return self.found / self.certified


@dataclasses.dataclass(frozen=True)
class Lipschitz(Experiment):
    """Bounds of all layers' Lipschitz constants, what they certify, and how far from it adversarial images are."""

    task: str = setting("", "the task with adversarial pairs of the nets: its configuration, relative to this file")

    name: ClassVar[str] = "szegedy-lipschitz"
    title: ClassVar[str] = "Section 4.3: how much layers stretch a change, and what that certifies"
    paper: ClassVar[str] = SZEGEDY
    takes: ClassVar[str] = "4 minutes"

    def run(self, bench: Bench) -> Findings:
        """See `Experiment`."""
        task = bench.task(self.task)
        if registry.of(task) is not PAIRS:
            known = ", ".join(method.name for method in PAIRS.methods)
            raise InputError(f"{self.task} makes no adversarial pairs; expected [search] method = one of {known}.")
        dataset = bench.published(task)
        examples = list(dataset.examples(("seed_image", "image", "target_net")))
        group = bench.group(dataset)
        met = {example["target_net"].decode() for example in examples}
        margins = [
            _margins(nets.model(group, name), name, [each for each in examples if each["target_net"].decode() == name])
            for name in group.names
            if name in met
        ]
        return Findings(
            [_first(margins), _never_below(margins), _conservative(margins)],
            [_layers(margins), _beside(margins)],
            [_drawn(margins)],
            _HOW,
        )


def margins_of(net: tf.keras.Model, images: np.ndarray) -> tuple[list[Bound], np.ndarray]:
    """Returns the bounds of a net's layers, and what `lipschitz.certified` says of images, float64 `[B]`.

    Args:
      net: a sequence of layers whose last is a dense one with a softmax.
      images: uint8 `[B, H, W, C]`.

    Raises:
      InputError: it is another net, or one without a bound.
    """
    bounds, last = lipschitz.bounds(net), net.layers[-1]
    if bounds[-1].kind != "Dense" or last.activation is not tf.keras.activations.softmax:
        raise InputError(f"net '{net.name}' does not end with a dense layer and a softmax; leave it out of the task.")
    part = tf.keras.Model(net.inputs[0], last.input)
    features = part(images.astype(np.float32) / 255.0, training=False).numpy()
    before = float(np.prod([bound.whole for bound in bounds[:-1]]))
    kernel, bias = last.get_weights()
    return bounds, lipschitz.certified(features, kernel, bias, before)


def _margins(net: tf.keras.Model, name: str, examples: Sequence[Example]) -> Margins:
    seeds, twins = (np.stack([example[key] for example in examples]) for key in ("seed_image", "image"))
    bounds, certified = margins_of(net, seeds)
    pixels = int(np.prod(seeds.shape[1:]))
    return Margins(name, bounds, certified, noise.distortions(twins, seeds) * np.sqrt(pixels), pixels)


def _first(margins: Sequence[Margins]) -> Claim:
    first = {each.name: next(bound.whole for bound in each.bounds if bound.weighs) for each in margins}
    return Claim(
        "Instability can begin in the first layer: its bound is above 1, so it can stretch a change.",
        all(bound > 1 for bound in first.values()),
        "; ".join(f"{name}: {bound:.2f}" for name, bound in first.items()) + ".",
    )


def _never_below(margins: Sequence[Margins]) -> Claim:
    below = sum(int((each.found < each.certified).sum()) for each in margins)
    return Claim(
        "Small bounds guarantee that no adversarial image is nearer than they allow.",
        below == 0,
        f"{below} of {sum(len(each.found) for each in margins)} adversarial images are nearer than certified.",
    )


def _conservative(margins: Sequence[Margins]) -> Claim:
    largest = max(margins, key=lambda each: each.product)
    told = "; ".join(f"{each.name} {np.median(each.ratios):.1f} (least {each.ratios.min():.1f})" for each in margins)
    return Claim(
        "Large bounds do not show that such an image exists: they are conservative.",
        bool(largest.ratios.min() > _LOOSE),
        f"times that the change found is larger than certified, median of the images: {told}.",
    )


def _layers(margins: Sequence[Margins]) -> Table:
    rows = [["net", "layer", "bound", "of its weights", "on a torus", "of its activation", "product so far"]]
    for each in margins:
        products = itertools.accumulate((bound.whole for bound in each.bounds), operator.mul)
        for place, (bound, product) in enumerate(zip(each.bounds, products, strict=True)):
            if bound.weighs or bound.whole != 1:
                shown = [bound.whole, bound.linear, bound.circular, bound.activation, product]
                rows.append([each.name, f"{place} ({bound.kind})", *(number(part, 2) for part in shown)])
    return Table(rows, "Bounds of the layers", "layers that stretch nothing and have no weights are left out", 2)


def _beside(margins: Sequence[Margins]) -> Table:
    rows = [["net", "pairs", "certified, mean", "found, mean", "found, least", "found / certified, median", "least"]]
    for each in margins:
        root = np.sqrt(each.pixels)
        sizes = [each.certified.mean() / root, each.found.mean() / root, each.found.min() / root]
        ratios = [f"{ratio:.1f}" for ratio in (np.median(each.ratios), each.ratios.min())]
        rows.append([each.name, str(len(each.found)), *(f"{size:.2g}" for size in sizes), *ratios])
    note = "certified, found: distortions, the 2-norm of the change divided by the root of the number of pixels"
    return Table(rows, "What is certified, and the changes found", note)


def _drawn(margins: Sequence[Margins]) -> Picture:
    ratios = {"found / certified, power of 10": {each.name: np.log10(each.ratios) for each in margins}}
    alt = "Boxes for each net of how many times the certified size a found change has, as a power of 10."
    title = "How much larger the changes found are than certified"
    return Picture("ratios", title, alt, functools.partial(picture.draw_spreads, ratios))

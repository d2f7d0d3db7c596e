"""What a unit of a hidden layer stands for, and what a random direction does (Szegedy et al., section 3)."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import tensorflow as tf
from scipy.spatial import distance

from models.errors import InputError
from models.settings import setting
from pipeline.report import picture
from pipeline.report.page import Picture
from pipeline.report.tables import Table
from pipeline.reproduce import nets
from pipeline.reproduce.bench import Bench
from pipeline.reproduce.experiment import SZEGEDY, Claim, Experiment, Findings
from pipeline.retrain import comparison
from pipeline.seeds.source import SeedBatch

UNITS, DIRECTIONS, CHANCE = "single units", "random directions", "no choice: images at random"
_MARGIN = 0.05  # so much less is still "as interpretable": of purity, and of the units' distance
_SHOWN = 4  # units and directions of the picture
_ASKED = 1024  # images that a net is asked about at a time
_DIRECTION_SEED, _CHANCE_SEED = 0, 1


def activities(net: tf.keras.Model, layer: tf.keras.layers.Layer, images: np.ndarray) -> np.ndarray:
    """Returns what a layer gives, float32 `[B, U]`, of images uint8 `[B, H, W, C]`.

    Of a convolution, a unit is one filter at one place.
    """
    part = tf.keras.Model(net.inputs[0], layer.output)
    answers = [
        part(images[start : start + _ASKED].astype(np.float32) / 255.0, training=False).numpy()
        for start in range(0, len(images), _ASKED)
    ]
    return np.concatenate(answers).reshape(len(images), -1)


def lively(values: np.ndarray) -> np.ndarray:
    """Returns the units, columns of `[B, U]`, that are not the same on all images: those no image can stand for."""
    return values[:, values.max(axis=0) > values.min(axis=0)]


def along_random(values: np.ndarray, seed: int) -> np.ndarray:
    """Returns how far activities `[B, U]` reach along U random directions of length 1: float32 `[B, U]`."""
    directions = np.random.default_rng(seed).normal(size=(values.shape[1], values.shape[1]))
    return (values @ (directions / np.linalg.norm(directions, axis=0))).astype(np.float32)


def top(values: np.ndarray, count: int) -> np.ndarray:
    """Returns the `count` images with the highest values, highest first, of each column: int64 `[U, count]`."""
    return np.argsort(-values, axis=0, kind="stable")[:count].T


def purity(labels: np.ndarray) -> np.ndarray:
    """Returns the share of the commonest class, float64 `[U]`, among labels `[U, count]`."""
    return np.array([np.unique(row, return_counts=True)[1].max() for row in labels]) / labels.shape[1]


def distances(images: np.ndarray) -> np.ndarray:
    """Returns the mean distance of two of the images of each row, float64 `[U]`.

    A distance is the root of the mean squared difference of the pixels, 0 to 1.

    Args:
      images: uint8 `[U, count, H, W, C]`, count >= 2.
    """
    flat = images.reshape(*images.shape[:2], -1) / 255.0
    return np.array([distance.pdist(row).mean() for row in flat]) / np.sqrt(flat.shape[-1])


@dataclasses.dataclass(frozen=True)
class Units(Experiment):
    """Images that most activate single units beside those that most activate random directions of the same layer."""

    task: str = setting("", "the task whose nets are asked: its configuration, relative to this file")
    net: str = setting("", "which of its nets")
    layer: str = setting("", "which layer of the net: its name, or its place from 0, which is often the flattening")
    split: str = setting("test", "the split with the images, which the net has not learned")
    images: int = setting(10_000, "images of it, from the first, or as many as there are", low=100, high=1_000_000)
    top: int = setting(8, "images that stand for a unit or a direction", low=2, high=100)

    name: ClassVar[str] = "szegedy-units"
    title: ClassVar[str] = "Section 3: what single units and random directions stand for"
    paper: ClassVar[str] = SZEGEDY
    takes: ClassVar[str] = "4 minutes"

    def run(self, bench: Bench) -> Findings:
        """See `Experiment`."""
        task = bench.task(self.task)
        source = bench.job(task).source
        read = source.read(self.split, range(min(self.images, source.count(self.split))))
        group, _ = bench.nets(task)
        net = nets.model(group, self.net)
        layer = nets.layer(net, self.layer)
        every = activities(net, layer, read.images)
        values = lively(every)
        if not values.shape[1]:
            raise InputError(f"layer '{self.layer}' of '{self.net}' gives the same for all images; name another one.")
        chosen = self._chosen(values)
        pure = {name: purity(read.labels[rows]) for name, rows in chosen.items()}
        apart = {name: distances(read.images[rows]) for name, rows in chosen.items()}
        left_out = every.shape[1] - values.shape[1]
        how = (
            f"The net is {self.net}, its layer {layer.name} after its activation: {values.shape[1]} units, and as many "
            f"directions, each drawn from a normal distribution and brought to length 1. {len(read.images)} images of "
            f"'{self.split}'." + f" {left_out} units that all images activate alike are left out." * bool(left_out)
        )
        note = (
            "The paper shows images of a convolutional net and does not measure; both measures are ours. The intervals "
            "are over units and directions of this one net."
        )
        claims = [_as_pure(pure), _as_near(apart), _beyond_chance(pure)]
        shown = self._drawn(chosen, read, source.class_names())
        return Findings(claims, [self._told(pure, apart)], [shown], [how, note])

    def _chosen(self, values: np.ndarray) -> dict[str, np.ndarray]:
        """Returns the images that stand for units, for directions and, drawn, for nothing: each int64 `[U, top]`."""
        rng = np.random.default_rng(_CHANCE_SEED)
        drawn = np.stack([rng.choice(len(values), self.top, replace=False) for _ in range(values.shape[1])])
        along = along_random(values, _DIRECTION_SEED)
        return {UNITS: top(values, self.top), DIRECTIONS: top(along, self.top), CHANCE: drawn}

    def _told(self, pure: dict[str, np.ndarray], apart: dict[str, np.ndarray]) -> Table:
        rows = [["images that most activate", "how many", "of one class, % (95% interval)", "distance (95% interval)"]]
        for name, shares in pure.items():
            rows.append([name, str(len(shares)), _mean(100 * shares, 1), _mean(apart[name], 3)])
        note = (
            f"of one class: the share of the commonest class among the {self.top} images; distance: root mean square "
            "of the difference of two of them, pixels 0 to 1; intervals by the bootstrap"
        )
        return Table(rows, note=note)

    def _drawn(self, chosen: dict[str, np.ndarray], read: SeedBatch, names: Sequence[str]) -> Picture:
        strips = []
        for name, kind in ((UNITS, "unit"), (DIRECTIONS, "direction")):
            for place, rows in enumerate(chosen[name][:_SHOWN], 1):
                titles = [names[label] for label in read.labels[rows]]
                strips.append(picture.Strip(f"{kind} {place}", read.images[rows], titles))
        alt = f"Rows of the {self.top} images that most activate a unit, then a random direction, with their classes."
        title = "Images that most activate the first units, and the first random directions"
        return Picture("images", title, alt, functools.partial(picture.draw_strips, strips))


def _mean(values: np.ndarray, digits: int) -> str:
    low, high = comparison.interval(values.tolist())
    return f"{values.mean():.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def no_worse(excess: np.ndarray, margin: float) -> bool | None:
    """Tells whether a mean excess of single units is below a margin; None where its interval leaves that open."""
    low, high = comparison.interval(excess.tolist())
    return True if high < margin else False if low > 0 else None


def _as_pure(pure: dict[str, np.ndarray]) -> Claim:
    # Units and directions are no pairs; in any order, the differences' mean varies as that of two samples does.
    excess = pure[UNITS] - pure[DIRECTIONS]
    low, high = (100 * bound for bound in comparison.interval(excess.tolist()))
    return Claim(
        "Random directions are as interpretable as single units: their images are as much of one class.",
        no_worse(excess, _MARGIN),
        f"{100 * pure[UNITS].mean():.1f}% of a unit's images are of one class, {100 * pure[DIRECTIONS].mean():.1f}% of "
        f"a direction's: units have {100 * excess.mean():+.1f} points, 95% interval {low:+.1f} to {high:+.1f}. Below "
        f"{100 * _MARGIN:g} points they count as equal.",
    )


def _as_near(apart: dict[str, np.ndarray]) -> Claim:
    excess = (apart[DIRECTIONS] - apart[UNITS]) / apart[UNITS].mean()
    low, high = (100 * bound for bound in comparison.interval(excess.tolist()))
    return Claim(
        "They look as much alike: their images are as near to each other, pixel by pixel.",
        no_worse(excess, _MARGIN),
        f"the distance is {apart[UNITS].mean():.3f} among a unit's images and {apart[DIRECTIONS].mean():.3f} among a "
        f"direction's, {100 * excess.mean():+.1f}%, 95% interval {low:+.1f} to {high:+.1f}%. Below "
        f"{100 * _MARGIN:g}% they count as equal.",
    )


def _beyond_chance(pure: dict[str, np.ndarray]) -> Claim:
    _, most = comparison.interval(pure[CHANCE].tolist())
    least = min(comparison.interval(pure[name].tolist())[0] for name in (UNITS, DIRECTIONS))
    return Claim(
        "The images of either have something in common.",
        least > most,
        f"of images drawn at random, {100 * pure[CHANCE].mean():.1f}% are of one class.",
    )

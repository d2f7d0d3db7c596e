"""The checkerboard of "The Virtues of Peer Pressure": five nets on X-OR, and the points where one is alone."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np
import tensorflow as tf
from scipy import ndimage

from models import devices, training
from models.errors import InputError
from models.settings import setting
from pipeline import criteria
from pipeline.report import picture
from pipeline.report.page import Picture
from pipeline.report.picture import Plane
from pipeline.report.tables import Table
from pipeline.reproduce.bench import Bench
from pipeline.reproduce.experiment import BALUJA, Claim, Experiment, Findings
from pipeline.retrain import comparison

NEAR = 0.05  # of the square's side: so far from a boundary is by it
_LEARNING_RATE = 0.01
_DATA, _WEIGHTS, _ADDED, _CONTROL = range(4)  # what random numbers of a seed are for
_HOW = (
    "The paper gives the number of points and the nets' sizes, not how they were trained. Here units are tanh, and "
    "every step of Adam sees all points. A net is trained anew from the same first weights, so without new points it "
    "becomes what it was. New points have the peers' label, which may be wrong: that of the highest mean probability. "
    "All nets of a group learn from the same points, so that peers err together by the boundary; how often their label "
    "is right there stands in the table."
)


class Lesson(NamedTuple):
    """What nets of S seeds learn from.

    Attributes:
      points: float32 `[S, B, 2]`, x and y in [0, 1].
      labels: int32 `[S, B]`, 0 or 1.
      weights: float32 `[S, B]`; those of a seed have the sum 1, and what only fills up has 0.
    """

    points: np.ndarray
    labels: np.ndarray
    weights: np.ndarray


class Scan(NamedTuple):
    """What N nets of S seeds say of the G x G cells of the square; P is G * G.

    Attributes:
      probabilities: float32 `[S, N, P, 2]`.
      peer_labels: int32 `[S, N, P]`, what the net's peers vote for, by the mean of their probabilities.
      mistakes: bool `[S, N, P]`, whether the net disagrees with all its peers, which agree.
    """

    probabilities: np.ndarray
    peer_labels: np.ndarray
    mistakes: np.ndarray

    @property
    def classes(self) -> np.ndarray:
        """Each net's class of each cell, int64 `[S, N, P]`."""
        return self.probabilities.argmax(axis=-1)


def truth(points: np.ndarray) -> np.ndarray:
    """Returns the colour of the 2 x 2 checkerboard at points `[..., 2]` of [0, 1]^2: int32 `[...]`, 1 by X-OR."""
    return ((points[..., 0] < 0.5) ^ (points[..., 1] < 0.5)).astype(np.int32)


def cells(grid: int) -> np.ndarray:
    """Returns the middles of G x G cells of the square, float32 `[G * G, 2]`, row by row from y = 0."""
    middles = (np.arange(grid, dtype=np.float32) + 0.5) / grid
    y, x = np.meshgrid(middles, middles, indexing="ij")
    return np.stack([x.ravel(), y.ravel()], axis=1)


def drawn(seed: int, points: int) -> np.ndarray:
    """Returns training points float32 `[points, 2]` of a seed, half of them of either class."""
    rng = np.random.default_rng((_DATA, seed))
    pool = rng.random((20 * points, 2), dtype=np.float32)
    colours = truth(pool)
    return np.concatenate([pool[colours == colour][: points // 2] for colour in (0, 1)])


def scan(probabilities: np.ndarray) -> Scan:
    """Finds where each net is alone, by the pipeline's own criterion: the class is that of the peers.

    Args:
      probabilities: float32 `[S, N, P, 2]`, N >= 2.
    """
    seeds, nets, points, _ = probabilities.shape
    labels = np.zeros((seeds, nets, points), np.int32)
    mistakes = np.zeros((seeds, nets, points), bool)
    for seed, net in np.ndindex(seeds, nets):
        answers = probabilities[seed]
        labels[seed, net] = np.delete(answers, net, axis=0).mean(axis=0).argmax(axis=-1)
        targets = tf.fill([points], net)
        judged = criteria.PeerPressure().judge(tf.constant(answers), tf.constant(labels[seed, net]), targets)
        mistakes[seed, net] = judged.mistake.numpy()
    return Scan(probabilities, labels, mistakes)


def boundary_distances(classes: np.ndarray) -> np.ndarray:
    """Returns how far each cell's middle is from the nearest cell of another class, less half a cell.

    Args:
      classes: `[G, G]`, 0 or 1.

    Returns:
      float64 `[G, G]`, in sides of the square; infinite where there is one class only.
    """
    if classes.min() == classes.max():
        return np.full(classes.shape, np.inf)
    steps = np.where(classes == 1, *(ndimage.distance_transform_edt(classes == one) for one in (1, 0)))
    return (steps - 0.5) / len(classes)


def first_weights(seed: int, width: int) -> list[np.ndarray]:
    """Returns a net's first weights: kernels uniform by Glorot and Bengio's rule, biases 0, of three layers in turn."""
    rng = np.random.default_rng((_WEIGHTS, seed, width))
    weights = []
    for inputs, units in ((2, width), (width, width), (width, 2)):
        limit = np.sqrt(6 / (inputs + units))
        weights += [rng.uniform(-limit, limit, (inputs, units)).astype(np.float32), np.zeros(units, np.float32)]
    return weights


def build(seeds: Sequence[int], width: int) -> tf.keras.Model:
    """Builds nets of one width with the first weights of S seeds as one: `[B, S, 2]` to probabilities `[B, S, 2]`.

    Each net sees its own points only, so that they learn side by side as they would alone.
    """

    def layer(units: int, activation: str) -> tf.keras.layers.Layer:
        return tf.keras.layers.EinsumDense("bsi,sio->bso", (len(seeds), units), activation=activation, bias_axes="so")

    layers = [layer(width, "tanh"), layer(width, "tanh"), layer(2, "softmax")]
    model = tf.keras.Sequential([tf.keras.Input((len(seeds), 2)), *layers])
    model.set_weights([np.stack(each) for each in zip(*(first_weights(seed, width) for seed in seeds))])
    return model


def trained(seeds: Sequence[int], width: int, lesson: Lesson, steps: int, device: str) -> tf.keras.Model:
    """Returns the nets of one width, `build`, trained with all points of a lesson, a row each, in every step."""
    strategy = devices.strategy(device)
    with strategy.scope():
        model = build(seeds, width)
    points, labels, weights = (np.moveaxis(part, 0, 1) for part in lesson)  # nets take `[B, S, 2]`

    def loss(net, batch, step):
        errors = tf.keras.losses.sparse_categorical_crossentropy(batch[1], net(batch[0]))
        return tf.reduce_sum(batch[2] * errors)

    batches = tf.data.Dataset.from_tensors((points, labels, weights)).cache().repeat()
    training.fit(model, batches, loss, steps, 1, _LEARNING_RATE, strategy)
    return model


def asked(model: tf.keras.Model, points: np.ndarray) -> np.ndarray:
    """Returns probabilities float32 `[S, P, 2]` that nets of all seeds, `build`, give of the same points `[P, 2]`."""
    seeds = model.input_shape[1]
    every = np.broadcast_to(points[:, None], (len(points), seeds, 2))
    return np.moveaxis(model.predict(every, batch_size=4096, verbose=0), 0, 1)


def with_points(lesson: Lesson, points: Sequence[np.ndarray], labels: Sequence[np.ndarray]) -> Lesson:
    """Returns a lesson with more points for each seed, `[A, 2]` with labels `[A]`; A may differ from seed to seed."""
    most = max(map(len, points))
    seeds, count = lesson.labels.shape
    more = Lesson(np.zeros((seeds, most, 2), np.float32), np.zeros((seeds, most), np.int32), np.zeros((seeds, most)))
    for seed, (own, own_labels) in enumerate(zip(points, labels, strict=True)):
        more.points[seed, : len(own)], more.labels[seed, : len(own)] = own, own_labels
        more.weights[seed, : len(own)] = 1
    whole = Lesson(*(np.concatenate(parts, axis=1) for parts in zip(lesson, more)))
    weights = np.concatenate([np.ones((seeds, count)), more.weights], axis=1)
    return whole._replace(weights=(weights / weights.sum(axis=1, keepdims=True)).astype(np.float32))


class Errors(NamedTuple):
    """Errors against the true checkerboard, shares of the square, each float64 `[S, N]`.

    Attributes:
      nothing: of the nets as they were; they are what training anew without new points gives.
      random: trained anew with random points as well.
      mistakes: trained anew with their own high-value mistakes as well, as many.
      true: the same, with the true labels in place of the peers': what the points do, not their labels.
    """

    nothing: np.ndarray
    random: np.ndarray
    mistakes: np.ndarray
    true: np.ndarray


@dataclasses.dataclass(frozen=True)
class Checkerboard(Experiment):
    """Five nets learn X-OR; the square is scanned for the points where one is alone; each learns from its own."""

    seeds: int = setting(20, "how many times, each with other training points and first weights", low=1, high=1000)
    points: int = setting(200, "training points, half of them of either class", low=2, high=10_000)
    widths: tuple[int, ...] = setting((10, 12, 14, 16, 18), "units of each net's two hidden layers; at least 3 nets")
    steps: int = setting(2000, "steps of training, each with all points", low=1, high=1_000_000)
    grid: int = setting(200, "cells of the scan along each side", low=2, high=2000)
    added: int = setting(50, "points that a net is taught, at most", low=1, high=10_000)

    name: ClassVar[str] = "checkerboard"
    title: ClassVar[str] = "Figures 2 to 4: five nets on a checkerboard, and where one is alone"
    paper: ClassVar[str] = f"{BALUJA}; what the points teach, it leaves open"
    takes: ClassVar[str] = "3 minutes"

    def run(self, bench: Bench) -> Findings:
        """See `Experiment`."""
        if len(self.widths) < 3:
            raise InputError(f"widths names {len(self.widths)} nets, expected at least 3: one is alone among others.")
        lesson = self._lesson()
        answers = [self._answers(range(self.seeds), width, lesson, bench.device) for width in self.widths]
        found = scan(np.stack(answers, axis=1))
        near, learned = _near(found), self._learned(found, lesson, bench.device)
        claims = [self._exist(found), _by_boundaries(near), *_taught(learned)]
        tables = [_told(found, near, self.widths), _compared(learned, self.widths)]
        return Findings(claims, tables, self._drawn(found, lesson), [_HOW])

    def _lesson(self) -> Lesson:
        points = np.stack([drawn(seed, self.points) for seed in range(self.seeds)])
        return Lesson(points, truth(points), np.full(points.shape[:2], 1 / points.shape[1], np.float32))

    def _learned(self, found: Scan, lesson: Lesson, device: str) -> Errors:
        """Trains every net anew from its first weights, with random points and with its own mistakes."""
        square, seeds = cells(self.grid), range(self.seeds)
        true = np.broadcast_to(truth(square), found.peer_labels.shape)
        after = []
        for net, width in enumerate(self.widths):
            lessons = []
            for choose, labels in ((_random, found.peer_labels), (_own, found.peer_labels), (_own, true)):
                chosen = [choose(found.mistakes[seed, net], self.added, (seed, net)) for seed in seeds]
                taught = [labels[seed, net, each] for seed, each in zip(seeds, chosen)]
                lessons.append(with_points(lesson, [square[each] for each in chosen], taught))
            whole = Lesson(*(np.concatenate(parts) for parts in zip(*lessons)))
            answers = self._answers([*seeds] * len(lessons), width, whole, device)
            errors = (answers.argmax(axis=-1) != truth(square)).mean(axis=-1)
            after.append(errors.reshape(len(lessons), self.seeds))
        return Errors((found.classes != true).mean(axis=-1), *np.stack(after, axis=-1))

    def _answers(self, seeds: Sequence[int], width: int, lesson: Lesson, device: str) -> np.ndarray:
        """Returns what nets trained from the first weights of S seeds say of all cells, float32 `[S, P, 2]`."""
        return asked(trained(seeds, width, lesson, self.steps, device), cells(self.grid))

    def _exist(self, found: Scan) -> Claim:
        some = found.mistakes.any(axis=-1)
        whole = int(some.all(axis=-1).sum())
        return Claim(
            "Every net has points where it disagrees with all others, which agree.",
            bool(some.all()),
            f"{int(some.sum())} of {some.size} nets have some; in {whole} of {self.seeds} groups all "
            f"{len(self.widths)} have. A net has them on {100 * found.mistakes.mean():.2f}% of the square.",
        )

    def _drawn(self, found: Scan, lesson: Lesson) -> list[Picture]:
        """Draws the nets of the first seed: what they learned from and learned, and where each is alone."""
        square, side = cells(self.grid), (self.grid, self.grid)
        nothing = np.zeros((0, 2)), np.zeros(0, np.int32)
        learned = Plane("training points", truth(square).reshape(side), lesson.points[0], lesson.labels[0])
        before, alone = [learned], [learned]
        for net, width in enumerate(self.widths):
            classes, own = found.classes[0, net].reshape(side), found.mistakes[0, net]
            before.append(Plane(_name(width), classes, *nothing))
            told = f"{_name(width)}: {int(own.sum())} cells"
            alone.append(Plane(told, classes, square[own], found.peer_labels[0, net, own]))
        return [
            Picture(
                "boundaries",
                "What each net learned",
                "The square in two colours: the true checkerboard with the training points, then what each net says.",
                functools.partial(picture.draw_planes, before),
            ),
            Picture(
                "mistakes",
                "Where each net is alone, in the colour that its peers give",
                "What each net says of the square, with the points where all others say otherwise: by its boundary.",
                functools.partial(picture.draw_planes, alone),
            ),
        ]


def _own(mistakes: np.ndarray, most: int, seeds: tuple[int, int]) -> np.ndarray:
    """Returns cells of a net's mistakes, bool `[P]`; where there are more than `most`, so many at random."""
    own = np.flatnonzero(mistakes)
    return np.random.default_rng((_ADDED, *seeds)).choice(own, min(most, len(own)), replace=False)


def _random(mistakes: np.ndarray, most: int, seeds: tuple[int, int]) -> np.ndarray:
    """Returns as many cells of the whole square, at random."""
    count = min(most, int(mistakes.sum()))
    return np.random.default_rng((_CONTROL, *seeds)).choice(len(mistakes), count, replace=False)


class _Near(NamedTuple):
    """Which shares lie within `NEAR` of a boundary, each float64 `[N]`, over all seeds.

    Attributes:
      own: of a net's mistakes, to its own boundary.
      square: of the whole square, to the net's own boundary.
      true: of a net's mistakes, to a true boundary.
    """

    own: np.ndarray
    square: np.ndarray
    true: np.ndarray


def _near(found: Scan) -> _Near:
    seeds, nets, count = found.mistakes.shape
    side = round(count**0.5)
    by_own = np.zeros((seeds, nets, count), bool)
    for seed, net in np.ndindex(seeds, nets):
        by_own[seed, net] = boundary_distances(found.classes[seed, net].reshape(side, side)).ravel() < NEAR
    by_true = np.abs(cells(side) - 0.5).min(axis=1) < NEAR
    alone = np.maximum(found.mistakes.sum(axis=(0, 2)), 1)
    own, true = ((found.mistakes & by).sum(axis=(0, 2)) / alone for by in (by_own, by_true))
    return _Near(own, by_own.mean(axis=(0, 2)), true)


def _by_boundaries(near: _Near) -> Claim:
    own, square, true = (100 * part.mean() for part in near)
    return Claim(
        "These points lie by the decision boundaries.",
        bool((near.own > near.square).all() and own > 50),
        f"{own:.0f}% lie within {NEAR:g} of the net's own boundary, where {square:.0f}% of the square do; "
        f"{true:.0f}% lie as near to the true one.",
    )


def _taught(learned: Errors) -> list[Claim]:
    """Returns what the new points do, the mean over the nets of a group being one number."""
    own = "trained anew with its own points as well, a net errs less than with"
    right = "with the true labels in place of the peers', they lower the error"
    return [
        _lower(f"{own} no new points", learned.mistakes - learned.nothing),
        _lower(f"{own} as many random points", learned.mistakes - learned.random),
        _lower(right, learned.true - learned.nothing),
    ]


def _lower(text: str, differences: np.ndarray) -> Claim:
    low, high = (100 * bound for bound in comparison.interval(differences.mean(axis=1).tolist()))
    return Claim(
        f"Open in the paper: {text}.",
        None if low <= 0 <= high else high < 0,
        f"the error differs by {100 * differences.mean():+.2f} points, 95% interval {low:+.2f} to {high:+.2f} "
        f"({len(differences)} groups of nets).",
    )


def _told(found: Scan, near: _Near, widths: Sequence[int]) -> Table:
    right = found.peer_labels == truth(cells(round(found.mistakes.shape[-1] ** 0.5)))
    rows = [["net", "groups with some", "% of the square", "% near own boundary", "% of square near it"]]
    rows[0] += ["% near true boundary", "% peers right"]
    for net, width in enumerate(widths):
        own = found.mistakes[:, net]
        figures = [own.mean(), near.own[net], near.square[net], near.true[net], right[:, net][own].mean()]
        shown = [f"{100 * figures[0]:.2f}", *(f"{100 * figure:.0f}" for figure in figures[1:])]
        rows.append([_name(width), f"{int(own.any(axis=1).sum())} of {len(own)}", *shown])
    note = f"near: within {NEAR:g} of the square's side; peers right: by the true checkerboard"
    return Table(rows, "Points where a net is alone", note)


def _compared(learned: Errors, widths: Sequence[int]) -> Table:
    arms = ["no new points", "random points", "own points", "own, true labels"]
    rows = [["net", *arms, "own - none", "own - random"]]
    places = [[net] for net in range(len(widths))] + [list(range(len(widths)))]
    for nets, name in zip(places, [*map(_name, widths), "all"], strict=True):
        nothing, random, own, true = (100 * each[:, nets].mean(axis=1) for each in learned)
        shown = [f"{each.mean():.2f}" for each in (nothing, random, own, true)]
        rows.append([name, *shown, *(_difference(own - other) for other in (nothing, random))])
    note = (
        f"% of the square where a net is wrong, means over {len(learned.nothing)} groups of nets; differences in "
        "points with their 95% intervals (bootstrap over groups); own, true labels: the same points, labelled rightly"
    )
    return Table(rows, "Error against the true checkerboard", note)


def _difference(values: np.ndarray) -> str:
    low, high = comparison.interval(values.tolist())
    return f"{values.mean():+.2f} ({low:+.2f} to {high:+.2f})"


def _name(width: int) -> str:
    return f"2-{width}-{width}-2"

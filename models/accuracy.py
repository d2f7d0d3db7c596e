"""How many images of known class a net gets right, and what may be wrong with it, or with the data, where it is few."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from models.preflight import Asked

_ENOUGH = 30  # images; of fewer, what is above chance cannot be told
_CLEARLY = 0.2  # more of the images, so that it is no accident of the sample
_TOLD_APART = 0.7  # of the images; a net that tells so many apart knows the classes, by whatever names

# How other nets would take images, and what to do about it. Grey images have the same channels in any order.
_VIEWS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], str]] = {
    "with pixels from 0 to 255": (lambda images: images * 255.0, "set input_range = [0.0, 255.0]"),
    "with pixels from -1 to 1": (lambda images: images * 2.0 - 1.0, "set input_range = [-1.0, 1.0]"),
    "with black and white exchanged": (lambda images: 1.0 - images, "set input_range = [1.0, 0.0]"),
    "with their channels in reverse order": (lambda images: images[..., ::-1], "reverse them at its beginning"),
    "with pixels from 0 to 255 and their channels in reverse order": (
        lambda images: images[..., ::-1] * 255.0,
        "reverse them at its beginning, and set input_range = [0.0, 255.0]",
    ),
}


def accuracy(answers: np.ndarray, labels: np.ndarray) -> float:
    """Returns the share of answers `[B, K]` (B at least 1) whose likeliest class is the label `[B]`."""
    return float((answers.argmax(axis=-1) == labels).mean())


def is_low(value: float, best: float, images: int, classes: int) -> bool:
    """Tells whether an accuracy is below half of the best peer's, or within two standard errors of chance.

    Args:
      value: the accuracy.
      best: that of the best peer.
      images: how many images it was measured on.
      classes: K.
    """
    chance = 1.0 / classes
    near = chance + 2.0 * np.sqrt(chance * (1.0 - chance) / images)
    return value < best / 2.0 or (images >= _ENOUGH and value <= near)


def likely_cause(asked: Asked, images: np.ndarray, labels: np.ndarray, class_names: list[str]) -> str:
    """Says, in a sentence's half, why a net may get so few images right, by trying what is usually the matter.

    Args:
      asked: the net.
      images: float32 `[B, H, W, C]` in [0, 1].
      labels: integers `[B]`, 0 to K - 1.
      class_names: `[K]`.
    """
    answers = asked.batches(images)
    measured = {how: accuracy(asked.batches(view(images)), labels) for how, (view, _) in _VIEWS.items()}
    how, best = max(measured.items(), key=lambda one: one[1])
    # Of few images a class, any answers tell most apart.
    renamed = _told_apart(answers, labels) if len(images) >= 10 * len(class_names) else 0.0
    if renamed > best and renamed >= _TOLD_APART:
        return (
            f"under other names for its classes it gets {renamed:.2f} right: they are in another order than those of "
            f"the seed images ({', '.join(class_names)})"
        )
    if best >= accuracy(answers, labels) + _CLEARLY:
        return f"shown images {how} it gets {best:.2f} right: {_VIEWS[how][1]}"
    return (
        "it may take another range of pixels than 0 to 1 (set input_range, or input_mean and input_std), its channels "
        "or classes in another order, or have learned from another dataset"
    )


def _told_apart(answers: np.ndarray, labels: np.ndarray) -> float:
    """Returns the share of answers right if each class of the net's were called what it mostly is."""
    given = answers.argmax(axis=-1)
    return sum(np.bincount(labels[given == one]).max() for one in np.unique(given)) / len(labels)

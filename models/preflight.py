"""Checks on a net before any search: each failure is one sentence that names the net and the number."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from models import kernels
from models.classifier import Classifier
from models.errors import InputError
from models.kernels import Kernels

Predict = Callable[[tf.Tensor], tf.Tensor]
Shape = tuple[int, int, int]

_SUM_TOLERANCE = 1e-2  # a softmax in bfloat16 has sums that are off by 0.004
_BATCH = 32  # real images in one call: one shape for all calls, compiled once
_ALONE = 32  # how many real images are asked one by one
# By how much a probability may differ. Beside other images: the program is the same, so that an honest net differs by
# nothing, in float16 too; `verify` lets probabilities differ by as much. Alone: the program is another and may add in
# another order, which in bfloat16 (8 bits) moves logits near 10 by some 0.1, and probabilities by a quarter of that.
_BESIDE_TOLERANCE, _ALONE_TOLERANCE = 1e-3, 0.05


def check(classifier: Classifier) -> None:
    """Asks a net about a black, a white and a random image, with the kernels that it will have in the search.

    Raises:
      InputError: the net fails on its own input shape or cannot be compiled, or its answers have the wrong shape,
        are not finite, are not probabilities, or differ from call to call.
    """
    check_answers(classifier, ask(classifier.name, classifier.predict, classifier.input_shape, classifier.kernels))


def check_answers(classifier: Classifier, answers: np.ndarray) -> None:
    """Does the checks of `check` on the answers `[2, 3, ...]` that `ask` got: to compile a net takes time."""
    first, second = answers
    expected = (len(first), classifier.num_classes)
    if first.shape != expected:
        raise InputError(
            f"Net {classifier.name!r} answers with shape {first.shape}, not {expected}; give the net that was meant."
        )
    _require_finite(classifier.name, first)
    _require_probabilities(classifier.name, first)
    _require_equal(classifier.name, first, second)


class Asked:
    """A net compiled for batches of real images of one shape, whatever their number.

    Args:
      classifier: the net.
    """

    def __init__(self, classifier: Classifier):
        self.classifier = classifier
        self._compiled = kernels.compiled(classifier.predict, classifier.kernels)

    def batches(self, images: np.ndarray, fill: float = 0.0, room: int = _BATCH) -> np.ndarray:
        """Returns answers float32 `[B, K]` to images float32 `[B, H, W, C]`.

        Args:
          images: the images.
          fill: the grey of the images that fill each batch up.
          room: how many of a batch's places images take, at most.

        Raises:
          InputError: the net fails.
        """
        answers = []
        for start in range(0, len(images), room):
            rows = images[start : start + room]
            filling = np.full((_BATCH - len(rows), *rows.shape[1:]), fill, np.float32)
            answers.append(self._answers(np.concatenate([rows, filling]))[: len(rows)])
        return np.concatenate(answers)

    def alone(self, images: np.ndarray) -> np.ndarray:
        """Returns answers float32 `[B, K]` to images float32 `[B, H, W, C]`, one image a call.

        Raises:
          InputError: the net fails.
        """
        return np.concatenate([self._answers(image[None]) for image in images])

    def _answers(self, images: np.ndarray) -> np.ndarray:
        answers = _call(self.classifier.name, self._compiled, images)
        expected = (len(images), self.classifier.num_classes)
        if answers.shape != expected:
            raise InputError(
                f"Net {self.classifier.name!r} answers a batch of {len(images)} with shape {answers.shape}, not "
                f"{expected}; give a net that takes any number of images."
            )
        return answers


def check_on(asked: Asked, images: np.ndarray) -> np.ndarray:
    """Checks on real images that what a net says of one is a function of that image.

    Every image is asked about twice in the same batch, and once in a batch of other images; some are asked about alone.

    Args:
      asked: the net.
      images: float32 `[B, H, W, C]` in [0, 1], at least one.

    Returns:
      Its answers, float32 `[B, K]`; those to some of the images may not be finite.

    Raises:
      InputError: the net fails, its answers are not probabilities or never finite, or the same image gets answers that
        differ by more than rounding.
    """
    name, first = asked.classifier.name, asked.batches(images)
    finite = np.isfinite(first).all(axis=-1)
    if not finite.any():
        raise InputError(
            f"Net {name!r} gives values that are not finite on each of {len(images)} seed images; train it anew."
        )
    _require_probabilities(name, first[finite])
    _require_equal(name, first, asked.batches(images))
    order = np.random.default_rng(0).permutation(len(images))
    beside = np.empty_like(first)
    beside[order] = asked.batches(images[order], fill=1.0, room=_BATCH * 3 // 4)
    _require_near(name, _change(first, beside), _BESIDE_TOLERANCE, "in two batches of other images")
    alone = asked.alone(images[:_ALONE])
    _require_near(name, _change(first[:_ALONE], alone), _ALONE_TOLERANCE, "alone and in a batch")
    return first


def _change(first: np.ndarray, second: np.ndarray) -> float:
    """Returns the largest difference of answers `[B, K]`; infinity where one alone is finite."""
    same = (first == second) | (~np.isfinite(first) & ~np.isfinite(second))
    with np.errstate(invalid="ignore"):
        change = np.where(same, 0.0, np.abs(first - second))
    return float(np.nan_to_num(change, nan=np.inf, posinf=np.inf).max())


def _require_equal(name: str, first: np.ndarray, second: np.ndarray) -> None:
    if change := _change(first, second):
        raise InputError(
            f"Net {name!r} is not deterministic: two calls on the same images differ by {change:.3g}; "
            "switch off what is random in it (such as dropout) for inference."
        )


def _require_near(name: str, change: float, tolerance: float, where: str) -> None:
    if change > tolerance:
        raise InputError(
            f"Net {name!r} does not answer each image by itself: its probabilities for the same seed image differ by "
            f"{change:.3g} {where} (rounding explains {tolerance:g}); give a net exported for inference, that does not "
            "normalise by the moments of its batch."
        )


def check_logits(name: str, answers: np.ndarray) -> None:
    """Raises InputError if answers `[B, K]`, declared logits, are probabilities: softmax would flatten them again."""
    if _in_range(answers) and np.all(np.abs(answers.sum(axis=-1) - 1.0) <= _SUM_TOLERANCE):
        raise InputError(
            f"Net {name!r} gives probabilities where logits are expected (every row sums to 1); "
            "remove from_logits = true."
        )


def agree(classifiers: Sequence[Classifier], input_shape: tuple[int, int, int], num_classes: int) -> None:
    """Raises InputError unless every net takes the seed images' shape `(H, W, C)` and knows their classes."""
    for classifier in classifiers:
        require_shape(classifier.name, classifier.input_shape, input_shape)
        if classifier.num_classes != num_classes:
            raise InputError(
                f"Net {classifier.name!r} has {classifier.num_classes} classes and the seed images have {num_classes}; "
                "use a net that was trained on these classes."
            )


def check_varies(classifier: Classifier) -> None:
    """Raises InputError if a net says the same of every image of `check`: there would be nothing to climb."""
    answers = ask(classifier.name, classifier.predict, classifier.input_shape, classifier.kernels)[0]
    if not np.any(answers != answers[0]):
        raise InputError(
            f"Net {classifier.name!r} is constant: it says the same of a black, a white and a random image, so that "
            "there is nothing to climb. Train it anew."
        )


def check_gradient(classifier: Classifier) -> None:
    """Checks, on the images of `check`, that a net can be attacked along its gradient.

    Raises:
      InputError: the net has no gradient, or none that is finite and not zero on any image, as where its units are
        saturated: no attack would find a twin, and the net would look robust.
    """
    images = tf.constant(_probes(classifier.input_shape), tf.float32)

    def slope() -> tf.Tensor | None:
        with tf.GradientTape() as tape:
            tape.watch(images)
            likeliest = tf.reduce_max(classifier.predict(images), axis=-1)
        return tape.gradient(likeliest, images)

    try:
        gradient = kernels.compiled(slope, classifier.kernels)()
    except Exception as error:  # a net of the user's can fail in any way
        raise InputError(
            f"Net {classifier.name!r} fails when its gradient is asked for ({reason(error)}); give a `.keras` file, "
            "or a SavedModel exported with its gradients."
        ) from error
    if gradient is None:
        raise InputError(
            f"Net {classifier.name!r} has no gradient with respect to its images; give a `.keras` file, or a "
            "SavedModel exported with its gradients."
        )
    if not np.any(np.isfinite(gradient) & (gradient != 0)):
        raise InputError(
            f"Net {classifier.name!r} has a gradient of zero, or none that is finite, on a black, a white and a random "
            "image: its units are saturated, it is constant, or it has an operation without a derivative, so that no "
            "attack could climb; that does not make it robust. Train it anew."
        )


def require_shape(name: str, input_shape: tuple[int, int, int], image_shape: tuple[int, int, int]) -> None:
    """Raises InputError unless a net's input shape `(H, W, C)` is that of the images."""
    if tuple(input_shape) != tuple(image_shape):
        raise InputError(
            f"Net {name!r} takes images of shape {tuple(input_shape)} and the seed images have {tuple(image_shape)}; "
            "use a net that was trained on images of this shape, or set resize = true."
        )


def fastest_kernels(name: str, predict: Predict, input_shape: Shape) -> Kernels:
    """Returns the kernels for a net (`models.kernels.fastest`).

    Raises:
      InputError: the net fails.
    """
    try:
        return kernels.fastest(predict, input_shape)
    except Exception as error:  # a net of the user's can fail in any way
        raise _failed(name, input_shape, error) from error


def ask(name: str, predict: Predict, input_shape: Shape, its_kernels: Kernels) -> np.ndarray:
    """Returns a net's answers `[2, 3, ...]`, of two equal calls, to a black, a white and a random image.

    Raises:
      InputError: the net fails.
    """
    images = _probes(input_shape)
    compiled = kernels.compiled(predict, its_kernels)
    return np.stack([_call(name, compiled, images) for _ in range(2)])


def _call(name: str, compiled: Callable[[tf.Tensor], tf.Tensor], images: np.ndarray) -> np.ndarray:
    try:
        return compiled(tf.constant(images, tf.float32)).numpy()
    except Exception as error:  # a net of the user's can fail in any way
        raise _failed(name, images.shape[1:], error) from error


def _failed(name: str, shape: tuple[int, ...], error: Exception) -> InputError:
    return InputError(
        f"Net {name!r} fails on images of shape {shape} in a function compiled by XLA "
        f"({reason(error)}); give a net that takes this shape and is made of operations that XLA compiles."
    )


def _probes(input_shape: tuple[int, int, int]) -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, input_shape)
    return np.stack([np.zeros(input_shape), np.full(input_shape, 255), noise]) / 255.0


def reason(error: Exception) -> str:
    """Returns the first line of an error's message, short enough to stand in a sentence."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200].rstrip(" .:;") if lines else type(error).__name__


def _in_range(answers: np.ndarray) -> bool:
    return bool(answers.min() >= -_SUM_TOLERANCE and answers.max() <= 1.0 + _SUM_TOLERANCE)


def _require_finite(name: str, answers: np.ndarray) -> None:
    for image, row in zip(("a black", "a white", "a random"), answers, strict=True):
        bad = np.count_nonzero(~np.isfinite(row))
        if bad:
            raise InputError(
                f"Net {name!r} gives {bad} of {row.size} values that are not finite on {image} image; train it anew."
            )


def _require_probabilities(name: str, answers: np.ndarray) -> None:
    sums = answers.sum(axis=-1)
    worst = sums[np.argmax(np.abs(sums - 1.0))]
    if not _in_range(answers):
        raise InputError(
            f"Net {name!r} gives logits where probabilities are expected (a row sums to {worst:.4g}, "
            f"values run from {answers.min():.4g} to {answers.max():.4g}); set from_logits = true."
        )
    if abs(worst - 1.0) > _SUM_TOLERANCE:
        raise InputError(
            f"Net {name!r} gives values in [0, 1] that are not probabilities of one class (a row sums to {worst:.4g}, "
            "not 1); end it with softmax instead of sigmoid."
        )

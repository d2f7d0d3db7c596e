"""The reference for the batched L-BFGS: SciPy's L-BFGS-B, image by image, each c from the original."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import scipy.optimize
import tensorflow as tf

from pipeline.search.attacks import gradient
from pipeline.search.attacks.gradient import Evaluation, Net, Originals
from pipeline.search.attacks.lbfgs import LBFGS


def twin(net: Net, start: Originals, row: int, lbfgs: LBFGS, eager: bool) -> np.ndarray | None:
    """Attacks one image with the objective, bracketing and bisection of `lbfgs`.

    Args:
      net: as in `gradient.Attack`.
      start: the images, of which `row` is attacked.
      row: which.
      lbfgs: the settings.
      eager: ask the net in eager TensorFlow, or compiled.

    Returns:
      The twin with the largest c that succeeds, on the uint8 grid, float32 `[1, H, W, C]` in [0, 1]; None without one.
    """
    one = Originals(*(field[row : row + 1] for field in start))

    def evaluate(image: tf.Tensor) -> Evaluation:
        return gradient.evaluate(net, image, one)

    ask = evaluate if eager else tf.function(evaluate, jit_compile=True)
    good, bad, c, best, tries = 0.0, math.inf, lbfgs.first_c, None, 0
    while tries < (lbfgs.bisections if good and math.isfinite(bad) else lbfgs.brackets):
        stored = gradient.to_grid(minimum(ask, one.images.numpy(), c, lbfgs))
        success, bracketed = bool(ask(stored).misread[0]), good > 0 and math.isfinite(bad)
        good, bad, best = (c, bad, stored.numpy()) if success else (good, c, best)
        now = good > 0 and math.isfinite(bad)
        tries = 0 if now and not bracketed else tries + 1
        c = math.sqrt(good * bad) if now else (good * 10 if good else bad / 10)
    return best


def minimum(ask: Callable[[tf.Tensor], Evaluation], original: np.ndarray, c: float, lbfgs: LBFGS) -> tf.Tensor:
    """Returns the minimum of c |r|^2 + loss that SciPy finds from the original, float32 `[1, H, W, C]`.

    Args:
      ask: gives the net's word on float32 `[1, H, W, C]`.
      original: the image, float32 `[1, H, W, C]` in [0, 1].
      c: the weight of the squared change.
      lbfgs: the settings.
    """
    flat = original.ravel().astype(np.float64)

    def objective(point: np.ndarray) -> tuple[float, np.ndarray]:
        answer = ask(tf.constant(point.reshape(original.shape), tf.float32))
        change = point - flat
        slope = answer.gradient.numpy().ravel().astype(np.float64)
        return float(answer.loss[0]) + c * change @ change, slope + 2 * c * change

    options = {"maxiter": lbfgs.iterations, "maxcor": lbfgs.memory}
    bounds = [(0.0, 1.0)] * flat.size
    found = scipy.optimize.minimize(objective, flat, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return tf.constant(found.x.reshape(original.shape), tf.float32)

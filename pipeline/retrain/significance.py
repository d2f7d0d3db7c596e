"""Whether differences could be chance: a paired permutation test, and Holm's correction for several recipes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

LEVEL = 0.05
_DRAWS = 10_000  # of signs, where there are more than so many ways to flip them


def sign_flip(differences: Sequence[float]) -> float:
    """Returns the two-sided p-value of a mean of paired differences by flipping their signs.

    Of all ways to flip them, the share whose mean is as far from 0: exact up to 13 differences. Of more, 10,000 ways
    are drawn, the differences as they are among them. The null hypothesis is that each is as likely to have the other
    sign. Source: Fisher, "The Design of Experiments" (1935), section 21.

    Args:
      differences: at least one.
    """
    values = np.asarray(differences, np.float64)
    if 2 ** len(values) <= _DRAWS:
        signs = np.array(list(itertools.product((1.0, -1.0), repeat=len(values))))
    else:
        drawn = np.random.default_rng(0).choice((1.0, -1.0), (_DRAWS - 1, len(values)))
        signs = np.concatenate([np.ones((1, len(values))), drawn])
    sums = np.abs(signs @ values)
    return float(np.mean(sums >= sums[0] - 1e-9 * np.abs(values).sum()))  # equal ones may differ by rounding


def least(count: int) -> float:
    """Returns the least p-value that `sign_flip` can give of so many differences."""
    return max(2.0 ** (1 - count), 1.0 / _DRAWS)


def holm(values: Sequence[float]) -> list[float]:
    """Returns p-values corrected for being several, in their order, so that a mistake in any is as rare as they say.

    Source: Holm, "A Simple Sequentially Rejective Multiple Test Procedure" (1979).
    """
    corrected, last = [0.0] * len(values), 0.0
    for rank, place in enumerate(np.argsort(values, kind="stable")):
        last = max(last, min(1.0, (len(values) - rank) * values[place]))
        corrected[place] = last
    return corrected

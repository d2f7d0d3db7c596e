"""Shares and means of a run's trials, with the interval that a share has."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import records

_Z95 = 1.959963984540054


def wilson(found: int, trials: int) -> tuple[float, float]:
    """Returns the 95% Wilson score interval of a share; (0, 1) without trials."""
    if not trials:
        return 0.0, 1.0
    share, weight = found / trials, _Z95**2 / trials
    middle = (share + weight / 2) / (1 + weight)
    half = _Z95 * math.sqrt(share * (1 - share) / trials + weight / (4 * trials)) / (1 + weight)
    return max(0.0, middle - half), min(1.0, middle + half)


def percent(count: int, of: int) -> str:
    """Returns a share in percent with its 95% Wilson interval, "-" of nothing."""
    low, high = (100 * bound for bound in wilson(count, of))
    return f"{100 * count / of:.1f} ({low:.1f} to {high:.1f})" if of else "-"


def rate(manifest: Mapping[str, Any], target_net: str) -> tuple[int, int]:
    """Returns of a run's manifest how many examples were found for a target net, and in how many trials."""
    own = manifest["counts"].get(target_net, {})
    return own.get(records.FOUND, 0), sum(own.get(outcome, 0) for outcome in records.TRIAL_OUTCOMES)


def mean(column: pa.ChunkedArray) -> float:
    """Returns the mean of the finite values, NaN if there is none."""
    value = pc.mean(column.filter(pc.is_finite(column))).as_py()
    return math.nan if value is None else value


def median(column: pa.ChunkedArray) -> float:
    """Returns the median, NaN of nothing."""
    return float(np.median(column.to_numpy())) if len(column) else math.nan


def classes(found: pa.Table, nets: int) -> np.ndarray:
    """Returns the class, int `[R, N]`, that each of N nets gives each stored image."""
    if not found.num_rows:
        return np.zeros((0, nets), np.int64)
    after = np.array(found["probabilities_after"].to_pylist(), np.float32)
    return after.reshape(found.num_rows, nets, -1).argmax(-1)


def shares(flags: np.ndarray) -> tuple[float, ...]:
    """Returns the share of true ones in each column of bool `[R, N]`, NaN without rows."""
    return tuple(flags.mean(axis=0)) if len(flags) else (math.nan,) * flags.shape[1]

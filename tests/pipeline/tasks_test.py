"""Which seed images are trials of a method."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline import tasks
from pipeline.config import Search

# Of two nets: both right; the second wrong; both wrong; the first gives NaN.
ANSWERS = np.array(
    [[[0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [np.nan, 0.5]], [[0.9, 0.1], [0.3, 0.7], [0.2, 0.8], [0.9, 0.1]]]
)
RIGHT, AGREED, FINITE = [1, 0, 0, 0], [1, 0, 1, 0], [1, 1, 1, 0]


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        (Search("hillclimb"), RIGHT),
        (Search("hillclimb", class_from="consensus"), AGREED),
        (Search("lbfgs"), RIGHT),
        (Search("scan"), FINITE),
        (Search("scan", class_from="consensus"), FINITE),
    ],
)
def test_a_search_needs_all_nets_right_and_a_scan_finite_numbers(search, expected):
    usable = tasks.usable(search, ANSWERS.astype(np.float32), np.zeros(4, np.int32))
    assert usable.tolist() == [bool(flag) for flag in expected]

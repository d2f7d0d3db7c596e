from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.search.moves.in_graph import Pace
from tests.pipeline import nets
from tests.pipeline.search.moves import reference


class _Steady(Pace):
    """Blocks of one length."""

    def __init__(self, steps: int):
        self.steps = steps

    def took(self, steps: int, seconds: float) -> None:
        pass


def _in_blocks(steps: int) -> Any:
    runner = copy.copy(reference.runner())
    runner.pace = _Steady(steps)
    return runner


@pytest.mark.parametrize("steps", [1, 7])
def test_the_length_of_the_blocks_does_not_matter_bit_for_bit(steps):
    result = reference.SEARCH.run(_in_blocks(steps), nets.seeds(reference.COUNT))
    tf.nest.map_structure(np.testing.assert_array_equal, result, reference.searched())


def test_after_each_block_it_is_told_how_many_trials_have_ended():
    told = []
    seeds = nets.seeds(reference.COUNT)
    result = reference.SEARCH.run(_in_blocks(1), seeds, lambda ended, trials: told.append((ended, trials)))
    ended, trials = zip(*told)
    assert set(trials) == {len(result.searched.asked)}
    assert ended[0] == 0 and ended[-1] < trials[0] and list(ended) == sorted(ended) and len(set(ended)) > 10


def test_who_is_told_can_end_the_search():
    told = []

    def tell(ended: int, trials: int) -> None:
        told.append(ended)
        if len(told) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reference.SEARCH.run(_in_blocks(1), nets.seeds(reference.COUNT), tell)
    assert len(told) == 3


@pytest.mark.parametrize(
    ("before", "seconds", "after"),
    [(100, 4.0, 50), (100, 2.0, 100), (100, 1.0, 200), (100, 0.0, 800), (1, 60.0, 1), (2**31 - 1, 0.0, 2**31 - 1)],
)
def test_blocks_come_to_last_two_seconds(before, seconds, after):
    pace = Pace()
    pace.steps = before
    pace.took(before, seconds)
    assert pace.steps == after

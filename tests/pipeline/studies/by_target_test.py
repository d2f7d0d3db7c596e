"""Examples of one target net together, and few of them held back."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.studies.by_target import by_target

NAMES = ["net-0", "net-1", "net-2"]


def _examples(count: int) -> list[dict]:
    targets = np.random.default_rng(0).integers(0, 4, count)  # net-3 is not asked for
    return [{"target_net": f"net-{target}".encode(), "place": place} for place, target in enumerate(targets)]


@pytest.mark.parametrize("most", [1, 4, 1000])
def test_parts_are_of_one_net_each_and_have_all_examples_of_the_named_nets_in_their_order(most):
    examples = _examples(100)
    parts = list(by_target(examples, NAMES, most))
    assert all(len({example["target_net"] for example in part}) == 1 and len(part) <= most for part in parts)
    for name in NAMES:
        mine = [example for part in parts for example in part if example["target_net"].decode() == name]
        assert mine == [example for example in examples if example["target_net"].decode() == name]


def test_no_more_are_held_back_than_asked_for():
    taken = []
    examples = ({**example, "taken": taken.append(1)} for example in _examples(200))
    given = 0
    for part in by_target(examples, NAMES, 5):
        assert len(taken) - given <= 5 * len(NAMES) + sum(
            example["target_net"] == b"net-3" for example in _examples(200)
        )
        given += len(part)
    assert len(taken) == 200

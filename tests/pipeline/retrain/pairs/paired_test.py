from __future__ import annotations

import numpy as np
import pytest

from models.errors import InputError
from pipeline.retrain.pairs import paired


def _example(number: int, label: int, wrong: int, net: str = "ours") -> dict:
    image = np.full((2, 2, 1), number, np.uint8)
    fields = {"id": b"%03d" % number, "target_digest": net.encode(), "label": label, "wrong_class": wrong}
    return {**fields, "image": image + 100, "seed_image": image}


EXAMPLES = [
    _example(5, 0, 1),
    _example(4, 0, 1),
    _example(3, 0, 2),
    _example(2, 0, 2),
    _example(1, 1, 2),
    _example(6, 1, 2),
    _example(7, 1, 0, net="theirs"),
    _example(8, 0, 1),
    _example(9, 1, 2),
]


def _numbers(part: paired.Paired) -> list[int]:
    assert (part.twins == part.originals + 100).all() and part.twins.shape[1:] == (2, 2, 1)
    return part.originals[:, 0, 0, 0].tolist()


def _split(group: str, examples: list[dict] = EXAMPLES) -> paired.Split:
    return paired.split(examples, "ours", lambda image: image[0, 0, 0] >= 8, group)


@pytest.mark.parametrize(
    ("group", "of_groups", "learned"),
    [("both", [1, 2, 4], [3, 5, 6]), ("original", [1, 2], [3, 4, 5, 6]), ("adversarial", [1, 4], [2, 3, 5, 6])],
)
def test_of_each_group_the_pair_with_the_smallest_id_is_held_out(group, of_groups, learned):
    split = _split(group)
    assert (_numbers(split.of_groups), _numbers(split.learned)) == (of_groups, learned)
    assert _numbers(split.measured) == [8, 9]  # and no pair of another net is anywhere
    assert split.learned.labels.tolist() == [int(number in (1, 6)) for number in learned]


def test_the_order_of_the_examples_does_not_matter():
    for ours, theirs in zip(_split("both"), _split("both", EXAMPLES[::-1]), strict=True):
        assert _numbers(ours) == _numbers(theirs)


def test_where_no_pair_is_left_to_learn_from_it_is_said_what_became_of_them():
    with pytest.raises(InputError, match=r"5 are of the net to retrain.*2 are of images.*3 are held out"):
        _split("both", [EXAMPLES[place] for place in (1, 2, 4, 6, 7, 8)])
    with pytest.raises(InputError, match="0 are of the net to retrain"):
        _split("both", [EXAMPLES[6]])


def test_all_pairs_of_several_parts_stand_together():
    split = _split("both")
    assert _numbers(paired.together(*split)) == [3, 5, 6, 1, 2, 4, 8, 9]

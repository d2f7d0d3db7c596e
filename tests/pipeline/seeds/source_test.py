"""What every source of seed images says of images that cannot be used."""

from __future__ import annotations

import pytest

from models.errors import InputError
from pipeline.seeds.source import check_usable


def test_as_many_unusable_images_as_may_be_set_aside_are_not_too_many():
    bad = [(f"{number}.png", "the image is 7x8x1, expected 8x8x1") for number in range(2)]
    check_usable("images of photos", bad, 40, 0.05)
    check_usable("images of photos", [], 0, 0.0)
    with pytest.raises(InputError) as told:
        check_usable("images of photos", [*bad, ("2.png", "other")], 40, 0.05)
    assert str(told.value) == (
        "[seeds] 3 of 40 images of photos cannot be used, more than [run] max_set_aside = 0.05: the image is 7x8x1, "
        "expected 8x8x1 (2, such as 0.png); other (1: 2.png); bring all images to one size "
        "([seeds] resize does it), mend or remove the others, "
        "or raise max_set_aside."
    )

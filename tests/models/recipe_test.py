"""The key under which a trained net is kept."""

from __future__ import annotations

import pytest

from models import recipe
from models.recipe import Training


@pytest.mark.parametrize(
    "changed",
    [
        ("mlp-7", 1, Training(), "data"),
        ("mlp-6", 2, Training(), "data"),
        ("mlp-6", 1, Training(epochs=11), "data"),
        ("mlp-6", 1, Training(), "other"),
    ],
)
def test_the_cache_key_tells_every_ingredient_apart(changed):
    assert recipe.digest(*changed) != recipe.digest("mlp-6", 1, Training(), "data")


def test_the_cache_key_never_changes():
    key = recipe.digest("mlp-6", 1, Training(), "data")
    assert key == "0a8035e1c53d0d9a96914bef90a7faa704134ce1557ef0c8ba232c7f6d143428"

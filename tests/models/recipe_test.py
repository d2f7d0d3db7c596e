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
        ("mlp-6", 1, Training(momentum=0.9), "data"),
        ("mlp-6", 1, Training(schedule="step"), "data"),
        ("mlp-6", 1, Training(smallest_crop=0.08), "data"),
        ("mlp-6", 1, Training(flip=True), "data"),
        ("mlp-6", 1, Training(photometric=0.5), "data"),
        ("mlp-6", 1, Training(mixed_precision=True), "data"),
    ],
)
def test_the_cache_key_tells_every_ingredient_apart(changed):
    assert recipe.digest(*changed) != recipe.digest("mlp-6", 1, Training(), "data")


def test_what_is_kept_beside_a_net_is_not_in_its_key():
    kept = Training(checkpoint_every=1, tensorboard=True)
    assert recipe.digest("mlp-6", 1, kept, "data") == recipe.digest("mlp-6", 1, Training(), "data")


def test_the_cache_key_never_changes():
    key = recipe.digest("mlp-6", 1, Training(), "data")
    assert key == "0a8035e1c53d0d9a96914bef90a7faa704134ce1557ef0c8ba232c7f6d143428"

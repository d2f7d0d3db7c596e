from __future__ import annotations

import types

import pytest

from models.errors import InputError
from pipeline.kinds import targets as nets_of


@pytest.mark.parametrize(
    ("targets", "names"),
    [("all", ["mlp-1", "mlp-10"]), ("mlp-10", ["mlp-10"]), (["mlp-10", "mlp-1"], ["mlp-1", "mlp-10"])],
)
def test_target_nets_are_in_the_order_of_the_nets(targets, names):
    nets = [{"name": "mlp-1"}, {"name": "mlp-10"}]
    assert nets_of.names({"config": {"search": {"targets": targets}}, "nets": nets}) == names
    group = types.SimpleNamespace(names=("mlp-1", "mlp-10"))
    places = nets_of.places(types.SimpleNamespace(targets=targets), group)
    assert [group.names[place] for place in places] == names


@pytest.mark.parametrize("targets", ["mlp-2", ("mlp-1", "mlp-2"), "mlp"])
def test_a_target_net_that_is_missing_is_told_with_those_there_are(targets):
    group = types.SimpleNamespace(names=("mlp-1", "mlp-10"))
    with pytest.raises(InputError, match=r"names 'mlp.*', expected 'all' or some of mlp-1, mlp-10\.$"):
        nets_of.places(types.SimpleNamespace(targets=targets), group)

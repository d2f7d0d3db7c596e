"""`peerpressure retrain` on garbage images end to end, on the tiny task."""

from __future__ import annotations

import json
import pathlib
import shutil
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from models import loading
from pipeline.kinds.garbage.kind import GARBAGE
from pipeline.retrain.garbage import measuring
from tests.pipeline.conftest import Outcome, Work, call, write_config

pytestmark = pytest.mark.slow

MINED = {"search": {"method": "direct", "targets": ["mlp-8"]}, "garbage": {"population": 20, "generations": 30}}
PLAN = """
task = "again"
mined = "tiny.toml"
[retrain]
net = "mlp-8"
epochs = 2
batch_size = 32
seeds = 1
[measure]
generations = 10
held_out = 1
"""
NOTHING = '[[recipe]]\nname = "nothing"\nkind = "plain"\n'
CLASS = '[[recipe]]\nname = "class"\nkind = "garbage_class"\ngenerations = 5\n'
RECIPES = (
    NOTHING
    + CLASS
    + '[[recipe]]\nname = "evolved"\nkind = "uniform"\ngenerations = 5\nevery = 2\n'
    + '[[recipe]]\nname = "published"\nkind = "uniform"\nmined = true\nevery = 0\nevolved = 1.0\n'
)


def _retrain(work: Work, folder: pathlib.Path, plan: str = PLAN + RECIPES, **mined: Any) -> Outcome:
    write_config(folder / "tiny.toml", **{**MINED, **mined})
    (folder / "plan.toml").write_text(plan)
    return call("retrain", "--config", folder / "plan.toml", "--workdir", work.path)


def _records(work: Work) -> dict[str, dict[str, Any]]:
    found = sorted((work.path / "retrained" / "again").glob("*/seed-0/retrained.json"))
    return {path.parents[1].name.rpartition("-")[0]: json.loads(path.read_text()) for path in found}


def _net(work: Work, name: str) -> pathlib.Path:
    return next((work.path / "retrained" / "again").glob(f"{name}-*/seed-0/net.keras"))


@pytest.fixture(scope="module")
def retrained(finished, tmp_path_factory) -> tuple[Work, Outcome]:
    """A workdir in which garbage was mined and learned from. Not to be changed."""
    folder = tmp_path_factory.mktemp("retrained")
    work = finished.copy(folder / "work", ran=False)
    easy = {"garbage": {**MINED["garbage"], "confidence": 0.5}}
    task = write_config(folder / "tiny.toml", **{**MINED, **easy})
    assert call("run", "--config", task, "--workdir", work.path, "--run_id", "first").code == 0
    outcome = _retrain(work, folder, **easy)
    assert outcome.code == 0, outcome
    return work, outcome


def _again(work: Work, folder: pathlib.Path, plan: str = PLAN + RECIPES) -> Outcome:
    return _retrain(work, folder, plan, garbage={**MINED["garbage"], "confidence": 0.5})


def test_every_recipe_has_a_net_with_its_measures_and_the_rounds_are_shown(retrained):
    work, outcome = retrained
    records = _records(work)
    assert set(records) == {"nothing", "class", "evolved", "published"}
    assert all(set(record["measured"]) == set(measuring.NAMES) for record in records.values())
    assert [len(records[name]["training"].get("rounds", [])) for name in records] == [2, 1, 0, 0]
    assert {name: record.get("dataset") for name, record in records.items()} == {
        **dict.fromkeys(records),
        "published": f"{GARBAGE.name}/tiny:1.0.0",
    }
    shown = outcome.out.split("rounds of evolution in training\n")[1].splitlines()
    curve = records["class"]["training"]["rounds"]
    assert shown[2].split() == ["2", f"{curve[1]['confidence']:.2f}", f"{curve[1]['fooled']:.0f}"]
    assert "peerpressure: status=done nets=4" in outcome.out
    assert not list((work.path / "retrained" / "again").glob("front.png"))


def test_the_net_with_a_garbage_class_is_a_net_that_knows_a_class_more(retrained):
    work, _ = retrained
    parent, nets = loading.load(work.nets()[1], name="parent"), {}
    for name, record in _records(work).items():
        nets[name] = loading.load(_net(work, name), name="net")
        assert record["digest"] == nets[name].digest != parent.digest == record["parent"]["digest"]
    assert {name: net.num_classes for name, net in nets.items()} == {**dict.fromkeys(nets, 10), "class": 11}
    of_garbage = f"{GARBAGE.name}/tiny"
    outcome = call("recheck", of_garbage, "--workdir", work.path, "--peers", f"mlp-8={_net(work, 'class')}")
    assert outcome.code == 0, outcome


def test_what_the_net_was_asked_between_epochs_is_in_its_cost(retrained):
    work, _ = retrained
    for name, record in _records(work).items():
        noted = json.loads((_net(work, name).parent / "training.json").read_text())
        cost = record["cost"]
        assert noted["notes"] == record["training"]
        assert noted["asked"] == {"class": 2 * 6 * 20, "evolved": 6 * 20}.get(name, 0)
        assert cost["passes"] == int(np.ceil(noted["asked"] / cost["steps"]))


def test_what_is_missing_comes_out_the_same(retrained, tmp_path):
    made, first = retrained
    work = made.copy(tmp_path / "work", ran=True)
    before = _records(work)
    shutil.rmtree(_net(work, "class").parent)
    (_net(work, "evolved").parent / "retrained.json").unlink()
    again = _again(work, tmp_path)
    assert again.code == 0 and _records(work) == before
    assert again.out.split("peerpressure:")[0] == first.out.split("peerpressure:")[0]


def test_a_garbage_class_for_another_kind_of_net_is_one_sentence_before_any_net_is_trained(finished, tmp_path):
    work = finished.copy(tmp_path / "work", ran=False)
    layers = tf.keras.layers
    apart = [tf.keras.Input((28, 28, 1)), layers.Flatten(), layers.Dense(10), layers.Softmax()]
    tf.keras.Sequential(apart).save(tmp_path / "apart.keras")
    peers = {"peers": {"files": [str(tmp_path / "apart.keras")], "names": ["mlp-8"]}}
    outcome = _retrain(work, tmp_path, PLAN + NOTHING + CLASS, **peers)
    assert outcome.code == 2 and outcome.err.count("peerpressure: error") == 1
    assert "recipe 'class': the net's last layer, 'softmax" in outcome.err
    assert not (work.path / "retrained").exists()

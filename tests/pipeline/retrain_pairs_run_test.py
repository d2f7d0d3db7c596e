"""`peerpressure retrain` end to end on the tiny task's adversarial pairs."""

from __future__ import annotations

import json
import pathlib
import shutil
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from tests.pipeline.conftest import PAIRS, Outcome, Work, call, write_config

pytestmark = pytest.mark.slow

HEAD = """
task = "again"
mined = "tiny.toml"
[retrain]
net = "mlp-8"
epochs = 2
batch_size = 32
seeds = 1
[measure]
images = "test[:50%]"
attacked_images = 8
group = "adversarial"
steps = 5
iterations = 5
noise_draws = 1
"""
RECIPES = {
    "nothing": 'kind = "plain"',
    "pairs": 'kind = "pairs"',
    "pool": 'kind = "pool"\nlayers = ["input", "#1"]\nsize = 32',
    "volatile": 'kind = "selective"\np = 0.5',
    "noise": 'kind = "noise"',
    "decay": 'kind = "weight_decay"',
    "dropout": 'kind = "dropout"',
}


def _plan(*names: str) -> str:
    return HEAD + "".join(f'[[recipe]]\nname = "{name}"\n{RECIPES[name]}\n' for name in names)


PLAN = _plan(*RECIPES)


def _retrain(work: Work, folder: pathlib.Path, *more: str, plan: str = PLAN, **mined: Any) -> Outcome:
    write_config(folder / "tiny.toml", **{**work.changes, **mined})
    (folder / "plan.toml").write_text(plan)
    return call("retrain", "--config", folder / "plan.toml", "--workdir", work.path, *more)


def _records(work: Work) -> dict[str, dict]:
    found = (work.path / "retrained" / "again").glob("*/seed-0/retrained.json")
    return {path.parent.parent.name.rpartition("-")[0]: json.loads(path.read_text()) for path in found}


@pytest.fixture(scope="module")
def retrained(mined, tmp_path_factory) -> tuple[Work, Outcome]:
    """A workdir in which the plan was carried out. Not to be changed."""
    folder = tmp_path_factory.mktemp("retrained")
    work = mined[0].copy(folder / "work", ran=True)
    outcome = _retrain(work, folder)
    assert outcome.code == 0, outcome
    return work, outcome


def test_every_recipe_has_a_net_a_record_and_a_row(retrained):
    work, outcome = retrained
    records = _records(work)
    assert set(records) == set(RECIPES) and f"nets={len(RECIPES)} " in outcome.out
    assert len({record["digest"] for record in records.values()}) == len(RECIPES)
    for record in records.values():
        measured = dict(record["measured"])
        assert 0.0 <= measured.pop("distortion") <= 1.0
        assert all(0.0 <= value <= 100.0 for value in measured.values())
        assert record["pairs"] == f"{PAIRS}:1.0.0"
    assert (work.path / "retrained" / "again" / "front.png").read_bytes().startswith(b"\x89PNG")


def test_recipes_that_learn_pairs_learn_them_and_keep_the_curve(retrained):
    records = _records(retrained[0])
    for name in ("pairs", "volatile"):
        curve = records[name]["training"]["held_in_accuracy"]
        assert curve[0] == 0.0 and curve[-1] > 0.3 and min(curve) == 0.0
        assert records[name]["measured"]["held_in_error"] < records["nothing"]["measured"]["held_in_error"] - 20
    assert all(records[name]["training"] == {} for name in set(RECIPES) - {"pairs", "volatile"})


def test_every_net_is_a_net_to_recheck_with(retrained):
    work, _ = retrained
    for name in ("pool", "dropout"):
        path = next((work.path / "retrained" / "again").glob(f"{name}-*/seed-0/net.keras"))
        outcome = call("recheck", work.dataset, "--workdir", work.path, "--peers", f"mlp-8={path}")
        assert outcome.code == 0, outcome


def test_what_is_missing_comes_out_the_same_and_the_rest_is_not_made_again(retrained, tmp_path):
    made, first = retrained
    work = made.copy(tmp_path / "work", ran=True)
    before = _records(work)
    folder = work.path / "retrained" / "again"
    for name in ("pool", "volatile"):
        shutil.rmtree(next(folder.glob(f"{name}-*")))
    next(folder.glob("pairs-*/seed-0/retrained.json")).unlink()  # its net and its curve are there
    kept = {path: path.stat().st_mtime_ns for path in folder.glob("*/seed-0/net.keras")}
    again = _retrain(work, tmp_path)
    assert again.code == 0 and _records(work) == before
    assert again.out.split("peerpressure:")[0] == first.out.split("peerpressure:")[0]
    assert all(path.stat().st_mtime_ns == then for path, then in kept.items())


def test_pairs_that_are_held_out_are_never_learned_from(mined, retrained, tmp_path, monkeypatch):
    """Whatever the twins that are held out look like, the nets come out the same."""
    from pipeline.retrain.pairs import paired

    split = paired.split
    seen = []

    def spoiled(*given: Any) -> paired.Split:
        parts = split(*given)
        seen.append(parts)
        of_groups, measured = (part._replace(twins=255 - part.twins) for part in (parts.of_groups, parts.measured))
        return paired.Split(parts.learned, of_groups, measured)

    monkeypatch.setattr(paired, "split", spoiled)
    work = mined[0].copy(tmp_path / "work", ran=True)
    learn = ("pairs", "volatile")
    assert _retrain(work, tmp_path, plan=_plan(*learn)).code == 0
    before, after = _records(retrained[0]), _records(work)
    assert [after[name]["digest"] for name in learn] == [before[name]["digest"] for name in learn]
    assert after["pairs"]["measured"]["twin_error"] != before["pairs"]["measured"]["twin_error"]
    for parts in seen:
        twins = [{twin.tobytes() for twin in part.twins} for part in parts]
        assert all(twins) and not twins[0] & (twins[1] | twins[2])
        test = tfds.as_numpy(tfds.load("digits", split="test[:50%]", data_dir=work.datasets))
        measured = {example["image"].tobytes() for example in test}
        assert not measured & {image.tobytes() for part in parts[:2] for image in part.originals}


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('layers = ["input", "#1"]', 'layers = ["input", "#2"]', "expected one of 'input', "),
        ("\nsize = 32", "\nsize = 1000", "a batch has 32"),
        ('net = "mlp-8"', 'net = "mlp-4"', "0 are of the net to retrain"),
        ('images = "test[:50%]"', 'images = "test"', "none is left to learn from"),
        ('kind = "selective"\n', 'kind = "selective"\nlayer = "top"\n', "layer is 'top', which the net has not"),
        ('group = "adversarial"', 'group = "wrong"', "[measure] group is 'wrong', expected 'both' or 'original'"),
    ],
)
def test_a_mistake_is_one_sentence_and_no_net_is_trained(mined, tmp_path, old, new, told):
    work = mined[0].copy(tmp_path / "work", ran=True)
    outcome = _retrain(work, tmp_path, plan=_plan("nothing", "pool", "volatile").replace(old, new))
    assert outcome.code == 2 and told in outcome.err and outcome.err.count("peerpressure: error") == 1
    assert not list(work.path.glob("retrained/*/*/*"))


def test_without_labels_or_without_a_mined_dataset_it_is_one_sentence(mined, finished, tmp_path):
    unlabeled = {
        "seeds": {"dataset": "digits", "labeled": False},
        "peers": {"files": ["a.keras", "b.keras"]},
        "search": {**mined[0].changes["search"], "class_from": "consensus"},
    }
    outcome = _retrain(mined[0], tmp_path, **unlabeled)
    assert outcome.code == 2 and "nets cannot be retrained without labels" in outcome.err
    work = finished.copy(tmp_path / "work", ran=True)
    outcome = _retrain(work, tmp_path, plan=_plan("nothing"), **mined[0].changes)
    assert outcome.code == 2 and "was not found" in outcome.err


def test_from_scratch_a_net_with_dropout_starts_anew(retrained, tmp_path):
    work = retrained[0].copy(tmp_path / "work", ran=True)
    plan = _plan("dropout").replace("epochs = 2", 'start = "scratch"\nepochs = 1')
    before = set(work.path.glob("retrained/again/*"))
    assert _retrain(work, tmp_path, plan=plan).code == 0
    (folder,) = {path for path in set(work.path.glob("retrained/again/*")) - before if path.is_dir()}
    net, parent = (
        tf.keras.models.load_model(path, compile=False) for path in (folder / "seed-0" / "net.keras", work.nets()[1])
    )
    assert abs(np.corrcoef(net.get_weights()[0].ravel(), parent.get_weights()[0].ravel())[0, 1]) < 0.2

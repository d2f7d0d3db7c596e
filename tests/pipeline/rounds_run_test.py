"""`peerpressure rounds` end to end, on the tiny task."""

from __future__ import annotations

import json
import pathlib
import shutil
from typing import Any, NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from models import loading
from pipeline.retrain import experiment
from tests.pipeline.conftest import ATTACK, DATASET, PGD, TASK, Outcome, Work, call, write_config

pytestmark = pytest.mark.slow

NETS = ("mlp-4", "mlp-8", "mlp-12")
PLAN = """
task = "again"
mined = "tiny.toml"
[retrain]
epochs = 2
batch_size = 32
seeds = 1
[rounds]
count = 2
steady = 0.0
[measure]
images = "test[50%:]"
draws = 2
worst_of = 3
grid_images = 4
searched_images = 16
judge = "mlp-16"
judge_epochs = 1
"""
FILES = ["a.keras", "b.keras"]
MIXED = '[[recipe]]\nname = "mixed"\nkind = "proposals"\ncandidates = 3\nmined = 0.5\n'


def _rounds(work: Work, folder: pathlib.Path, *more: str, plan: str = PLAN + MIXED, **mined: Any) -> Outcome:
    write_config(folder / "tiny.toml", **mined)
    (folder / "plan.toml").write_text(plan)
    return call("rounds", "--config", folder / "plan.toml", "--workdir", work.path, *more)


def _tables(outcome: Outcome) -> str:
    return outcome.out.partition("rounds by recipe")[2].partition("peerpressure:")[0]


class Went(NamedTuple):
    """What a command did, and what it retrained: each net's file, and the runs whose mistakes it learned from."""

    work: Work
    outcome: Outcome
    taught: list[tuple[str, set[str]]]

    @property
    def chain(self) -> pathlib.Path:
        return next((self.work.path / "retrained" / "again" / "rounds").glob("mixed-*/seed-0"))

    def records(self) -> list[dict[str, Any]]:
        return [json.loads((self.chain / f"round-{number}.json").read_text()) for number in range(3)]


@pytest.fixture(scope="module")
def went(finished, tmp_path_factory) -> Went:
    """A workdir in which two rounds were gone through. Not to be changed."""
    folder = tmp_path_factory.mktemp("rounds")
    work, taught = finished.copy(folder / "work", ran=False), []
    retrained = experiment.retrained

    def seen(material: Any, recipe: Any, source: str, seed: int) -> Any:
        taught.append((source, set(material.dataset.runs)))
        return retrained(material, recipe, source, seed)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment, "retrained", seen)
        outcome = _rounds(work, folder)
    assert outcome.code == 0, outcome
    return Went(work, outcome, taught)


def test_every_round_has_nets_mistakes_and_measures_of_its_own(went):
    records = went.records()
    assert [record["round"] for record in records] == [0, 1, 2]
    assert [len(set(record["nets"].values())) for record in records] == [3, 3, 3]
    assert len({digest for record in records for digest in record["nets"].values()}) == 9
    assert [record["dataset"] for record in records] == [f"{DATASET}:1.{number}.0" for number in range(3)]
    for record in records:
        assert set(record["measured"]) == {*NETS, "ensemble"} and set(record["mined"]) == set(NETS)
        assert all(0 < mined["found"] <= mined["trials"] < mined["candidates"] for mined in record["mined"].values())
    assert "peerpressure: status=done chains=1" in went.outcome.out
    folder = went.chain.parents[1]
    assert (folder / "rounds.png").read_bytes().startswith(b"\x89PNG")
    assert len((folder / "rounds.csv").read_text().splitlines()) == 4
    assert json.loads((folder / "summary.json").read_text())["mixed"]["ended_after"] == [2]


def test_a_round_goes_on_from_the_nets_before_and_learns_from_all_that_was_found_so_far(went):
    first, second = went.taught[:3], went.taught[3:]
    assert [runs for _, runs in first] == [{"round-0"}] * 3
    assert [runs for _, runs in second] == [{"round-0", "round-1"}] * 3
    assert [source for source, _ in second] == [str(went.chain / "nets" / "round-1" / f"{name}.keras") for name in NETS]
    for number in (1, 2):
        for name in NETS:
            net = loading.load(str(went.chain / "nets" / f"round-{number}" / f"{name}.keras"), name=name)
            assert net.digest == went.records()[number]["nets"][name]


def test_the_ensemble_answers_with_the_mean_of_its_nets(went):
    folder = went.chain / "nets" / "round-2"
    images = np.random.default_rng(0).random((5, 28, 28, 1), np.float32)
    answers = {path.stem: tf.keras.models.load_model(path)(images).numpy() for path in folder.glob("*.keras")}
    np.testing.assert_allclose(answers.pop("ensemble"), np.mean(list(answers.values()), axis=0), atol=1e-6)


def test_a_chains_folder_is_a_workdir_whose_datasets_hold_up(went):
    outcome = call("verify", DATASET, "--workdir", went.chain)
    assert outcome.code == 0, outcome
    assert f"{went.records()[-1]['examples']:,} examples checked, 0 shown" in outcome.out


def test_what_is_missing_comes_out_the_same(went, tmp_path):
    work = went.work.copy(tmp_path / "work", ran=True)
    again = Went(work, went.outcome, [])
    shutil.rmtree(again.chain / "nets" / "round-2")
    (again.chain / "round-2.json").unlink()
    shutil.rmtree(again.chain / "ledger" / DATASET / "round-2")
    shutil.rmtree(again.chain / "datasets" / DATASET / "1.2.0")
    outcome = _rounds(work, tmp_path)
    assert outcome.code == 0 and again.records() == went.records()
    assert _tables(outcome) == _tables(went.outcome)


def test_a_chain_ends_where_little_changes(went, tmp_path):
    work = went.work.copy(tmp_path / "work", ran=True)
    plan = PLAN.replace("steady = 0.0", "steady = 100.0")
    assert _rounds(work, tmp_path, plan=plan + MIXED).code == 0
    folder = Went(work, went.outcome, []).chain.parents[1]
    assert json.loads((folder / "summary.json").read_text())["mixed"]["ended_after"] == [1]


@pytest.mark.parametrize(
    ("mined", "told"),
    [
        ({"search": PGD, "attack": ATTACK}, "expected 'hillclimb'"),
        ({"peers": {"architectures": ["mlp-4"]}}, "expected at least 2: a target and its peers"),
        ({"peers": {"files": FILES, "names": ["a", "ensemble"]}}, "a net is named 'ensemble'"),
    ],
)
def test_what_cannot_go_round_is_one_sentence(finished, tmp_path, mined, told):
    work = finished.copy(tmp_path / "work", ran=False)
    plan = PLAN.partition("[measure]")[0] + '[[recipe]]\nname = "nothing"\nkind = "plain"\n'
    for file, net in zip(FILES, work.nets(), strict=False):
        shutil.copy(net, tmp_path / file)
    outcome = _rounds(work, tmp_path, plan=plan, **mined)
    assert outcome.code == 2 and told in outcome.err and outcome.err.count("\n") == 1
    assert not (work.path / "retrained").exists() and TASK not in outcome.out

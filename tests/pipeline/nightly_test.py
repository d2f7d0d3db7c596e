"""A job that runs every night: versions that grow, what lies between them, and two nights at once."""

from __future__ import annotations

import collections
import json
import os
import subprocess

import pytest
import tensorflow_datasets as tfds

from pipeline import seeding
from pipeline.workdir import lock
from pipeline.workdir.ledger import Workdir
from tests.pipeline import conftest

NAME = "high_value_mistakes/tiny"
NIGHTS = ("nightly-2026-01-01", "nightly-2026-01-02", "nightly-2026-01-03")
VERSIONS = ("1.0.0", "1.1.0", "1.2.0")


@pytest.fixture(scope="module")
def nights(finished, tmp_path_factory):
    """A workdir with three nights, the third with other nets and another patience, and the command of each."""
    folder = tmp_path_factory.mktemp("nights")
    work = finished.copy(folder / "work", ran=False)
    usual = conftest.write_config(folder / "usual.toml", search={"trials": 20})
    small, middle, large = work.nets()
    others = {"files": [small, large, middle], "names": ["mlp-4", "mlp-8", "mlp-16"]}
    search, judge = {"trials": 20, "patience": 40}, conftest.TINY["judge"]
    changed = conftest.write_config(folder / "changed.toml", search=search, peers=others, judge=judge)
    commands = [
        ["run", "--config", task, "--workdir", work.path, "--run_id", run_id, "--run_seed", "auto"]
        for task, run_id in zip((usual, usual, changed), NIGHTS, strict=True)
    ]
    for command, version in zip(commands, VERSIONS, strict=True):
        outcome = conftest.call(*command)
        assert outcome.code == 0 and f"dataset {NAME}:{version} written" in outcome.out, outcome
    return work, commands


@pytest.fixture
def difference(nights, peerpressure, tmp_path):
    """Runs `diff` on two versions and returns what it printed and wrote."""

    def run(old: str, new: str):
        options = ["--workdir", nights[0].path, "--json", tmp_path / "diff.json"]
        outcome = peerpressure("diff", f"{NAME}:{old}", f"{NAME}:{new}", *options)
        assert outcome.code == 0 and outcome.err == ""
        return outcome.out, json.loads((tmp_path / "diff.json").read_text())

    return run


def test_every_night_is_a_version_that_loads_and_keeps_the_old_examples(nights, same_features):
    work, _ = nights
    before: dict = {}
    for version, run_id in zip(VERSIONS, NIGHTS, strict=True):
        loaded = tfds.load(f"{NAME}:{version}", data_dir=work.datasets, split="test")
        examples = {example["id"].decode(): example for example in tfds.as_numpy(loaded)}
        for example_id, example in before.items():
            same_features(example, examples[example_id])
        assert {examples[name]["run"]["id"].decode() for name in examples.keys() - before.keys()} == {run_id}
        before = examples


def test_nights_differ_by_run_seeds_that_their_ids_give(nights):
    work, _ = nights
    manifests = [work.manifest(run_id) for run_id in NIGHTS]
    assert [manifest["run_seed"] for manifest in manifests] == [seeding.derived_run_seed(run_id) for run_id in NIGHTS]
    plans = [json.loads((work.ledger / run_id / "plan.json").read_text())["units"] for run_id in NIGHTS]
    assert len({json.dumps(plan) for plan in plans}) == 3


def test_a_finished_night_again_is_nothing_to_do(nights, peerpressure, tree):
    work, commands = nights
    before = tree(work.path)
    outcome = peerpressure(*commands[1])
    assert outcome.code == 0 and f"run {NIGHTS[1]} is finished already" in outcome.out
    assert f"{NAME}:1.2.0 is there already" in outcome.out
    assert tree(work.path) == before


@pytest.mark.slow
def test_another_run_seed_under_the_same_id_is_an_error(nights, peerpressure, tree):
    work, commands = nights
    before = tree(work.path)
    outcome = peerpressure(*commands[0], "--run_seed", "1")
    assert outcome.code == 2 and f"run id '{NIGHTS[0]}' was already used" in outcome.err
    assert tree(work.path) == before


@pytest.mark.parametrize(("old", "new"), [("1.0.0", "1.1.0"), ("1.2.0", "1.1.0")])
def test_the_difference_is_that_of_the_examples(nights, difference, old, new):
    ours, theirs = (nights[0].examples(version) for version in (old, new))
    _, told = difference(old, new)
    assert (told["old"], told["new"]) == (f"{NAME}:{old}", f"{NAME}:{new}")
    assert set(told["added"]) == theirs.keys() - ours.keys() and set(told["dropped"]) == ours.keys() - theirs.keys()
    assert told["changed"] == [] and told["unchanged"] == len(ours.keys() & theirs.keys()) > 0
    for key, of in (
        ("by_target", lambda example: example["target_net"].decode()),
        ("by_class", lambda example: str(example["label"])),
    ):
        counts = [
            collections.Counter(of(examples[name]) for name in examples if name not in without)
            for examples, without in ((ours, ()), (theirs, ()), (theirs, ours), (ours, theirs))
        ]
        names = {name for counter in counts for name in counter}
        columns = ("old", "new", "added", "dropped")
        assert told[key] == {
            name: dict(zip(columns, (counter[name] for counter in counts), strict=True)) for name in names
        }


def test_the_difference_of_two_like_nights_is_the_run_seed(nights, difference):
    text, told = difference("1.0.0", "1.1.0")
    seeds = [nights[0].manifest(run_id)["run_seed"] for run_id in NIGHTS]
    assert told["nets"] == {} and told["config"] == {"run.run_seed": seeds[:2]}
    assert [run["run_id"] for run in told["runs_added"]] == [NIGHTS[1]] and told["runs_dropped"] == []
    assert told["newest_runs"] == list(NIGHTS[:2])
    for net, rates in told["rates"].items():
        for run_id, rate in zip(NIGHTS, rates, strict=False):
            assert rate == {"found": nights[0].manifest(run_id)["counts"][net].get("found", 0), "trials": 20}
    assert list(told["rates"]) == ["mlp-4", "mlp-8", "mlp-12"]
    added = len(told["added"])
    assert f"examples: {added} added, 0 dropped, 0 changed, {told['unchanged']} unchanged\n" in text
    assert f"config run.run_seed: {seeds[0]} -> {seeds[1]}\n" in text


def test_the_difference_shows_other_nets_and_another_configuration(nights, difference):
    text, told = difference("1.1.0", "1.2.0")
    before, after = (
        {net["name"]: net["digest"] for net in nights[0].manifest(run_id)["nets"]} for run_id in NIGHTS[1:]
    )
    assert told["nets"] == {
        "mlp-8": [before["mlp-8"], after["mlp-8"]],
        "mlp-12": [before["mlp-12"], ""],
        "mlp-16": ["", after["mlp-16"]],
    }
    assert told["config"]["search.patience"] == [30, 40] and "search.trials" not in told["config"]
    assert {"peers.files", "peers.architectures", "run.run_seed"} < told["config"].keys()
    assert told["rates"]["mlp-12"][1] is None and told["rates"]["mlp-16"][0] is None
    assert "config search.patience: 30 -> 40\n" in text
    assert f"net mlp-8: {before['mlp-8'][:12]} -> {after['mlp-8'][:12]}\n" in text
    assert f"net mlp-12 dropped: {before['mlp-12'][:12]}\n" in text
    assert f"net mlp-16 added: {after['mlp-16'][:12]}\n" in text


def test_a_version_and_itself_have_no_difference(difference):
    text, told = difference("1.2.0", "1.2.0")
    assert not any(told[key] for key in ("added", "dropped", "changed", "runs_added", "runs_dropped", "nets", "config"))
    assert "run added" not in text and "config" not in text


def test_a_version_that_is_not_there_is_told(nights, peerpressure):
    outcome = peerpressure("diff", f"{NAME}:1.0.0", f"{NAME}:1.9.0", "--workdir", nights[0].path)
    assert outcome.code == 2 and f"dataset '{NAME}:1.9.0' was not found" in outcome.err
    assert "; its newest version is 1.2.0." in outcome.err


def test_release_notes_tell_of_each_night_alone(nights):
    work, _ = nights
    notes = tfds.builder(NAME, data_dir=work.datasets).info.release_notes
    assert notes.keys() == set(VERSIONS)
    examples = work.examples()
    for version, run_id in zip(VERSIONS, NIGHTS, strict=True):
        manifest, note = work.manifest(run_id), notes[version]
        mine = [example for example in examples.values() if example["run"]["id"].decode() == run_id]
        left_out = manifest["examples"] - len(mine)
        assert note.startswith(
            f"Run {run_id} (run seed {manifest['run_seed']}, config {manifest['config_digest'][:12]})"
        )
        assert f": {len(mine)} mistakes for {manifest['seeds']}, {left_out} near-duplicates left out." in note
        for net in manifest["nets"]:
            found = manifest["counts"][net["name"]].get("found", 0)
            assert f"{net['name']} {found} of 20 trials ({100 * found / 20:.1f}%)" in note
            assert f"{net['name']} {net['digest'][:12]}" in note
        for label, count in collections.Counter(int(example["label"]) for example in mine).items():
            assert f" {label}: {count}" in note


@pytest.mark.slow
def test_two_runs_started_at_once_are_as_one_after_the_other(finished, tmp_path, program, peerpressure, config, tree):
    work, calm = (finished.copy(tmp_path / name, ran=False) for name in ("work", "calm"))
    task = config(search={"method": "scan", "trials": 40})
    command = ["run", "--config", task, "--run_seed", "auto", "--workdir"]
    path, waiting = Workdir(work.path).lock(NAME), []
    quiet = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    try:
        with lock.hold(path, NAME, "run 'zero'", wait=False):
            refused = peerpressure(*command, work.path, "--run_id", "none")
            for run_id in ("one", "two"):
                of_its_own = [program, *command, work.path, "--run_id", run_id, "--wait"]
                pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": quiet}
                waiting.append(subprocess.Popen([str(word) for word in of_its_own], cwd=tmp_path, **pipes))
            for process in waiting:
                assert any("is held by run 'zero'" in line and "waiting" in line for line in process.stderr)
            assert not work.ledger.exists()
        for process in waiting:
            said = process.communicate(timeout=300)
            if process.returncode or said[1]:  # a normal run in a log: no bar, no library's warning
                pytest.fail("\n".join(map(str, (process.returncode, *said))))
    finally:
        for process in waiting:
            process.kill()
    assert refused.code == 3 and refused.err.startswith(
        f"peerpressure: error: task '{NAME}' is held by run 'zero' (pid"
    )
    for run_id in sorted(("one", "two"), key=lambda run_id: work.manifest(run_id)["sequence"]):
        assert peerpressure(*command, calm.path, "--run_id", run_id).code == 0
    assert sorted(path.name for path in work.ledger.iterdir()) == ["one", "two"]
    assert tree(work.published) == tree(calm.published) and (work.published / "1.1.0").is_dir()
    for run_id in ("one", "two"):
        assert tree(work.ledger / run_id / "chunks") == tree(calm.ledger / run_id / "chunks")

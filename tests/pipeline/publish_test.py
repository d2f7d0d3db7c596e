"""Rechecks that become a version: every example's status, what else stays, kills, and what cannot be published."""

from __future__ import annotations

import collections
import dataclasses
import json
import shutil

import pytest
import tensorflow_datasets as tfds

from pipeline.versions import package
from pipeline.workdir import lock
from pipeline.workdir.ledger import Workdir
from tests.pipeline.conftest import DATASET, publish

HEALED_REMAINING_SHARED = {"mlp-4": "healed", "mlp-8": "remaining", "mlp-12": "shared"}


def _statuses(examples) -> dict[str, set[str]]:
    found = collections.defaultdict(set)
    for example in examples.values():
        found[example["target_net"].decode()].add(example["status"].decode())
    return dict(found)


def _one(statuses: dict[str, str]) -> dict[str, set[str]]:
    return {net: {status} for net, status in statuses.items()}


def _refused(work, tree, *given: str, dataset: str = DATASET) -> str:
    """Publishes what cannot be, checks that nothing was written, and returns the sentence."""
    before = tree(work.path)
    outcome = publish(dataclasses.replace(work, dataset=dataset), *given)
    assert outcome.code == 2 and outcome.err.count("\n") == 1 and tree(work.path) == before
    return outcome.err


def test_every_example_has_its_status_and_nothing_else_changes(rechecked, finished, same_features, tree):
    before, after = rechecked.examples("1.0.0"), rechecked.examples("1.1.0")
    assert _statuses(before) == _one(dict.fromkeys(HEALED_REMAINING_SHARED, ""))
    assert _statuses(after) == _one(HEALED_REMAINING_SHARED)
    for example_id, example in after.items():
        same_features({**example, "status": b""}, before[example_id])
    assert tree(rechecked.published / "1.0.0") == tree(finished.published / "1.0.0")


def test_plain_tfds_filters_by_status(rechecked):
    mistakes = tfds.load(DATASET, data_dir=rechecked.datasets, split="test")
    remaining = mistakes.filter(lambda mistake: mistake["status"] == "remaining")
    expected = [example for example in rechecked.examples().values() if example["target_net"] == b"mlp-8"]
    assert sum(1 for _ in remaining) == len(expected) > 0


def test_notes_and_metadata_tell_of_the_nets_and_the_counts(rechecked):
    info = tfds.builder(DATASET, data_dir=rechecked.datasets).info
    nets = {net["name"]: net["digest"] for net in rechecked.manifest("first")["nets"]}
    targets = collections.Counter(example["target_net"].decode() for example in rechecked.examples().values())
    (told,) = info.metadata["rechecks"]
    assert (told["version"], told["asked"]) == ("1.1.0", "1.0.0")
    assert told["nets"] == [{"name": "mlp-4", "digest": nets["mlp-12"]}]
    assert told["counts"] == {net: {HEALED_REMAINING_SHARED[net]: count} for net, count in targets.items()}
    note = info.release_notes["1.1.0"]
    assert note.startswith(f"Recheck of 1.0.0: {targets.total()} mistakes shown to new nets.")
    assert f"mlp-4 {targets['mlp-4']} healed; mlp-8 {targets['mlp-8']} remaining;" in note
    assert f"New nets: mlp-4 {nets['mlp-12'][:12]}." in note
    assert info.release_notes["1.0.0"].startswith("Run first")


def test_the_version_can_be_verified(rechecked, peerpressure):
    assert peerpressure("verify", DATASET, "--workdir", rechecked.path).code == 0


def test_the_difference_is_in_the_status_alone(rechecked, peerpressure, tmp_path):
    arguments = ["--workdir", rechecked.path, "--json", tmp_path / "diff.json"]
    outcome = peerpressure("diff", f"{DATASET}:1.0.0", f"{DATASET}:1.1.0", *arguments)
    told, examples = json.loads((tmp_path / "diff.json").read_text()), rechecked.examples()
    assert not any(told[key] for key in ("added", "dropped", "changed", "runs_added", "runs_dropped", "config", "nets"))
    assert told["unchanged"] == len(examples) and set(told["status_changed"]) == examples.keys()
    counts = collections.Counter(example["status"].decode() for example in examples.values())
    assert {status: (each["old"], each["new"]) for status, each in told["by_status"].items()} == {
        "": (len(examples), 0),
        **{status: (0, count) for status, count in counts.items()},
    }
    ((added,), dropped) = told["rechecks_added"], told["rechecks_dropped"]
    assert (added["version"], added["asked"], added["nets"][0][0]) == ("1.1.0", "1.0.0", "mlp-4") and dropped == []
    assert "recheck added: 1.1.0 (of 1.0.0, with mlp-4 " in outcome.out
    assert f"examples with another status: {len(examples)}\n" in outcome.out and "\n(none) " in outcome.out


def test_without_a_status_the_difference_is_silent_about_it(finished, peerpressure):
    outcome = peerpressure("diff", DATASET, DATASET, "--workdir", finished.path)
    assert outcome.code == 0 and "status" not in outcome.out


@pytest.mark.parametrize("version", ["", ":1.0.0"])
def test_the_same_nets_again_are_nothing_new(rechecked, tree, version):
    before = tree(rechecked.path)
    outcome = publish(dataclasses.replace(rechecked, dataset=f"{DATASET}{version}"), f"mlp-4={rechecked.nets()[2]}")
    assert outcome.code == 0 and "there is nothing new to publish." in outcome.out
    assert f"{DATASET}:1.1.0 is there already" in outcome.out and tree(rechecked.path) == before


@pytest.mark.slow
def test_a_night_goes_on_after_it_and_old_statuses_stay(rechecked, tmp_path, peerpressure, config, tree, same_features):
    work = rechecked.copy(tmp_path / "copied", ran=True)
    night = ("--config", config(run={"run_seed": 1}, search={"method": "scan"}), "--workdir", work.path)
    assert peerpressure("mine", *night, "--run_id", "second").code == 0
    told = _refused(work, tree, work.nets()[0])
    assert f"run 'second' is finished and not in '{DATASET}:1.1.0'; run `peerpressure package` first." in told
    assert peerpressure("package", *night).code == 0
    before, after = work.examples("1.1.0"), work.examples("1.2.0")
    for example_id, example in before.items():
        same_features(example, after[example_id])
    added = {name: example for name, example in after.items() if name not in before}
    assert {example["status"] for example in added.values()} == {b""}
    assert {example["run"]["id"] for example in added.values()} == {b"second"}
    notes = tfds.builder(DATASET, data_dir=work.datasets).info.release_notes
    told = _refused(work, tree, work.nets()[0], dataset=f"{DATASET}:1.1.0")
    assert f"'{DATASET}:1.1.0' has not got the examples of all runs; --publish takes 1.2.0: name that or none." in told
    starts = {"1.0.0": "Run first", "1.1.0": "Recheck of 1.0.0", "1.2.0": "Run second"}
    assert {version: note[: len(starts[version])] for version, note in notes.items()} == starts


@pytest.mark.slow
def test_a_recheck_of_some_pairs_leaves_the_others_their_status(mined, tmp_path):
    work = mined[0].copy(tmp_path / "copied", ran=True)
    small, middle, large = work.nets()
    assert publish(work, f"mlp-8={middle}", small).code == 0
    assert _statuses(work.examples()) == {"mlp-8": {"fooled"}, "mlp-12": {""}}
    assert publish(work, f"mlp-12={large}").code == 0
    assert _statuses(work.examples()) == {"mlp-8": {"fooled"}, "mlp-12": {"fooled"}}
    told = tfds.builder(work.dataset, data_dir=work.datasets).info.metadata["rechecks"]
    assert [[net["name"] for net in each["nets"]] for each in told] == [["mlp-8"], ["mlp-12"]]  # mlp-4: no target


class Killed(BaseException):
    """Stands for a signal."""


def _die(*_, **__):
    raise Killed


@pytest.mark.slow
@pytest.mark.parametrize("then", ["recheck", "package"])
def test_who_is_killed_before_packaging_goes_on_to_the_same_version(
    copied, rechecked, peerpressure, config, tree, half_written, monkeypatch, then
):
    given = f"mlp-4={copied.nets()[2]}"
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(package, "_build", _die)
        publish(copied, given)
    assert not (copied.published / "1.1.0").exists()
    again = ("package", "--config", config(), "--workdir", copied.path)
    outcome = peerpressure(*again) if then == "package" else publish(copied, given)
    assert outcome.code == 0 and f"{DATASET}:1.1.0 written" in outcome.out and "nothing new" not in outcome.out
    assert tree(copied.published) == tree(rechecked.published) and not half_written(copied.path)
    assert len(list((copied.path / "ledger" / "rechecks" / DATASET).iterdir())) == 2


def test_nets_without_a_place_of_their_own_are_refused(rechecked, tree):
    small, middle, _ = rechecked.nets()
    assert "both take the place of net 'mlp-4'" in _refused(rechecked, tree, small, f"mlp-4={middle}")


@pytest.mark.parametrize(("lost", "what"), [(f"rechecks/{DATASET}", "a recheck"), (DATASET, "run 'first'")])
def test_a_version_of_another_ledger_is_refused(rechecked, tmp_path, tree, lost, what):
    work = rechecked.copy(tmp_path / "copied", ran=True)
    shutil.rmtree(work.path / "ledger" / lost)
    assert f"{what} of '{DATASET}:1.1.0' is not in the ledger" in _refused(work, tree, work.nets()[0])


def test_a_task_that_is_held_is_left_alone(rechecked, tree):
    with lock.hold(Workdir.at(str(rechecked.path)).lock(DATASET), DATASET, "run 'night'", wait=False):
        before = tree(rechecked.path)
        outcome = publish(rechecked, rechecked.nets()[0])
        assert outcome.code == 3 and f"task '{DATASET}' is held by run 'night'" in outcome.err
        assert tree(rechecked.path) == before

"""Versions of the dataset: what a further run adds, what is left out, what is refused."""

from __future__ import annotations

import shutil

import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from etils import epath

from pipeline import records
from pipeline.kinds.mistakes.kind import MISTAKES
from pipeline.versions import package
from pipeline.versions.additions import Addition, Split
from pipeline.versions.release_notes import release_note
from tests.pipeline.conftest import ATTACK
from tests.tfds_builders.made_up import MANIFEST

NAME = "high_value_mistakes/tiny"


@pytest.mark.slow
def test_another_run_is_added_and_old_examples_stay(mined, tmp_path, peerpressure, config, same_features):
    copied, name = mined[0].copy(tmp_path / "copied", ran=True), mined[0].dataset
    task = config(**{**copied.changes, "attack": {**ATTACK, "aim": "next"}})
    assert peerpressure("run", "--config", task, "--workdir", copied.path, "--run_id", "second").code == 0
    old, new = copied.examples("1.0.0"), copied.examples("1.1.0")
    for example_id, example in old.items():
        same_features(example, new[example_id])
    added = {example["run"]["id"] for example_id, example in new.items() if example_id not in old}
    assert added == {b"second"}
    info = tfds.builder(name, data_dir=copied.datasets).info
    left_out = info.metadata["near_duplicates_left_out"]
    assert len(new) == len(old) + copied.manifest("second")["examples"] - left_out
    assert str(info.version) == "1.1.0" and [run["run_id"] for run in info.metadata["runs"]] == ["first", "second"]
    assert "second" in info.release_notes["1.1.0"] and "first" in info.release_notes["1.0.0"]
    assert peerpressure("verify", name, "--workdir", copied.path).code == 0


@pytest.mark.slow
def test_the_same_run_under_another_id_adds_nothing(copied, peerpressure, config, same_features):
    outcome = peerpressure("run", "--config", config(), "--workdir", copied.path, "--run_id", "again")
    assert outcome.code == 0
    old, new = copied.examples("1.0.0"), copied.examples("1.1.0")
    assert new.keys() == old.keys()
    for example_id, example in old.items():
        same_features(example, new[example_id])
    metadata = tfds.builder(NAME, data_dir=copied.datasets).info.metadata
    assert metadata["near_duplicates_left_out"] == copied.manifest("again")["examples"] == len(old)


@pytest.mark.slow
def test_an_empty_result_is_a_version_that_loads(work, peerpressure, config):
    task = config(search={"target_confidence": 1.0, "patience": 1})
    outcome = peerpressure("run", "--config", task, "--workdir", work.path, "--run_id", "none")
    assert outcome.code == 0
    assert work.manifest("none")["examples"] == 0
    assert "no mistake was found: lower the thresholds" in outcome.out
    assert "it is empty, so that TFDS knows no split of it." in outcome.out and "Load it" not in outcome.out
    data, info = tfds.load(NAME, data_dir=work.datasets, with_info=True)
    assert data == {} and info.splits.total_num_examples == 0  # TFDS has no split without examples
    assert set(info.features) >= {"id", "image", "label", "transform"}
    assert peerpressure("verify", NAME, "--workdir", work.path).code == 0


@pytest.mark.slow
def test_a_run_after_an_empty_one_fills_the_next_version(work, peerpressure, config):
    nothing = config("nothing", search={"target_confidence": 1.0, "method": "scan"})
    assert peerpressure("run", "--config", nothing, "--workdir", work.path, "--run_id", "none").code == 0
    some = config("some", search={"method": "scan"})
    assert peerpressure("run", "--config", some, "--workdir", work.path, "--run_id", "some").code == 0
    assert len(work.examples("1.1.0")) == work.manifest("some")["examples"] > 0


def _forget_what_it_adds(run) -> None:
    (run / "addition.json").unlink()


def test_a_changed_chunk_is_refused(copied, peerpressure, config, half_written):
    _forget_what_it_adds(copied.ledger / "first")
    shutil.rmtree(copied.published / "1.0.0")
    chunk = copied.ledger / "first" / "chunks" / "000003.parquet"
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    chunk.write_bytes(content)
    outcome = peerpressure("package", "--config", config(), "--workdir", copied.path)
    assert outcome.code == 2 and outcome.err.count("\n") == 1
    assert outcome.err.startswith(f"peerpressure: error: {chunk} is not the chunk that run 'first' wrote")
    assert not half_written(copied.path)


def test_a_lost_chunk_is_refused(copied, peerpressure, config):
    _forget_what_it_adds(copied.ledger / "first")
    shutil.rmtree(copied.published / "1.0.0")
    (copied.ledger / "first" / "chunks" / "000003.parquet").unlink()
    outcome = peerpressure("package", "--config", config(), "--workdir", copied.path)
    assert outcome.code == 2 and "000003.parquet is not the chunk" in outcome.err


def test_without_a_finished_run_there_is_nothing_to_package(work, peerpressure, config):
    outcome = peerpressure("package", "--config", config(), "--workdir", work.path)
    assert outcome.code == 2 and outcome.err.count("\n") == 1
    assert outcome.err.startswith("peerpressure: error: task 'tiny' has no finished run")


def test_a_run_with_other_classes_does_not_join_the_task(
    copied, finished, pictures, tmp_path, peerpressure, config, half_written
):
    task = config(
        seeds={"image_folder": str(pictures), "splits": ["test"], "labeled": False},
        peers={"files": finished.nets()},
        search={"class_from": "consensus", "method": "scan"},
    )
    outcome = peerpressure("run", "--config", task, "--workdir", copied.path, "--run_id", "other")
    assert outcome.code == 2
    assert "run 'other' has other image sizes or classes than 'first'" in outcome.err
    assert [path.name for path in copied.published.iterdir()] == ["1.0.0"]
    assert not half_written(copied.path)


@pytest.mark.parametrize("lost", ["*", "*.tfrecord*", "features.json", "runs"])
def test_a_version_of_which_files_are_lost_is_written_again_with_the_same_bytes(
    copied, finished, peerpressure, config, tree, lost
):
    version = copied.published / "1.0.0"
    for path in [version] if lost == "*" else sorted(version.glob(lost)):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    outcome = peerpressure("package", "--config", config(), "--workdir", copied.path)
    assert outcome.code == 0 and f"{NAME}:1.0.0 written" in outcome.out
    assert tree(copied.published) == tree(finished.published)


def test_a_version_whose_description_is_damaged_is_written_again(copied, finished, peerpressure, config, tree):
    path = copied.published / "1.0.0" / "dataset_info.json"
    path.write_bytes(path.read_bytes()[:-20])
    assert peerpressure("package", "--config", config(), "--workdir", copied.path).code == 0
    assert tree(copied.published) == tree(finished.published)


def test_a_disk_that_fails_leaves_a_version_alone(copied, peerpressure, config, tree, monkeypatch):
    def fail(_):
        raise tf.errors.UnavailableError(None, None, "the bucket is away")

    before = tree(copied.published)
    monkeypatch.setattr(tfds, "builder_from_directory", fail)
    outcome = peerpressure("package", "--config", config(), "--workdir", copied.path)
    assert outcome.code == 4 and tree(copied.published) == before


@pytest.mark.slow
def test_a_version_of_runs_that_were_removed_is_not_taken_for_another(copied, peerpressure, config, tree, half_written):
    scan = config("scan", search={"method": "scan"})
    second, third = (
        ["--config", scan, "--workdir", copied.path, "--run_id", name, "--run_seed", seed]
        for name, seed in (("second", "2"), ("third", "3"))
    )
    assert peerpressure("run", *second).code == 0
    shutil.rmtree(copied.ledger / "second")
    before = tree(copied.published)
    outcome = peerpressure("run", *third)
    assert outcome.code == 2 and outcome.err.count("error:") == 1
    told = (
        "was made of run 'first', run 'second', and the ledger has run 'first', run 'third'; restore what was removed"
    )
    assert f"{copied.published / '1.1.0'} {told} there, or move that version away." in outcome.err
    assert tree(copied.published) == before and not half_written(copied.path)
    (copied.published / "1.1.0").rename(copied.path / "away")
    assert peerpressure("package", *third[:4]).code == 0
    runs = tfds.builder(NAME, data_dir=copied.datasets).info.metadata["runs"]
    assert [run["run_id"] for run in runs] == ["first", "third"]


def test_a_release_note_counts_what_is_added_by_class_and_what_is_left_out(tmp_path):
    counts = {"left": {records.FOUND: 5, records.EXHAUSTED: 5}}
    told = {"run_id": "second", "dataset": MISTAKES.name, "counts": counts, "config": {"search": {"targets": "left"}}}
    classes, splits = [(1, 2), (2, 1)], {"test": Split([3], [120], 100)}
    addition = Addition({**MANIFEST, **told}, epath.Path(tmp_path / "told"), 2, classes, splits, epath.Path(tmp_path))
    note = release_note(addition, MISTAKES).splitlines()
    assert note[0] == (
        f"Run second (run seed 7, config {'d' * 12}): 3 mistakes for made_up:1.0.0, 2 near-duplicates left out."
    )
    assert note[1] == "Found: left 5 of 10 trials (50.0%)."
    assert note[2] == "Added by class: one: 2, two: 1."


def test_runs_of_a_task_may_compose_moves_in_other_ways_and_not_be_of_another_operator():
    operator = {"name": "affine", "parameter_names": ["scale"], "composed_shapes": {}, "compose": "matrix"}
    first, image, other = (
        {**MANIFEST, "operator": {**operator, **changes}}
        for changes in ({}, {"compose": "image"}, {"name": "brightness"})
    )
    package._check_same_features([first, image], "tiny")
    with pytest.raises(ValueError, match=r"^task 'tiny': run 'first' has other image sizes or classes than"):
        package._check_same_features([first, other], "tiny")

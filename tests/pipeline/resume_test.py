"""What a start finds half-written, and runs that are not gone on with. Runs that are killed: `kill_test`."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil

import pytest

from pipeline import progress
from pipeline.seeds.tfds_dataset import TfdsSeeds
from pipeline.workdir.ledger import RunFolder


def _manifest_without_time(work, run_id="first"):
    """Returns what a manifest says apart from when, and where the nets lay."""
    return {
        key: value
        for key, value in work.manifest(run_id).items()
        if key not in ("finished_at", "net_paths", "counters")
    }


@pytest.fixture
def made(mined):
    """A workdir with a run of pairs; those of mistakes and of garbage are broken off in `kill_test`."""
    return mined[0]


@pytest.fixture
def broken_off(made, tmp_path):
    """A run that lacks its third chunk and what sums it up, among what killed starts left."""
    copied = made.copy(tmp_path / "copied", ran=True)
    run = copied.ledger / "first"
    for name in ("manifest.json", "trials.parquet", "set_aside.jsonl", "chunks/000002.parquet"):
        (run / name).unlink()
    (run / "manifest.json.0123.tmp").write_bytes(b'{"half')
    (run / "chunks" / "000002.parquet.0123.tmp").write_bytes(b"PAR1")
    (copied.published / "1.0.0").rename(copied.published / "incomplete.ABC123_1.0.0")
    return copied


@pytest.mark.slow
def test_what_was_half_written_is_swept_and_written_again(broken_off, made, peerpressure, config, tree, half_written):
    chunks = broken_off.ledger / "first" / "chunks"
    before = {path: path.stat().st_mtime_ns for path in chunks.glob("*.parquet")}
    outcome = peerpressure(
        "run", "--config", config(**broken_off.changes), "--workdir", broken_off.path, "--run_id", "first"
    )
    assert outcome.code == 0
    assert not half_written(broken_off.path)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert tree(chunks) == tree(made.ledger / "first" / "chunks")
    assert tree(broken_off.published) == tree(made.published)
    assert _manifest_without_time(broken_off) == _manifest_without_time(made)


@pytest.mark.slow
def test_a_stage_started_anew_leaves_the_units_that_were_finished_meanwhile(
    broken_off, made, peerpressure, config, tree, monkeypatch
):
    chunks = broken_off.ledger / "first" / "chunks"
    before = {path: path.stat().st_mtime_ns for path in chunks.glob("*.parquet")}
    monkeypatch.setattr(RunFolder, "finished_units", lambda folder: set())  # as when the stage was first started
    task = config(**broken_off.changes)
    assert peerpressure("mine", "--config", task, "--workdir", broken_off.path, "--run_id", "first").code == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert tree(chunks) == tree(made.ledger / "first" / "chunks")


@pytest.mark.slow
def test_the_chunks_are_listed_as_often_whatever_the_number_of_units(work, peerpressure, config, monkeypatch):
    listed: list[RunFolder] = []
    finished_units = RunFolder.finished_units
    monkeypatch.setattr(RunFolder, "finished_units", lambda folder: (listed.append(folder), finished_units(folder))[1])
    monkeypatch.setattr(progress, "watching", lambda *_: contextlib.nullcontext())  # it looks by the clock
    task = config(search={"method": "scan"}, run={"unit_size": 12})
    command = ["mine", "--config", task, "--workdir", work.path, "--run_id", "many"]
    assert peerpressure(*command).code == 0
    assert len(work.manifest("many")["units"]) == 30 and len(listed) <= 3


def test_a_run_without_its_manifest_is_not_packaged(broken_off, peerpressure, config):
    outcome = peerpressure("package", "--config", config(**broken_off.changes), "--workdir", broken_off.path)
    assert outcome.code == 2 and "task 'tiny' has no finished run" in outcome.err


def test_a_run_id_keeps_its_configuration(copied, peerpressure, config, tree, half_written):
    before = tree(copied.path)
    task = config(search={"patience": 31})
    outcome = peerpressure("run", "--config", task, "--workdir", copied.path, "--run_id", "first")
    assert outcome.code == 2 and outcome.err.count("\n") == 1
    assert outcome.err.startswith("peerpressure: error: run id 'first' was already used with another configuration")
    assert "(different: config_digest, settings.search.patience)" in outcome.err and tree(copied.path) == before
    assert not half_written(copied.path)


@pytest.mark.slow
def test_a_killed_run_goes_on_after_an_upgrade_and_with_other_keys_that_determine_no_result(
    copied, finished, peerpressure, config, tree, upgrade
):
    run, search = copied.ledger / "first", {"targets": ["mlp-12", "mlp-8", "mlp-4"]}
    for name in ("manifest.json", "chunks/000001.parquet"):
        (run / name).unlink()
    upgrade()
    task = config(search=search, run={"unit_size": 32, "max_set_aside": 0.5}, attack={"eps": 0.5})
    assert peerpressure("mine", "--config", task, "--workdir", copied.path, "--run_id", "first").code == 0
    assert tree(run / "chunks") == tree(finished.ledger / "first" / "chunks")
    old, new = finished.manifest("first"), copied.manifest("first")
    assert new["code_version"] == f"{old['code_version']} to 9.9" and new["config"]["search"]["targets"] != "all"
    assert (run / "plan.json").read_bytes() == (finished.ledger / "first" / "plan.json").read_bytes()
    again = peerpressure("mine", "--config", config(), "--workdir", copied.path, "--run_id", "first")
    assert again.code == 0 and "nothing to do" in again.out


@pytest.fixture
def reads(monkeypatch):
    """What was read since of the seed images, as (split, positions)."""
    done: list[tuple[str, tuple[int, ...]]] = []
    read = TfdsSeeds.read

    def noted(source, split, positions):
        done.append((split, tuple(positions)))
        return read(source, split, positions)

    monkeypatch.setattr(TfdsSeeds, "read", noted)
    return done


@pytest.mark.slow
def test_drawn_trials_are_not_drawn_again(work, peerpressure, config, tree, reads):
    task = config(search={"method": "scan", "trials": 40}, run={"unit_size": 16})
    command = ["mine", "--config", task, "--workdir", work.path, "--run_id", "drawn"]
    run = work.ledger / "drawn"
    assert peerpressure(*command).code == 0
    before, units = tree(run), json.loads((run / "plan.json").read_text())["units"]
    assert len(units) > 2 and len(reads) > len(units)  # once to draw, then unit by unit

    (run / "manifest.json").unlink()
    (run / "chunks" / "000001.parquet").unlink()
    reads.clear()
    assert peerpressure(*command).code == 0
    (_, checked), *mined = reads  # the nets are first checked on a sample
    assert set(checked) != set(units[1]["positions"]) and mined == [("test", tuple(units[1]["positions"]))]
    after = tree(run)
    assert after.pop("manifest.json") and before.pop("manifest.json")
    assert after == before


def _add(folder):
    picture = next(folder.rglob("*.png"))
    shutil.copy(picture, picture.with_name("more.png"))


def _exchange(folder):
    """Lets a picture of one class and one of another change places."""
    one, other = (next((folder / "test" / name).iterdir()) for name in "01")
    data = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(data)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trials", "ended", "change", "different"),
    [
        (0, True, _add, "split_digests.test, split_sizes.test, units"),
        (20, False, _add, "split_digests.test, split_sizes.test, units"),
        (0, True, _exchange, "split_digests.test"),
    ],
)
def test_a_run_of_pictures_that_changed_is_neither_gone_on_with_nor_taken_for_done(
    finished, pictures, tmp_path, peerpressure, config, trials, ended, change, different
):
    folder = tmp_path / "growing"
    shutil.copytree(pictures, folder)
    task = config(
        seeds={"image_folder": str(folder), "splits": ["test"]},
        peers={"files": finished.nets()},
        search={"method": "scan", "trials": trials},
    )
    command = ["mine", "--config", task, "--workdir", tmp_path / "own", "--run_id", "first"]
    assert peerpressure(*command).code == 0
    if not ended:
        (tmp_path / "own" / "ledger" / "high_value_mistakes" / "tiny" / "first" / "manifest.json").unlink()
    change(folder)
    outcome = peerpressure(*command)
    assert outcome.code == 2 and "run id 'first' was already used" in outcome.err
    assert f"(different: {different})" in outcome.err


@pytest.mark.slow
def test_a_folder_that_grew_is_another_run_that_adds_what_is_new(
    finished, pictures, tmp_path, peerpressure, config, same_features
):
    folder, work = tmp_path / "growing", dataclasses.replace(finished, path=tmp_path / "own")
    shutil.copytree(pictures, folder)
    later = sorted(folder.rglob("*.png"))[::2]
    for picture in later:
        picture.rename(picture.with_suffix(".later"))
    task = config(
        seeds={"image_folder": str(folder), "splits": ["test"]},
        peers={"files": finished.nets()},
        search={"method": "scan"},
    )
    command = ["run", "--config", task, "--workdir", work.path]
    assert peerpressure(*command).code == 0
    assert "nothing to do" in peerpressure(*command).out
    before = work.examples()
    for picture in later:
        picture.with_suffix(".later").rename(picture)
    assert "nothing to do" not in peerpressure(*command).out
    after = work.examples()
    for example_id, example in before.items():
        same_features(example, after[example_id])
    added = {example["seed"]["id"].decode() for name, example in after.items() if name not in before}
    assert added and added <= {str(picture.relative_to(folder)) for picture in later}


def test_the_plan_names_every_unit(finished):
    plan = json.loads((finished.ledger / "first" / "plan.json").read_text())
    ranges = [unit["range"] for unit in plan["units"]]
    assert ranges == [[0, 64], [64, 128], [128, 192], [192, 256], [256, 320], [320, 359]]
    assert plan["run_seed"] == 0 and plan["task"] == "tiny"

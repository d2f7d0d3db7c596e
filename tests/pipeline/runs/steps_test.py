"""The main job end to end: run, and what it leaves in the workdir."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from models import training
from pipeline import records
from pipeline.config import config_file
from pipeline.formats import FORMAT, VERSION_FORMAT
from pipeline.kinds import registry
from pipeline.kinds.mistakes.methods import MovedGrading
from pipeline.operators.affine import Affine
from pipeline.runs import job
from tests.pipeline.conftest import DATASET as NAME
from tests.pipeline.conftest import PAIRS

TRIALS = (records.FOUND, records.EXHAUSTED, records.MOVES_SPENT, records.DROPPED)


def _trials(work, run_id="first"):
    return pq.read_table(work.ledger / run_id / "trials.parquet").to_pylist()


def _mtimes(folder):
    """Returns when each file was last written; locks come and go."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {str(path): path.stat().st_mtime_ns for path in paths}


def test_a_run_prints_its_table_and_how_to_load_the_dataset(ran):
    work, outcome = ran
    assert outcome.code == 0
    for name in ("mlp-4", "mlp-8", "mlp-12"):
        assert f"\n{name}" in outcome.out
    assert f'tfds.load("{NAME}:1.0.0", data_dir="{work.datasets}", split="test")' in outcome.out
    assert "Downloading" not in outcome.out  # as TFDS says of every dataset that it builds


def _last_line(outcome):
    """Returns what the last line says, as a dict."""
    head, *fields = shlex.split(outcome.out.splitlines()[-1])
    assert head == "peerpressure:"
    return dict(field.split("=", 1) for field in fields)


def test_the_last_line_sums_a_run_up_for_whoever_greps_the_log(ran, peerpressure, config):
    work, outcome = ran
    manifest = work.manifest("first")
    of_run = {
        "run": "first",
        "examples": str(manifest["examples"]),
        "set_aside": "0",
        "manifest": str(work.ledger / "first" / "manifest.json"),
    }
    of_version = {"dataset": f"{NAME}:1.0.0", "dataset_examples": str(manifest["examples"])}
    assert _last_line(outcome) == {"status": "done", **of_run, **of_version}
    task = ["--config", config(), "--workdir", work.path]
    for command, fields in ((["mine", "--run_id", "first"], of_run), (["package"], of_version)):
        again = peerpressure(*command, *task)
        assert again.code == 0 and _last_line(again) == {"status": "done", **fields}


def test_the_dataset_loads_by_name_with_its_features(finished):
    data, info = tfds.load(NAME, data_dir=finished.datasets, split="test", with_info=True)
    assert str(info.version) == "1.0.0"
    assert "first" in info.release_notes["1.0.0"]
    assert info.supervised_keys == ("image", "label")
    assert info.features["image"].shape == info.features["seed_image"].shape == (28, 28, 1)
    example = next(iter(tfds.as_numpy(data)))
    assert example["image"].dtype == np.uint8
    assert example["probabilities_after"].shape == (3, 10)
    assert example["transform"]["parameters"].shape == (example["moves"], 6)
    image, label = next(
        iter(tfds.as_numpy(tfds.load(NAME, data_dir=finished.datasets, split="test", as_supervised=True)))
    )
    assert image.shape == (28, 28, 1) and 0 <= label < 10


def test_the_dataset_loads_without_a_task_where_the_builder_is_imported(finished):
    assert "tfds_builders.high_value_mistakes.high_value_mistakes_dataset_builder" in sys.modules
    loaded = tfds.load("high_value_mistakes", data_dir=finished.datasets, split="test")
    assert {example["id"].decode() for example in tfds.as_numpy(loaded)} == finished.examples().keys()
    assert tfds.builder("high_value_mistakes", data_dir=finished.datasets).info.full_name == f"{NAME}/1.0.0"


def test_the_metadata_tell_run_nets_and_counts(finished):
    info = tfds.builder(NAME, data_dir=finished.datasets).info
    manifest = finished.manifest("first")
    assert info.metadata["runs"] == [{key: manifest[key] for key in ("run_id", "config_digest")}]
    run = json.loads((finished.published / "1.0.0" / "runs" / "first.json").read_text())
    for key in ("run_id", "run_seed", "nets", "counts", "config", "config_digest", "code_version", "seeds", "reading"):
        assert run[key] == manifest[key]
    assert info.metadata["near_duplicates_left_out"] == 0
    assert str(finished.path) not in json.dumps([dict(info.metadata), run])


def test_plan_and_manifest_tell_which_features_were_read_and_by_which_rule(finished):
    plan = json.loads((finished.ledger / "first" / "plan.json").read_text())
    reading = {"image_key": "image", "label_key": "label", "pixels": "uint8 as it is"}
    assert plan["reading"] == finished.manifest("first")["reading"] == reading


def test_plan_manifest_chunks_and_version_tell_their_format(finished):
    run = finished.ledger / "first"
    plan, manifest = (json.loads((run / name).read_text()) for name in ("plan.json", "manifest.json"))
    metadata = tfds.builder(NAME, data_dir=finished.datasets).info.metadata
    assert plan["format"] == manifest["format"] == FORMAT and metadata["format"] == VERSION_FORMAT
    assert {int(pq.read_schema(path).metadata[b"format"]) for path in (run / "chunks").iterdir()} == {FORMAT}


def test_a_workdir_of_before_the_formats_is_refused_in_one_sentence(copied, peerpressure, config, tree):
    for name in ("plan.json", "manifest.json"):
        told = json.loads((copied.ledger / "first" / name).read_text())
        del told["format"]
        (copied.ledger / "first" / name).write_text(json.dumps(told))
    before = tree(copied.path)
    outcome = peerpressure("run", "--config", config(), "--workdir", copied.path, "--run_id", "first")
    assert outcome.code == 2 and outcome.err.count("\n") == 1
    assert outcome.err.startswith("peerpressure: error: run 'first' was made by an older version of peer-pressure; ")
    assert tree(copied.path) == before


def test_counts_agree_everywhere(finished):
    found = [row for row in _trials(finished) if row["outcome"] == records.FOUND]
    manifest = finished.manifest("first")
    info = tfds.builder(NAME, data_dir=finished.datasets).info
    assert len(found) > 0
    assert info.splits["test"].num_examples == len(finished.examples()) == len(found) == manifest["examples"]
    assert sum(counts.get(records.FOUND, 0) for counts in manifest["counts"].values()) == len(found)


def test_every_seed_image_and_target_has_one_row(finished):
    rows = _trials(finished)
    skipped = [row["seed_id"] for row in rows if row["outcome"] == records.SKIPPED]
    tried = [(row["seed_id"], row["target_net"]) for row in rows if row["outcome"] in TRIALS]
    held = {seed_id for seed_id, _ in tried}
    assert len(skipped) + len(tried) == len(rows)
    assert len(set(tried)) == len(tried) == 3 * len(held)
    assert len(set(skipped)) == len(skipped) and not held & set(skipped)
    assert len(held) + len(skipped) == 359


def test_each_example_is_what_its_record_says(finished):
    for example in finished.examples().values():
        nets = [name.decode() for name in example["nets"]]
        target = nets.index(example["target_net"].decode())
        classes = example["probabilities_after"].argmax(-1)
        assert classes[target] == example["wrong_class"] != example["label"]
        assert (np.delete(classes, target) == example["label"]).all()
        assert (example["probabilities_before"].argmax(-1) == example["label"]).all()
        assert example["seed"]["label"] == example["label"]
        assert len(example["transform"]["steps"]) == example["moves"] > 0
        assert (np.diff(example["transform"]["confidences"]) < 0).all()


def test_the_judge_grades_and_so_do_the_peers_margin_and_the_moves(finished):
    grades = set()
    for example in finished.examples().values():
        nets, label, judge = list(example["nets"]), example["label"], example["judge"]
        peers = np.delete(example["probabilities_after"], nets.index(example["target_net"]), axis=0)
        margin = (peers[:, label] - np.delete(peers, label, axis=1).max(axis=1)).min()
        assert judge["name"] == b"judge-mlp-16" and 0.1 < judge["confidence"] <= 1 and margin == example["peer_margin"]
        chain, (height, width, _) = example["transform"]["parameters"], example["image"].shape
        moved = Affine().realistic(chain, height, width, MovedGrading())
        high = moved and judge["class"] == label and margin >= np.float32(0.1)
        assert example["grade"].decode() == (records.HIGH if high else records.LOW)
        grades.add((example["grade"].decode(), judge["class"] == label))
    assert grades == {(records.HIGH, True), (records.LOW, True), (records.LOW, False)}


def test_a_second_run_does_nothing_and_says_so(copied, peerpressure, config):
    before = _mtimes(copied.path)
    outcome = peerpressure("run", "--config", config(), "--workdir", copied.path, "--run_id", "first")
    assert outcome.code == 0
    assert "run first is finished already" in outcome.out and "nothing to do" in outcome.out
    assert f"{NAME}:1.0.0 is there already" in outcome.out
    assert _mtimes(copied.path) == before


@pytest.mark.slow
def test_without_a_run_id_it_is_a_digest_of_what_determines_the_run(work, peerpressure, config, upgrade):
    def mine(run=None, **search):
        task = config(search={"method": "scan", **search}, run=run or {})
        outcome = peerpressure("mine", "--config", task, "--workdir", work.path)
        assert outcome.code == 0
        return "nothing to do" in outcome.out

    assert not mine()
    assert [len(path.name) for path in work.ledger.iterdir()] == [12]
    upgrade()
    assert mine({"unit_size": 100, "max_set_aside": 0.5}, patience=7, targets=["mlp-4", "mlp-8", "mlp-12"])
    assert not mine(targets=["mlp-4"])
    assert len(list(work.ledger.iterdir())) == 2


def test_train_lists_the_nets_with_their_accuracies_and_trains_none_twice(finished, work, peerpressure, config):
    before = _mtimes(work.path / "nets")
    outcome = peerpressure("train", "--config", config(), "--workdir", work.path)
    assert outcome.code == 0 and outcome.err == ""
    *listed, accuracies = outcome.out.splitlines()
    (judge,) = (str(path) for path in (work.path / "nets").glob("*mlp-16-*.keras"))
    assert [line.split(": ")[1] for line in listed] == [*work.nets(), judge]
    kept = finished.manifest("first")["seed_accuracy"]
    assert (kept["split"], kept["images"]) == ("test", 128)
    told = ", ".join(f"{name} {kept['nets'][name]:.3f}" for name in ("mlp-4", "mlp-8", "mlp-12"))
    assert accuracies == f"accuracy on 128 seed images of split test: {told}, judge-mlp-16 {kept['judge']:.3f}"
    assert _mtimes(work.path / "nets") == before


@pytest.mark.slow
def test_the_units_and_the_workers_do_not_change_the_examples(finished, work, peerpressure, config, same_features):
    outcome = peerpressure(
        "run",
        *("--config", config(run={"unit_size": 100}), "--workdir", work.path, "--run_id", "first"),
        *("--direct_num_workers=2", "--direct_running_mode=multi_threading"),
    )
    assert outcome.code == 0
    ours, theirs = work.examples(), finished.examples()
    assert ours.keys() == theirs.keys()
    for example_id, example in ours.items():
        same_features(example, theirs[example_id])


@pytest.mark.slow
def test_trials_draws_that_many_for_each_target_of_the_whole_run(finished, work, peerpressure, config, same_features):
    task = config(search={"trials": 25, "targets": ["mlp-4", "mlp-8"]})
    assert peerpressure("run", "--config", task, "--workdir", work.path, "--run_id", "first").code == 0
    rows = [row for row in _trials(work) if row["outcome"] in TRIALS]
    for net in ("mlp-4", "mlp-8"):
        assert len({row["seed_id"] for row in rows if row["target_net"] == net}) == 25
    assert len(rows) == 50
    ours, theirs = work.examples(), finished.examples()
    assert {example["target_net"] for example in ours.values()} == {b"mlp-4", b"mlp-8"}
    for example_id, example in ours.items():
        same_features(example, theirs[example_id])


@pytest.mark.slow
def test_images_composed_move_by_move_from_both_splits_are_verified(work, peerpressure, config):
    task = config(seeds={"dataset": "digits", "splits": ["test", "train"]}, search={"compose": "image", "trials": 40})
    assert peerpressure("run", "--config", task, "--workdir", work.path).code == 0
    both = {split: list(work.examples(splits=(split,)).values()) for split in ("train", "test")}
    for split, examples in both.items():
        assert any(example["moves"] > 1 for example in examples)
        for example in examples:
            assert example["seed"]["split"].decode() == split
            assert f"-{split}.tfrecord" in example["seed"]["id"].decode()
            assert example["transform"]["compose"] == b"image"
    outcome = peerpressure("verify", NAME, "--workdir", work.path)
    count = len(both["train"]) + len(both["test"])
    assert outcome == (0, f"{NAME}: {count:,} examples checked, 0 shown of those that fail\n", "")


@pytest.mark.slow
def test_a_scan_keeps_the_seed_images_that_one_net_gets_wrong(work, peerpressure, config):
    assert peerpressure("run", "--config", config(search={"method": "scan"}), "--workdir", work.path).code == 0
    examples = work.examples()
    assert examples
    for example in examples.values():
        np.testing.assert_array_equal(example["image"], example["seed_image"])
        assert example["label"] == example["seed"]["label"] != example["wrong_class"]
        assert example["moves"] == 0
    (run,) = work.ledger.iterdir()
    rows = _trials(work, run.name)
    tried = {(row["seed_id"], row["target_net"]) for row in rows}
    assert len(rows) == len(tried) == 3 * 359, "every image is a trial of every net"
    assert {row["outcome"] for row in rows} == {records.FOUND, records.NOT_ALONE}
    assert peerpressure("verify", NAME, "--workdir", work.path).code == 0


@pytest.mark.slow
@pytest.mark.parametrize("method", ["scan", "hillclimb"])
def test_unlabeled_images_get_their_class_from_the_nets(finished, pictures, tmp_path, peerpressure, config, method):
    task = config(
        seeds={"image_folder": str(pictures), "splits": ["test"], "labeled": False},
        peers={"files": finished.nets(), "names": ["a", "b", "c"]},
        search={"class_from": "consensus", "method": method},
    )
    assert peerpressure("run", "--config", task, "--workdir", tmp_path / "own", "--run_id", "own").code == 0
    builder = tfds.builder(NAME, data_dir=tmp_path / "own" / "datasets")
    examples = list(tfds.as_numpy(builder.as_dataset(split="test")))
    assert examples
    for example in examples:
        assert example["seed"]["label"] == -1
        assert example["seed"]["dataset"].decode() == "digits_folder"
        assert (pictures / example["seed"]["id"].decode()).exists()
        assert sorted([*example["peers"], example["target_net"]]) == [b"a", b"b", b"c"]
    assert peerpressure("verify", NAME, "--workdir", tmp_path / "own").code == 0


def _folder_task(config, folder, nets, **changes):
    return config(
        seeds={"image_folder": str(folder), "splits": ["test"]},
        peers={"files": nets, "names": ["a", "b", "c"]},
        search={"method": "scan"},
        **changes,
    )


def _refused(outcome):
    """Returns the one sentence with which wrong input was refused."""
    assert outcome.code == 2 and outcome.out == ""
    (sentence,) = outcome.err.splitlines()
    return sentence.removeprefix("peerpressure: error: ")


@pytest.mark.parametrize("dataset", ["digits:9.9.9", "digits:abc", "digits:", "digits:1.0.0/shade=1"])
def test_digits_that_there_are_not_are_refused_in_one_sentence(dataset, tmp_path, peerpressure, config):
    task = config(seeds={"dataset": dataset, "splits": ["test"]})
    sentence = _refused(peerpressure("run", "--config", task, "--workdir", tmp_path / "own"))
    assert sentence.startswith(f"[seeds] dataset '{dataset}' was not found in {tmp_path / 'own' / 'datasets'} (")
    assert "()" not in sentence


def test_a_split_that_the_dataset_could_not_have_is_refused_before_any_work(tmp_path, peerpressure, config):
    (tmp_path / "pictures" / "fold.1" / "a").mkdir(parents=True)
    (tmp_path / "pictures" / "fold.1" / "a" / "0.png").touch()
    seeds = {"image_folder": str(tmp_path / "pictures"), "splits": ["fold.1"]}
    sentence = _refused(peerpressure("run", "--config", config(seeds=seeds), "--workdir", tmp_path / "own"))
    assert "TFDS cannot name a split 'fold.1'; rename that folder" in sentence
    bred = config_file.load(str(config(seeds=seeds, search={"method": "direct"})), registry.methods())
    assert job.open_job(bred, str(tmp_path / "own"), None, "cpu"), "islands have a split of their own"


def test_what_a_kind_cannot_do_with_the_nets_is_told_before_the_run_is_opened(work, peerpressure, config):
    task = config(search={"method": "fgsm"}, attack={"aim": 10})
    outcome = peerpressure("mine", "--config", task, "--workdir", work.path, "--run_id", "first")
    assert (
        outcome.code == 2 and outcome.err == "peerpressure: error: [attack] aim is 10, expected a class from 0 to 9.\n"
    )
    assert not (work.path / "ledger" / PAIRS / "first").exists()


@pytest.fixture
def with_a_corrupt_picture(pictures, tmp_path):
    """The image folder with its third picture cut short; its path within the folder."""
    folder = tmp_path / "damaged"
    paths = sorted(pictures.rglob("*.png"))
    for path in paths:
        to = folder / path.relative_to(pictures)
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_bytes(path.read_bytes()[: 60 if path == paths[2] else None])
    return folder, str(paths[2].relative_to(pictures))


def test_bad_pictures_are_set_aside_and_counted_and_what_is_ignored_is_told(
    finished, with_a_corrupt_picture, tmp_path, peerpressure, config
):
    folder, corrupt = with_a_corrupt_picture
    last = sorted(folder.rglob("*.png"))[-1]
    misnamed = str(last.relative_to(folder).with_name("caf\\udce9.png"))
    last.rename(os.fsdecode(os.fsencode(last.parent) + b"/caf\xe9.png"))
    (folder / "test" / ".ipynb_checkpoints").mkdir()
    (folder / "test" / "empty").mkdir()
    task = _folder_task(config, folder, finished.nets(), run={"max_set_aside": 0.1})
    outcome = peerpressure("run", "--config", task, "--workdir", tmp_path / "own", "--run_id", "own")
    assert outcome.code == 0
    run = tmp_path / "own" / "ledger" / NAME / "own"
    entries = [json.loads(line) for line in (run / "set_aside.jsonl").read_text().splitlines()]
    assert {entry["seed_id"]: entry["reason"] for entry in entries} == {
        corrupt: "the picture cannot be read: its data are damaged or cut short",
        misnamed: "its name is not UTF-8; rename the file",
    }
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["set_aside"] == 2 and manifest["counts"][""][records.SET_ASIDE] == 2
    assert all(f"1 rows: {entry['reason']}" in outcome.out for entry in entries)
    told = outcome.err.splitlines()
    assert told[0] == f"images of {folder}, 28x28x1:" and told[1].startswith("  test: 40 pictures in 10 classes: 0 ")
    assert "hidden (1: test/.ipynb_checkpoints)" in told[2] and "folders without a picture (1: test/empty)" in told[2]
    assert told[3] == f"  set aside: {entries[0 if entries[0]['seed_id'] == misnamed else 1]['reason']} (1: {misnamed})"
    rows = pq.read_table(run / "trials.parquet").to_pylist()
    assert len({row["seed_id"] for row in rows}) == 40


def test_too_many_set_aside_end_the_run(finished, with_a_corrupt_picture, tmp_path, peerpressure, config, half_written):
    folder, corrupt = with_a_corrupt_picture
    task = _folder_task(config, folder, finished.nets(), run={"max_set_aside": 0.01})
    outcome = peerpressure("run", "--config", task, "--workdir", tmp_path / "own", "--run_id", "own")
    last = outcome.err.strip().splitlines()[-1]
    assert outcome.code == 2 and outcome.err.count("peerpressure: error:") == 1 and "Traceback" not in outcome.err
    assert last.startswith("peerpressure: error: run own: 1 of 40 seed images had to be set aside") and corrupt in last
    assert not (tmp_path / "own" / "ledger" / NAME / "own" / "manifest.json").exists()
    assert not (tmp_path / "own" / "datasets" / "high_value_mistakes").exists()
    assert not half_written(tmp_path / "own")


@pytest.mark.parametrize("command", ["run", "train"])
def test_pictures_of_many_sizes_end_a_run_before_any_net_is_trained(
    pictures, tmp_path, peerpressure, config, monkeypatch, command
):
    folder = tmp_path / "photos"
    for number, path in enumerate(sorted(pictures.rglob("*.png"))):
        to = folder / path.relative_to(pictures)
        to.parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).resize((28 + number // 3, 28)).save(to)
    monkeypatch.setattr(training, "train", lambda *_: pytest.fail("trained"))
    task = config(seeds={"image_folder": str(folder), "splits": ["test"]})
    sentence = _refused(peerpressure(command, "--config", task, "--workdir", tmp_path / "own"))
    assert sentence.startswith(
        "[seeds] 37 of 40 images of photos cannot be used, more than [run] max_set_aside = 0.05: the image is 28x29x1, "
        "expected 28x28x1 (3, such as "
    )
    assert sentence.endswith(
        "and 8 reasons more; bring all images to one size ([seeds] resize does it), mend or remove the others, or raise max_set_aside."
    )
    assert not any((tmp_path / "own").glob("nets/*"))


def test_a_size_that_only_the_pictures_to_learn_from_have_ends_a_run_before_any_net_is_trained(
    pictures, tmp_path, peerpressure, config, monkeypatch
):
    shutil.copytree(pictures, tmp_path / "photos")
    for path in sorted(pictures.rglob("*.png")):
        to = tmp_path / "photos" / "train" / path.relative_to(pictures / "test")
        to.parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).resize((32, 28)).save(to)
    monkeypatch.setattr(training, "train", lambda *_: pytest.fail("trained"))
    task = config(seeds={"image_folder": str(tmp_path / "photos"), "splits": ["test"]})
    sentence = _refused(peerpressure("run", "--config", task, "--workdir", tmp_path / "own"))
    assert "40 of 40 images of photos" in sentence and "the image is 28x32x1, expected 28x28x1 (40, " in sentence


@pytest.mark.slow
def test_processes_on_another_workdir_write_the_same_bytes(finished, work, program, config, tree, tmp_path):
    command = [program, "run", "--config", config(), "--workdir", work.path, "--run_id", "first"]
    workers = ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]
    done = subprocess.run([*command, *workers], capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert tree(work.ledger / "first" / "chunks") == tree(finished.ledger / "first" / "chunks")
    assert tree(work.published) == tree(finished.published)
    assert (work.ledger / "first" / "trials.parquet").read_bytes() == (
        finished.ledger / "first" / "trials.parquet"
    ).read_bytes()


_PLAIN = """
import sys
for name in ("pipeline", "models", "tfds_builders"):
    sys.modules[name] = None
import tensorflow_datasets as tfds
folder, version = sys.argv[1:]
loaded = tfds.load("high_value_mistakes/tiny", data_dir=folder, split="test")
opened = tfds.builder_from_directory(version).as_dataset(split="test")
by_default = tfds.load("high_value_mistakes", data_dir=folder, split="test")
ids = [sorted(example["id"] for example in tfds.as_numpy(data)) for data in (loaded, opened, by_default)]
assert ids[0] == ids[1] == ids[2]
print("examples:", len(ids[0]))
"""


@pytest.mark.slow
def test_the_dataset_loads_where_this_project_is_not(finished, tmp_path):
    arguments = [finished.datasets, finished.published / "1.0.0"]
    environment = {**os.environ, "PYTHONPATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", _PLAIN, *arguments], capture_output=True, text=True, cwd=tmp_path, env=environment
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"examples: {len(finished.examples())}" in done.stdout

"""Adversarial pairs end to end: mined, packaged, verified, attacked again, on tiny nets and real digits."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

from pipeline import records
from pipeline.kinds.pairs import mining as pairs
from tests.pipeline.conftest import ATTACK, PGD, TINY
from tests.pipeline.conftest import PAIRS as NAME


def test_every_image_is_attacked_once_for_each_target_that_reads_it_right(mined):
    work, _ = mined
    count = tfds.builder("digits", data_dir=work.datasets).info.splits["test"].num_examples
    trials = pq.read_table(work.ledger / "first" / "trials.parquet").to_pylist()
    assert {trial["outcome"] for trial in trials} <= {
        records.FOUND,
        records.EXHAUSTED,
        records.DROPPED,
        records.SKIPPED,
    }
    for net in ("mlp-8", "mlp-12"):
        mine = [trial for trial in trials if trial["target_net"] == net]
        assert len({trial["seed_id"] for trial in mine}) == len(mine) == count
    tried = [trial for trial in trials if trial["outcome"] in (records.FOUND, records.EXHAUSTED)]
    assert all(trial["candidates"] == ATTACK["steps"] + 1 for trial in tried)


def test_a_failed_attack_keeps_its_reason_and_its_best_try_and_is_no_example(mined):
    work, _ = mined
    failed = [
        row
        for path in sorted((work.ledger / "first" / "chunks").iterdir())
        for row in pq.read_table(path).to_pylist()
        if row["outcome"] == records.EXHAUSTED
    ]
    assert failed, "these nets and this eps leave some images unmisread"
    assert {row["reason"] for row in failed} == {pairs.NO_TWIN}
    assert all(records.decode_png(row["image"]).shape == (28, 28, 1) for row in failed)
    assert not {row["id"] for row in failed} & work.examples().keys()


def test_every_stored_twin_fools_its_net_within_eps(mined):
    work, _ = mined
    nets = {
        name: tf.keras.models.load_model(path, compile=False)
        for name, path in zip(("mlp-4", "mlp-8", "mlp-12"), work.nets(), strict=True)
    }
    examples = work.examples()
    assert len(examples) > 100
    for example in list(examples.values())[:40]:
        answers = {name: net(example["image"][None] / np.float32(255)).numpy()[0] for name, net in nets.items()}
        target = example["target_net"].decode()
        assert answers[target].argmax() == example["wrong_class"] == example["aimed_class"] != example["label"]
        change = (example["image"].astype(float) - example["seed_image"]) / 255
        assert 0 < np.abs(change).max() <= ATTACK["eps"]
        assert np.isclose(example["distortion"], np.sqrt(np.mean(change**2)), atol=1e-6)
        fooled = [answer.argmax() != example["label"] for answer in answers.values()]
        assert example["fooled"].tolist() == fooled and dict(zip(nets, fooled))[target]


def test_the_summary_says_what_was_fooled_and_who_else(mined):
    work, outcome = mined
    found = [example["target_net"].decode() for example in work.examples().values()]
    for net in ("mlp-8", "mlp-12"):
        attacked, fooled, *_, broken, before, after = outcome.out.split(f"\n{net}")[1].splitlines()[0].split()
        assert int(fooled) == found.count(net) <= int(attacked)
        assert (broken, before, after) == ("0", "-", "-"), "projected descent is judged on the grid"
    assert "that each net (column) misreads" in outcome.out


@pytest.mark.slow
def test_units_and_order_do_not_change_the_examples(mined, config, peerpressure, same_features, tmp_path):
    work, _ = mined
    other = work.copy(tmp_path / "other", ran=False)
    task = config(**other.changes, run={"unit_size": 100})
    assert peerpressure("run", "--config", task, "--workdir", other.path, "--run_id", "first").code == 0
    ours, theirs = work.examples(), other.examples()
    assert ours.keys() == theirs.keys()
    for example_id, example in ours.items():
        np.testing.assert_array_equal(example["image"], theirs[example_id]["image"])


def test_verify_passes_and_replay_attacks_again_to_the_same_bytes(mined, peerpressure):
    work, _ = mined
    examples = work.examples()
    outcome = peerpressure("verify", NAME, "--workdir", work.path)
    assert outcome == (0, f"{NAME}: {len(examples):,} examples checked, 0 shown of those that fail\n", "")
    for example_id in list(examples)[:2]:
        outcome = peerpressure("replay", NAME, example_id, "--workdir", work.path)
        assert outcome.code == 0 and "are equal, byte for byte" in outcome.out


def test_the_transfer_table_agrees_with_the_stored_answers(mined, peerpressure, tmp_path):
    work, _ = mined
    table, picture = tmp_path / "table.csv", tmp_path / "table.png"
    files = ("--csv", table, "--json", tmp_path / "table.json", "--picture", picture)
    outcome = peerpressure("transfer", NAME, "--workdir", work.path, "--rescale", 0.2, *files)
    assert outcome.code == 0, outcome
    rows = list(csv.DictReader(table.read_text().splitlines()))
    (told,) = json.loads((tmp_path / "table.json").read_text())
    assert [record["distortion"] for record in told["rows"]] == [float(row["distortion"]) for row in rows]
    assert [(row["made for"], row["size"]) for row in rows if "noise" not in row["made for"]] == [
        (net, size) for net in ("mlp-8", "mlp-12") for size in ("natural", "0.2")
    ]
    mine = [example for example in work.examples().values() if example["target_net"] == b"mlp-8"]
    fooled = 100 * np.mean([example["fooled"] for example in mine], axis=0)
    np.testing.assert_allclose([float(rows[0][name]) for name in ("mlp-4", "mlp-8", "mlp-12")], fooled, atol=0.051)
    assert float(rows[0]["mlp-8"]) == 100.0 > float(rows[1]["mlp-8"])
    assert np.isclose(float(rows[0]["distortion"]), np.mean([one["distortion"] for one in mine]), atol=1e-4)
    with Image.open(picture) as drawn:
        assert np.asarray(drawn.convert("L")).std() > 10


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((NAME, "--rescale", "1.5"), "--rescale is 1.5, expected a distortion above 0 and at most 1."),
        (("high_value_mistakes/tiny",), "expected adversarial_pairs/TASK"),
        ((NAME, "--csv", "/no/such/folder/table.csv"), "--csv /no/such/folder/table.csv cannot be written"),
        ((NAME, "--picture", "/no/such/folder/table.png"), "--picture /no/such/folder/table.png cannot be written"),
    ],
)
def test_a_wrong_transfer_is_one_sentence(mined, peerpressure, arguments, sentence):
    outcome = peerpressure("transfer", *arguments, "--workdir", mined[0].path)
    assert outcome.code == 2 and outcome.err.count("\n") == 1 and sentence in outcome.err


def test_probe_prints_the_same_table_twice_and_draws_it(mined, peerpressure, tmp_path):
    work, _ = mined
    table, picture = tmp_path / "table.csv", tmp_path / "table.png"
    arguments = ("probe", NAME, "--workdir", work.path, "--noise", 0.2, 0.02, "--draws", 2)
    outcome = peerpressure(*arguments, "--csv", table, "--json", tmp_path / "table.json", "--picture", picture)
    assert outcome.code == 0, outcome
    rows = list(csv.DictReader(table.read_text().splitlines()))
    (told,) = json.loads((tmp_path / "table.json").read_text())
    assert [record["pairs"] for record in told["rows"]] == [int(row["pairs"]) for row in rows]
    assert [(row["made for"], row["noise"]) for row in rows] == [
        (net, size) for net in ("mlp-8", "mlp-12") for size in ("0.02", "0.2")
    ]
    found = [example["target_net"].decode() for example in work.examples().values()]
    assert [int(row["pairs"]) for row in rows[::2]] == [found.count("mlp-8"), found.count("mlp-12")]
    assert all(float(faint["original"]) > float(strong["original"]) for faint, strong in zip(rows[::2], rows[1::2]))
    assert peerpressure(*arguments).out == outcome.out
    with Image.open(picture) as drawn:
        assert np.asarray(drawn.convert("L")).std() > 10


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((NAME, "--noise", "0.1", "0"), "--noise is 0, expected a distortion above 0 and at most 1."),
        ((NAME, "--noise", "nan"), "--noise is nan, expected a distortion above 0 and at most 1."),
        ((NAME, "--noise", "0.1,0.2"), "--noise: invalid float value: '0.1,0.2'"),
        ((NAME, "--draws", "0"), "--draws is 0, expected a number from 1 to 1000."),
        (("high_value_mistakes/tiny",), "`probe` shows pairs, not 'high_value_mistakes/tiny'"),
        (("adversarial_pairs/none",), "dataset 'adversarial_pairs/none' was not found"),
    ],
)
def test_a_wrong_probe_is_one_sentence(mined, peerpressure, arguments, sentence):
    outcome = peerpressure("probe", *arguments, "--workdir", mined[0].path)
    assert outcome.code == 2 and outcome.err.count("\n") == 1 and sentence in outcome.err


@pytest.mark.slow
def test_of_runs_with_other_nets_the_newest_ones_pairs_are_shown(mined, config, peerpressure, tmp_path):
    work = mined[0].copy(tmp_path / "work", ran=True)
    task = config(search=PGD, attack=ATTACK, peers={**TINY["peers"], "init_seed": 100})
    assert peerpressure("run", "--config", task, "--workdir", work.path, "--run_id", "second").code == 0
    told, counts = "of 1 of 2 runs: those with the newest run's nets; for others, name an earlier :VERSION", {}
    for version in ("1.0.0", "1.1.0"):
        outcome = peerpressure(
            *("transfer", f"{NAME}:{version}", "--workdir", work.path, "--rescale"),
            *("--json", tmp_path / f"{version}.json"),
        )
        assert outcome.code == 0 and (told in outcome.out) == (version == "1.1.0")
        rows = json.loads((tmp_path / f"{version}.json").read_text())[0]["rows"]
        counts[version] = sum(row["twins"] for row in rows if not row["made for"].startswith("noise"))
    examples = work.examples().values()
    assert counts == {
        "1.0.0": sum(example["run"]["id"] == b"first" for example in examples),
        "1.1.0": sum(example["run"]["id"] == b"second" for example in examples),
    }
    outcome = peerpressure("probe", NAME, "--workdir", work.path, "--draws", 1)
    assert outcome.code == 0 and told in outcome.out


def test_replay_draws_the_pair(mined, peerpressure, tmp_path):
    work, _ = mined
    picture = tmp_path / "pair.png"
    outcome = peerpressure("replay", NAME, next(iter(work.examples())), "--workdir", work.path, "--picture", picture)
    assert outcome.code == 0
    with Image.open(picture) as drawn:
        assert np.asarray(drawn.convert("L")).std() > 10


def _flip_a_pixel(feature):
    image = records.decode_png(feature["image"].bytes_list.value[0]).copy()
    image[3, 4, 0] ^= 128
    feature["image"].bytes_list.value[0] = records.encode_png(image)


def _put_the_original_back(feature):
    feature["image"].bytes_list.value[0] = feature["seed_image"].bytes_list.value[0]


def _rename(feature):
    feature["id"].bytes_list.value[0] = b"0" * 32


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (_flip_a_pixel, "the pair's images differ by another distortion than stored"),
        (_put_the_original_back, "the target net does not misread the stored image"),
        (_rename, "the id does not belong to the record"),
    ],
)
def test_a_tampered_pair_is_named_with_the_reason(mined, peerpressure, tmp_path, tamper, edit, reason):
    copied = mined[0].copy(tmp_path / "copied", ran=True)
    example_id = tamper(copied, edit)
    outcome = peerpressure("verify", NAME, "--workdir", copied.path)
    assert outcome.code == 1 and f"1 examples: {reason}" in outcome.out
    assert example_id in outcome.out


@pytest.mark.slow
def test_both_datasets_of_a_task_live_side_by_side(mined, config, peerpressure, tmp_path):
    both = mined[0].copy(tmp_path / "both", ran=True)
    assert peerpressure("run", "--config", config(search={"method": "scan"}), "--workdir", both.path).code == 0
    names = {path.parent.name for path in both.datasets.glob("*/tiny")}
    assert names == {"adversarial_pairs", "high_value_mistakes"}


@pytest.mark.parametrize(
    ("attack", "sentence"),
    [
        ({"aim": 10}, "[attack] aim is 10, expected a class from 0 to 9."),
        ({"aim": -1}, "[attack] aim is -1, expected a class from 0 to 9."),
        ({"aim": "nearest"}, "aim is 'nearest', expected a whole number or 'random' or 'next' or 'untargeted'."),
        ({"eps": 0.0}, "eps is 0.0, expected a number from 1e-06 to 1."),
        ({"eps": -0.1}, "eps is -0.1, expected a number from 1e-06 to 1."),
        ({"eps": 1.5}, "eps is 1.5, expected a number from 1e-06 to 1."),
        ({"epss": 0.1}, "[attack]: unknown key 'epss'; did you mean 'eps'?"),
    ],
)
def test_a_wrong_attack_is_one_sentence(work, config, peerpressure, attack, sentence):
    outcome = peerpressure("mine", "--config", config(search=PGD, attack=attack), "--workdir", work.path)
    assert outcome.code == 2 and outcome.err.count("\n") == 1 + outcome.err.count("epoch") and sentence in outcome.err


@pytest.mark.slow
def test_images_of_the_aimed_class_are_skipped_with_the_reason(work, config, peerpressure):
    task = config(search={**PGD, "method": "fgsm", "targets": ["mlp-8"]}, attack={"aim": 3, "eps": 0.3})
    assert peerpressure("mine", "--config", task, "--workdir", work.path, "--run_id", "third").code == 0
    folder = work.path / "ledger" / NAME / "third"
    trials = pq.read_table(folder / "trials.parquet").to_pylist()
    own = [trial for trial in trials if trial["reason"] == pairs.AIM_IS_LABEL]
    assert own and all(trial["seed_label"] == 3 and trial["outcome"] == records.SKIPPED for trial in own)
    assert json.loads((folder / "manifest.json").read_text())["reasons"][pairs.AIM_IS_LABEL] == len(own)


def test_where_all_images_are_of_the_aimed_class_none_is_attacked_and_why_is_said(
    finished, pictures, tmp_path, config, peerpressure
):
    threes = tmp_path / "threes"
    shutil.copytree(pictures, threes)
    (threes / "train").mkdir(exist_ok=True)
    for folder in (threes / "test").iterdir():
        if folder.name != "3":  # the other classes are those of another split
            folder.rename(threes / "train" / folder.name)
    task = config(
        seeds={"image_folder": str(threes), "splits": ["test"]},
        peers={"files": finished.nets()[2:]},
        search={"method": "fgsm"},
        attack={"aim": 3},
    )
    outcome = peerpressure("run", "--config", task, "--workdir", tmp_path / "own")
    assert outcome.code == 0
    count = len(list((threes / "test").rglob("*.png")))
    trials = [pq.read_table(path) for path in (tmp_path / "own").rglob("trials.parquet")]
    reasons = trials[0]["reason"].to_pylist()
    assert len(reasons) == count > 0 and set(reasons) <= {pairs.AIM_IS_LABEL, pairs.READ_WRONG}
    assert f"{reasons.count(pairs.AIM_IS_LABEL)} rows: the aimed class is the image's own" in outcome.out
    assert "no adversarial twin was found: change aim" in outcome.out


_EXPORT = """
import sys
import tensorflow as tf

class Net(tf.Module):
    def __init__(self, change):
        self.change = change
        self.weights = tf.Variable(0.1 * tf.random.stateless_normal([784, 10], [1, 2]))

    @tf.function(input_signature=[tf.TensorSpec([None, 28, 28, 1], tf.float32)])
    def serve(self, images):
        return tf.nn.softmax(self.change(tf.reshape(images, [-1, 784]) @ self.weights))

options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
for name, change in {"swish": tf.nn.silu, "rounding": tf.round, "relu": tf.nn.relu}.items():
    net = Net(change)
    tf.saved_model.save(net, f"{sys.argv[1]}/{name}", signatures=net.serve, options=options)
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """SavedModels without the gradients that are functions of their own, as another process sees them."""
    folder = tmp_path_factory.mktemp("exported")
    subprocess.run([sys.executable, "-c", _EXPORT, str(folder)], check=True, capture_output=True)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("swish", "Net 'swish' fails when its gradient is asked for (No gradient defined for operation"),
        ("rounding", "Net 'rounding' has no gradient with respect to its images; give a `.keras` file"),
    ],
)
def test_a_saved_model_without_its_gradient_is_one_sentence(exported, work, config, peerpressure, name, sentence):
    task = config(peers={"files": [str(exported / name)]}, search={"method": "pgd"})
    outcome = peerpressure("mine", "--config", task, "--workdir", work.path)
    assert outcome.code == 2 and outcome.err.count("\n") == 1
    assert outcome.err.startswith(f"peerpressure: error: {sentence}") and not list(work.path.glob("ledger/*/*/*"))


@pytest.mark.slow
def test_a_saved_model_with_its_gradient_is_attacked(exported, work, config, peerpressure):
    task = config(peers={"files": [str(exported / "relu")]}, search={"method": "fgsm"}, attack={"eps": 0.3})
    outcome = peerpressure("mine", "--config", task, "--workdir", work.path)
    assert outcome.code == 0 and "\nrelu" in outcome.out

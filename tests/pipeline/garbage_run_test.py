"""Garbage images end to end: mined, packaged, verified, bred again, drawn, on tiny nets and real digits."""

from __future__ import annotations

import collections
import csv
import itertools
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

from models.errors import InputError
from pipeline import records
from pipeline.config.config import Peers, Run
from pipeline.config.recorded import Recorded
from pipeline.kinds.garbage import lineage
from pipeline.kinds.garbage.methods import METHODS
from tests.pipeline import conftest

layers = tf.keras.layers

NAME = "garbage_images/tiny"
BRED = {"confidence": 0.5, "generations": 60, "population": 24, "max_hidden": 4}
DIRECT = {"method": "direct", "targets": ["mlp-8", "mlp-12"]}
CPPN = {"method": "cppn", "targets": ["mlp-8"]}

pytestmark = pytest.mark.slow  # the two runs that they look at take half a minute


@pytest.fixture(scope="module")
def mined(finished, tmp_path_factory):
    """A workdir with a run of direct garbage (1.0.0) and one of CPPN garbage (1.1.0), and what was printed."""
    folder = tmp_path_factory.mktemp("garbage")
    work, printed = finished.copy(folder / "work", ran=False), []
    for run_id, search in (("first", DIRECT), ("second", CPPN)):
        task = conftest.write_config(folder / f"{run_id}.toml", search=search, garbage=BRED)
        outcome = conftest.call("run", "--config", task, "--workdir", work.path, "--run_id", run_id)
        assert outcome.code == 0, outcome
        printed.append(outcome.out)
    return work, printed


def _examples(work, version):
    builder = tfds.builder(f"{NAME}:{version}", data_dir=work.datasets)
    return {example["id"].decode(): example for example in tfds.as_numpy(builder.as_dataset(split="train"))}


def _of(examples, encoding):
    return next(example for example in examples.values() if example["encoding"] == encoding.encode())


def test_every_class_of_every_target_net_is_a_trial(mined):
    work, _ = mined
    manifest = json.loads((work.path / "ledger" / NAME / "first" / "manifest.json").read_text())
    for net in ("mlp-8", "mlp-12"):
        assert sum(manifest["counts"][net].values()) == 10 and manifest["counts"][net][records.FOUND] > 0
    natural = manifest["natural_confidence"]
    assert natural["split"] == "test" and natural["images"] == 359
    assert natural["medians"].keys() == {"mlp-4", "mlp-8", "mlp-12"}


def test_an_example_holds_what_every_net_says(mined):
    work, _ = mined
    for example in _examples(work, "1.1.0").values():
        answers = example["probabilities_after"]
        np.testing.assert_array_equal(example["net_classes"], answers.argmax(axis=1))
        np.testing.assert_allclose(example["net_confidences"], answers.max(axis=1))
        np.testing.assert_array_equal(example["fooled"], answers.argmax(axis=1) == example["wrong_class"])
        target = list(example["nets"]).index(example["target_net"])
        assert example["confidence"] == answers[target, example["wrong_class"]] >= 0.5
        assert example["label"] == 10 and 0 < example["natural_confidence"] <= 1


def test_a_run_is_appended_and_leaves_earlier_examples_as_they_were(mined, same_features):
    work, _ = mined
    before, after = _examples(work, "1.0.0"), _examples(work, "1.1.0")
    assert 0 < len(before) < len(after)
    for identity, example in before.items():
        same_features(example, after[identity])


def test_supervised_pairs_are_labelled_garbage(mined):
    work, _ = mined
    dataset, info = tfds.load(
        NAME, data_dir=work.datasets, split="train", as_supervised=True, with_info=True, batch_size=-1
    )
    assert set(dataset[1].numpy()) == {10} and info.features["label"].int2str(10) == "garbage"


def test_the_table_tells_champions_natural_images_and_who_else_is_fooled(mined):
    work, (printed, _) = mined
    found = [example for example in _examples(work, "1.0.0").values() if example["target_net"] == b"mlp-12"]
    row = next(line.split() for line in printed.splitlines() if line.startswith("mlp-12"))
    assert row[1] == "10" and int(row[2]) == int(row[4]) == len(found)
    cross = [line.split() for line in printed.splitlines() if line.startswith("mlp-12")][1]
    expected = 100 * np.mean([example["fooled"] for example in found], axis=0)
    np.testing.assert_allclose([float(share) for share in cross[1:]], expected, atol=0.06)
    assert "natural: on natural images (359 of split test)" in printed


def test_curves_and_lineages_are_in_the_run(mined):
    folder = mined[0].path / "ledger" / NAME / "first"
    assert not (folder / "checkpoints").exists()
    with Image.open(folder / "curves.png") as picture:
        assert picture.format == "PNG"
    curve = np.loadtxt(folder / "curves" / "000000.csv", delimiter=",", skiprows=1)
    assert (curve[:, 0] == np.arange(len(curve))).all() and (np.diff(curve[:, 2]) >= 0).all()
    lineage = records.read_table(folder / "lineages" / "000001.parquet")
    assert lineage.schema == records.LINEAGE_SCHEMA and set(lineage["target_net"].to_pylist()) == {"mlp-12"}


def test_lineage_tells_the_line_of_first_parents_and_writes_all_ancestors(mined, peerpressure, tmp_path):
    work, _ = mined
    examples = _examples(work, "1.1.0").values()
    example = max((one for one in examples if one["encoding"] == b"direct"), key=lambda one: one["generation"])
    given = ["lineage", NAME, example["id"].decode(), "--workdir", work.path, "--csv", tmp_path / "all.csv"]
    outcome = peerpressure(*given, "--json", tmp_path / "all.json", "--picture", tmp_path / "line.png")
    assert outcome.code == 0, outcome
    with Image.open(tmp_path / "line.png") as picture:
        assert picture.format == "PNG" and picture.width > 5 * picture.height
    first, _, *line, total = (text.split() for text in outcome.out.splitlines())
    assert first[0] == example["id"].decode() + ":" and line[-1][0] == example["individual"].decode()
    assert [int(row[1]) for row in line] == sorted(int(row[1]) for row in line) and line[0][1] == "0"
    assert all(row[3] == before[0] for before, row in itertools.pairwise(line))
    heads, *rows = csv.reader((tmp_path / "all.csv").open())
    assert heads == ["image", "generation", "classes taken", "parent", "crossed with"]
    assert [one["image"] for one in json.loads((tmp_path / "all.json").read_text())[0]["rows"]] == [
        row[0] for row in rows
    ]
    parents = {row[0]: {*row[3:]} - {""} for row in rows}
    assert {name for names in parents.values() for name in names} == set(parents) - {line[-1][0]}
    assert {row[0] for row in line} <= set(parents)
    assert int(total[0]) == len(line) - 1 and int(total[3]) == len(rows) - 1 > len(line) - 1


def test_lineage_needs_the_ledger_and_parents(mined, peerpressure, tmp_path):
    work, _ = mined
    name = _of(_examples(work, "1.1.0"), "cppn")["id"].decode()
    shutil.copytree(work.datasets, tmp_path / "datasets")
    outcome = peerpressure("lineage", NAME, name, "--workdir", tmp_path)
    assert outcome.code == 2 and "has no lineage of net 'mlp-8', island 0; name the workdir" in outcome.err
    ascent = next(method for method in METHODS if method.name == "ascent")
    run = Recorded({}, ascent, {"garbage": ascent.choices("garbage")[0]()}, Run(), Peers())
    with pytest.raises(InputError, match=r"^abc was made by 'ascent': it descends from its own earlier steps alone"):
        lineage.ancestors(None, {"id": b"abc"}, run)


def test_verify_finds_no_fault(mined, peerpressure):
    outcome = peerpressure("verify", NAME, "--workdir", mined[0].path)
    assert outcome.code == 0 and "0 shown of those that fail" in outcome.out, outcome


def test_replay_breeds_the_same_bytes(mined, peerpressure, tmp_path):
    work, _ = mined
    example = _of(_examples(work, "1.1.0"), "direct")
    identity = example["id"].decode()
    pictures = [tmp_path / "out.png", tmp_path / "picture.png"]
    outcome = peerpressure(
        "replay", NAME, identity, "--workdir", work.path, "--out", pictures[0], "--picture", pictures[1]
    )
    assert outcome.code == 0 and "equal, byte for byte" in outcome.out, outcome
    np.testing.assert_array_equal(records.decode_png(pictures[0].read_bytes()), example["image"])
    assert pictures[1].exists()


@pytest.mark.slow
def test_more_islands_give_more_champions_and_the_first_ones_again(mined, peerpressure, config):
    work, _ = mined
    task = config("more", search=CPPN, garbage=BRED, task="more")
    arguments = ["run", "--config", task, "--workdir", work.path, "--run_id", "more", "--islands", 2]
    assert peerpressure(*arguments).code == 0
    builder = tfds.builder("garbage_images/more", data_dir=work.datasets)
    found = list(tfds.as_numpy(builder.as_dataset(split="train")))
    first = [example for example in _examples(work, "1.1.0").values() if example["encoding"] == b"cppn"]
    assert {example["island"] for example in found} == {0, 1}
    images = {example["image"].tobytes() for example in found if example["island"] == 0}
    assert images == {example["image"].tobytes() for example in first}


def test_the_difference_of_two_runs_is_by_the_class_that_garbage_is_taken_for(mined, peerpressure, tmp_path):
    work, _ = mined
    both = [f"{NAME}:{version}" for version in ("1.0.0", "1.1.0")]
    outcome = peerpressure("diff", *both, "--workdir", work.path, "--json", tmp_path / "diff.json")
    assert outcome.code == 0 and 'config search.method: "direct" -> "cppn"\n' in outcome.out
    told = json.loads((tmp_path / "diff.json").read_text())
    added = [example for example in _examples(work, "1.1.0").values() if example["encoding"] == b"cppn"]
    assert len(told["added"]) == len(added) and told["dropped"] == told["changed"] == []
    taken_for = collections.Counter(str(example["wrong_class"]) for example in added)
    assert {name: counts["added"] for name, counts in told["by_class"].items() if counts["added"]} == taken_for


def test_render_draws_a_cppn_at_any_size_from_the_dataset_and_from_a_file(mined, peerpressure, tmp_path):
    work, _ = mined
    example = _of(_examples(work, "1.1.0"), "cppn")
    genome, large, small = tmp_path / "genome.json", tmp_path / "large.png", tmp_path / "small.png"
    where = ["--workdir", work.path]
    identity = example["id"].decode()
    outcome = peerpressure("render", NAME, identity, "--size", 200, "--out", large, "--genome", genome, *where)
    assert outcome.code == 0, outcome
    assert records.decode_png(large.read_bytes()).shape == (200, 200, 1)
    assert peerpressure("render", genome, "--size", 28, "--out", small).code == 0
    np.testing.assert_array_equal(records.decode_png(small.read_bytes()), example["image"])


def test_what_cannot_be_rendered_is_one_sentence(mined, peerpressure, tmp_path):
    work, _ = mined
    out, where = ["--out", tmp_path / "x.png"], ["--workdir", work.path]
    direct = _of(_examples(work, "1.0.0"), "direct")["id"].decode()
    genome = json.loads(_of(_examples(work, "1.1.0"), "cppn")["genome"])
    other = tmp_path / "other.json"
    other.write_text(json.dumps({**genome, "version": 99}))
    for arguments, words in (
        ([NAME, direct, *out, *where], "only 'cppn' can be rendered at another"),
        ([NAME, *out, *where], "needs the id of an example"),
        (["high_value_mistakes/tiny", "abc", *out, *where], "is for garbage images, not"),
        ([tmp_path / "missing.json", *out], "the genome cannot be read"),
        ([other, *out], "version"),
    ):
        outcome = peerpressure("render", *arguments)
        assert outcome.code == 2 and words in outcome.err and outcome.err.count("\n") == 1, outcome
    assert not (tmp_path / "x.png").exists()


def test_a_contact_sheet_shows_what_is_asked(mined, peerpressure, tmp_path):
    work, _ = mined
    sheet, where = tmp_path / "sheet.png", ["--workdir", work.path]
    outcome = peerpressure("sheet", NAME, "--out", sheet, "--limit", 5, *where)
    assert outcome.code == 0 and outcome.out.startswith(f"{sheet}: 5 of ") and sheet.exists(), outcome
    nobody = peerpressure("sheet", NAME, "--out", sheet, "--net", "mlp-99", *where)
    assert nobody.code == 2 and "has no example of mlp-99 to draw" in nobody.err
    evolved = sum(example["encoding"] == b"cppn" for example in _examples(work, "1.1.0").values())
    outcome = peerpressure("sheet", NAME, "--out", sheet, "--encoding", "cppn", *where)
    assert outcome.out.startswith(f"{sheet}: {evolved} of {evolved} images")
    assert peerpressure("sheet", NAME, "--out", sheet, "--limit", 0, *where).code == 2


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"classes": [10]}, "[garbage] classes has 10"),
        ({"classes": ["ten"]}, "[garbage] classes has 'ten'"),
        ({"classes": []}, "[garbage] classes is empty"),
        ({"confidence": 1.0}, "[garbage] confidence is 1, expected a probability above 0 and below 1"),
        ({"confidence": 0}, "[garbage] confidence is 0"),
        ({"confidence": 1.5}, "[garbage] confidence is 1.5"),
        ({"generations": 2**30, "population": 4}, "generations"),
        ({"populaton": 4}, "did you mean 'population'?"),
    ],
)
def test_wrong_garbage_keys_are_one_sentence(work, peerpressure, config, section, words):
    task = config(search=DIRECT, garbage=section)
    outcome = peerpressure("mine", "--config", task, "--workdir", work.path)
    assert outcome.code == 2 and words in outcome.err and "Traceback" not in outcome.err, outcome


def _stored(path):
    return [tf.train.Example.FromString(record.numpy()) for record in tf.data.TFRecordDataset(str(path))]


def test_a_tampered_image_and_a_tampered_genome_do_not_verify(mined, peerpressure, tmp_path):
    work = mined[0].copy(tmp_path / "tampered", ran=True)
    folder = work.datasets / NAME / "1.1.0"
    stored = {path: _stored(path) for path in folder.glob("*.tfrecord-*")}  # a file a run
    examples = [example for of_file in stored.values() for example in of_file]
    cppn = next(example for example in examples if example.features.feature["genome"].bytes_list.value[0])
    genome = json.loads(cppn.features.feature["genome"].bytes_list.value[0])
    genome["connections"] = genome["connections"][:-1]
    cppn.features.feature["genome"].bytes_list.value[0] = json.dumps(genome).encode()
    direct = next(example for example in examples if not example.features.feature["genome"].bytes_list.value[0])
    image = records.decode_png(direct.features.feature["image"].bytes_list.value[0])
    direct.features.feature["image"].bytes_list.value[0] = records.encode_png(255 - image)
    for path, of_file in stored.items():
        with tf.io.TFRecordWriter(str(path)) as writer:
            for example in of_file:
                writer.write(example.SerializeToString(deterministic=True))
    outcome = peerpressure("verify", NAME, "--workdir", work.path)
    failed = {line.removeprefix("failed: ") for line in outcome.out.splitlines() if line.startswith("failed: ")}
    expected = {example.features.feature["id"].bytes_list.value[0].decode() for example in (cppn, direct)}
    assert outcome.code == 1 and failed == expected, outcome


def test_garbage_is_certain_to_its_own_net_and_healed_in_one_that_knows_garbage(mined, peerpressure, tmp_path):
    work, _ = mined
    tf.keras.utils.set_random_seed(1)
    wiser = tf.keras.Sequential([tf.keras.Input((28, 28, 1)), layers.Flatten(), layers.Dense(11, "softmax")])
    wiser.set_weights([np.zeros((784, 11)), 9.0 * np.eye(11)[10]])  # everything is garbage to it
    wiser.save(tmp_path / "mlp-8.keras")
    for given, status in ((work.nets()[1], "certain"), (tmp_path / "mlp-8.keras", "healed")):
        statuses = tmp_path / "status.jsonl"
        arguments = ["--workdir", work.path, "--peers", given, "--status", statuses]
        assert peerpressure("recheck", NAME, *arguments).code == 0
        told = [json.loads(line) for line in statuses.read_text().splitlines()]
        assert told and {(one["target_net"], one["status"]) for one in told} == {("mlp-8", status)}

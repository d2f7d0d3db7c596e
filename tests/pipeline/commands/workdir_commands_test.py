from __future__ import annotations

import json
import re

import pytest
from PIL import Image

from models import zoo
from pipeline.commands import reference
from pipeline.config import config_file
from pipeline.kinds import registry
from tests.pipeline.conftest import DATASET, call

KINDS = {"mistakes": "high_value_mistakes", "pairs": "adversarial_pairs", "garbage": "garbage_images"}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _load(path):
    return config_file.load(str(path), registry.methods())


@pytest.mark.parametrize(("kind", "dataset"), KINDS.items())
def test_init_writes_a_configuration_of_its_kind_with_its_comments_and_says_what_is_next(here, kind, dataset):
    outcome = call("init", kind)
    assert outcome.code == 0 and f"peerpressure run --config {kind}.toml" in outcome.out
    config = _load(here / f"{kind}.toml")
    assert registry.dataset_name(config) == f"{dataset}/{kind}"
    assert (config.seeds.dataset, len(config.peers.architectures)) == ("digits", 3)
    assert (here / f"{kind}.toml").read_text().count("#") >= 5


def test_init_takes_ones_own_images_and_nets_by_paths_relative_to_the_file(here):
    for split in ("train", "valid"):
        (here / "pictures" / split / "cat").mkdir(parents=True)
    (here / "a.keras").touch()
    (here / "configs").mkdir()
    given = ("--image_folder", "pictures", "--nets", "a.keras", "gs://nets/b.keras", "--out", "configs/my_task.toml")
    assert call("init", *given).code == 0
    config = _load(here / "configs" / "my_task.toml")
    assert config.task == "my_task" and config.seeds.splits == ("train", "valid")
    assert config.seeds.image_folder == str(here / "pictures")
    assert config.peers.files == (str(here / "a.keras"), "gs://nets/b.keras")


def test_init_takes_a_dataset(here):
    assert call("init", "--dataset", "mnist:3.0.1").code == 0
    assert _load(here / "mistakes.toml").seeds.dataset == "mnist:3.0.1"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("--dataset", "mnist", "--image_folder", "pictures"), "give one of them"),
        (("--image_folder", "gone"), "gone is no folder"),
        (("--image_folder", "."), "has no folders"),
        (("--nets", "gone.keras"), "gone.keras is not there"),
        (("--out", "gone/task.toml"), "cannot be written"),
        (("--out", "there.toml"), "is there already"),
        (("mistaks",), "invalid choice"),
    ],
)
def test_what_init_cannot_write_is_one_sentence_and_no_file(here, given, told):
    (here / "there.toml").write_text("mine")
    outcome = call("init", *given)
    assert outcome.code == 2 and told in outcome.err and outcome.err.count("\n") == 1
    assert [path.name for path in here.iterdir()] == ["there.toml"] and (here / "there.toml").read_text() == "mine"


def test_nets_lists_architectures_whose_examples_can_be_built():
    outcome = call("nets")
    for form in zoo.FORMS:
        assert re.search(rf"^{re.escape(form.name)} +{re.escape(form.example)} ", outcome.out, re.MULTILINE)
        assert zoo.build(form.example, (28, 28, 1), 10).output_shape == (None, 10)


def test_list_tells_runs_versions_and_what_is_under_way(finished, tmp_path):
    work = finished.copy(tmp_path / "work", ran=True)
    (run,) = [path.name for path in work.ledger.iterdir() if path.is_dir()]
    count = work.manifest(run)["examples"]
    rows = {line.split()[0]: line.split() for line in call("list", "--workdir", work.path).out.splitlines() if line}
    assert rows[DATASET][1:4] == [run, "finished", str(count)]
    assert rows[f"{DATASET}:1.0.0"][2] == str(len(work.examples("1.0.0")))
    assert call("list", "--workdir", work.path, "--json", tmp_path / "list.json").code == 0
    runs, versions = json.loads((tmp_path / "list.json").read_text())
    assert [runs["title"], versions["title"]] == ["runs", "versions"]
    assert runs["rows"][0]["run"] == run and runs["rows"][0]["examples"] == count
    assert versions["rows"][0]["examples"] == len(work.examples("1.0.0"))
    (work.ledger / run / "manifest.json").unlink()
    units = len(list((work.ledger / run / "chunks").iterdir()))
    assert f"{run}  {units} of {units} units" in call("list", "--workdir", work.path).out


def test_a_damaged_version_in_a_list_is_one_sentence(finished, tmp_path):
    work = finished.copy(tmp_path / "work", ran=True)
    (work.published / "1.0.0" / "dataset_info.json").write_text("{")
    outcome = call("list", "--workdir", work.path)
    assert outcome.code == 2 and f"{DATASET}:1.0.0" in outcome.err and outcome.err.count("\n") == 1


def test_list_of_an_empty_workdir_says_so(tmp_path):
    outcome = call("list", "--workdir", tmp_path / "new")
    assert outcome.code == 0 and outcome.out.strip().endswith("no run yet.") and not (tmp_path / "new").exists()


def test_show_has_a_row_for_each_example_and_all_that_is_known_of_one(finished, tmp_path):
    examples = finished.examples()
    outcome = call("show", DATASET, "--workdir", finished.path, "--limit", 3, "--csv", tmp_path / "all.csv")
    assert outcome.code == 0 and f"3 of {len(examples)} examples" in outcome.out
    rows = [line.split(",") for line in (tmp_path / "all.csv").read_text().splitlines()]
    assert len(rows) == 1 + len(examples)
    assert call("show", DATASET, "--workdir", finished.path, "--limit", 1, "--json", tmp_path / "all.json").code == 0
    records = json.loads((tmp_path / "all.json").read_text())[0]["rows"]
    assert [record["id"] for record in records] == [row[0] for row in rows[1:]]
    told = dict(zip(rows[0], rows[1], strict=True))
    (example,) = (each for key, each in examples.items() if key.startswith(told["id"]))
    assert told["label"] == str(example["label"]) and told["read as"] == str(example["wrong_class"])
    assert told["moves"] == str(len(example["transform"]["parameters"]))
    one = call("show", DATASET, told["id"], "--workdir", finished.path, "--json", tmp_path / "one.json")
    assert one.code == 0 and f"id: {example['id'].decode()}\n" in one.out
    known = json.loads((tmp_path / "one.json").read_text())
    assert known["id"] == example["id"].decode() and known["target_net"] == example["target_net"].decode()
    assert f"label: {example['label']} ({example['label']})" in one.out
    command = next(line for line in one.out.splitlines() if line.startswith("peerpressure replay"))
    replayed = call(*command.split()[1:-2])
    assert replayed.code == 0 and "are equal" in replayed.out


def test_show_of_less_than_one_example_is_one_sentence(finished):
    outcome = call("show", DATASET, "--workdir", finished.path, "--limit", 0)
    assert outcome.code == 2 and "--limit is 0, expected 1 or more" in outcome.err and outcome.err.count("\n") == 1


def test_show_of_an_id_that_is_not_there_is_one_sentence(finished):
    outcome = call("show", DATASET, "zzz", "--workdir", finished.path)
    assert outcome.code == 2 and "0 examples have an id" in outcome.err


def test_init_takes_class_folders_without_splits_and_tells_how_photos_are_brought_to_size(here):
    for name in ("cat", "dog"):
        (here / "pictures" / name).mkdir(parents=True)
        (here / "pictures" / name / "0.png").touch()
    assert call("init", "--image_folder", "pictures").code == 0
    assert _load(here / "mistakes.toml").seeds.splits == ("train",)
    text = (here / "mistakes.toml").read_text()
    (here / "mistakes.toml").write_text(re.sub(r"^# (resize|size|background)", r"\1", text, flags=re.MULTILINE))
    seeds = _load(here / "mistakes.toml").seeds
    assert (seeds.resize, seeds.size, seeds.background) == ("crop", (96, 96), "white")


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(30, 20), (30, 20), (30, 20)], ("never", ())),
        ([(30, 20), (32, 24), (34, 28)], ("crop", (24, 32))),
        ([(300, 200), (300, 200), (300, 200), (20, 30)], ("crop", (64, 96))),
    ],
)
def test_init_brings_photos_of_several_sizes_to_one(here, sizes, expected):
    (here / "pictures" / "cat").mkdir(parents=True)
    for number, size in enumerate(sizes):
        Image.new("L", size).save(here / "pictures" / "cat" / f"{number}.png")
    (here / "pictures" / "cat" / "none.png").write_text("no picture")
    assert call("init", "--image_folder", "pictures").code == 0
    seeds = _load(here / "mistakes.toml").seeds
    assert (seeds.resize, seeds.size) == expected


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("patience", "[search] patience\n    candidates in a row without a move that end a trial"),
        ("[operator]", "[operator] rotation_degrees\n"),
        ("lanes", "[run] lanes\n"),
        ("generations", "of a retraining file"),
    ],
)
def test_help_tells_what_a_key_means(asked, told):
    outcome = call("help", asked)
    assert outcome.code == 0 and told in outcome.out


def test_help_knows_every_key_of_the_page():
    known = {name.rpartition(" ")[2] for name, _ in reference.all_keys()}
    listed = set(re.findall(r"^\| `(\w+)` \| `[^`]*` \|", reference.page(), re.MULTILINE))
    assert listed == known and len(known) > 60


@pytest.mark.parametrize(("asked", "hint"), [("patiense", "did you mean patience?"), ("zzzz", "docs/configuration.md")])
def test_a_key_that_there_is_not_is_told(asked, hint):
    outcome = call("help", asked)
    assert outcome.code == 2 and hint in outcome.err and outcome.err.count("\n") == 1


def test_the_version_is_told():
    outcome = call("--version")
    assert outcome.code == 0 and re.fullmatch(r"peerpressure \d+\.\d+\.\d+\S*\n", outcome.out)

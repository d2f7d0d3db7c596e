from __future__ import annotations

import argparse
import dataclasses
import pathlib
import typing
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import pytest

from models.errors import InputError
from models.recipe import Training
from models.settings import about, setting
from pipeline.commands import run_commands
from pipeline.config import config, config_file
from pipeline.config.method import Method
from pipeline.kinds import registry
from pipeline.kinds.garbage.kind import GARBAGE
from pipeline.kinds.mistakes.kind import MISTAKES
from pipeline.kinds.mistakes.methods import MovedGrading, MovingSearch
from pipeline.kinds.pairs.kind import PAIRS
from pipeline.operators.affine import Affine
from pipeline.operators.registry import OPERATORS

METHODS = registry.methods()
SHIPPED = sorted((pathlib.Path(__file__).parents[3] / "configs").glob("*.toml"))
SECTIONS: dict[str, dict[str, str]] = {
    "seeds": {"dataset": '"tiny"'},
    "peers": {"architectures": '["mlp-3", "mlp-4"]'},
}


@pytest.fixture
def load(tmp_path):
    """Loads a configuration, the smallest valid one with some keys changed: "section.key" -> TOML, None: left out."""

    def write_and_load(
        changes: Mapping[str, str | None] | None = None, before: str = "", methods: Mapping[str, Method] = METHODS
    ) -> config.Config:
        sections = {name: dict(keys) for name, keys in SECTIONS.items()}
        for name, value in (changes or {}).items():
            section, key = name.split(".")
            sections.setdefault(section, {})[key] = value
        lines = [before]
        for section, keys in sections.items():
            lines += [f"[{section}]", *(f"{key} = {value}" for key, value in keys.items() if value is not None)]
        (tmp_path / "tiny.toml").write_text("\n".join(lines))
        return config_file.load(str(tmp_path / "tiny.toml"), methods)

    return write_and_load


def _told(load: Any, *arguments: Any) -> str:
    with pytest.raises(InputError) as told:
        load(*arguments)
    message = str(told.value)
    assert "tiny.toml" in message and "\n" not in message
    return message


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_configuration_loads_and_is_named_as_its_file(path):
    loaded = config_file.load(str(path), METHODS)
    # A task may have a file for each of its datasets; then mistakes have the plain name.
    suffix = {MISTAKES.name: "", PAIRS.name: "_pairs", GARBAGE.name: "_garbage"}[registry.of(loaded).name]
    usual = loaded.task + suffix
    assert path.stem in (loaded.task, usual, f"{usual}_{loaded.method.name}")
    assert f"--config configs/{path.name}" in path.read_text()


def test_configurations_are_shipped():
    assert SHIPPED


def test_what_is_not_given_has_its_default(load):
    loaded = load()
    assert loaded.task == "tiny" and loaded.peers.architectures == ("mlp-3", "mlp-4")
    assert (loaded.training, loaded.run, loaded.judge) == (Training(), config.Run(), config.Judge())
    assert loaded.method is METHODS["hillclimb"]
    assert loaded.sections == {"search": MovingSearch(), "operator": Affine(), "grade": MovedGrading()}


def test_a_task_may_have_a_name_of_its_own(load):
    assert load(None, 'task = "other_2"').task == "other_2"


@pytest.mark.parametrize("task", ['"Upper"', '"a/b"', '""', '"2a"', '"a-b"', "3"])
def test_a_task_that_is_no_dataset_name_is_refused(load, task):
    assert "task is " in _told(load, None, f"task = {task}")


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("search.patienc", "[search]: unknown key 'patienc'; did you mean 'patience'?"),
        ("seeds.data_set", "[seeds]: unknown key 'data_set'; did you mean 'dataset'?"),
        ("run.lane", "[run]: unknown key 'lane'; did you mean 'lanes'?"),
        ("serch.patience", "unknown key or section 'serch'; did you mean 'search'?"),
    ],
)
def test_an_unknown_key_or_section_brings_the_nearest(load, key, hint):
    assert hint in _told(load, {key: "1"})


def test_a_key_like_no_other_brings_them_all(load):
    message = _told(load, {"grade.zzzzzz": "1"})
    assert "unknown key 'zzzzzz'; known are peer_margin" in message


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("search.patience", '"many"', "expected a whole number"),
        ("search.patience", "1.5", "expected a whole number"),
        ("search.patience", "true", "expected a whole number"),
        ("search.patience", "[1]", "expected a whole number"),
        ("search.peer_confidence", '"high"', "expected a number"),
        ("search.peer_confidence", "true", "expected a number"),
        ("search.method", '"climb"', "expected 'hillclimb' or 'steepest' or"),
        ("search.method", "1", "expected 'hillclimb' or 'steepest' or"),
        ("search.method", '["scan"]', "expected 'hillclimb' or 'steepest' or"),
        ("search.targets", "3", "expected a text or a list, each item a text"),
        ("search.targets", '["a", 3]', "expected a text or a list, each item a text"),
        ("seeds.dataset", "1", "expected a text"),
        ("seeds.labeled", "1", "expected true or false"),
        ("seeds.labeled", '"yes"', "expected true or false"),
        ("seeds.splits", '"train"', "expected a list, each item a text"),
        ("operator.border", '"wrap"', "expected 'constant' or 'edge'"),
        ("training.optimizer", '"adamw"', "expected 'adam' or 'sgd'"),
        ("training.schedule", '"linear"', "expected 'constant' or 'cosine' or 'step'"),
    ],
)
def test_a_value_of_a_wrong_type_is_told_with_the_right_one(load, key, value, expected):
    section, name = key.split(".")
    message = _told(load, {key: value})
    assert f"[{section}] {name} is " in message and expected in message


@pytest.mark.parametrize("section", ["search = 3", 'run = "fast"', "peers = [1]"])
def test_a_section_that_is_none_is_told(load, section, tmp_path):
    (tmp_path / "tiny.toml").write_text(section)
    name = section.split()[0]
    assert f"expected [{name}] with keys below it" in _told(config_file.load, str(tmp_path / "tiny.toml"), METHODS)


# Of every number: one just too small, the least, the largest, one just too large. Written down a second time, so that a
# range that the code loses is missed here.
RANGES: dict[str, tuple[str, str, str, str]] = {
    "peers.init_seed": ("-1", "0", "2147483647", "2147483648"),
    "training.epochs": ("0", "1", "10000", "10001"),
    "training.batch_size": ("0", "1", "1000000", "1000001"),
    "training.learning_rate": ("0.99e-8", "1e-8", "100.0", "100.0001"),
    "training.momentum": ("-1e-9", "0.0", "0.9999", "0.99991"),
    "training.smallest_crop": ("0.0099", "0.01", "1.0", "1.000001"),
    "training.photometric": ("-1e-9", "0.0", "1.0", "1.000001"),
    "training.checkpoint_every": ("-1", "0", "10000", "10001"),
    "judge.epochs": ("0", "1", "10000", "10001"),
    "judge.init_seed": ("-1", "0", "2147483647", "2147483648"),
    "search.peer_confidence": ("-1e-9", "0.0", "1.0", "1.000001"),
    "search.target_confidence": ("-1e-9", "0.0", "1.0", "1.000001"),
    "search.patience": ("0", "1", "1000000", "1000001"),
    "search.max_moves": ("0", "1", "4096", "4097"),
    "search.trials": ("-1", "0", "2147483647", "2147483648"),
    "search.chain": ("0", "1", "64", "65"),
    "search.population": ("3", "4", "100000", "100001"),
    "search.generations": ("0", "1", "100000", "100001"),
    "search.crossover_rate": ("-1e-9", "0.0", "1.0", "1.000001"),
    "search.mutation_rate": ("-1e-9", "0.0", "1.0", "1.000001"),
    "search.learning_rate": ("-1e-9", "0.0", "1.0", "1.000001"),
    "search.mutation_shift": ("-1e-9", "0.0", "1.0", "1.000001"),
    "search.bits": ("0", "1", "20", "21"),
    "search.step": ("0.99e-6", "1e-6", "1.0", "1.000001"),
    "search.climb": ("0", "1", "100000", "100001"),
    "operator.rotation_degrees": ("-1e-9", "0.0", "180.0", "180.0001"),
    "operator.translation_pixels": ("-1e-9", "0.0", "10000.0", "10000.01"),
    "operator.scale": ("-1e-9", "0.0", "10.0", "10.00001"),
    "operator.stretch": ("-1e-9", "0.0", "10.0", "10.00001"),
    "operator.shear_degrees": ("-1e-9", "0.0", "80.0", "80.0001"),
    "operator.crop": ("-1e-9", "0.0", "0.99", "0.99001"),
    "operator.aspect": ("-1e-9", "0.0", "10.0", "10.00001"),
    "operator.flip": ("-1e-9", "0.0", "1.0", "1.000001"),
    **{
        f"operator.{name}": ("-1e-9", "0.0", "10.0", "10.00001")
        for name in ("brightness", "contrast", "saturation", "gamma")
    },
    "operator.hue_degrees": ("-1e-9", "0.0", "180.0", "180.0001"),
    "operator.temperature_mired": ("-1e-9", "0.0", "500.0", "500.0001"),
    "grade.peer_margin": ("-1e-9", "0.0", "1.0", "1.000001"),
    "grade.rotation_degrees": ("-1e-9", "0.0", "180.0", "180.0001"),
    "grade.translation": ("-1e-9", "0.0", "1000.0", "1000.001"),
    "grade.scale": ("-1e-9", "0.0", "1000.0", "1000.001"),
    "grade.stretch": ("-1e-9", "0.0", "1000.0", "1000.001"),
    "grade.shear_degrees": ("-1e-9", "0.0", "90.0", "90.0001"),
    **{
        f"grade.{name}": ("-1e-9", "0.0", "1000.0", "1000.001")
        for name in ("brightness", "contrast", "saturation", "gamma", "hue_degrees", "temperature_mired")
    },
    "attack.eps": ("0.99e-6", "1e-6", "1.0", "1.000001"),
    "attack.step_size": ("0.99e-6", "1e-6", "1.0", "1.000001"),
    "attack.steps": ("0", "1", "100000", "100001"),
    "attack.iterations": ("0", "1", "100000", "100001"),
    "attack.memory": ("0", "1", "100", "101"),
    "attack.first_c": ("0.99e-6", "1e-6", "1e6", "1000000.1"),
    "attack.brackets": ("0", "1", "30", "31"),
    "attack.bisections": ("0", "1", "30", "31"),
    "garbage.confidence": ("0.0", "1e-9", "0.999999999", "1.0"),
    "garbage.generations": ("0", "1", "10000000", "10000001"),
    "garbage.islands": ("0", "1", "100000", "100001"),
    "garbage.population": ("0", "1", "100000", "100001"),
    "garbage.mutation_eta": ("-1e-9", "0.0", "1000.0", "1000.001"),
    "garbage.mutation_rate": ("-1e-9", "0.0", "1.0", "1.000001"),
    "garbage.crossover_rate": ("-1e-9", "0.0", "1.0", "1.000001"),
    "garbage.crossover_eta": ("-1e-9", "0.0", "1000.0", "1000.001"),
    "garbage.max_hidden": ("0", "1", "1000", "1001"),
    "garbage.add_connection": ("-1e-9", "0.0", "1.0", "1.000001"),
    "garbage.delete_connection": ("-1e-9", "0.0", "1.0", "1.000001"),
    "garbage.add_neuron": ("-1e-9", "0.0", "1.0", "1.000001"),
    "garbage.delete_neuron": ("-1e-9", "0.0", "1.0", "1.000001"),
    "garbage.activation_rate": ("-1e-9", "0.0", "1.0", "1.000001"),
    "garbage.step_size": ("0.99e-6", "1e-6", "1.0", "1.000001"),
    "garbage.decay": ("-1e-9", "0.0", "1.0", "1.000001"),
    "garbage.blur": ("-1e-9", "0.0", "1000.0", "1000.001"),
    "garbage.blur_every": ("0", "1", "10000000", "10000001"),
    "run.run_seed": ("-1", "0", "4294967295", "4294967296"),
    "run.unit_size": ("0", "1", "1000000", "1000001"),
    "run.lanes": ("0", "1", "1000000", "1000001"),
    "run.max_set_aside": ("-1e-9", "0.0", "1.0", "1.000001"),
}

_BESIDE = {"attack.eps": {"attack.norm": '"l2"'}, "training.momentum": {"training.optimizer": '"sgd"'}}  # keys needed


def _classes(methods: Mapping[str, Method] = METHODS) -> Iterator[tuple[str, type]]:
    """Yields the dataclasses that a section can be, with the section's name."""
    yield from config.COMMON.items()
    for method in methods.values():
        yield from ((name, cls) for name in method.sections for cls in method.choices(name))


def _settings(task: config.Config, section: str) -> Any:
    return getattr(task, section) if section in config.COMMON else task.sections[section]


def _names(cls: type) -> set[str]:
    return {field.name for field in dataclasses.fields(cls)}


def _takers(key: str) -> list[str]:
    """Returns the methods that have a key; of the sections that all methods have, one method is enough."""
    section, name = key.split(".")
    if section in config.COMMON:
        return ["hillclimb"]
    return [
        name_of for name_of, method in METHODS.items() if any(name in _names(cls) for cls in method.choices(section))
    ]


def _choosing(method: str, key: str) -> dict[str, str]:
    """Returns what chooses a section that has a key, where a method does not have it by default."""
    section, name = key.split(".")
    first, *others = METHODS[method].choices(section) or (config.COMMON[section],)
    if name in _names(first):
        return {}
    return {f"{section}.name": next(f'"{cls.name}"' for cls in others if name in _names(cls))}


def test_every_number_of_a_configuration_has_a_range():
    numbers = {
        f"{name}.{key}": about(cls.__dataclass_fields__[key])
        for name, cls in _classes()
        for key, hint in typing.get_type_hints(cls).items()
        if hint in (int, float)
    }
    assert numbers.keys() == RANGES.keys()
    assert all(number.low is not None and number.high is not None for number in numbers.values())


@pytest.mark.parametrize("key", RANGES)
def test_every_range_holds_its_ends_and_nothing_beyond(load, key):
    section, name = key.split(".")
    below, least, largest, above = RANGES[key]
    for method in _takers(key):
        if (method, key) == ("fgsm", "attack.eps"):
            continue  # it has to be a whole grey level, as is tested below
        given = {"search.method": f'"{method}"', **_choosing(method, key), **_BESIDE.get(key, {})}
        for text in (least, largest):
            assert getattr(_settings(load({**given, key: text}), section), name) == float(text)
        for text in (below, above, *(("nan", "inf", "-inf") if "." in largest + least else ())):
            assert f"[{section}] {name} is " in _told(load, {**given, key: text})


@pytest.mark.parametrize("key", RANGES)
def test_a_range_holds_for_the_keys_of_other_methods_too(load, key):
    section, name = key.split(".")
    for method in METHODS.keys() - _takers(key):
        assert f"[{section}] {name} is " in _told(load, {"search.method": f'"{method}"', key: "-1"})


def test_every_key_says_what_it_means():
    for _, cls in _classes():
        for field in dataclasses.fields(cls):
            assert about(field).meaning, f"{cls.__name__}.{field.name}"


def test_whole_numbers_are_numbers(load):
    sections = load({"search.peer_confidence": "1", "operator.scale": "0"}).sections
    assert (sections["search"].peer_confidence, sections["operator"].scale) == (1.0, 0.0)
    assert type(sections["search"].peer_confidence) is float


@pytest.mark.parametrize(
    ("changes", "keys"),
    [
        ({"seeds.image_folder": '"there"'}, ["[seeds]", "dataset", "image_folder"]),
        ({"seeds.dataset": None}, ["[seeds]", "dataset", "image_folder"]),
        ({"peers.files": '["a.keras", "b.keras"]'}, ["[peers]", "architectures", "files"]),
        ({"peers.architectures": None}, ["[peers]", "architectures", "files"]),
        (
            {"seeds.dataset": None, "seeds.image_folder": '"there"', "seeds.image_key": '"pic"'},
            ["[seeds] image_key is for a dataset's features, a folder has none"],
        ),
        (
            {"seeds.dataset": None, "seeds.image_folder": '"there"', "seeds.label_key": '"kind"'},
            ["[seeds] label_key is for a dataset's features, a folder has none"],
        ),
        ({"seeds.label_key": '"kind"', "seeds.labeled": "false"}, ["[seeds] has label_key and labeled = false"]),
        ({"seeds.splits": "[]"}, ["[seeds]", "splits"]),
        ({"seeds.splits": '["train", "train"]'}, ["[seeds]", "splits"]),
        ({"search.method": '"scan"', "peers.architectures": '["mlp-3"]'}, ["[peers]", "1 net", "at least 2"]),
        ({"peers.names": '["a"]'}, ["[peers]", "names"]),
        ({"training.momentum": "0.9"}, ["[training] momentum is 0.9", "'adam' has none", "optimizer = 'sgd'"]),
        ({"peers.trained_on": '["train[:50%]"]'}, ["[peers]", "trained_on has 1 entries for 2 architectures"]),
        (
            {"peers.architectures": None, "peers.files": '["a.keras", "b.keras"]', "peers.trained_on": '["train"]'},
            ["[peers]", "trained_on is for architectures"],
        ),
        ({"judge.architecture": '"cnn"', "judge.file": '"a.keras"'}, ["[judge]", "architecture", "file"]),
        ({"seeds.labeled": "false"}, ["[seeds]", "labeled", "class_from"]),
        ({"seeds.labeled": "false", "search.class_from": '"consensus"'}, ["[seeds]", "labeled", "[peers]", "files"]),
        ({"search.method": '"scan"', "search.class_from": '"consensus"'}, ["[peers]", "at least 3"]),
        ({"peers.architectures": '["mlp-3", "resnet"]'}, ["[peers]", "architectures", "resnet"]),
        ({"judge.architecture": '"resnet"'}, ["[judge]", "architecture", "resnet"]),
    ],
)
def test_keys_that_do_not_fit_together_are_told_with_file_and_keys(load, changes, keys):
    message = _told(load, changes)
    for key in keys:
        assert key in message


@pytest.mark.parametrize("again", ["a.keras", "./a.keras", "below/../a.keras"])
def test_a_file_that_is_given_twice_is_told_to_be_left_out(load, tmp_path, again):
    files = f'["a.keras", "b.keras", "{again}"]'
    message = _told(load, {"peers.architectures": None, "peers.files": files})
    assert message.endswith(f"[peers] files has {tmp_path / 'a.keras'} twice; leave one of them out.")


def test_no_more_generations_than_births_can_be_numbered(load):
    def bred(method, generations):
        return {
            "search.method": f'"{method}"',
            "garbage.generations": str(generations),
            "garbage.population": "100000",
        }

    message = _told(load, bred("direct", 21474))
    assert "[garbage] generations is 21474, expected at most 21473 with population 100000" in message
    assert load(bred("direct", 21473)).sections["garbage"].generations == 21473
    ascent = load(bred("ascent", 21474)).sections["garbage"]
    assert ascent.generations == 21474, "its population is the number of classes"


def test_no_more_candidates_than_can_be_numbered(load):
    longest = load({"search.patience": "1_000_000", "search.max_moves": "2147"})
    assert longest.sections["search"].max_moves == 2147
    message = _told(load, {"search.patience": "1_000_000", "search.max_moves": "2148"})
    many = {"search.method": '"pbil"', "search.population": "100_000", "search.generations": "21_475"}
    assert "[search] population times generations is 2147500000, expected less than 2147483648" in _told(load, many)
    load({**many, "search.generations": "21_474"})
    assert "patience times max_moves is 2148000000, expected less than 2147483648 candidates of a trial" in message


def test_islands_may_be_given_for_garbage_images_within_the_range_of_the_file(load):
    task = load({"search.method": '"cppn"', "garbage.islands": "3"})

    def given(task, islands):
        return run_commands._with_options(task, argparse.Namespace(islands=islands))

    assert given(task, None) == task
    low, high = 1, 100_000
    for islands in (low, high):
        assert given(task, islands).sections["garbage"].islands == islands
    for islands in (low - 1, high + 1):
        with pytest.raises(InputError, match=rf"--islands is {islands}, expected a whole number from 1 to 100000\.$"):
            given(task, islands)
    with pytest.raises(InputError, match=r"--islands is for garbage images, .* method is 'hillclimb'; leave it out"):
        given(load(), 3)
    assert given(load(), None) == load()


def test_what_nets_learn_from_does_not_determine_a_result_but_is_told(load):
    halves = load({"peers.trained_on": '["train[:50%]", "train[50%:]"]'})
    assert halves.result_determining() == load().result_determining(), "the nets' digests do"
    assert halves.to_json()["peers"]["trained_on"] == ("train[:50%]", "train[50%:]")


def test_files_of_unlabeled_seeds_are_enough(load):
    changes = {
        "seeds.labeled": "false",
        "search.class_from": '"consensus"',
        "peers.architectures": None,
        "peers.files": '["a.keras", "b.keras"]',
    }
    assert load(changes).seeds.labeled is False


def test_a_missing_file_is_told(tmp_path):
    assert "cannot be read" in _told(config_file.load, str(tmp_path / "tiny.toml"), METHODS)


def test_a_folder_in_place_of_a_file_is_told(tmp_path):
    (tmp_path / "tiny.toml").mkdir()
    assert "cannot be read" in _told(config_file.load, str(tmp_path / "tiny.toml"), METHODS)


@pytest.mark.parametrize("data", [b"[seeds", b"dataset: mnist", b"\xff\xfe\x00", b"\x89PNG\r\n"])
def test_a_file_that_is_not_toml_is_told(tmp_path, data):
    (tmp_path / "tiny.toml").write_bytes(data)
    assert "not valid TOML" in _told(config_file.load, str(tmp_path / "tiny.toml"), METHODS)


def test_paths_are_relative_to_the_folder_of_the_configuration(load, tmp_path, monkeypatch):
    changes = {
        "seeds.dataset": None,
        "seeds.image_folder": '"../pictures"',
        "peers.architectures": None,
        "peers.files": '["nets/a.keras", "/nets/b.keras", "gs://bucket/c.keras"]',
        "judge.file": '"judge.keras"',
    }
    monkeypatch.chdir("/")
    loaded = load(changes)
    assert loaded.seeds.image_folder == str(tmp_path.parent / "pictures")
    assert loaded.peers.files == (str(tmp_path / "nets/a.keras"), "/nets/b.keras", "gs://bucket/c.keras")
    assert loaded.judge.file == str(tmp_path / "judge.keras")


def test_paths_that_are_not_given_stay_empty(load):
    loaded = load()
    assert (loaded.seeds.image_folder, loaded.peers.files, loaded.judge.file) == ("", (), "")


def test_the_searcher_is_the_one_described(load):
    changes = {
        "search.patience": "7",
        "search.max_moves": "3",
        "search.compose": '"image"',
        "operator.border": '"edge"',
    }
    task = load({**changes, "search.peer_confidence": "0.75", "search.class_from": '"consensus"'})
    finder = task.method.build(task.sections)
    climb = finder.search
    assert (climb.patience, climb.max_moves, climb.compose, finder.class_from) == (7, 3, "image", "consensus")
    assert (climb.operator.border, climb.criterion.peer_confidence) == ("edge", 0.75)


SCAN = {
    *("search.class_from", "search.peer_confidence", "search.target_confidence", "grade.peer_margin", "run.lanes"),
}
MOVED = {
    *SCAN,
    *(f"operator.{name}" for name in ("rotation_degrees", "translation_pixels", "scale", "stretch", "shear_degrees")),
    "operator.border",
    *(f"grade.{name}" for name in ("rotation_degrees", "translation", "scale", "stretch", "shear_degrees")),
    *(
        f"grade.{name}"
        for name in ("brightness", "contrast", "saturation", "gamma", "hue_degrees", "temperature_mired")
    ),
}
HILLCLIMB = MOVED | {"search.patience", "search.max_moves", "search.compose"}
POPULATION = MOVED | {"search.chain", "search.population", "search.generations"}
ATTACK = {"search.class_from", "attack.aim", "run.lanes"}
BRED = {"garbage.classes", "garbage.confidence", "garbage.generations", "garbage.population"}
CROSSOVER = {"garbage.crossover_rate", "garbage.crossover_eta"}
MUTATION = {"garbage.mutation_rate", "garbage.mutation_eta"}
NETWORK = {f"garbage.{did}_{what}" for did in ("add", "delete") for what in ("connection", "neuron")}
TAKES = {  # method -> what it reads
    "hillclimb": HILLCLIMB,
    "steepest": POPULATION,
    "genetic": POPULATION | {"search.crossover_rate", "search.mutation_rate"},
    "pbil": POPULATION | {f"search.{name}" for name in ("learning_rate", "mutation_rate", "mutation_shift", "bits")},
    "evolution_strategy": POPULATION | {"search.step"},
    "gradient_ascent": POPULATION | {"search.step", "search.climb"},
    "scan": SCAN,
    "lbfgs": ATTACK | {f"attack.{name}" for name in ("iterations", "memory", "first_c", "brackets", "bisections")},
    "pgd": ATTACK | {f"attack.{name}" for name in ("eps", "norm", "step_size", "steps", "random_start")},
    "fgsm": ATTACK | {"attack.eps"},
    "direct": BRED | MUTATION | CROSSOVER,
    "cppn": BRED | MUTATION | NETWORK | {"garbage.max_hidden", "garbage.activation_rate"},
    "ascent": BRED | {f"garbage.{name}" for name in ("step_size", "decay", "blur", "blur_every")},
}


def _keys(task: config.Config) -> list[str]:
    """Returns "section.key" of all there is but the method."""
    names = [*config.COMMON, *task.sections]
    keys = [f"{name}.{field.name}" for name in names for field in dataclasses.fields(_settings(task, name))]
    return [key for key in keys if key != "search.method"]


def _another(value: Any) -> Any:
    """Returns another value of a key's type, whatever its range."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, tuple):
        return (*value, "x")
    return value + ("x" if isinstance(value, str) else 1)


def _with(task: config.Config, key: str) -> config.Config:
    section, name = key.split(".")
    keys = _settings(task, section)
    changed = {name: _another(getattr(keys, name))}
    if section not in config.COMMON:
        return task.with_section(section, **changed)
    return dataclasses.replace(task, **{section: dataclasses.replace(keys, **changed)})


def test_every_method_is_among_those_whose_keys_are_written_down_here():
    assert TAKES.keys() == METHODS.keys()


@pytest.mark.parametrize("method", TAKES)
def test_a_result_is_determined_by_the_keys_that_the_method_takes_and_by_no_other(load, method):
    task = load({"search.method": f'"{method}"'})
    before = task.result_determining()
    assert {key for key in _keys(task) if _with(task, key).result_determining() != before} == TAKES[method]


@pytest.mark.parametrize("method", TAKES)
def test_a_key_at_its_default_adds_nothing_to_what_determines_a_result(load, method):
    task = load({"search.method": f'"{method}"'})
    assert task.result_determining() == {"method": method}
    for key in TAKES[method]:
        section, name = key.split(".")
        value = _another(getattr(_settings(task, section), name))
        assert _with(task, key).result_determining() == {"method": method, section: {name: value}}


def _fields(method: Method, section: str) -> Iterator[dataclasses.Field[Any]]:
    for cls in method.choices(section):
        yield from dataclasses.fields(cls)


def _toml(field: dataclasses.Field[Any], hint: Any) -> str:
    """Returns a value of a key that is not its default, as TOML."""
    if hint in (int, float):
        low, high = about(field).low, about(field).high
        return repr(hint(low if field.default == high else high))
    if hint is bool:
        return str(not field.default).lower()
    if field.name in ("aim", "classes"):
        return {"aim": "1", "classes": "[0]"}[field.name]
    return f'"{next(option for option in typing.get_args(hint) if option != field.default)}"'


def _of_others(method: str) -> dict[str, str]:
    """Returns the keys that other methods have and this one has not, none at its default."""
    own = {f"{name}.{field.name}" for name in METHODS[method].sections for field in _fields(METHODS[method], name)}
    return {
        f"{name}.{field.name}": _toml(field, typing.get_type_hints(cls)[field.name])
        for name, cls in _classes()
        for field in dataclasses.fields(cls)
        if name not in config.COMMON and f"{name}.{field.name}" not in own
    }


@pytest.mark.parametrize("method", TAKES)
def test_keys_of_other_methods_change_nothing(load, method):
    own, others = {"search.method": f'"{method}"'}, _of_others(method)
    assert len(others) > 20
    alone, among = load(own), load({**own, **others})
    assert among == alone and among.result_determining() == alone.result_determining()
    assert among.to_json() == alone.to_json()


@pytest.mark.parametrize("method", TAKES)
def test_what_is_written_down_of_a_task_is_all_that_its_method_has_with_defaults(load, method):
    told = load({"search.method": f'"{method}"'}).to_json()
    assert told.keys() == {"task", *config.COMMON, *METHODS[method].sections}
    assert told["search"]["method"] == method and told["run"]["lanes"] == config.Run().lanes
    for name in METHODS[method].sections:
        assert told[name].keys() - {"name"} == _names(METHODS[method].choices(name)[0])


MADE = {  # what a search is made of, and which of its method's keys are for what surrounds it
    MISTAKES.name: (lambda task: task.method.build(task.sections), {"run.lanes"}),
    PAIRS.name: (lambda task: task.method.build(task.sections), ATTACK),
    GARBAGE.name: (lambda task: task.method.build(task.sections, (8, 8, 1), 3), BRED),
}


@pytest.mark.parametrize("method", TAKES)
def test_the_keys_that_a_method_takes_are_those_that_its_search_is_made_of(load, method):
    task = load({"search.method": f'"{method}"'})
    search, around = MADE[registry.of(task).name]
    made = {key for key in _keys(task) if search(_with(task, key)) != search(task)}
    assert made - around == {key for key in TAKES[method] - around if not key.startswith("grade.")}


@dataclasses.dataclass(frozen=True)
class Shift:
    """An operator's settings, beside those of the others."""

    name: ClassVar[str] = "shift"

    pixels: int = setting(1, "how far", low=0, high=5)
    scale: float = setting(0.0, "a key that another operator has too, with a range of its own", low=-1, high=20)


@pytest.fixture
def with_shift(load):
    """Loads a configuration as `load` does, where the hillclimb has one operator more."""
    climb = METHODS["hillclimb"]
    more = dataclasses.replace(climb, sections={**climb.sections, "operator": (*OPERATORS, Shift)})
    return lambda changes=None: load(changes, methods={**METHODS, "hillclimb": more})


def test_a_section_with_a_choice_is_chosen_by_its_name(with_shift):
    chosen = with_shift({"operator.name": '"shift"', "operator.pixels": "3"})
    assert chosen.sections["operator"] == Shift(3)
    assert (
        with_shift({"operator.name": '"affine"'}).sections["operator"] == Affine() == with_shift().sections["operator"]
    )
    assert chosen.to_json()["operator"] == {"name": "shift", "pixels": 3, "scale": 0.0}
    assert with_shift().to_json()["operator"]["name"] == "affine"


def test_a_choice_determines_a_result_and_the_first_one_adds_nothing(load, with_shift):
    chosen = with_shift({"operator.name": '"shift"'}).result_determining()
    assert chosen == {"method": "hillclimb", "operator": {"name": "shift"}}
    for name in ({}, {"operator.name": '"affine"'}):
        assert with_shift(name).result_determining() == load().result_determining()


@pytest.mark.parametrize("method", ["hillclimb", "scan", "pgd"])
@pytest.mark.parametrize("name", ['"swirl"', "3", "[1]", "{a = 1}"])
def test_a_choice_that_there_is_not_is_told_with_those_there_are(with_shift, method, name):
    message = _told(with_shift, {"search.method": f'"{method}"', "operator.name": name})
    there = " or ".join(f"'{operator.name}'" for operator in (*OPERATORS, Shift))
    assert "[operator] name is " in message and message.endswith(f"expected {there}.")


def test_a_key_has_the_range_of_what_is_chosen(with_shift):
    taken = with_shift({"operator.name": '"shift"', "operator.scale": "-1"})
    assert taken.sections["operator"].scale == -1
    assert "[operator] scale is -1.0, expected a number from 0 to 10." in _told(with_shift, {"operator.scale": "-1"})
    for method in METHODS:  # none of the operators takes it, whoever is chosen
        assert "[operator] scale is 21.0" in _told(with_shift, {"search.method": f'"{method}"', "operator.scale": "21"})


def test_a_section_without_a_choice_has_no_name(load):
    assert "[grade]: unknown key 'name'" in _told(load, {"grade.name": '"mine"'})


@pytest.mark.parametrize(("method", "norm"), [("fgsm", "l2"), ("pgd", "linf")])
def test_a_bound_below_one_grey_level_is_refused_where_no_pixel_could_change(load, method, norm):
    keys = {"search.method": f'"{method}"', "attack.norm": f'"{norm}"'}
    with pytest.raises(InputError, match=r"\[attack\] eps is 0.0039, less than one grey level .* at least 0.003922"):
        load({**keys, "attack.eps": "0.0039"})
    assert load({**keys, "attack.eps": "0.003922"}).sections["attack"].eps == 0.003922


def test_a_small_bound_of_the_distortion_is_accepted(load):
    small = load({"search.method": '"pgd"', "attack.norm": '"l2"', "attack.eps": "0.001"})
    assert small.sections["attack"].eps == 0.001


_DIGITS, _FOLDER = 'dataset = "digits"', 'image_folder = "x"'
_TRAINED, _GIVEN = 'architectures = ["mlp-4", "mlp-8"]', 'files = ["a.keras", "b.keras"]'


@pytest.mark.parametrize(
    ("seeds", "peers", "told"),
    [
        ([_DIGITS, "size = [8, 8]"], [_TRAINED], 'size needs resize = "crop", "pad" or "stretch"'),
        ([_DIGITS, 'background = "white"'], [_TRAINED], "background is for the pictures of an image_folder"),
        ([_FOLDER, "size = [8, 8]"], [_TRAINED], 'size needs resize = "crop", "pad" or "stretch"'),
        ([_FOLDER, 'resize = "crop"', "size = [8]"], [_TRAINED], "size is [8], expected height and width in pixels"),
        ([_FOLDER, 'resize = "crop"', "size = [0, 8]"], [_TRAINED], "size is [0, 8], expected"),
        ([_FOLDER, 'resize = "crop"', "size = [8.5, 8]"], [_TRAINED], "[seeds] size is"),
        ([_FOLDER, 'resize = "squeeze"'], [_TRAINED], "expected 'never' or 'crop' or 'pad' or 'stretch'"),
        ([_DIGITS], [_GIVEN, "input_range = [0.5, 0.5]"], "[peers] input_range is [0.5, 0.5], expected what"),
        ([_DIGITS], [_GIVEN, "input_range = [1.0]"], "[peers] input_range is [1.0], expected what"),
        ([_DIGITS], [_TRAINED, "input_range = [-1.0, 1.0]"], "[peers] input_range is for nets from files"),
        ([_DIGITS], [_GIVEN, "input_mean = [0.5]"], "[peers] needs input_mean and input_std, or neither"),
        ([_DIGITS], [_GIVEN, "input_std = [0.5]"], "[peers] needs input_mean and input_std, or neither"),
        (
            [_DIGITS],
            [_GIVEN, "input_mean = [0.5]", "input_std = [0.5]", "input_range = [0.0, 255.0]"],
            "[peers] has input_range and input_mean, which both say how images are shown; give one",
        ),
        ([_DIGITS], [_GIVEN, "input_mean = [0.5]", "input_std = [0.0]"], "and input_std [0.0], expected finite"),
        ([_DIGITS], [_GIVEN, "input_mean = [nan]", "input_std = [1.0]"], "[peers] input_mean is [nan] and"),
        ([_DIGITS], [_TRAINED, "input_mean = [0.5]", "input_std = [0.5]"], "input_mean is for nets from files"),
        (
            [_DIGITS],
            [_TRAINED, "[judge]", 'file = "j.keras"', "input_std = [0.5]"],
            "[judge] needs input_mean and input_std",
        ),
        ([_DIGITS], [_TRAINED, "resize = true"], "[peers] resize is for nets from files"),
        ([_DIGITS], [_TRAINED, "[judge]", "resize = true"], "[judge] resize is for nets from files"),
    ],
)
def test_how_images_are_read_and_shown_is_checked(tmp_path, seeds, peers, told):
    path = tmp_path / "task.toml"
    path.write_text("\n".join(["[seeds]", *seeds, "[peers]", *peers]))
    with pytest.raises(InputError) as error:
        config_file.load(str(path), registry.methods())
    assert told in str(error.value) and "\n" not in str(error.value)

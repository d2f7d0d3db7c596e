"""Tests of the dataset `high_value_mistakes`, built from a chunk of two made-up mistakes."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds

from pipeline import records
from pipeline.kinds.mistakes.kind import MISTAKES
from tests.tfds_builders import made_up
from tests.tfds_builders.made_up import CLASSES, IDS, SHAPE, examples, picture
from tfds_builders import runs
from tfds_builders.high_value_mistakes import high_value_mistakes_dataset_builder as mistakes

PARAMETERS = ["rotation_degrees", "translate_x"]
MANIFEST: dict[str, Any] = {
    **made_up.MANIFEST,
    "config": {"search": {"compose": "matrix"}},
    "operator": {
        "name": "affine",
        "parameter_names": PARAMETERS,
        "composed_shapes": {"composed_matrix": [2, 3]},
        "compose": "matrix",
    },
}


def row(number: int, outcome: str = records.FOUND) -> made_up.Row:
    """Returns a chunk's row, the mistake of net "middle" on image `number` after two moves."""
    trial = {**made_up.trial(number, outcome), "moves": 2}
    if outcome != records.FOUND:
        return trial
    return {
        **trial,
        **made_up.find(number),
        "steps": [3, 8],
        "parameters": [1 / 3, -0.1, 2 / 3, 0.7],
        "confidences": [0.5, 0.25],
        "composed": [1.0, 1 / 7, 0.0, -1 / 7, 1.0, 1e-9],
        "peer_margin": 0.5,
        "grade": records.HIGH,
    }


def task(folder: pathlib.Path, **changes: Any) -> runs.RunsConfig:
    """Writes a chunk a split and returns the task that is made of them."""
    chunks = {"test": [row(0), row(3, records.EXHAUSTED), row(1)], "train": [row(2)]}
    return made_up.task(folder, MISTAKES, MANIFEST, chunks, **changes)


class HighValueMistakesTest(made_up.RunsBuilderTest, tfds.testing.DatasetBuilderTestCase):
    """TFDS's own checks: registration, info, tags, shapes and types, counts, splits that do not overlap."""

    DATASET_CLASS = mistakes.Builder
    task = staticmethod(task)


@pytest.fixture
def build(tmp_path):
    """Builds the dataset and returns its builder."""

    def built(**changes: Any) -> Any:
        builder = mistakes.Builder(data_dir=tmp_path / "data", config=task(tmp_path, **changes))
        builder.download_and_prepare()
        return builder

    return built


def test_the_files_load_by_name_although_the_builder_is_imported(build):
    builder = build()
    loaded = tfds.builder("high_value_mistakes/made_up", data_dir=builder.data_dir_root)
    assert loaded.info.full_name == builder.info.full_name == "high_value_mistakes/made_up/1.0.0"
    assert examples(loaded, "test").keys() == examples(builder, "test").keys()


def test_without_a_task_or_a_default_the_tasks_are_named(build):
    with pytest.raises(tfds.core.DatasetNotFoundError, match=r"(?s)specified the wrong config.*\n\t- made_up"):
        tfds.builder("high_value_mistakes", data_dir=build().data_dir_root)


def test_the_declared_features_are_those_of_the_task(build):
    features = build().info.features
    assert features["image"].shape == features["seed_image"].shape == SHAPE
    assert features["label"].names == features["wrong_class"].names == ["zero", "one", "two"]
    assert features["probabilities_after"].shape == (None, CLASSES)
    assert features["transform"]["parameters"].shape == (None, len(PARAMETERS))
    assert features["transform"]["parameters"].np_dtype == np.float64
    assert features["run"]["seed"].np_dtype == np.int64


def test_found_trials_are_the_examples_each_in_its_split(build):
    builder = build()
    assert set(examples(builder, "test")) == {IDS[0], IDS[1]} and set(examples(builder, "train")) == {IDS[2]}


def test_an_example_has_its_records_values(build):
    example = examples(build(), "test")[IDS[1]]
    np.testing.assert_array_equal(example["image"], picture(1))
    np.testing.assert_array_equal(example["seed_image"], picture(101))
    assert (example["label"], example["wrong_class"], example["grade"]) == (1, 2, b"high")
    assert (example["target_net"], example["target_digest"]) == (b"middle", b"digest of middle")
    assert example["nets"].tolist() == [b"left", b"middle", b"right"]
    assert example["peers"].tolist() == [b"left", b"right"]
    assert example["peer_digests"].tolist() == [b"digest of left", b"digest of right"]
    np.testing.assert_array_equal(example["probabilities_after"][1], np.float32([0.0, 0.25, 0.75]))
    assert example["probabilities_before"].shape == (3, CLASSES)
    assert (example["moves"], example["candidates"], example["inferences"]) == (2, 9, 10)
    assert example["judge"]["name"] == b"judge" and example["judge"]["class"] == 1
    assert example["seed"] == {"dataset": b"made_up:1.0.0", "split": b"test", "id": b"seed 1", "label": 1}
    assert example["run"]["id"] == b"first" and example["run"]["seed"] == 7


def test_float64_values_are_kept_bit_for_bit(build):
    transform = examples(build(), "test")[IDS[0]]["transform"]
    assert transform["parameters"].dtype == transform["composed_matrix"].dtype == np.float64
    np.testing.assert_array_equal(transform["parameters"], [[1 / 3, -0.1], [2 / 3, 0.7]])
    np.testing.assert_array_equal(transform["composed_matrix"], [[1.0, 1 / 7, 0.0], [-1 / 7, 1.0, 1e-9]])
    assert transform["steps"].tolist() == [3, 8] and transform["confidences"].tolist() == [0.5, 0.25]


def test_what_is_left_out_is_not_there(build):
    builder = build(left_out=frozenset({("first", IDS[0])}))
    assert set(examples(builder, "test")) == {IDS[1]}


def test_the_status_is_what_was_said_of_the_example_and_empty_where_nobody_asked(build):
    builder = build(statuses={IDS[1]: "remaining", IDS[2]: "healed", "of no example": "lost"})
    test, train = (examples(builder, split) for split in ("test", "train"))
    assert {name: example["status"] for name, example in (test | train).items()} == {
        IDS[0]: b"",
        IDS[1]: b"remaining",
        IDS[2]: b"healed",
    }
    remaining = builder.as_dataset(split="test").filter(lambda example: example["status"] == "remaining")
    assert [example["id"].decode() for example in tfds.as_numpy(remaining)] == [IDS[1]]


def test_a_split_of_which_all_is_left_out_is_not_declared(build):
    assert set(build(left_out=frozenset({("first", IDS[2])})).info.splits) == {"test"}


def test_progress_tells_an_example_that_is_made_and_one_that_is_written_and_comes_to_its_end_with_the_files(tmp_path):
    moved = []

    def count(steps):
        written = sum("tfrecord" in path.name for path in tmp_path.rglob("*") if path.is_file())
        moved.append((steps, written))

    built = made_up.build(mistakes.Builder, dataclasses.replace(task(tmp_path), moved=count), tmp_path)
    total = sum(split.num_examples for split in built.info.splits.values())
    assert total == 3 and [steps for steps, _ in moved] == list(range(1, 2 * total + 1))
    assert moved[0][1] == 0 and moved[-1][1] > 0

"""Tests of the dataset `high_value_mistakes`, built from a chunk of two made-up mistakes."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds

from pipeline import records
from tfds_builders import runs
from tfds_builders.high_value_mistakes import high_value_mistakes_dataset_builder as mistakes

SHAPE, CLASSES = (6, 5, 1), 3
PARAMETERS = ["rotation_degrees", "translate_x"]
IDS = ["a" * 32, "b" * 32, "c" * 32]
MANIFEST: dict[str, Any] = {
    "run_id": "first",
    "run_seed": 7,
    "config_digest": "d" * 64,
    "code_version": "0.1.0",
    "seeds": "made_up:1.0.0",
    "config": {"search": {"compose": "matrix"}},
    "nets": [{"name": name, "digest": f"digest of {name}"} for name in ("left", "middle", "right")],
    "judge": {"name": "judge", "digest": "digest of judge"},
    "image_shape": list(SHAPE),
    "class_names": ["zero", "one", "two"],
    "num_classes": CLASSES,
    "operator": {"name": "affine", "parameter_names": PARAMETERS},
}


def picture(number: int) -> np.ndarray:
    """Returns a random image, uint8 [6, 5, 1]."""
    return np.random.default_rng(number).integers(0, 256, SHAPE, np.uint8)


def row(number: int, outcome: str = records.FOUND) -> dict[str, Any]:
    """Returns a chunk's row, the mistake of net "middle" on image `number` after two moves."""
    trial = {
        "seed_id": f"seed {number}",
        "split": "test",
        "seed_label": 1,
        "target_net": "middle",
        "outcome": outcome,
        "reason": "",
        "moves": 2,
        "candidates": 9,
        "inferences": 10,
        "target_confidence": 0.25,
    }
    if outcome != records.FOUND:
        return trial
    return {
        **trial,
        "id": IDS[number],
        "image": records.encode_png(picture(number)),
        "seed_image": records.encode_png(picture(100 + number)),
        "label": 1,
        "wrong_class": 2,
        "probabilities_before": [0.1, 0.8, 0.1] * 3,
        "probabilities_after": [0.1, 0.8, 0.1, 0.0, 0.25, 0.75, 0.2, 0.7, 0.1],
        "steps": [3, 8],
        "parameters": [1 / 3, -0.1, 2 / 3, 0.7],
        "confidences": [0.5, 0.25],
        "composed_matrix": [1.0, 1 / 7, 0.0, -1 / 7, 1.0, 1e-9],
        "peer_margin": 0.5,
        "judge_class": 1,
        "judge_confidence": 0.9,
        "grade": records.HIGH,
    }


def task(folder: pathlib.Path, left_out: frozenset[tuple[str, str]] = frozenset()) -> runs.RunsConfig:
    """Writes a chunk a split and returns the task that is made of them."""
    chunks = {"test": [row(0), row(3, records.EXHAUSTED), row(1)], "train": [row(2)]}
    for split, rows in chunks.items():
        columns = {field.name: [one.get(field.name) for one in rows] for field in records.SCHEMAS[records.MISTAKES]}
        table = records.chunk_table(records.MISTAKES, columns, len(rows))
        (folder / f"{split}.parquet").write_bytes(records.table_bytes(table))
    paths = {split: [str(folder / f"{split}.parquet")] for split in chunks}
    run = records.FinishedRun(MANIFEST, paths)
    return runs.RunsConfig(
        name="made_up",
        version="1.0.0",
        description="Made up.",
        release_notes={"1.0.0": "Made up."},
        runs=(run,),
        left_out=left_out,
    )


class HighValueMistakesTest(tfds.testing.DatasetBuilderTestCase):
    """TFDS's own checks: registration, info, tags, shapes and types, counts, splits that do not overlap."""

    DATASET_CLASS = mistakes.Builder
    SPLITS = {"test": 2, "train": 1}
    EXAMPLE_DIR = pathlib.Path(__file__).parent  # Nothing is downloaded, so there are no fake examples to find.

    def test_registered(self):
        """It is not, so that TFDS finds the packaged files where the name alone is asked for."""
        self.assertNotIn(self.builder.name, tfds.list_builders(with_community_datasets=False))

    def _make_builder(self, config=None):
        return self.DATASET_CLASS(data_dir=self.tmp_dir, config=config or task(pathlib.Path(self.tmp_dir)))


@pytest.fixture
def build(tmp_path):
    """Builds the dataset and returns its builder."""

    def built(**changes: Any) -> Any:
        builder = mistakes.Builder(data_dir=tmp_path / "data", config=task(tmp_path, **changes))
        builder.download_and_prepare()
        return builder

    return built


def examples(builder: Any, split: str) -> dict[str, dict[str, Any]]:
    """Returns a split's examples by id."""
    return {example["id"].decode(): example for example in tfds.as_numpy(builder.as_dataset(split=split))}


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
    assert builder.info.metadata["near_duplicates_left_out"] == 1


def test_a_split_of_which_all_is_left_out_is_not_declared(build):
    assert set(build(left_out=frozenset({("first", IDS[2])})).info.splits) == {"test"}

"""Tests of the dataset `garbage_images`, built from a chunk of made-up images."""

from __future__ import annotations

import pathlib
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds

from pipeline import records
from pipeline.kinds.garbage.kind import GARBAGE
from tests.tfds_builders import made_up
from tests.tfds_builders.made_up import CLASSES, IDS, SHAPE, examples, picture
from tfds_builders import runs
from tfds_builders.garbage_images import garbage_images_dataset_builder as garbage

MANIFEST: dict[str, Any] = {
    **made_up.MANIFEST,
    "config": {"search": {"method": "cppn"}, "garbage": {"confidence": 0.7}},
    "operator": None,
    "natural_confidence": {"split": "test", "images": 3, "medians": {"left": 0.5, "middle": 0.625, "right": 0.75}},
}


def row(number: int, outcome: str = records.FOUND) -> made_up.Row:
    """Returns a chunk's row: image `number`, which net "middle", and "left" with it, takes for a "two"."""
    found = {key: value for key, value in made_up.find(number).items() if key in GARBAGE.schema().names}
    return {
        **made_up.trial(number, outcome),
        **found,
        "split": "train",
        "seed_label": -1,
        "target_confidence": 0.75,
        "probabilities_after": [0.1, 0.2, 0.7, 0.0, 0.25, 0.75, 0.2, 0.7, 0.1],
        "island": number,
        "generation": 12,
        "individual": f"{number}-2417",
        "parents": [f"{number}-2201", f"{number}-1999"],
        "genome": '{"version": 1}' if number == 0 else "",
    }


FOUND = {"train": [row(0), row(3, records.EXHAUSTED), row(1), row(2)]}


def task(
    folder: pathlib.Path,
    chunks: dict[str, list[made_up.Row]] = FOUND,
    left_out: frozenset[tuple[str, str]] = frozenset(),
    **changes: Any,
) -> runs.RunsConfig:
    """Writes the chunks and returns the task that is made of them; `changes` are the manifest's."""
    return made_up.task(folder, GARBAGE, MANIFEST | changes, chunks, left_out)


class GarbageImagesTest(made_up.RunsBuilderTest, tfds.testing.DatasetBuilderTestCase):
    """TFDS's own checks: registration, info, tags, shapes and types, counts."""

    DATASET_CLASS = garbage.Builder
    SPLITS = {"train": 3}
    task = staticmethod(task)


@pytest.fixture
def build(tmp_path):
    """Builds the dataset and opens its files with plain TFDS."""

    def built(**changes: Any) -> Any:
        return made_up.build(garbage.Builder, task(tmp_path, **changes), tmp_path / "data")

    return built


def test_the_declared_features_are_those_of_the_task(build):
    loaded = build()
    features = loaded.info.features
    assert features["image"].shape == SHAPE and features["probabilities_after"].shape == (None, CLASSES)
    assert features["wrong_class"].names == ["zero", "one", "two"]
    assert features["label"].names == ["zero", "one", "two", "garbage"]
    assert loaded.info.supervised_keys == ("image", "label") and "Nguyen" in loaded.info.citation


def test_a_class_of_the_seeds_may_be_called_garbage(build):
    names = build(class_names=["zero", "garbage", "two"]).info.features["label"].names
    assert names == ["zero", "garbage", "two", "garbage image"]


def test_every_feature_is_described(build):
    text = (pathlib.Path(garbage.__file__).parent / "README.md").read_text()
    assert [name for name in build().info.features if f"`{name}`" not in text] == []


def test_champions_are_the_examples_and_classes_that_were_not_done_are_not(build):
    assert set(examples(build(), "train")) == set(IDS)


def test_an_example_has_its_records_values(build):
    example = examples(build(), "train")[IDS[0]]
    np.testing.assert_array_equal(example["image"], picture(0))
    assert (example["label"], example["wrong_class"], example["confidence"]) == (3, 2, 0.75)
    np.testing.assert_array_equal(example["net_classes"], [2, 2, 1])
    np.testing.assert_array_equal(example["net_confidences"], np.float32([0.7, 0.75, 0.7]))
    np.testing.assert_array_equal(example["fooled"], [True, True, False])
    assert example["target_digest"] == b"digest of middle"
    assert list(example["net_digests"]) == [b"digest of left", b"digest of middle", b"digest of right"]
    assert (example["encoding"], example["genome"]) == (b"cppn", b'{"version": 1}')
    assert (example["island"], example["generation"], example["individual"]) == (0, 12, b"0-2417")
    assert list(example["parents"]) == [b"0-2201", b"0-1999"] and example["natural_confidence"] == 0.625


_LOAD = """
import sys
import tensorflow_datasets as tfds
count = sum(1 for _ in tfds.as_numpy(tfds.load("garbage_images/made_up", data_dir=sys.argv[1], split="train")))
ours = {"models", "pipeline", "tfds_builders"} & set(sys.modules)
assert count == 3 and not ours, (count, ours)
"""


@pytest.mark.slow
def test_it_loads_where_this_project_is_not(build, tmp_path):
    build()
    child = [sys.executable, "-I", "-c", _LOAD, str(tmp_path / "data")]
    assert subprocess.run(child, cwd=tmp_path, capture_output=True, text=True).returncode == 0

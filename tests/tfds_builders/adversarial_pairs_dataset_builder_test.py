"""Tests of the dataset `adversarial_pairs`, built from a chunk of two made-up pairs."""

from __future__ import annotations

import math
import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from pipeline import records
from pipeline.kinds.pairs.kind import PAIRS
from tests.tfds_builders import made_up
from tests.tfds_builders.made_up import CLASSES, IDS, SHAPE, examples, picture
from tfds_builders import runs
from tfds_builders.adversarial_pairs import adversarial_pairs_dataset_builder as pairs

MANIFEST: dict[str, Any] = {
    **made_up.MANIFEST,
    "config": {"search": {"method": "lbfgs"}, "attack": {"iterations": 150}},
    "operator": None,
}


def row(number: int, outcome: str = records.FOUND) -> made_up.Row:
    """Returns a chunk's row: image `number`, a "one" that net "middle", and "right" with it, takes for a "two".

    An attack that found no twin has all the same columns, for its best try.
    """
    return {
        **made_up.trial(number, outcome),
        **made_up.find(number),
        "probabilities_after": [0.1, 0.8, 0.1, 0.0, 0.25, 0.75, 0.6, 0.3, 0.1],
        "aimed_class": 2 if number == 0 else -1,
        "distortion": 0.0625,
        "unrounded_distortion": 0.03125 if number == 0 else math.nan,
        "broken_by_rounding": number == 0,
        "largest_change": 0.125,
        "c": 0.5,
    }


FOUND = {"test": [row(0), row(3, records.EXHAUSTED), row(1)], "train": [row(2)]}
NONE_FOUND = {"test": [row(0, records.EXHAUSTED), row(1, records.DROPPED)]}


def task(
    folder: pathlib.Path,
    chunks: dict[str, list[made_up.Row]] = FOUND,
    left_out: frozenset[tuple[str, str]] = frozenset(),
    **changes: Any,
) -> runs.RunsConfig:
    """Writes the chunks and returns the task that is made of them; `changes` are the manifest's."""
    return made_up.task(folder, PAIRS, MANIFEST | changes, chunks, left_out)


class AdversarialPairsTest(made_up.RunsBuilderTest, tfds.testing.DatasetBuilderTestCase):
    """TFDS's own checks: registration, info, tags, shapes and types, counts, splits that do not overlap."""

    DATASET_CLASS = pairs.Builder
    task = staticmethod(task)


@pytest.fixture
def build(tmp_path):
    """Builds the dataset and opens its files with plain TFDS."""

    def built(most: int | None = None, **changes: Any) -> Any:
        return made_up.build(pairs.Builder, task(tmp_path, **changes), tmp_path / "data", most)

    return built


def test_the_files_load_by_name_although_the_builder_is_imported(build):
    loaded = build()
    assert not isinstance(loaded, pairs.Builder)
    assert loaded.info.full_name == "adversarial_pairs/made_up/1.0.0"
    assert loaded.info.supervised_keys == ("image", "label")
    for paper in ("1312.6199", "1412.6572", "1706.06083"):
        assert paper in loaded.info.citation and paper in loaded.info.description


def test_the_declared_features_are_those_of_the_task(build):
    features = build().info.features
    assert features["image"].shape == features["seed_image"].shape == SHAPE
    assert features["label"].names == features["wrong_class"].names == ["zero", "one", "two"]
    assert features["probabilities_before"].shape == features["probabilities_after"].shape == (None, CLASSES)
    assert features["fooled"].np_dtype == np.bool_
    assert all(features[name].np_dtype == np.float32 for name in ("distortion", "largest_change", "c"))
    assert features["aimed_class"].np_dtype == features["perturbation_group"]["both"].np_dtype == np.int32
    assert features["evaluations"].np_dtype == np.int64


def test_every_feature_is_described(build):
    loaded = build()
    text = (pathlib.Path(pairs.__file__).parent / "README.md").read_text()
    assert [name for name in loaded.info.features if f"`{name}`" not in text] == []


def test_twins_are_the_examples_each_in_its_split_and_best_tries_are_not(build):
    loaded = build()
    assert set(examples(loaded, "test")) == {IDS[0], IDS[1]} and set(examples(loaded, "train")) == {IDS[2]}


def test_a_pair_has_its_records_values(build):
    pair = examples(build(), "test")[IDS[0]]
    np.testing.assert_array_equal(pair["image"], picture(0))
    np.testing.assert_array_equal(pair["seed_image"], picture(100))
    assert (pair["label"], pair["wrong_class"], pair["aimed_class"], pair["method"]) == (1, 2, 2, b"lbfgs")
    assert (pair["target_net"], pair["target_digest"]) == (b"middle", b"digest of middle")
    assert pair["nets"].tolist() == [b"left", b"middle", b"right"]
    assert pair["net_digests"].tolist() == [b"digest of left", b"digest of middle", b"digest of right"]
    np.testing.assert_array_equal(pair["probabilities_after"][1], np.float32([0.0, 0.25, 0.75]))
    assert pair["probabilities_before"].shape == (3, CLASSES)
    assert (pair["distortion"], pair["unrounded_distortion"]) == (0.0625, 0.03125)
    assert pair["broken_by_rounding"] and not examples(build(), "test")[IDS[1]]["broken_by_rounding"]
    assert (pair["largest_change"], pair["c"], pair["evaluations"]) == (0.125, 0.5, 9)
    assert pair["judge"] == {"name": b"judge", "digest": b"digest of judge", "class": 1, "confidence": 0.75}
    assert pair["seed"] == {"dataset": b"made_up:1.0.0", "split": b"test", "id": b"seed 0", "label": 1}
    assert pair["run"]["id"] == b"first" and pair["run"]["seed"] == 7


def test_an_untargeted_pair_without_an_unrounded_twin_says_so(build):
    pair = examples(build(), "test")[IDS[1]]
    assert pair["aimed_class"] == -1 and np.isnan(pair["unrounded_distortion"])


def test_fooled_are_the_nets_that_give_the_twin_another_class_whichever(build):
    fooled = examples(build(), "test")[IDS[0]]["fooled"]
    assert fooled.dtype == np.bool_ and fooled.tolist() == [False, True, True]


def test_pairs_are_filtered_by_their_perturbation_group(build):
    other = row(1) | {"label": 2, "wrong_class": 0}
    dataset = build(chunks={"test": [row(0), other]}).as_dataset(split="test")

    def chosen(group: str, number: int) -> list[str]:
        kept = dataset.filter(lambda pair: tf.equal(pair["perturbation_group"][group], number))
        return [pair["id"].decode() for pair in tfds.as_numpy(kept)]

    assert chosen("original", 2) == chosen("adversarial", 0) == chosen("both", 2 * CLASSES) == [IDS[1]]
    assert chosen("both", 1 * CLASSES + 2) == [IDS[0]]
    assert chosen("both", 0) == []


def test_without_a_judge_there_is_none_named(build):
    chunks = {"test": [row(0) | {"judge_class": -1, "judge_confidence": 0.0}]}
    pair = examples(build(chunks=chunks, judge=None), "test")[IDS[0]]
    assert pair["judge"] == {"name": b"", "digest": b"", "class": -1, "confidence": 0.0}


def test_a_task_without_a_twin_is_a_valid_version(build):
    loaded = build(chunks=NONE_FOUND, most=0)
    assert loaded.info.full_name == "adversarial_pairs/made_up/1.0.0"
    assert not loaded.info.splits and loaded.info.features["image"].shape == SHAPE


def test_what_is_left_out_is_not_there(build):
    loaded = build(left_out=frozenset({("first", IDS[0]), ("another run", IDS[1])}))
    assert set(examples(loaded, "test")) == {IDS[1]}


def test_a_split_of_which_all_is_left_out_is_not_declared(build):
    assert set(build(left_out=frozenset({("first", IDS[2])})).info.splits) == {"test"}

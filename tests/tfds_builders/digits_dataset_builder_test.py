"""Tests of the dataset `digits`."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds
from sklearn import datasets as sklearn_datasets

from tfds_builders.digits import digits_dataset_builder

SPLIT_SIZES = {"train": 1438, "test": 359}


class DigitsTest(tfds.testing.DatasetBuilderTestCase):
    """TFDS's own checks: registration, info, tags, shapes and types, counts, splits that do not overlap."""

    DATASET_CLASS = digits_dataset_builder.Builder
    SPLITS = SPLIT_SIZES
    EXAMPLE_DIR = pathlib.Path(__file__).parent  # Nothing is downloaded, so there are no fake examples to find.


@pytest.fixture(scope="module")
def builder(tmp_path_factory):
    built = tfds.builder("digits", data_dir=tmp_path_factory.mktemp("tfds"))
    built.download_and_prepare()
    return built


def read_split(builder, split):
    """Returns the images [B, 28, 28, 1] and labels [B] of a split."""
    batch = tfds.as_numpy(builder.as_dataset(split=split, batch_size=-1))
    return batch["image"], batch["label"]


def pair_bytes(images, labels):
    """Returns (image bytes, label) pairs, sorted."""
    return sorted((image.tobytes(), int(label)) for image, label in zip(images, labels))


def test_importing_the_module_registers_it_as_digits():
    assert tfds.builder_cls("digits") is digits_dataset_builder.Builder


def test_splits_have_the_promised_counts(builder):
    assert {name: split.num_examples for name, split in builder.info.splits.items()} == SPLIT_SIZES


def test_no_image_is_in_both_splits(builder):
    train, test = ({image.tobytes() for image in read_split(builder, split)[0]} for split in SPLIT_SIZES)
    assert not train & test


@pytest.mark.parametrize("split", SPLIT_SIZES)
def test_images_and_labels_are_those_of_scikit_learn(builder, split):
    digits = sklearn_datasets.load_digits()
    chosen = [index for index in range(len(digits.images)) if (index % 5 == 4) == (split == "test")]
    expected = [digits_dataset_builder.enlarge(digits.images[index]) for index in chosen]
    assert pair_bytes(*read_split(builder, split)) == pair_bytes(expected, digits.target[chosen])


def test_images_have_a_black_margin_of_four_pixels(builder):
    images, _ = read_split(builder, "train")
    assert images[:, 4:24, 4:24].any(axis=(1, 2, 3)).all()
    images[:, 4:24, 4:24] = 0
    assert not images.any()


def average_blocks(image, size):
    """Returns a square image averaged over size x size equal blocks."""
    fine = np.kron(image, np.ones((size, size)))
    step = len(image)
    return fine.reshape(size, step, size, step).mean(axis=(1, 3))


def test_enlarged_digits_shrink_back_to_the_originals():
    for digit in sklearn_datasets.load_digits().images:
        inner = digits_dataset_builder.enlarge(digit)[4:24, 4:24, 0].astype(np.float64)
        assert np.abs(average_blocks(inner, 8) * 16 / 255 - digit).mean() < 1.5


@pytest.mark.slow
def test_tfds_own_command_builds_the_dataset_from_anywhere_with_the_same_bytes(builder, tmp_path):
    command = [sys.executable, "-m", "tensorflow_datasets.scripts.cli.main", "build", "digits"]
    command += ["--imports", digits_dataset_builder.__name__, "--data_dir", str(tmp_path)]
    subprocess.run(command, check=True, cwd=tmp_path, capture_output=True)
    built = tfds.builder("digits:1.0.0", data_dir=tmp_path)
    for split, count in SPLIT_SIZES.items():
        assert built.info.splits[split].num_examples == count
        assert pair_bytes(*read_split(built, split)) == pair_bytes(*read_split(builder, split))

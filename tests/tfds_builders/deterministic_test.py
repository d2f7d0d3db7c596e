"""Tests that dataset files are a function of their examples alone."""

import hashlib
import importlib.util
import os
import pathlib
import subprocess
import sys

import pytest
import tensorflow as tf

from tfds_builders import deterministic
from tfds_builders.digits import digits_dataset_builder

ROOT = pathlib.Path(__file__).parents[2]
FEATURE_NAMES = [f"feature_{number}" for number in range(12)]

# TFDS has array_record on Linux alone.
FILE_FORMATS = ["tfrecord", *(["array_record"] if importlib.util.find_spec("array_record") else [])]

# The order of a protobuf map changes with the process. Twelve features make an accidental agreement unlikely.
BUILD_SCRIPT = """
import sys
import tensorflow_datasets as tfds
from tfds_builders.deterministic import DeterministicFiles
from tfds_builders.digits import digits_dataset_builder

class Wide(DeterministicFiles, tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        names = [f"feature_{number}" for number in range(12)]
        features = tfds.features.FeaturesDict({name: tfds.features.Text() for name in names})
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for number in range(20):
            yield number, {name: f"{name} of {number}" for name in self.info.features}

for file_format in sys.argv[2:]:
    for builder_class in (Wide, digits_dataset_builder.Builder):
        builder_class(data_dir=f"{sys.argv[1]}/{file_format}", file_format=file_format).download_and_prepare()
"""


def make_example(names):
    """Returns a `tf.train.Example` whose features were set in the order of `names`."""
    example = tf.train.Example()
    for name in names:
        example.features.feature[name].bytes_list.value.append(name.encode())
    return example


def test_insertion_order_does_not_change_the_bytes():
    forwards, backwards = make_example(FEATURE_NAMES), make_example(reversed(FEATURE_NAMES))
    sorted_bytes = {deterministic.sort_features(example.SerializeToString()) for example in (forwards, backwards)}
    assert len(sorted_bytes) == 1


def test_sorting_changes_neither_values_nor_size():
    serialized = make_example(FEATURE_NAMES).SerializeToString()
    sorted_bytes = deterministic.sort_features(serialized)
    assert tf.train.Example.FromString(sorted_bytes) == tf.train.Example.FromString(serialized)
    assert len(sorted_bytes) == len(serialized)


def test_features_are_written_in_the_order_of_their_names():
    sorted_bytes = deterministic.sort_features(make_example(reversed(FEATURE_NAMES)).SerializeToString())
    positions = [sorted_bytes.index(name.encode()) for name in sorted(FEATURE_NAMES)]
    assert positions == sorted(positions)


def test_keys_and_their_order_are_kept():
    serialized = make_example(FEATURE_NAMES).SerializeToString()
    assert [key for key, _ in deterministic.sort_features_of_each([(3, serialized), (1, serialized)])] == [3, 1]


def hash_files(folder):
    """Returns the digest of every file below a folder, by its relative path."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def build_in_own_process(data_dir, hash_seed):
    """Builds two datasets in every file format, in a fresh Python whose string hashes start from `hash_seed`."""
    environment = os.environ | {"PYTHONHASHSEED": str(hash_seed), "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2"}
    command = [sys.executable, "-c", BUILD_SCRIPT, str(data_dir), *FILE_FORMATS]
    subprocess.run(command, env=environment, cwd=ROOT, check=True, capture_output=True, text=True, timeout=300)
    return hash_files(data_dir)


@pytest.mark.slow
def test_separate_builds_give_byte_identical_files(tmp_path):
    first, second = (build_in_own_process(tmp_path / str(hash_seed), hash_seed) for hash_seed in (1, 2))
    for expected in (*(f"digits-train.{file_format}-" for file_format in FILE_FORMATS), "wide-train.tfrecord-"):
        assert any(expected in name for name in first)
    assert first == second


def test_digits_uses_the_deterministic_writer(tmp_path):
    builder = digits_dataset_builder.Builder(data_dir=tmp_path)
    assert isinstance(builder._example_writer(), deterministic.DeterministicExampleWriter)

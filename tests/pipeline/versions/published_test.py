"""Published versions that are opened by name: what is not there, not one, or damaged is told."""

from __future__ import annotations

import re

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from pipeline.versions import published
from pipeline.workdir.ledger import Workdir

NAME = "high_value_mistakes/tiny"


@pytest.mark.parametrize("example_id", ["zzzz", ""])
def test_an_id_that_is_not_one_examples_is_told(finished, peerpressure, example_id):
    outcome = peerpressure("replay", NAME, example_id, "--workdir", finished.path)
    assert outcome.code == 2 and outcome.err.count("\n") == 1
    assert f"examples have an id that starts with '{example_id}'" in outcome.err


@pytest.mark.parametrize("command", [["verify"], ["replay"]])
@pytest.mark.parametrize("dataset", ["high_value_mistakes/other", f"{NAME}:7.0.0", "other", "digits"])
def test_a_dataset_that_is_not_there_is_told(finished, peerpressure, command, dataset):
    more = ["0"] if command == ["replay"] else []
    outcome = peerpressure(*command, dataset, *more, "--workdir", finished.path)
    assert outcome.code == 2 and outcome.err.count("\n") == 1
    assert outcome.err.startswith("peerpressure: error: ") and dataset in outcome.err


@pytest.mark.parametrize(
    ("pattern", "code", "message"),
    [
        ("dataset_info.json", 2, "dataset 'high_value_mistakes/tiny' in .* is damaged .*; move that version away"),
        ("*.tfrecord*", 4, "mend that, and the same command goes on from there"),
    ],
)
def test_a_damaged_version_is_told(copied, peerpressure, pattern, code, message):
    for path in (copied.published / "1.0.0").glob(pattern):
        path.write_bytes(path.read_bytes()[:-20])
    outcome = peerpressure("verify", NAME, "--workdir", copied.path)
    assert outcome.code == code and re.fullmatch(f"peerpressure: error: .*{message}.*\\n", outcome.err)


def test_examples_are_read_as_tfds_reads_them(finished, monkeypatch):
    monkeypatch.setattr(published, "_TOGETHER", 3)  # several batches, the last one not full
    ours = published.open_dataset(NAME, Workdir.at(str(finished.path)).datasets)
    splits = [ours.builder.as_dataset(split=split) for split in ours.builder.info.splits]
    theirs = [example for split in splits for example in tfds.as_numpy(split)]
    assert len(theirs) % 3
    for one, other in zip(ours.examples(), theirs, strict=True):
        tf.nest.assert_same_structure(one, other)
        for value, wanted in zip(tf.nest.flatten(one), tf.nest.flatten(other), strict=True):
            assert type(value) is type(wanted)
            np.testing.assert_array_equal(value, wanted, strict=isinstance(value, np.ndarray))


def test_features_with_several_lengths_that_vary_are_read():
    given = [np.arange(6).reshape(2, 3), np.arange(4).reshape(4, 1)]
    ragged = tf.ragged.stack(given)
    for row, wanted in zip(published._rows({"one": {"two": ragged}}), given, strict=True):
        np.testing.assert_array_equal(row["one"]["two"], wanted)

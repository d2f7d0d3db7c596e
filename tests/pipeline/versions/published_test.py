"""Published versions that are opened by name: what is not there, not one, or damaged is told."""

from __future__ import annotations

import dataclasses
import itertools
import json
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


def test_a_runs_name_leads_nowhere_else(copied, peerpressure):
    path = copied.published / "1.0.0" / "metadata.json"
    told = json.loads(path.read_text())
    told["runs"][0]["run_id"] = f"../../../../../ledger/{NAME}/first/published"
    path.write_text(json.dumps(told))
    outcome = peerpressure("verify", NAME, "--workdir", copied.path)
    assert outcome.code == 2 and "is lost; move that version away and package it again." in outcome.err


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


def test_features_that_are_named_are_read_and_no_others(finished):
    ours = published.open_dataset(NAME, Workdir.at(str(finished.path)).datasets)
    read = list(ours.examples(("id", "run/seed", "transform", "run/id", "of_a_later_format", "seed/id")))
    for one, whole in zip(read, ours.examples(), strict=True):
        assert one.keys() == {"id", "run", "seed", "transform"} and one["run"].keys() == {"id", "seed"}
        assert one["seed"].keys() == {"id"} and one["transform"].keys() == whole["transform"].keys()
        assert (one["id"], one["run"]["id"], one["seed"]["id"]) == (
            whole["id"],
            whole["run"]["id"],
            whole["seed"]["id"],
        )
        np.testing.assert_array_equal(one["transform"]["parameters"], whole["transform"]["parameters"])


@pytest.mark.parametrize(
    ("count", "whole"), [(1, 1), (1, 100), (15, 17), (16, 16), (17, 40), (99, 100), (100, 100), (1000, 123_457)]
)
def test_a_sample_is_spread_over_all(count, whole):
    parts = published._spread(count, whole)
    places = [place for part in parts for place in part]
    assert len(places) == count and places == sorted(set(places)) and 0 <= places[0] <= places[-1] < whole
    gaps = {after.start - before.stop for before, after in itertools.pairwise(parts)}
    assert len(parts) <= 16 and max(gaps, default=0) - min(gaps, default=0) <= 1
    assert whole - parts[-1].stop <= (whole - count) / len(parts) + 1  # no larger gap behind the last


def test_a_sample_has_examples_of_all_splits_and_is_the_same_each_time(finished):
    digits = published.Published(tfds.builder("digits", data_dir=finished.datasets))
    of_split = {
        split: {example["image"].tobytes() for example in tfds.as_numpy(digits.builder.as_dataset(split=split))}
        for split in ("train", "test")
    }
    some = dataclasses.replace(digits, sample=100)
    images = [example["image"].tobytes() for example in some.examples(("image",))]
    assert len(images) == len(set(images)) == some.count == 100 < some.whole == digits.count
    shares = [sum(image in of_split[split] for image in images) for split in ("train", "test")]
    assert sum(shares) == 100 and min(shares) >= 15  # 1,437 and 360 images, in parts of six
    assert images == [example["image"].tobytes() for example in some.examples(("image",))]
    more = dataclasses.replace(digits, sample=10 * digits.count)
    assert more.count == digits.count == sum(1 for _ in more.examples(("label",)))


def test_what_has_one_key_comes_together_whatever_stands_between():
    given = [{"number": number} for number in range(100)]

    def key(example):
        return None if example["number"] % 10 == 9 else example["number"] % 3

    parts = list(published.together(given, key, most=8, waiting=1000))
    assert sorted(example["number"] for part in parts for example in part) == [n for n in range(100) if n % 10 != 9]
    assert all(len({key(example) for example in part}) == 1 for part in parts)
    assert all(part == sorted(part, key=lambda example: example["number"]) for part in parts)
    assert [len(part) for part in parts if len(part) < 8] == [len(given) * 3 // 10 % 8] * 3
    held = list(published.together(given, key, most=8, waiting=10))
    assert sum(map(len, held)) == 90 and len(held) > len(parts)  # no more than ten have ever waited


def test_what_waits_is_bounded_and_the_most_of_one_key_go_first():
    taken = []

    def given():
        for number in range(50):
            taken.append(number)
            yield {"number": number}

    for part in published.together(given(), lambda example: example["number"] % 25 or 1, most=100, waiting=20):
        taken = taken[len(part) :]
        assert len(taken) < 20


class _Noted(dict):
    """An example, or a part of one, that notes what is read of it, "seed/id" of a part."""

    def __init__(self, values, read, whole=""):
        super().__init__(values)
        self._read, self._whole = read, whole

    def __getitem__(self, key):
        value = super().__getitem__(key)
        if isinstance(value, dict):
            return _Noted(value, self._read, f"{key}/")
        self._read.add(self._whole + key)
        return value


def _assert_named(read, named):
    """A feature that is named as a whole stands for its parts."""
    assert {name if name in named else name.partition("/")[0] for name in read} == set(named)


def test_a_kind_names_the_features_that_it_reads_and_no_others(made):
    ours = published.open_dataset(made.dataset, Workdir.at(str(made.path)).datasets)
    examples = list(ours.examples(("target_net", "run/id", *ours.kind.checked, "probabilities_after")))
    ((run, _),) = ours.places_by_run(examples)
    net = examples[0]["target_net"]
    answers = np.stack([example["probabilities_after"] for example in examples], axis=1)
    read: set[str] = set()
    assert not any(ours.kind.failures([_Noted(example, read) for example in examples], run, answers))
    _assert_named(read, ours.kind.checked)
    read.clear()
    mine = [place for place, example in enumerate(examples) if example["target_net"] == net]
    place = [each["name"].encode() for each in run["nets"]].index(net)
    told = ours.kind.status([_Noted(examples[one], read) for one in mine], run, answers[:, mine], place)
    assert set(told) <= set(ours.kind.statuses) and len(told) == len(mine)
    _assert_named(read, ours.kind.rechecked)


def test_features_with_several_lengths_that_vary_are_read():
    given = [np.arange(6).reshape(2, 3), np.arange(4).reshape(4, 1)]
    ragged = tf.ragged.stack(given)
    for row, wanted in zip(published._rows({"one": {"two": ragged}}), given, strict=True):
        np.testing.assert_array_equal(row["one"]["two"], wanted)

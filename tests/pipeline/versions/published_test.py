"""Published versions that are opened by name: what is not there, not one, or damaged is told."""

from __future__ import annotations

import re

import pytest

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

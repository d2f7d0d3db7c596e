"""A few of the kills and mishaps of `tests.pipeline.chaos`, which runs as many as one likes."""

from __future__ import annotations

import pytest

from tests.pipeline import chaos


@pytest.mark.slow
def test_what_is_killed_at_random_ends_as_if_it_had_not_been(nursery, tmp_path):
    told = chaos.kills(nursery, tmp_path, 4, seed=2)
    assert told["one process"] == told["two workers"] == 2
    assert told["different"] == []


@pytest.mark.slow
def test_nights_with_mishaps_end_as_quiet_ones(nursery, tmp_path):
    told = chaos.nights(nursery, tmp_path, 5, seed=2, every=1)
    assert {"killed", "full_disk", "read_only", "clock", "company"} <= set(told["mishaps"].values())
    assert told["different"] == []


def test_a_file_that_differs_is_named(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
        (folder / "same.json").write_text(f'{{"path": "{folder}",\n "seconds": {len(str(folder))},\n "a": 1}}')
        (folder / "changed.json").write_text(f'{{"a": {int(folder == one)}}}')
    (one / "alone").touch()
    assert chaos.different(chaos.contents(one), chaos.contents(other)) == ["alone", "changed.json"]

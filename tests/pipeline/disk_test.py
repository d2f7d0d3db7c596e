"""Disks that fill up or go away: at every write of a run, one sentence, and the same command goes on from there."""

from __future__ import annotations

import errno
import os
import random

import pytest

from pipeline import ledger

# Writes that an attempt gets done before the disk is full. The tiny task has 11: plan, six chunks, trials, what was set
# aside, manifest, TFDS's metadata. (Where not even the plan can be written, the workdir cannot: another sentence.)
_POINTS = random.Random(5).choices(range(1, 4), k=4)


@pytest.fixture
def full_at(monkeypatch):
    """Lets the disk be full at one of the writes that follow, or at none, and counts the writes."""
    write, counted = ledger.write_whole, []

    def choose(place: int | None) -> list[int]:
        counted.clear()

        def write_or_fail(path, data):
            counted.append(len(counted))
            if counted[-1] == place:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            write(path, data)

        monkeypatch.setattr(ledger, "write_whole", write_or_fail)
        return counted

    return choose


def test_a_disk_that_is_full_at_random_points_loses_nothing(
    finished, work, peerpressure, config, tree, half_written, full_at
):
    arguments = ["run", "--config", config(), "--workdir", work.path, "--run_id", "first"]
    failed = 0
    for place in _POINTS:
        full_at(place)
        outcome = peerpressure(*arguments)
        if outcome.code:  # the last attempt may have too little left to do
            failed += 1
            assert outcome.code == 4 and outcome.err.count("peerpressure: error:") == 1, outcome
            assert "No space left on device" in outcome.err and "Traceback" not in outcome.err
            assert outcome.err.rstrip().endswith("mend that, and the same command goes on from there.")
    full_at(None)
    assert failed >= 3 and peerpressure(*arguments).code == 0
    assert not half_written(work.path)
    assert tree(work.ledger / "first" / "chunks") == tree(finished.ledger / "first" / "chunks")
    assert tree(work.published) == tree(finished.published)
    assert (work.ledger / "first" / "trials.parquet").read_bytes() == (
        finished.ledger / "first" / "trials.parquet"
    ).read_bytes()

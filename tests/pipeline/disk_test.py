"""Disks that fill up or cannot be written to for a while: one sentence, and the same command goes on from there."""

from __future__ import annotations

import errno
import os
import random

import pytest

from tests.pipeline import conftest

_ERRORS = [errno.ENOSPC, errno.EROFS]
_AT_MOST = 15  # failures of each
_name = errno.errorcode.get


def _assert_told(ended, code, error):
    assert ended.code == code, ended
    assert ended.said.count("peerpressure: error:") == 1 and "Traceback" not in ended.said
    assert os.strerror(error) in ended.said.splitlines()[-1]


@pytest.mark.slow
def test_a_disk_that_fails_at_random_points_loses_nothing(nursery, brief, config, tmp_path):
    folder, numbers = tmp_path / "work", random.Random(5)
    command = ["run", "--config", config(**conftest.BRIEF), "--run_id", "first", "--workdir", folder]
    points = [(error, numbers.randrange(2), stage) for stage in conftest.STAGES for error in _ERRORS]
    anywhere = [(error, brief.finished + numbers.randrange(brief.whole), "") for error in _ERRORS * _AT_MOST]
    for error, at, stage in [*points, *anywhere]:
        ended = nursery.run(command, folder, at, error, stage)
        if not ended.code:
            break
        _assert_told(ended, 4, error)
        assert ended.said.rstrip().endswith("mend that, and the same command goes on from there.")
    assert ended.code == 0 and not stage, ended
    assert conftest.kept(folder) == conftest.kept(brief.work.path)


@pytest.mark.parametrize(("error", "code"), zip(_ERRORS, (4, 2)), ids=map(_name, _ERRORS))
def test_a_workdir_that_cannot_be_written_from_the_start_is_told(nursery, config, tmp_path, error, code):
    command = ["run", "--config", config(**conftest.BRIEF), "--workdir", tmp_path / "work"]
    _assert_told(nursery.run(command, tmp_path / "work", 0, error), code, error)
    assert not (tmp_path / "work").exists()

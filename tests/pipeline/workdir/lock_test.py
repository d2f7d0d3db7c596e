from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import subprocess
import sys

import pytest
from etils import epath

from models.errors import InputError
from pipeline.workdir import lock

_HOLD = """
import sys
from etils import epath
from pipeline.workdir import lock
with lock.hold(epath.Path(sys.argv[1]), "mistakes/tiny", "run 'first'", wait=False):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path):
    return epath.Path(tmp_path) / "ledger" / "tiny.lock"


@pytest.fixture
def other(path):
    """Another process that holds the task until it is killed or its standard input ends."""
    command = [sys.executable, "-c", _HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def _hold(path, wait=False):
    return lock.hold(path, "mistakes/tiny", "run 'second'", wait)


def test_who_comes_second_is_told_who_holds_the_task(path, other):
    with pytest.raises(lock.HeldError) as told, _hold(path):
        pytest.fail("held twice")
    held = f"task 'mistakes/tiny' is held by run 'first' (pid {other.pid} on {os.uname().nodename}, since 20"
    assert str(told.value).startswith(held) and "give --wait" in str(told.value)


def test_a_killed_process_holds_nothing(path, other):
    other.kill()
    other.wait()
    with _hold(path):
        assert path.read_text().startswith(f"run 'second' (pid {os.getpid()} ")


def test_who_waits_says_so_and_starts_when_the_other_has_ended(path, other, monkeypatch, capsys):
    flock = fcntl.flock

    def let_end(file, how):
        if how == fcntl.LOCK_EX:  # without LOCK_NB: about to wait
            assert "is held by run 'first'" in capsys.readouterr().err
            other.stdin.close()
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", let_end)
    with _hold(path, wait=True):
        assert other.wait() == 0


@pytest.mark.parametrize("error", [None, ValueError])
def test_what_is_held_is_free_afterwards_whatever_happens(path, error):
    with pytest.raises(error) if error else contextlib.nullcontext(), _hold(path):
        if error:
            raise error
    assert path.read_text() == ""
    with _hold(path):
        pass


def test_tasks_do_not_hinder_each_other(path):
    with _hold(path), _hold(path.with_name("other.lock")):
        pass


def test_a_file_system_without_locks_is_told(path, monkeypatch):
    def refuse(file, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(InputError, match=r"cannot be locked \(No locks available\); name a"), _hold(path):
        pytest.fail("held without a lock")


def test_a_folder_that_cannot_be_made_is_told(path):
    path.parent.parent.joinpath("ledger").write_text("in the way")
    with pytest.raises(InputError, match="cannot be written to"), _hold(path):
        pytest.fail("held without a file")


def test_in_a_bucket_nothing_is_held(monkeypatch):
    monkeypatch.setattr(lock, "_open", lambda path: pytest.fail("opened"))
    with _hold(epath.Path("gs://bucket/ledger/tiny.lock")):
        pass

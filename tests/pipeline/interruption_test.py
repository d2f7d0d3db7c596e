"""Ctrl-C: heard at once while another thread works, and by nobody else."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import threading

import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from pipeline import interruption
from pipeline.commands import cli
from pipeline.kinds.mistakes import scanning
from pipeline.runs import stages

SENTENCE = "peerpressure: error: interrupted; the same command goes on from there."
_LEAVES = """
import os, psutil, subprocess
from pipeline import interruption
started = subprocess.Popen("sleep 1000 & echo; exec sleep 1000", shell=True, stdout=subprocess.PIPE)
started.stdout.readline()  # both are there
print("told", end="")
children = psutil.Process.children
def complain(*given, **named):
    os.write(2, b"Traceback")  # as threads do that lose a worker
    return children(*given, **named)
psutil.Process.children = complain
interruption.leave(130)
"""


pytestmark = pytest.mark.usefixtures("ctrl_c")


def _join() -> None:
    """Waits for the work that is interrupted."""
    for thread in threading.enumerate():
        if thread.name == "mine":
            thread.join()


def test_what_ends_without_ctrl_c_ends_as_ever():
    done = []
    interruption.listen_during(lambda: done.append(threading.current_thread()))
    assert done and done[0] is not threading.main_thread() and not interruption.is_ending()
    interruption.check()


def test_what_the_work_raises_is_raised():
    with pytest.raises(ZeroDivisionError):
        interruption.listen_during(lambda: 1 / 0)


def test_ctrl_c_is_heard_while_the_work_goes_on_and_ends_it_at_its_next_check():
    heard, ended = threading.Event(), threading.Event()

    def work() -> None:
        interruption.check()
        os.kill(os.getpid(), signal.SIGINT)
        heard.wait()  # as long as a batch takes
        with pytest.raises(KeyboardInterrupt):
            interruption.check()
        ended.set()

    with pytest.raises(KeyboardInterrupt):
        interruption.listen_during(work)
    assert interruption.is_ending() and not ended.is_set()
    heard.set()
    _join()
    assert ended.is_set()
    try:
        interruption.check()
    except KeyboardInterrupt:
        pytest.fail("other work is asked to end, too")


def test_who_leaves_takes_along_the_processes_that_it_started_without_a_word():
    # What it started has the pipe of its errors, too, so that `run` would not come back.
    command, root = [sys.executable, "-c", _LEAVES], pathlib.Path(__file__).parents[2]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=root, timeout=30)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "told", "")


@pytest.mark.parametrize(
    ("left", "ending", "codes"),
    [
        (SystemExit(cli.INTERRUPTED), True, [130]),
        (SystemExit(cli.UNREAD), True, [141]),
        (SystemExit(0), False, []),
        (KeyboardInterrupt(), True, [130]),
    ],
)
def test_a_command_that_was_interrupted_does_not_wait_for_what_is_under_way(monkeypatch, left, ending, codes):
    def run(*_: object, **__: object) -> None:
        raise left

    called: list[int] = []
    monkeypatch.setattr(cli.app, "run", run)
    monkeypatch.setattr(interruption, "is_ending", lambda: ending)
    monkeypatch.setattr(interruption, "leave", called.append)
    with contextlib.suppress(SystemExit):
        cli.main()
    assert called == codes


@pytest.mark.parametrize(("ending", "codes"), [(True, []), (False, [4])])
def test_a_worker_that_ends_with_the_whole_run_is_not_told_as_one_that_died(monkeypatch, capsys, ending, codes):
    left: list[int] = []
    monkeypatch.setattr(interruption, "is_ending", lambda: ending)
    monkeypatch.setattr(interruption, "leave", left.append)

    def work() -> None:  # as Beam's, which start a process, wait for it, and fail if it ended badly
        raise RuntimeError(f"exit code {subprocess.Popen(['false']).wait()}")

    with stages._ending_with_workers():
        worker = threading.Thread(target=work)
        worker.start()
        worker.join()
    assert left == codes and ("a worker process died" in capsys.readouterr().err) == bool(codes)


def test_ctrl_c_while_a_unit_is_searched_ends_a_run_with_one_sentence(work, monkeypatch, peerpressure, config):
    heard, ended = threading.Event(), threading.Event()

    def searched(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        heard.wait()
        ended.set()
        raise KeyboardInterrupt

    monkeypatch.setattr(scanning.Scanning, "_tried", searched)
    task = config(search={"method": "scan"})
    outcome = peerpressure("mine", "--config", task, "--workdir", work.path, "--run_id", "first")
    assert outcome.code == 130 and outcome.err.splitlines()[-1] == SENTENCE and not ended.is_set()
    heard.set()
    _join()
    assert ended.is_set() and not list((work.ledger / "first" / "chunks").glob("*"))


class Serving(FnApiRunner):
    """Does on the main thread what runners that start a server do there, such as Flink's."""

    def run_pipeline(self, *arguments):
        signal.signal(signal.SIGINT, signal.getsignal(signal.SIGINT))
        return super().run_pipeline(*arguments)


@pytest.mark.slow
def test_another_runner_than_beams_own_is_on_the_main_thread(work, peerpressure, config):
    command = ["mine", "--config", config(search={"method": "scan"}), "--workdir", work.path, "--run_id", "first"]
    outcome = peerpressure(*command, f"--runner={__name__}.Serving")
    assert outcome.code == 0 and (work.ledger / "first" / "manifest.json").exists()

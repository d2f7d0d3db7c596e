"""Kill -9 at random points of the whole run: training, mining, packaging. It ends as the undisturbed run does."""

from __future__ import annotations

import os
import pathlib
import random
import shutil
import signal
import subprocess

import pytest

from tests.pipeline import conftest

_BRED = {
    **conftest.BRIEF,
    "search": {"method": "direct", "targets": ["mlp-8"]},
    "garbage": {"confidence": 0.9999, "generations": 60, "population": 8, "islands": 1, "classes": [0, 1, 2]},
}
_DATASET = "garbage_images/tiny"
_FIRST = f"ledger/{conftest.DATASET}/first"
_AT_MOST = 30  # kills
_WORKERS = """
import os, sys
if "apache_beam.runners.worker.sdk_worker_main" in sys.orig_argv:
    from tests.pipeline import mortal
    mortal.{call}
"""


def _chunks(folder):
    return {path: path.stat().st_mtime_ns for path in folder.glob("ledger/*/*/*/chunks/*.parquet")}


def _kill_until_done(nursery, command, folder, stages, span):
    """Starts a command again and again, killed once in each stage, then anywhere, until one start lives."""
    there, numbers = {}, random.Random(7)
    points = [(numbers.randrange(2), stage) for stage in stages]
    for at, stage in [*points, *((numbers.randrange(span), "") for _ in range(_AT_MOST))]:
        ended = nursery.run(command, folder, at, below=stage)
        assert there.items() <= _chunks(folder).items()  # what is finished is left as it is
        there = _chunks(folder)
        if ended.code != -signal.SIGKILL:
            assert ended.code == 0 and not stage, ended
            return
    pytest.fail(f"not done after {_AT_MOST} kills")


def _assert_undisturbed(nursery, command, folder, calm):
    before = conftest.kept(folder)
    ended = nursery.run(command, folder)
    assert ended.code == 0 and "run first is finished already" in ended.said and "is there already" in ended.said
    assert conftest.kept(folder) == before == conftest.kept(calm)


@pytest.mark.slow
def test_a_run_killed_at_random_points_ends_as_if_it_had_not_been(nursery, brief, config, tmp_path):
    folder = tmp_path / "work"
    command = ["run", "--config", config(**conftest.BRIEF), "--run_id", "first", "--workdir", folder]
    _kill_until_done(nursery, command, folder, conftest.STAGES, brief.whole // 3)
    _assert_undisturbed(nursery, command, folder, brief.work.path)


@pytest.mark.slow
def test_islands_killed_at_random_points_end_as_if_they_had_not_been(nursery, brief, config, tmp_path):
    calm, killed = (brief.work.copy(tmp_path / name, ran=False).path for name in ("calm", "killed"))
    command = ["run", "--config", config(**_BRED), "--run_id", "first", "--workdir"]
    whole = nursery.run([*command, calm], calm)
    assert whole.code == 0, whole.said
    run = f"ledger/{_DATASET}/first"
    stages = [f"{run}/curves/", f"{run}/checkpoints/", f"{run}/chunks/", f"datasets/{_DATASET}/"]
    _kill_until_done(nursery, [*command, killed], killed, stages, len(whole.changed))
    _assert_undisturbed(nursery, [*command, killed], killed, calm)


def _copied_without(work, folder, left_out):
    """Copies the ledger of the brief run but for some of its files, with a failure that was kept meanwhile."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(work.path / "ledger", folder / "ledger", ignore=shutil.ignore_patterns(*left_out))
    (folder / _FIRST / "failures").mkdir()
    (folder / _FIRST / "failures" / "run.json").write_text("{}")


def test_a_run_killed_at_any_step_of_its_end_is_finished_whole_or_not_at_all(nursery, brief, config, tmp_path):
    folder, arguments = tmp_path / "work", (tmp_path / "work", config(**conftest.BRIEF))
    left_out = ("trials.parquet", "set_aside.jsonl", "manifest.json")
    _copied_without(brief.work, folder, left_out)
    changes = nursery.run(arguments, folder, step="finish").changed
    calm = conftest.kept(folder)
    assert len(changes) == 10, changes  # a folder, a temporary file and its new name, three times; the failure
    assert {f"{_FIRST}/{name}" for name in left_out} <= calm.keys()
    for at in range(len(changes)):
        _copied_without(brief.work, folder, left_out)
        assert nursery.run(arguments, folder, at, step="finish").code == -signal.SIGKILL
        if not (folder / _FIRST / "manifest.json").exists():
            assert nursery.run(arguments, folder, step="finish").code == 0
        assert {name: data for name, data in conftest.kept(folder).items() if not name.endswith(".tmp")} == calm


def test_a_version_killed_at_any_step_is_there_whole_or_not_at_all(nursery, brief, config, tmp_path):
    folder, arguments = tmp_path / "work", (tmp_path / "work", config(**conftest.BRIEF))
    _copied_without(brief.work, folder, ())
    changes = nursery.run(arguments, folder, step="package").changed
    calm, version = conftest.files(folder / "datasets"), f"{conftest.DATASET}/1.0.0/"
    assert any(name.startswith(version) for name in calm)
    for at in range(len(changes)):
        shutil.rmtree(folder / "datasets", ignore_errors=True)
        assert nursery.run(arguments, folder, at, step="package").code == -signal.SIGKILL
        there = {name: data for name, data in conftest.files(folder / "datasets").items() if name.startswith(version)}
        assert all(calm[name] == data for name, data in there.items())
        assert not there or there.keys() == {name for name in calm if name.startswith(version)}
        assert nursery.run(arguments, folder, step="package").code == 0
        assert conftest.files(folder / "datasets") == calm


def _with_workers(program, command, site, call):
    """Runs a command, in a terminal's group of its own, with two worker processes that make a call as they start."""
    site.mkdir()
    (site / "sitecustomize.py").write_text(_WORKERS.format(call=call))
    workers = ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]
    environment = {**os.environ, "PYTHONPATH": f"{site}:{pathlib.Path(__file__).parents[2]}"}
    how = {"capture_output": True, "text": True, "timeout": 300, "start_new_session": True}
    return subprocess.run([program, *command, *workers], env=environment, **how)


def _command(config, work):
    return ["run", "--config", str(config(**conftest.BRIEF)), "--run_id", "first", "--workdir", str(work)]


@pytest.mark.slow
def test_a_worker_that_is_killed_ends_the_run_which_then_goes_on(nursery, brief, program, config, tmp_path):
    work = brief.work.copy(tmp_path / "work", ran=False).path
    mark, at = tmp_path / "died", random.Random(3).randrange(3)  # a chunk is three changes
    call = f"die_alone({str(work)!r}, {at}, {str(mark)!r})"
    ended = _with_workers(program, _command(config, work), tmp_path / "site", call)
    assert mark.exists() and ended.returncode == 4, ended
    assert "peerpressure: error: a worker process died (" in ended.stderr
    assert not (work / "ledger" / conftest.DATASET / "first" / "manifest.json").exists()
    assert nursery.run(_command(config, work), work).code == 0
    assert conftest.kept(work) == conftest.kept(brief.work.path)


@pytest.mark.slow
def test_ctrl_c_while_worker_processes_mine_ends_the_run_with_one_sentence(brief, program, config, tmp_path, ctrl_c):
    work, mark = brief.work.copy(tmp_path / "work", ran=False).path, tmp_path / "interrupted"
    call = f"interrupt_once({str(work)!r}, {str(mark)!r})"
    ended = _with_workers(program, _command(config, work), tmp_path / "site", call)
    assert mark.read_text() == str(signal.SIG_IGN) and ended.returncode == 130, ended
    # A worker may still log a line before it is ended, so that the sentence is not always the last.
    assert "peerpressure: error: interrupted; the same command goes on from there." in ended.stderr.splitlines()
    assert "Traceback" not in ended.stderr and ended.stderr.count("peerpressure: error:") == 1, ended.stderr

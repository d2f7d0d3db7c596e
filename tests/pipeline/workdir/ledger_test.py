from __future__ import annotations

import hashlib
import os

import pytest
from etils import epath

from models.errors import InputError
from pipeline.formats import FORMAT
from pipeline.workdir import ledger
from pipeline.workdir.ledger import RunFolder, Workdir

PLAN = {"format": FORMAT, "task": "tiny", "run_seed": 3, "units": [{"number": 0, "split": "train", "range": [0, 4]}]}


@pytest.fixture
def workdir(tmp_path) -> Workdir:
    return Workdir(epath.Path(tmp_path) / "runs")


@pytest.fixture
def folder(workdir) -> RunFolder:
    return workdir.run("tiny", "first")


def _refuse(*_):
    raise OSError(28, "No space left on device")


def test_a_file_is_written_whole_with_the_folders_it_needs(tmp_path):
    path = epath.Path(tmp_path) / "a" / "b" / "file"
    ledger.write_whole(path, b"first")
    ledger.write_whole(path, b"second")
    assert path.read_bytes() == b"second" and [entry.name for entry in path.parent.iterdir()] == ["file"]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failed_write_leaves_what_was_there_and_nothing_else(tmp_path, monkeypatch, failing):
    path = epath.Path(tmp_path) / "file"
    ledger.write_whole(path, b"before")
    monkeypatch.setattr(os, failing, _refuse)
    with pytest.raises(OSError, match="No space left"):
        ledger.write_whole(path, b"after")
    assert path.read_bytes() == b"before" and [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failed_first_write_leaves_nothing(tmp_path, monkeypatch, failing):
    monkeypatch.setattr(os, failing, _refuse)
    with pytest.raises(OSError):
        ledger.write_json(epath.Path(tmp_path) / "file", PLAN)
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_flushed_before_it_gets_its_name(tmp_path, monkeypatch):
    calls, fsync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda *given: (calls.append("fsync"), fsync(*given)))
    monkeypatch.setattr(os, "replace", lambda *given: (calls.append("replace"), replace(*given)))
    ledger.write_whole(epath.Path(tmp_path) / "file", b"data")
    assert calls == ["fsync", "replace"]


def test_json_files_do_not_depend_on_the_order_of_keys(tmp_path):
    one, other = epath.Path(tmp_path) / "one", epath.Path(tmp_path) / "other"
    ledger.write_json(one, {"a": 1, "b": {"c": 2, "d": 3}})
    ledger.write_json(other, {"b": {"d": 3, "c": 2}, "a": 1})
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("content", [b"", b'{"half', b"\xff\xfe"])
def test_a_json_file_that_is_damaged_is_named(tmp_path, content):
    path = epath.Path(tmp_path) / "manifest.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"manifest.json is damaged \(.+\); restore it\.$"):
        ledger.read_json(path)


def test_a_run_that_was_not_started_has_no_plan_no_manifest_and_no_chunks(folder):
    assert (folder.plan(), folder.manifest(), folder.finished_units()) == (None, None, set())


def test_a_started_run_keeps_its_plan(folder):
    folder.start(PLAN)
    assert folder.plan() == PLAN and folder.manifest() is None


def test_a_run_goes_on_with_the_same_plan(folder):
    folder.start(PLAN)
    ledger.write_whole(folder.chunk(0), b"chunk")
    folder.start(PLAN)
    assert folder.finished_units() == {0} and folder.chunk(0).read_bytes() == b"chunk"


@pytest.mark.parametrize("other", [{**PLAN, "run_seed": 4}, {**PLAN, "more": 1}, {"format": FORMAT, "task": "tiny"}])
def test_a_run_id_with_another_plan_is_refused_and_nothing_changes(folder, other):
    folder.start(PLAN)
    with pytest.raises(InputError, match="run id 'first' was already used with another configuration") as told:
        folder.start(other)
    different = {key for key in {*PLAN, *other} if PLAN.get(key) != other.get(key)}
    assert ", ".join(sorted(different)) in str(told.value) and folder.plan() == PLAN


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (None, r"run 'first' was made by an older version of peer-pressure; go on with it there, or give another"),
        (FORMAT + 1, rf"run 'first' has format {FORMAT + 1}, .* reads formats up to {FORMAT}; upgrade it\.$"),
    ],
)
def test_a_run_of_another_format_is_refused_and_nothing_changes(folder, number, told):
    old = {key: value for key, value in {**PLAN, "format": number}.items() if value is not None}
    ledger.write_json(folder.path / "plan.json", old)
    with pytest.raises(InputError, match=told) as refused:
        folder.start(PLAN)
    assert "\n" not in str(refused.value) and folder.plan() == old


def test_finished_units_are_those_with_a_chunk(folder):
    for unit in (0, 7, 123456):
        ledger.write_whole(folder.chunk(unit), b"")
    (folder.chunks / "000003.parquet.0123.tmp").write_bytes(b"")
    assert folder.finished_units() == {0, 7, 123456}


def test_failed_units_are_those_of_which_a_failure_is_kept(folder):
    assert folder.failed_units() == set()
    for name in ("000004.json", "run.json", "000005.json.0123.tmp"):
        ledger.write_whole(folder.failures / name, b"")
    assert folder.failed_units() == {4}


def test_chunks_sort_by_their_unit(folder):
    names = [folder.chunk(unit).name for unit in (0, 9, 10, 99, 100000)]
    assert names == sorted(names)


def test_a_sweep_removes_what_is_half_written_and_nothing_else(folder):
    folder.start(PLAN)
    ledger.write_whole(folder.chunk(0), b"chunk")
    for half in (folder.path / "manifest.json.ab.tmp", folder.chunks / "000001.parquet.cd.tmp"):
        half.write_bytes(b"half")
    folder.sweep()
    assert sorted(path.name for path in folder.path.iterdir()) == ["chunks", "plan.json"]
    assert [path.name for path in folder.chunks.iterdir()] == ["000000.parquet"]


def test_a_start_sweeps(folder):
    folder.start(PLAN)
    (folder.path / "manifest.json.ab.tmp").write_bytes(b"half")
    folder.start(PLAN)
    assert [path.name for path in folder.path.iterdir()] == ["plan.json"]


@pytest.mark.parametrize(
    "run_id", ["", ".", "..", "../x", "a/b", "/a", ".hidden", "-a", "a b", "a\n", "a\\b", "ä", "a" * 101]
)
def test_a_run_id_that_is_no_plain_folder_name_is_refused(workdir, run_id):
    with pytest.raises(InputError, match="is not usable: expected letters, digits"):
        workdir.run("tiny", run_id)


@pytest.mark.parametrize("run_id", ["a", "0", "2024-05-01", "Run_3.b", "a" * 100])
def test_a_plain_run_id_is_the_name_of_its_folder(workdir, run_id):
    folder = workdir.run("tiny", run_id)
    assert folder.run_id == run_id and folder.path.parent == workdir.path / "ledger" / "tiny"


def test_finished_runs_are_those_with_a_manifest_in_the_order_they_finished(workdir):
    for sequence, run_id in ((1, "a"), (0, "b"), (2, "c")):
        ledger.write_json(workdir.run("tiny", run_id).path / "manifest.json", {"sequence": sequence})
    workdir.run("tiny", "unfinished").start(PLAN)
    ledger.write_json(workdir.run("other", "d").path / "manifest.json", {"sequence": 0})
    assert [run.run_id for run in workdir.finished_runs("tiny")] == ["b", "a", "c"]
    assert workdir.finished_runs("none") == []


def test_the_place_of_a_removed_run_stays_empty(workdir):
    assert workdir.next_sequence("tiny") == 0
    for sequence, run_id in ((0, "a"), (1, "b"), (2, "c")):
        ledger.write_json(workdir.run("tiny", run_id).path / "manifest.json", {"sequence": sequence})
    workdir.run("tiny", "b").path.rmtree()
    assert workdir.next_sequence("tiny") == 3


def test_a_workdir_is_made_and_left_empty(workdir):
    workdir.check_writable()
    assert list(workdir.path.iterdir()) == []


@pytest.mark.parametrize("below", ["", "runs"])
def test_a_workdir_that_is_a_file_is_refused(tmp_path, below):
    file = tmp_path / "file"
    file.write_text("here already")
    with pytest.raises(InputError, match=r"--workdir .*file.* cannot be written to") as told:
        Workdir(epath.Path(file) / below).check_writable()
    assert "\n" not in str(told.value) and file.read_text() == "here already"


def test_a_file_digest_is_its_sha_256(tmp_path):
    path = epath.Path(tmp_path) / "file"
    path.write_bytes(b"abc")
    assert ledger.file_digest(path) == hashlib.sha256(b"abc").hexdigest()

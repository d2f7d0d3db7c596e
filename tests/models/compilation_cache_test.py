"""What XLA compiled is found by later processes, and never in the way."""

from __future__ import annotations

import importlib.metadata
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from models import compilation_cache

_ROOT = pathlib.Path(__file__).parents[2]
_PROGRAM = """
import pathlib, sys
from models import compilation_cache
compilation_cache.use(pathlib.Path(sys.argv[1]))
import tensorflow as tf
weights = tf.random.stateless_normal([64, 64], [1, 2])
draw = tf.function(lambda seed: tf.sort(tf.sin(tf.random.stateless_normal([4, 64], seed) @ weights)), jit_compile=True)
print(draw(tf.constant([3, 4])).numpy().tobytes().hex())
"""


@pytest.fixture(autouse=True)
def _of_nobody(monkeypatch):
    monkeypatch.delenv("TF_XLA_FLAGS", raising=False)


def _flags():
    return os.environ.get("TF_XLA_FLAGS", "")


def _folder():
    return pathlib.Path(_flags().partition("persistent_cache_directory=")[2].partition(" ")[0])


def _run(cache):
    done = subprocess.run([sys.executable, "-c", _PROGRAM, cache], cwd=_ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _kept(cache):
    return {path: path.stat().st_mtime_ns for path in cache.glob("*/*.pb")}


@pytest.mark.slow
def test_a_second_process_compiles_nothing_and_gives_the_same_bits(tmp_path):
    first = _run(tmp_path)
    kept = _kept(tmp_path)
    assert kept
    assert _run(tmp_path) == first
    assert _kept(tmp_path) == kept


@pytest.mark.slow
@pytest.mark.parametrize("left", [0, 1000])
def test_what_was_cut_short_is_compiled_again(tmp_path, left):
    first = _run(tmp_path)
    for path in _kept(tmp_path):
        os.truncate(path, left)
    assert _run(tmp_path) == first
    assert all(path.stat().st_size > 1000 for path in _kept(tmp_path))


def test_it_is_in_the_cache_of_the_user(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    compilation_cache.use()
    assert _folder().parent == tmp_path / "peerpressure" / "compiled"
    assert _folder().is_dir()
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("TF_XLA_FLAGS")
    monkeypatch.setenv("HOME", str(tmp_path))
    compilation_cache.use()
    assert _folder().parent == tmp_path / ".cache" / "peerpressure" / "compiled"


def test_a_folder_that_the_user_chose_stays(tmp_path, monkeypatch):
    chosen = "--tf_xla_persistent_cache_directory=/elsewhere"
    monkeypatch.setenv("TF_XLA_FLAGS", chosen)
    compilation_cache.use(tmp_path)
    assert _flags() == chosen
    assert not list(tmp_path.iterdir())


def test_other_flags_stay_and_have_a_folder_of_their_own(tmp_path, monkeypatch):
    compilation_cache.use(tmp_path)
    plain = _folder()
    for name in ("TF_XLA_FLAGS", "XLA_FLAGS"):
        monkeypatch.setenv("TF_XLA_FLAGS", "")
        monkeypatch.setenv(name, "--some_flag=1")
        compilation_cache.use(tmp_path)
        assert _folder() != plain
    assert os.environ["XLA_FLAGS"] == "--some_flag=1"


def test_other_processors_have_a_folder_of_their_own(tmp_path, monkeypatch):
    compilation_cache.use(tmp_path)
    ours = _folder()
    monkeypatch.setattr(compilation_cache, "_processor", lambda: ["another"])
    monkeypatch.setenv("TF_XLA_FLAGS", "")
    compilation_cache.use(tmp_path)
    assert _folder() != ours


def test_nothing_is_kept_on_a_disk_that_is_nearly_full(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=2**29))
    compilation_cache.use(tmp_path)
    assert not _flags()


def test_nothing_is_kept_where_no_folder_can_be(tmp_path):
    (tmp_path / "file").touch()
    compilation_cache.use(tmp_path / "file")
    assert not _flags()


def test_the_oldest_files_make_room(tmp_path, monkeypatch):
    monkeypatch.setattr(compilation_cache, "_MOST", 60)
    compilation_cache.use(tmp_path)
    for age in range(4):
        path = _folder() / f"{age}.pb"
        path.write_bytes(b"\n\x12" + bytes(18))
        os.utime(path, (1_700_000_000 - age, 1_700_000_000 - age))
    os.environ["TF_XLA_FLAGS"] = ""
    compilation_cache.use(tmp_path)
    assert sorted(path.stem for path in _folder().iterdir()) == ["0", "1", "2"]


def test_what_another_process_is_writing_stays_for_a_day(tmp_path):
    compilation_cache.use(tmp_path)
    fresh, old = _folder() / "fresh.pb1.tmp", _folder() / "old.pb1.tmp"
    fresh.touch()
    old.touch()
    os.utime(old, (1_700_000_000, 1_700_000_000))
    os.environ["TF_XLA_FLAGS"] = ""
    compilation_cache.use(tmp_path)
    assert [path.name for path in _folder().iterdir()] == ["fresh.pb1.tmp"]


def test_nothing_is_kept_for_a_tensorflow_of_another_name(tmp_path, monkeypatch):
    def version(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    compilation_cache.use(tmp_path)
    assert not _flags()

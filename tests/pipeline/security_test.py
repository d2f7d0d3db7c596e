"""Configurations, nets and data from elsewhere: no code of theirs runs, and nothing is written but in the workdir."""

from __future__ import annotations

import ast
import os
import pathlib
import pickle
import struct
import subprocess
import sys
import tempfile
import zlib
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageFile

import models
import pipeline
import tfds_builders
from models import devices
from pipeline import records
from pipeline.seeds.folder import FolderSeeds
from pipeline.workdir import ledger
from tests.pipeline import conftest

SOURCES = [
    path
    for package in (models, pipeline, tfds_builders)
    for path in sorted(pathlib.Path(package.__file__).parent.rglob("*.py"))
]
# What makes code of data, or data of any class.
CODE = {"eval", "exec", "compile", "__import__", "system", "popen", "shell=True", "yaml", "allow_pickle=True"}
CODE |= {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"}
CODE |= {"enable_unsafe_deserialization", "safe_mode=False"}


def _named(source: str) -> set[str]:
    """Returns the names that a module imports, calls or sets as a constant argument."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {part for alias in node.names for part in alias.name.split(".")}
        if isinstance(node, ast.ImportFrom):
            found |= {*(node.module or "").split("."), *(alias.name for alias in node.names)}
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            found.add(node.func.id)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            # `re.compile` and a net's `compile` are harmless.
            of_builtins = isinstance(node.func.value, ast.Name) and node.func.value.id == "builtins"
            found.add(node.func.attr if of_builtins or node.func.attr != "compile" else "")
        if isinstance(node, ast.keyword) and isinstance(node.value, ast.Constant):
            found.add(f"{node.arg}={node.value.value}")
    return found


def test_the_sources_were_found():
    assert len(SOURCES) > 40 and {"records.py", "loading.py", "runs.py"} <= {path.name for path in SOURCES}


@pytest.mark.parametrize(
    "source",
    [
        "eval(text)",
        "import builtins\nbuiltins.compile(text)",
        "import pickle",
        "from pickle import loads",
        "from ruamel import yaml",
        "import os\nos.system(text)",
        "np.load(path, allow_pickle=True)",
        "tf.keras.config.enable_unsafe_deserialization()",
    ],
)
def test_what_makes_code_of_data_would_be_found(source):
    assert _named(source) & CODE
    assert not _named("re.compile(text)\nnp.load(path, allow_pickle=False)") & CODE


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}.{path.stem}")
def test_no_module_makes_code_of_data(path):
    assert not _named(path.read_text()) & CODE


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}.{path.stem}")
def test_no_module_touches_pillows_limits(path):
    stored = {
        node.attr
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    }
    assert not stored & {"MAX_IMAGE_PIXELS", "LOAD_TRUNCATED_IMAGES"}


def test_numpy_files_are_loaded_without_pickle():
    loads = [
        {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("np.load", "numpy.load")
    ]
    assert loads and all(given.get("allow_pickle") == "False" for given in loads)


class _Bomb:
    """Leaves a file where it is unpickled."""

    def __init__(self, path: pathlib.Path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def _lambda(path: pathlib.Path) -> None:
    layers = tf.keras.layers
    net = tf.keras.Sequential(
        [tf.keras.Input((28, 28, 1)), layers.Lambda(lambda x: x), layers.Flatten(), layers.Dense(10, "softmax")]
    )
    net.save(path)


@pytest.mark.parametrize(
    ("kind", "message"), [("lambda", "holds a Lambda, which runs code"), ("pickle", "cannot be read as a .keras file")]
)
@pytest.mark.parametrize("command", ["run", "verify", "recheck"])
def test_a_net_that_holds_code_is_refused_in_one_sentence(
    finished, peerpressure, config, tmp_path, command, kind, message
):
    net, ran = tmp_path / "net.keras", tmp_path / "ran"
    if kind == "lambda":
        _lambda(net)
    else:
        net.write_bytes(pickle.dumps(_Bomb(ran)))
    if command == "run":
        task = config(
            peers={"files": [str(net), *finished.nets()[:2]]}, seeds={"dataset": "digits", "splits": ["test"]}
        )
        arguments = ["--config", task, "--workdir", tmp_path / "work"]
    else:
        arguments = [conftest.DATASET, "--workdir", finished.path, "--peers", net]
    outcome = peerpressure(command, *arguments)
    assert outcome.code == 2 and outcome.err.strip().splitlines()[-1].count("peerpressure: error:") == 1
    assert message in outcome.err and "Traceback" not in outcome.err
    assert not ran.exists()


@pytest.mark.parametrize(
    "dataset", ["high_value_mistakes/../../secret", "high_value_mistakes//etc", "high_value_mistakes/tiny:../1.0.0"]
)
@pytest.mark.parametrize("command", ["verify", "diff"])
def test_a_dataset_name_does_not_lead_out_of_the_workdir(finished, peerpressure, command, dataset):
    more = [conftest.DATASET] if command == "diff" else []
    outcome = peerpressure(command, dataset, *more, "--workdir", finished.path)
    assert outcome.code == 2 and outcome.err.count("\n") == 1 and "was not found" in outcome.err


@pytest.mark.parametrize("dataset", ["../seeds", "digits/../../x", "a:b:c", "digits:../1.0.0", "nul\0"])
def test_a_seed_dataset_name_does_not_lead_out_of_the_data_dir(work, peerpressure, config, dataset):
    task = config(seeds={"dataset": dataset, "splits": ["test"]})
    outcome = peerpressure("run", "--config", task, "--workdir", work.path, "--data_dir", work.datasets)
    assert outcome.code == 2 and outcome.err.count("\n") == 1 and "[seeds] dataset" in outcome.err


class _Writes:
    """Keeps, while it is on, every path that Python opens for writing, makes, renames or removes."""

    _EVENTS = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.chmod", "os.truncate")

    def __init__(self):
        self.on, self.paths = False, set()
        sys.addaudithook(self._hear)  # which cannot be taken away again

    def _hear(self, event, arguments):
        if self.on and event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR):
            self._keep(arguments[0])
        if self.on and event in ("os.remove", "os.rmdir"):
            self._keep(arguments[0], arguments[1])
        elif self.on and event in self._EVENTS:
            for path in arguments[:2]:
                self._keep(path)

    def _keep(self, path, folder=-1):
        """Keeps a path, relative to an open folder's number where there is one."""
        if isinstance(path, str | bytes | os.PathLike):
            below = os.readlink(f"/proc/self/fd/{folder}") if folder >= 0 else ""
            self.paths.add(os.path.abspath(os.path.join(below, os.fsdecode(path))))


@pytest.fixture(scope="module")
def writes() -> _Writes:
    return _Writes()


def _hostile_folder(folder: pathlib.Path, pictures: pathlib.Path) -> None:
    """An image folder of which classes and pictures have names that mean something to a path, a shell or a table."""
    names = ["x..", "a b;touch y", "$(touch y)", "%s%n", "-rf", "*", "~x", "C:\\up", "'\"", "é"]
    for name, source in zip(names, sorted((pictures / "test").iterdir()), strict=True):
        (folder / "test" / name).mkdir(parents=True)
        for number, path in enumerate(sorted(source.iterdir())):
            (folder / "test" / name / f"{number}..;{name}.png").write_bytes(path.read_bytes())


@pytest.mark.slow
def test_names_from_elsewhere_never_become_paths(
    finished, pictures, peerpressure, config, tmp_path, tree, writes, monkeypatch
):
    _hostile_folder(tmp_path / "pictures", pictures)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    task = config(
        seeds={"image_folder": str(tmp_path / "pictures"), "splits": ["test"]},
        peers={"files": finished.nets(), "names": ["../up", "/tmp/net", "nul\0 and ..\\up"]},
        search={"method": "scan"},
    )
    before = tree(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # of modules that are first imported here
    writes.on = True
    outcome = peerpressure("run", "--config", task, "--workdir", tmp_path / "work", "--run_id", "first")
    writes.on = False
    assert outcome.code == 0, outcome.err
    after = tree(tmp_path)
    assert {name for name in after if not name.startswith("work/")} == set(before)
    assert all(after[name] == data for name, data in before.items())
    outside = {path for path in writes.paths - {os.devnull} if not path.startswith(f"{tmp_path / 'work'}")}
    assert all(os.path.getsize(path) == 0 for path in outside if os.path.dirname(path) == str(devices.marks()))
    outside = {path for path in outside if str(devices.marks()) not in (path, os.path.dirname(path))}
    # Beam and TFDS make temporary folders, and TFDS leaves one behind, empty.
    assert all(os.path.dirname(path) == tempfile.gettempdir() for path in outside)
    assert not [path for path in outside if os.path.isfile(path) or (os.path.isdir(path) and os.listdir(path))]
    assert peerpressure("verify", conftest.DATASET, "--workdir", tmp_path / "work").code == 0


def test_files_have_the_permissions_that_the_umask_leaves(made):
    umask = os.umask(0)
    os.umask(umask)
    for path in made.path.rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o777 if path.is_dir() else 0o666) & ~umask, path


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_a_file_that_is_written_whole_respects_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        ledger.write_whole(ledger.epath.Path(tmp_path / "below" / "file"), b"data")
    finally:
        os.umask(before)
    assert (tmp_path / "below" / "file").stat().st_mode & 0o777 == 0o666 & ~umask
    assert (tmp_path / "below").stat().st_mode & 0o777 == 0o777 & ~umask


class _Size(NamedTuple):
    width: int
    height: int


def _bomb(size: _Size) -> bytes:
    """A PNG of black pixels, a bit each: small as a file, and vast as an image."""

    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compressobj()
    blank = b"\0" * (1 + (size.width + 7) // 8)
    data = b"".join(rows.compress(blank) for _ in range(size.height)) + rows.flush()
    head = struct.pack(">IIBBBBB", *size, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", data) + part(b"IEND", b"")


_TOO_LARGE = f"it has more than {Image.MAX_IMAGE_PIXELS} pixels"
_NO_PICTURE = "it is none of PNG, JPEG, BMP, GIF, WEBP, TIFF"


@pytest.fixture
def folder(tmp_path) -> pathlib.Path:
    """An image folder with three pictures."""
    path = tmp_path / "pictures" / "test" / "dark"
    path.mkdir(parents=True)
    for number in range(3):
        (path / f"{number}.png").write_bytes(records.encode_png(np.full((8, 8, 1), number, np.uint8)))
    return path


@pytest.mark.parametrize("size", [_Size(20_000, 20_000), _Size(10_000, 9_000)])  # Pillow would only warn of the second
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_an_image_bomb_is_set_aside_before_it_is_decoded(folder, monkeypatch, size):
    bomb = _bomb(size)
    assert len(bomb) < 100_000 and size.width * size.height > Image.MAX_IMAGE_PIXELS
    (folder / "1.png").write_bytes(bomb)
    decoded = []
    load = ImageFile.ImageFile.load
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda picture: decoded.append(picture.size) or load(picture))
    batch = FolderSeeds(str(folder.parents[1])).read("test", range(3))
    assert batch.failures == [("test/dark/1.png", f"the picture cannot be read: {_TOO_LARGE}")]
    assert len(batch.images) == 2 and set(decoded) == {(8, 8)}


def test_postscript_by_the_name_of_a_picture_starts_nothing(folder, monkeypatch):
    (folder / "1.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n")
    started = []
    monkeypatch.setattr(subprocess, "Popen", lambda *arguments, **_: started.append(arguments))
    batch = FolderSeeds(str(folder.parents[1])).read("test", range(3))
    assert batch.failures == [("test/dark/1.png", f"the picture cannot be read: {_NO_PICTURE}")]
    assert not started

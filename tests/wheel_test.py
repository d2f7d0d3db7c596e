"""The project as people install it: a wheel, run from anywhere."""

import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest

from tests.pipeline import conftest

ROOT = pathlib.Path(__file__).parent.parent
SOURCES = ("configs", "models", "pipeline", "tfds_builders", "setup.py", "pyproject.toml", "README.md", "LICENSE")
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The contents of a wheel that is built from a copy of the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    subprocess.run([sys.executable, "-c", BUILD, str(folder)], cwd=folder, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(folder / "installed")
    return folder / "installed"


@pytest.mark.slow
def test_a_wheel_has_all_that_is_no_code(installed):
    for pattern in ("pipeline/report/templates/*", "tfds_builders/*/*.bib", "tfds_builders/*/*.txt"):
        expected = {str(path.relative_to(ROOT)) for path in ROOT.glob(pattern)}
        assert {str(path.relative_to(installed)) for path in installed.glob(pattern)} == expected and expected
    configs = {str(path.relative_to(ROOT)) for path in ROOT.glob("configs/**/*.toml")}
    assert {
        str(path.relative_to(installed / "pipeline")) for path in installed.glob("pipeline/configs/**/*.toml")
    } == configs
    assert not (installed / "tests").exists()


@pytest.mark.slow
def test_what_is_installed_from_a_wheel_runs_a_task_from_anywhere(installed, tmp_path):
    task = conftest.write_config(tmp_path / "brief.toml", **conftest.BRIEF)
    program = "import pipeline.__main__ as entry, sys; print(entry.__file__, file=sys.stderr); entry.console()"
    command = [sys.executable, "-c", program, "run", "--config", str(task), "--workdir", "runs", "--run_id", "one"]
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith(str(installed))
    assert (tmp_path / "runs" / "reports" / conftest.DATASET / "one" / "index.html").exists()

"""The project as people install it: a wheel, run from anywhere."""

import ast
import importlib.metadata
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile

import pytest

from tests.pipeline import conftest

_OURS = ("PYTHON", "VIRTUAL_ENV", "TF_XLA_FLAGS")  # how the names of variables begin that are of this environment
ROOT = pathlib.Path(__file__).parent.parent
PACKAGES = ("models", "pipeline", "tfds_builders")
SOURCES = ("configs", *PACKAGES, "setup.py", "pyproject.toml", "README.md", "LICENSE")
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"


LOAD = """
import sys
import tensorflow_datasets as tfds
splits = tfds.load("high_value_mistakes/digits", data_dir="runs/datasets")
assert not {"models", "pipeline", "tfds_builders"} & set(sys.modules)
print(sum(1 for examples in splits.values() for _ in tfds.as_numpy(examples)))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel that is built from a copy of the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    subprocess.run([sys.executable, "-c", BUILD, str(folder)], cwd=folder, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel):
    """The contents of the wheel."""
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(wheel.parent / "installed")
    return wheel.parent / "installed"


@pytest.fixture
def empty():
    """The folder of an environment without a package but pip; not pytest's, which keeps gigabytes for three runs."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        yield pathlib.Path(folder)


def _python(environment, *arguments, cwd=None):
    """Runs an environment's own Python, which sees nothing of this one's packages."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(_OURS)}
    command = [environment / "bin" / "python", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd or environment, env=clean, capture_output=True, text=True)


def _install(environment, wheel):
    """Installs a wheel with all that it needs, by uv if it is there."""
    if uv := shutil.which("uv"):
        command = [uv, "pip", "install", "--python", str(environment / "bin" / "python"), str(wheel)]
        return subprocess.run(command, capture_output=True, text=True)
    return _python(environment, "-m", "pip", "install", wheel)


@pytest.mark.slow
@pytest.mark.timeout(1800)  # TensorFlow alone has hundreds of megabytes
def test_a_wheel_in_an_empty_environment_makes_the_demo_s_dataset_from_anywhere(wheel, empty, tmp_path):
    reached = _python(empty, "-m", "pip", "download", "--no-deps", "--dest", empty, "absl-py")
    if reached.returncode:
        pytest.skip(f"no package index can be reached: {reached.stderr.strip().splitlines()[-1]}")
    done = _install(empty, wheel)
    assert done.returncode == 0, done.stderr
    assert (checked := _python(empty, "-m", "pip", "check")).returncode == 0, checked.stdout
    (config,) = empty.glob("lib/python*/site-packages/pipeline/configs/digits.toml")
    ran = _python(empty, empty / "bin" / "peerpressure", "run", "--config", config, "--workdir", "runs", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    loaded = _python(empty, "-c", LOAD, cwd=tmp_path)
    assert loaded.returncode == 0 and int(loaded.stdout) > 0, loaded.stderr
    assert f" dataset_examples={int(loaded.stdout)} " in ran.stdout


def _imported():
    """The packages that the sources import, at any depth of a function, but for Python's own and ours."""
    found = set()
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            found |= {name.split(".")[0] for name in names}
    return found - sys.stdlib_module_names - set(PACKAGES)


def _required():
    """The names in setup.py's INSTALL_REQUIRES: what is installed here may be of another day."""
    for node in ast.parse((ROOT / "setup.py").read_text()).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "INSTALL_REQUIRES":
            return {re.split(r"[\[><=]", line)[0] for line in ast.literal_eval(node.value)}


def test_every_package_that_is_imported_is_required():
    sources = importlib.metadata.packages_distributions()
    missing = {name for name in _imported() if not {source.lower() for source in sources[name]} & _required()}
    assert missing == set()


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

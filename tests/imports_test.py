"""Imports run one way: a room imports only rooms that stand before it here, and what is light stays light."""

import ast
import pathlib
import subprocess
import sys

import pytest

from pipeline.kinds import registry

ROOT = pathlib.Path(__file__).parent.parent
LEAVES = ["formats", "progress", "interruption", "seeding", "records", "criteria", "ahead", "mappings"]
ROOMS = [
    "workdir",
    "seeds",
    "operators",
    "search",
    "report",
    "config",
    "kinds",
    "runs",
    "versions",
    "studies",
    "retrain",
    "reproduce",
]
ORDER = ["models", *(f"pipeline.{name}" for name in [*LEAVES, *ROOMS, "commands", "__main__"])]


def _name(path: pathlib.Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def _room(module: str) -> str | None:
    return next((room for room in ORDER if module == room or module.startswith(f"{room}.")), None)


def _imports(path: pathlib.Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _modules(*packages: str) -> list[pathlib.Path]:
    paths = [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]
    return [path for path in paths if path.name != "__init__.py"]


@pytest.mark.parametrize("path", _modules("models", "pipeline"), ids=_name)
def test_a_module_imports_only_its_own_room_and_those_before_it(path):
    own = _room(_name(path))
    assert own, f"{_name(path)} is in no room"
    rooms = {room for name in _imports(path) if (room := _room(name))}
    assert {room for room in rooms if ORDER.index(room) > ORDER.index(own)} == set()
    assert own != "models" or not any(name.startswith("pipeline") for name in _imports(path))


def test_only_stages_imports_beam():
    assert [_name(path) for path in _modules("models", "pipeline", "tfds_builders") if _uses(path, "apache_beam")] == [
        "pipeline.runs.stages"
    ]


def _uses(path: pathlib.Path, package: str) -> bool:
    return package in {name.split(".")[0] for name in _imports(path)}


@pytest.mark.parametrize("path", _modules("tfds_builders"), ids=_name)
def test_builders_import_only_records_and_formats(path):
    known = ("pipeline.records", "pipeline.formats")
    assert not {name for name in _imports(path) if name.startswith("pipeline.") and not name.startswith(known)}
    assert not _uses(path, "models")


@pytest.mark.parametrize("kind", registry.KINDS, ids=lambda kind: kind.name)
def test_what_is_particular_to_a_kind_stands_with_the_kinds(kind):
    elsewhere = [path for path in _modules("models", "pipeline") if _room(_name(path)) != "pipeline.kinds"]
    assert [_name(path) for path in elsewhere if kind.name in path.read_text()] == []


CONFIGS = {
    "an unknown key": '[search]\nmethd = "scan"',
    "a wrong type": '[seeds]\ndataset = "digits"\n[run]\nlanes = "many"',
    "a value out of range": '[seeds]\ndataset = "digits"\n[operator]\nscale = 11.0',
    "an unknown method": '[search]\nmethod = "guess"',
    "an unknown architecture": '[seeds]\ndataset = "digits"\n[peers]\narchitectures = ["mlp-3", "mpl-4"]',
    "too small a bound": '[seeds]\ndataset = "digits"\n[peers]\narchitectures = ["cnn"]\n'
    '[search]\nmethod = "fgsm"\n[attack]\neps = 0.001',
}
LIGHT = {"absl", "etils", "importlib_resources", "models", "pipeline", "typing_extensions", "zipp"}
SHOW = (
    "import sys\nfrom pipeline.commands import cli\ntry: cli.main()\n"
    "finally: print(*sorted({name.split('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)), sep='\\n')"
)


@pytest.mark.parametrize("given", ["--help", "run --help", *CONFIGS])
def test_help_and_complaints_about_a_configuration_load_no_library(given, tmp_path):
    path = tmp_path / "task.toml"
    path.write_text(CONFIGS.get(given, ""))
    arguments = ["run", "--config", str(path)] if given in CONFIGS else given.split()
    ended = subprocess.run([sys.executable, "-c", SHOW, *arguments], capture_output=True, text=True, cwd=ROOT)
    loaded = {line for line in ended.stdout.splitlines() if line.isidentifier()}
    assert ended.returncode == (2 if given in CONFIGS else 0), ended.stderr
    assert not {"numpy", "tensorflow", "apache_beam", "pyarrow"} & loaded
    assert {name for name in loaded if not name.startswith("_")} <= LIGHT

"""Imports run one way."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parent.parent
# Every module may import from its own layer's list only those named before it.
LAYERS = [
    {"pipeline.seeding", "pipeline.records", "pipeline.tables", "pipeline.ledger", "pipeline.lock"}
    | {"pipeline.sections", "pipeline.options", "pipeline.pixels", "pipeline.seed_features", "pipeline.interruption"},
    {"pipeline.image_folder"},
    {"pipeline.transforms", "pipeline.criteria", "pipeline.seeds", "pipeline.picture", "pipeline.report"}
    | {"pipeline.statuses", "pipeline.failures"}
    | {"pipeline.noise", "pipeline.search.balls", "pipeline.under_way"},
    {"pipeline.search.lanes", "pipeline.search.gradient", "pipeline.search.elites", "pipeline.search.cppn"}
    | {"pipeline.chunk", "pipeline.transfer", "pipeline.probe", "pipeline.plan", "pipeline.lineage"},
    {"pipeline.search.hillclimb", "pipeline.search.lbfgs", "pipeline.search.map_elites", "pipeline.search.direct"}
    | {"pipeline.search.ascent", "pipeline.pairs", "pipeline.islands"},
    {"pipeline.search.unit", "pipeline.search.cppn_encoding", "pipeline.garbage"},
    {"pipeline.search.scan", "pipeline.verify"},
    {"pipeline.config"},
    {"pipeline.mining", "pipeline.progress", "pipeline.finish", "pipeline.config_file"},
    {"pipeline.tasks"},
    {"pipeline.replay"},
    {"pipeline.nets", "pipeline.sample", "pipeline.package", "pipeline.diff", "pipeline.recheck"},
    {"pipeline.stages"},
    {"pipeline.steps"},
    {"pipeline.dataset_commands"},
    {"pipeline.cli"},
    {"pipeline.__main__"},
]
PLACE = {name: place for place, layer in enumerate(LAYERS) for name in layer}


def _name(path: pathlib.Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def _imports(path: pathlib.Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _modules(package: str) -> list[pathlib.Path]:
    return [path for path in sorted((ROOT / package).rglob("*.py")) if path.name != "__init__.py"]


@pytest.mark.parametrize("path", _modules("pipeline"), ids=_name)
def test_pipeline_module_imports_only_lower_layers(path):
    ours = _imports(path) & set(PLACE)
    assert _name(path) in PLACE
    assert all(PLACE[name] < PLACE[_name(path)] for name in ours), ours


@pytest.mark.parametrize("path", _modules("pipeline"), ids=_name)
def test_only_stages_imports_beam(path):
    if _name(path) != "pipeline.stages":
        assert not any(name.split(".")[0] == "apache_beam" for name in _imports(path))


@pytest.mark.parametrize("path", _modules("models"), ids=_name)
def test_models_import_nothing_of_the_other_packages(path):
    assert not {name.split(".")[0] for name in _imports(path)} & {"pipeline", "tfds_builders"}


@pytest.mark.parametrize("path", _modules("tfds_builders"), ids=_name)
def test_builders_import_only_the_records(path):
    of_pipeline = {name for name in _imports(path) if name.startswith("pipeline.")}
    assert not {name for name in of_pipeline if not name.startswith("pipeline.records")}
    assert "models" not in {name.split(".")[0] for name in _imports(path)}

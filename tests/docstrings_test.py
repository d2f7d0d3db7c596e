"""Everything public says what it is: it has a docstring, or overrides what has one."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parent.parent
PATHS = sorted(path for package in ("models", "pipeline", "tfds_builders") for path in (ROOT / package).rglob("*.py"))
DEFINITIONS = (ast.FunctionDef, ast.ClassDef)


def _documented(trees) -> dict[str, set[str]]:
    """Returns the documented methods of every class by its name."""
    classes: dict[str, set[str]] = {}
    for node in (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)):
        own = {each.name for each in node.body if isinstance(each, DEFINITIONS) and ast.get_docstring(each)}
        classes.setdefault(node.name, set()).update(own)
    return classes


CLASSES = _documented([ast.parse(path.read_text()) for path in PATHS])


def _undocumented(body, inherited: set[str] = frozenset()):
    for node in body:
        if not isinstance(node, DEFINITIONS) or node.name.startswith("_"):
            continue
        if not ast.get_docstring(node) and node.name not in inherited:
            yield node.name
        if isinstance(node, ast.ClassDef):
            bases = [ast.unparse(base).rpartition(".")[2] for base in node.bases]
            yield from _undocumented(node.body, set().union(*(CLASSES.get(base, set()) for base in bases)))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_public_has_a_docstring_or_overrides_what_has_one(path):
    assert list(_undocumented(ast.parse(path.read_text()).body)) == []


def test_what_has_none_is_found():
    kind = 'class Shown(Kind):\n    """A kind."""\n    def units(self): ...\n    def other(self): ...\n'
    assert list(_undocumented(ast.parse(kind + "def plain(): ...\ndef _own(): ...\n").body)) == ["other", "plain"]

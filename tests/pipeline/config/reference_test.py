"""The reference of all keys: what it says is what the code takes, and the page in docs/ is what it says."""

import dataclasses
import pathlib
import re

import pytest

from models.settings import setting
from pipeline.commands import reference as command
from pipeline.config import reference
from pipeline.config.config import COMMON, Search
from pipeline.config.method import Method
from pipeline.kinds import registry

METHODS = registry.methods().values()
PAGE = pathlib.Path(__file__).parents[3] / "docs" / "configuration.md"


@dataclasses.dataclass(frozen=True)
class Near(Search):
    """[search] of near."""

    reach: float = setting(0.5, "how far", low=0, high=2)


@dataclasses.dataclass(frozen=True)
class Far(Search):
    """[search] of far."""

    reach: float = setting(10.0, "how far, in steps", low=1, high=99)
    turns: tuple[str, ...] = setting(("left",), "where to")


NEAR, FAR = (
    Method("near", {"search": Near}, lambda sections: None),
    Method("far", {"search": Far}, lambda sections: None),
)


def _rows(page: str, section: str) -> dict[str, list[list[str]]]:
    """Returns the rows of all tables of a section, without the key, by key."""
    found: dict[str, list[list[str]]] = {}
    for part in re.split(r"^## ", page, flags=re.MULTILINE):
        lines = (
            [line for line in part.splitlines() if line.startswith("| ")] if part.startswith(f"`[{section}]`") else []
        )
        for line in lines[2:]:
            key, *rest = line.removeprefix("| ").removesuffix(" |").split(" | ")
            found.setdefault(key.strip("`"), []).append(rest)
    return found


def test_the_page_is_what_the_code_says():
    assert PAGE.read_text() == command.page(), f"write it anew: {reference.COMMAND}"


def test_a_key_that_two_methods_take_differently_is_told_for_each():
    rows = _rows(reference.page({"toys": [NEAR, FAR]}, {}), "search")
    assert rows["reach"] == [["`0.5`", "0 to 2", "how far", "near"], ["`10`", "1 to 99", "how far, in steps", "far"]]


def test_a_key_that_all_methods_take_is_told_once():
    rows = _rows(reference.page({"toys": [NEAR, FAR]}, {}), "search")
    assert [row[-1] for row in rows["targets"]] == ["all"]
    assert rows["turns"] == [['`["left"]`', "a list, each item a text", "where to", "far"]]


@pytest.mark.parametrize("section", COMMON)
def test_every_key_that_all_methods_have_is_told(section):
    assert list(_rows(command.page(), section)) == [field.name for field in dataclasses.fields(COMMON[section])]


@pytest.mark.parametrize("section", dict.fromkeys(name for method in METHODS for name in method.sections))
def test_every_key_of_every_method_is_told(section):
    classes = [cls for method in METHODS for cls in method.choices(section)]
    assert set(_rows(command.page(), section)) == {field.name for cls in classes for field in dataclasses.fields(cls)}

"""The experiments' files, `configs/papers/NAME.toml`: settings of a full form and of a small one."""

from __future__ import annotations

import dataclasses
import difflib
import os
import pathlib
from collections.abc import Mapping
from typing import Any, TypeVar

from models.errors import InputError
from pipeline.config.sections import known, read, section

FULL, SMALL = "full", "small"
_HERE = pathlib.Path(__file__).parent
_FOLDERS = (_HERE.parent / "configs" / "papers", _HERE.parents[1] / "configs" / "papers")  # installed; in a clone

Settings = TypeVar("Settings")


def folder() -> str:
    """Returns the folder of the files; raises InputError if it is not there."""
    for place in _FOLDERS:
        if place.is_dir():
            return str(place)
    raise InputError(f"{_FOLDERS[0]} is not there: install peer-pressure anew, or work in a clone of it.")


def names() -> list[str]:
    """Returns the names that there are files of, in alphabetical order."""
    return sorted(path.stem for path in pathlib.Path(folder()).glob("*.toml"))


def check(name: str) -> None:
    """Raises InputError if there is no experiment of a name; loads no library."""
    there = names()
    if name not in there:
        near = difflib.get_close_matches(name, there, 1, 0.5)
        hint = f"did you mean '{near[0]}'?" if near else "`peerpressure reproduce --list` tells them all."
        raise InputError(f"there is no experiment '{name}'; {hint}")


def load(experiments: Mapping[str, type[Settings]], name: str, form: str) -> Settings:
    """Returns an experiment with the settings of one of its forms, `FULL` or `SMALL`; see `Experiment`.

    Raises:
      InputError: the file has an unknown key, a wrong type or a value out of range.
    """
    cls, path = experiments[name], os.path.join(folder(), f"{name}.toml")
    table = read(path)
    known(table, [FULL, SMALL], path, "section")
    keys = table.get(form, {})
    known(keys, _keys(cls), f"{path}: [{form}]", "key")
    return section(cls, form, keys, path)


def _keys(cls: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(cls)]

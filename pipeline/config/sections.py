"""Sections of a TOML file as frozen dataclasses: every key checked, every mistake told in one sentence."""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
import tomllib
import types
import typing
from typing import Any, Literal

from models.errors import InputError
from models.settings import about

_NAME = re.compile(r"[a-z][a-z0-9_]*")


def read(path: str) -> dict[str, Any]:
    """Returns what a TOML file holds; raises InputError if it is missing or not TOML."""
    try:
        with open(path, "rb") as stream:
            return tomllib.load(stream)
    except OSError as error:
        raise InputError(
            f"{path}: the configuration cannot be read ({error.strerror}); give --config a TOML file."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: this is not valid TOML: {error}.") from error


def task_name(table: dict[str, Any], path: str) -> str:
    """Returns `task` of a file, by default the file's name; raises InputError if it can name no dataset's config."""
    task = table.get("task", os.path.splitext(os.path.basename(path))[0])
    if not isinstance(task, str) or not _NAME.fullmatch(task):
        raise InputError(f"{path}: task is {task!r}, expected a name of a-z, 0-9 and _ that starts with a letter.")
    return task


def known(table: dict[str, Any], names: list[str], where: str, kind: str) -> None:
    """Raises InputError for a key of a table that is none of the names."""
    for key in table:
        if key not in names:
            near = difflib.get_close_matches(key, names, 1, 0.5)
            hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(names)}."
            raise InputError(f"{where}: unknown {kind} '{key}'; {hint}")


def section(cls: Any, name: str, table: dict[str, Any], path: str) -> Any:
    """Returns the keys of a TOML table that a frozen dataclass of settings has, as an instance of it.

    Args:
      cls: the dataclass; its annotations are the keys' types, its fields are made by `models.settings.setting`.
      name: of the section.
      table: what TOML gave; keys that the dataclass has not are passed over.
      path: the file, for messages.

    Raises:
      InputError: a key has a wrong type or a value out of range.
    """
    hints = typing.get_type_hints(cls)
    values = {
        field.name: _value(hints[field.name], table[field.name], f"{path}: [{name}] {field.name}", field)
        for field in dataclasses.fields(cls)
        if field.name in table
    }
    return cls(**values)


def _value(hint: Any, value: Any, where: str, field: dataclasses.Field[Any]) -> Any:
    value = tuple(value) if isinstance(value, list) else value
    if isinstance(value, int) and not isinstance(value, bool) and hint is float:
        value = float(value)
    if not _fits(hint, value):
        raise InputError(f"{where} is {_show(value)}, expected {expected(hint)}.")
    low, high = about(field).low, about(field).high
    if low is not None and high is not None and not low <= value <= high:
        raise InputError(f"{where} is {_show(value)}, expected a number from {plain(low)} to {plain(high)}.")
    return value


def _fits(hint: Any, value: Any) -> bool:
    origin = typing.get_origin(hint)
    if origin is Literal:
        return value in typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return any(_fits(option, value) for option in typing.get_args(hint))
    if origin is tuple:
        return isinstance(value, tuple) and all(_fits(typing.get_args(hint)[0], item) for item in value)
    return type(value) is hint


def expected(hint: Any) -> str:
    """Returns what a key of a type can be, in words."""
    origin = typing.get_origin(hint)
    if origin is Literal:
        return " or ".join(f"'{option}'" for option in typing.get_args(hint))
    if origin in (types.UnionType, typing.Union):
        return " or ".join(expected(option) for option in typing.get_args(hint))
    if origin is tuple:
        return f"a list, each item {expected(typing.get_args(hint)[0])}"
    return {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}[hint]


def plain(number: float) -> str:
    """Returns a number as a person writes it."""
    return str(int(number)) if float(number).is_integer() else f"{number:g}"


def _show(value: Any) -> str:
    return repr(list(value)) if isinstance(value, tuple) else repr(value)

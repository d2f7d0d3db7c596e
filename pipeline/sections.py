"""Sections of a TOML file as frozen dataclasses: every key checked, every mistake told in one sentence."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from typing import Any, Literal

from models.errors import InputError

Ranges = dict[str, tuple[float, float]]


def known(table: dict[str, Any], names: list[str], where: str, kind: str) -> None:
    """Raises InputError for a key of a table that is none of the names."""
    for key in table:
        if key not in names:
            near = difflib.get_close_matches(key, names, 1, 0.5)
            hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(names)}."
            raise InputError(f"{where}: unknown {kind} '{key}'; {hint}")


def section(cls: Any, name: str, table: Any, ranges: Ranges, path: str) -> Any:
    """Returns a TOML table as an instance of a frozen dataclass.

    Args:
      cls: the dataclass; its annotations are the keys' types.
      name: of the section.
      table: what TOML gave.
      ranges: "section.key" -> least and largest value.
      path: the file, for messages.

    Raises:
      InputError: the table is none, or has an unknown key, a wrong type or a value out of range.
    """
    if not isinstance(table, dict):
        raise InputError(f"{path}: '{name}' is a section, expected [{name}] with keys below it.")
    hints = typing.get_type_hints(cls)
    known(table, [field.name for field in dataclasses.fields(cls)], f"{path}: [{name}]", "key")
    values = {
        key: _value(hints[key], value, f"{path}: [{name}] {key}", ranges.get(f"{name}.{key}"))
        for key, value in table.items()
    }
    return cls(**values)


def _value(hint: Any, value: Any, where: str, limits: tuple[float, float] | None) -> Any:
    value = tuple(value) if isinstance(value, list) else value
    if isinstance(value, int) and not isinstance(value, bool) and hint is float:
        value = float(value)
    if not _fits(hint, value):
        raise InputError(f"{where} is {_show(value)}, expected {_expected(hint)}.")
    if limits and not limits[0] <= value <= limits[1]:
        low, high = map(plain, limits)
        raise InputError(f"{where} is {_show(value)}, expected a number from {low} to {high}.")
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


def _expected(hint: Any) -> str:
    origin = typing.get_origin(hint)
    if origin is Literal:
        return " or ".join(f"'{option}'" for option in typing.get_args(hint))
    if origin in (types.UnionType, typing.Union):
        return " or ".join(_expected(option) for option in typing.get_args(hint))
    if origin is tuple:
        return f"a list, each item {_expected(typing.get_args(hint)[0])}"
    return {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}[hint]


def plain(number: float) -> str:
    """Returns a number as a person writes it."""
    return str(int(number)) if float(number).is_integer() else f"{number:g}"


def _show(value: Any) -> str:
    return repr(list(value)) if isinstance(value, tuple) else repr(value)

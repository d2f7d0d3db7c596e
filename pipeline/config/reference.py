"""The reference of all keys of a configuration, as Markdown, made from the fields of its sections."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from models.settings import About, about
from pipeline.config.config import COMMON
from pipeline.config.method import Method
from pipeline.config.sections import expected, plain

COMMAND = "python -m pipeline.commands.reference > docs/configuration.md"

_HEAD = f"""# All keys of a configuration

This page is made from the code, by `{COMMAND}`.

A task is a TOML file; complete ones are in [configs/](../configs). Only these have to be given: `dataset` or
`image_folder` of `[seeds]`, and `architectures` or `files` of `[peers]`. Paths are relative to the file. A key that is
unknown, of a wrong type or out of range ends the command with one sentence. A key of another method is checked and
otherwise ignored, so that one file can serve several methods. A key that the method does not read, and a key at its
default, add nothing to the ids of examples.

`task`, above all sections, is the name of the dataset's config: a-z, 0-9 and _, a letter first. By default it is the
file's name."""

_RETRAINING = """## A retraining file

What `peerpressure retrain` takes ([retraining](retrain.md)): `task`, its name; `mined`, the path of the configuration
that was mined, relative to the file; the sections below; and a `[[recipe]]` for each recipe, with a `name`, a `kind`,
and the keys of that kind. The first recipe is what the others are compared with."""


@dataclasses.dataclass(frozen=True)
class _Key:
    """A key as some methods know it."""

    name: str
    default: Any
    about: About
    hint: Any


def page(datasets: Mapping[str, Sequence[Method]], retraining: Mapping[str, type]) -> str:
    """Returns the whole page.

    Args:
      datasets: the methods that make each dataset, by its name.
      retraining: the sections of a retraining file, by what stands above their keys.
    """
    methods = [method for each in datasets.values() for method in each]
    names = dict.fromkeys(name for method in methods for name in method.sections)
    parts = [_HEAD, _methods(datasets)]
    parts += [_common(name, cls) for name, cls in COMMON.items()]
    parts += [part for name in names for part in _sections(name, methods)]
    parts += [_RETRAINING, *(_of_retraining(above, cls) for above, cls in retraining.items())]
    return "\n\n".join(parts) + "\n"


def keys(datasets: Mapping[str, Sequence[Method]], retraining: Mapping[str, type]) -> Iterator[tuple[str, str]]:
    """Yields each key, "[section] key", and what is to be said of it in the terminal; arguments as of `page`."""
    methods = [method for each in datasets.values() for method in each]
    for section, cls in COMMON.items():
        yield from _told(f"[{section}]", cls, "")
    for section in dict.fromkeys(name for method in methods for name in method.sections):
        readers: dict[type, list[str]] = {}
        for method in methods:
            for cls in method.choices(section):
                readers.setdefault(cls, []).append(method.name)
        for cls, names in readers.items():
            choice = f", name = {cls.name!r}" if hasattr(cls, "name") else ""
            yield from _told(f"[{section}]", cls, f"; read by {', '.join(names)}{choice}")
    for above, cls in retraining.items():
        yield from _told(above, cls, "; of a retraining file")


def _told(above: str, cls: Any, readers: str) -> Iterator[tuple[str, str]]:
    for key in _keys(cls):
        told = f"{key.about.meaning} ({_values(key)}; default {_toml(key.default)}{readers})"
        yield f"{above} {key.name}", told.replace("`", "")


def _methods(datasets: Mapping[str, Sequence[Method]]) -> str:
    common = ", ".join(f"`[{name}]`" for name in COMMON)
    rows = [
        [f'`"{method.name}"`', f"`{dataset}`", ", ".join(f"`[{name}]`" for name in method.sections)]
        for dataset, methods in datasets.items()
        for method in methods
    ]
    told = f"Every method reads {common}, and these:"
    return f"## Methods\n\n{told}\n\n" + _table(["`[search] method`", "dataset", "sections"], rows)


def _common(name: str, cls: type) -> str:
    rows = [_row(key) for key in _keys(cls)]
    return f"## `[{name}]`{_meaning(cls)}\n\n" + _table(["key", "default", "values", "meaning"], rows)


def _of_retraining(above: str, cls: type) -> str:
    meaning = (cls.__doc__ or "").partition("\n")[0].partition("]: ")[2] or (cls.__doc__ or "").partition("\n")[0]
    rows = [_row(key) for key in _keys(cls)]
    table = "\n\n" + _table(["key", "default", "values", "meaning"], rows) if rows else ""
    return f"### `{above}`\n\n{meaning}{table}"


def _sections(name: str, methods: Sequence[Method]) -> Iterator[str]:
    """Yields the tables of a section that only some methods have: one, or one for each choice of its key `name`."""
    readers = [(method, cls) for method in methods for cls in method.choices(name)]
    for choice in dict.fromkeys(getattr(cls, "name", "") for _, cls in readers):
        known = [(method, cls) for method, cls in readers if getattr(cls, "name", "") == choice]
        chosen = f', name = "{choice}"' if choice else ""
        read = f"Read by {_listed([method.name for method, _ in known])}."
        yield f"## `[{name}]`{chosen}{_meaning(known[0][1])}\n\n{read}\n\n" + _own(known)


def _own(known: Sequence[tuple[Method, type]]) -> str:
    of_key: dict[_Key, list[str]] = {}
    for method, cls in known:
        for key in _keys(cls):
            of_key.setdefault(key, []).append(method.name)
    rows = [[*_row(key), "all" if len(names) == len(known) else ", ".join(names)] for key, names in _by_name(of_key)]
    if not rows:
        return "It has no keys besides `name`."
    return _table(["key", "default", "values", "meaning", "methods"], rows)


def _by_name(of_key: Mapping[_Key, list[str]]) -> list[tuple[_Key, list[str]]]:
    """Returns the keys in their order, those of one name next to each other."""
    order = list(dict.fromkeys(key.name for key in of_key))
    return sorted(of_key.items(), key=lambda item: order.index(item[0].name))


def _keys(cls: Any) -> list[_Key]:
    hints = typing.get_type_hints(cls)
    return [_Key(field.name, field.default, about(field), hints[field.name]) for field in dataclasses.fields(cls)]


def _row(key: _Key) -> list[str]:
    return [f"`{key.name}`", f"`{_toml(key.default)}`", _values(key), key.about.meaning]


def _values(key: _Key) -> str:
    low, high = key.about.low, key.about.high
    if low is not None and high is not None:
        return f"{plain(low)} to {plain(high)}"
    return expected(key.hint).replace("'", '"')


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(item) for item in value)}]"
    return f'"{value}"' if isinstance(value, str) else plain(value)


def _meaning(cls: type) -> str:
    """Returns what a section is about, as its dataclass, or the one that this derives from, says after its name."""
    bases = [base for base in cls.__mro__ if dataclasses.is_dataclass(base)]
    first = (bases[-1].__doc__ or "").partition("\n")[0].partition("]: ")[2].partition("; the base of")[0].rstrip(".")
    return f": {first}" if first else ""


def _listed(names: Sequence[str]) -> str:
    *others, last = dict.fromkeys(f"`{name}`" for name in names)
    return f"{', '.join(others)} and {last}" if others else last


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)

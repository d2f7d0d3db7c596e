"""A version's examples as people read them: a table of all, and all that is known of one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from pipeline.kinds.kind import Example
from pipeline.report.tables import Table
from pipeline.versions.published import Published

_ID = 12  # characters of an id in a table; enough to find the example by
_MANY = 100  # values of an array that are printed


def table(published: Published, limit: int) -> tuple[Table, int]:
    """Returns the first `limit` examples as a table, and how many examples there are."""
    rows: list[list[str]] = [["id", "target net"]]
    for example in itertools.islice(published.examples(), limit):
        told = published.kind.row(example, published.run(example))
        if len(rows) == 1:
            rows = [["id", "target net", *told, "status"]]
        shown = [example[name].decode() for name in ("id", "target_net", "status")]
        rows.append([shown[0][:_ID], shown[1], *told.values(), shown[2] or "-"])
    return Table(rows, f"{published.name}:{published.version}"), published.count


def record(published: Published, example: Example) -> str:
    """Returns all features of an example, one a line; images and long arrays by their shape."""
    run = published.run(example)
    told = [f"{name}: {text}" for name, text in lines(example, run.class_names)]
    return "\n".join([f"{published.name}:{published.version}, {published.kind.about(example, run)}", *told])


def lines(example: Example, class_names: list[str]) -> Iterator[tuple[str, str]]:
    """Yields all features of an example, name and text; images and long arrays by their shape."""
    return _lines("", example, class_names)


def _lines(above: str, value: Any, class_names: list[str]) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, below in value.items():
            yield from _lines(f"{above}.{name}" if above else name, below, class_names)
    elif isinstance(value, bytes):
        yield above, value.decode() or "-"
    elif isinstance(value, np.ndarray) and value.size > _MANY:
        yield above, f"array {list(value.shape)}"
    elif isinstance(value, np.ndarray):
        yield above, ", ".join(_text(each, 4) for each in value.ravel().tolist()) or "-"
    else:
        number = np.asarray(value).item()
        named = above in ("label", "wrong_class") and 0 <= number < len(class_names)
        yield above, f"{number} ({class_names[number]})" if named else _text(number)


def _text(value: Any, digits: int = 6) -> str:
    if isinstance(value, bytes):
        return value.decode()
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)

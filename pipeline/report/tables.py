"""What people read: a table as text, as CSV, as JSON, and the line for the log; pages are made of the same cells."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import re
import shlex
from collections.abc import Sequence
from typing import Any

Cells = Sequence[Sequence[str]]  # rows of texts, heads first

_NUMBER = re.compile(r"[+-]?(\d{1,3}(,\d{3})+|\d+)(\.\d+)?(e[+-]\d+)?")


@dataclasses.dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
      cells: rows of texts, heads first.
      title: what it shows, "" if its heads say so.
      note: what its heads mean.
      left: how many columns, from the first, stand to the left; numbers stand to the right.
      heat: whether the numbers are percentages that a page shades, the darker the larger.
    """

    cells: Cells
    title: str = ""
    note: str = ""
    left: int = 1
    heat: bool = False

    def shade(self, cell: str) -> float:
        """Returns how dark a page is to show a cell, 0 to 1."""
        try:
            return min(max(float(cell) / 100.0, 0.0), 1.0) if self.heat else 0.0
        except ValueError:
            return 0.0

    def text(self) -> str:
        """Formats the table for a terminal."""
        return "\n".join([*filter(None, [self.title]), *aligned(self.cells, self.left), *filter(None, [self.note])])

    def csv(self) -> str:
        """Formats the cells as CSV."""
        return to_csv(self.cells)

    def records(self) -> list[dict[str, str | float | None]]:
        """Returns a record for each row, head -> cell; right of the left columns "-" is None.

        There the cells of a column are numbers, too, if all are that are not "-".
        """
        heads, *rows = self.cells
        columns = [
            column if place < self.left else _values(column) for place, column in enumerate(zip(*rows, strict=True))
        ]
        return [dict(zip(heads, row, strict=True)) for row in zip(*columns, strict=True)]


def to_json(tables: Sequence[Table]) -> str:
    """Formats tables as a JSON list of objects `title`, `note` and `rows`, the records."""
    told = [{"title": table.title, "note": table.note, "rows": table.records()} for table in tables]
    return json.dumps(told, indent=1, ensure_ascii=False) + "\n"


def _values(column: Sequence[str]) -> list[str | float | None]:
    plain: list[str | float | None] = [None if cell == "-" else cell for cell in column]
    if not all(cell == "-" or _NUMBER.fullmatch(cell) for cell in column):
        return plain
    return [None if cell == "-" else _number(cell.replace(",", "")) for cell in column]


def _number(plain: str) -> float:
    return int(plain) if plain.lstrip("+-").isdigit() else float(plain)


def aligned(cells: Cells, left: int = 1) -> list[str]:
    """Returns a line for each row of cells, every column as wide as its widest: the first ones left, others right."""
    widths = [max(len(cell) for cell in column) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    ]


def to_csv(cells: Cells) -> str:
    """Formats rows of cells as CSV."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(cells)
    return stream.getvalue()


def number(value: float, digits: int = 1) -> str:
    """Returns a number with so many decimals, "-" for NaN."""
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def last_line(**fields: Any) -> str:
    """Returns what a log is grepped for: key=value, with what the shell would split in quotes."""
    return " ".join(
        ["peerpressure: status=done", *(f"{key}={shlex.quote(str(value))}" for key, value in fields.items())]
    )

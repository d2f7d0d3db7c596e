"""What commands print: tables of text cells, heads first, for a terminal and as CSV, and the line for the log."""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Sequence
from typing import Any


def aligned(cells: Sequence[Sequence[str]]) -> list[str]:
    """Returns a line for each row of cells, every column as wide as its widest: the first to the left, others right."""
    widths = [max(len(cell) for cell in column) for column in zip(*cells, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))])
        for row in cells
    ]


def to_csv(cells: Sequence[Sequence[str]]) -> str:
    """Formats rows of cells as CSV."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(cells)
    return stream.getvalue()


def last_line(**fields: Any) -> str:
    """Returns what a log is grepped for: key=value, with what the shell would split in quotes."""
    return " ".join(
        ["peerpressure: status=done", *(f"{key}={shlex.quote(str(value))}" for key, value in fields.items())]
    )

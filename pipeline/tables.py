"""Tables of text cells, heads first, for a terminal and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence


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

"""A page that people look at: one HTML file that needs nothing besides, with tables, pictures and a gallery.

The tables are those of the terminal (`pipeline.report.tables`). A gallery's images are sprites in sheets, its records
gzipped JSON, both in blocks that the page's script unpacks when they come into sight; `templates/` has the rest.
"""

from __future__ import annotations

import base64
import dataclasses
import gzip
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import IO, Any

import jinja2
import numpy as np

from pipeline.progress import Bar
from pipeline.report import sprites
from pipeline.report.tables import Table

PAGE = "index.html"
BLOCK = 256  # examples whose images are in one sheet

Drawing = Callable[[IO[bytes]], None]  # writes PNG


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture of a page.

    Attributes:
      name: of its file, without ".png".
      title: what it shows.
      alt: the same for who cannot see it, with what it tells.
      draw: writes it as PNG.
    """

    name: str
    title: str
    alt: str
    draw: Drawing


@dataclasses.dataclass(frozen=True)
class Fact:
    """A line of an overview: a name and what it is; `detail` is told smaller."""

    name: str
    value: str
    detail: str = ""


@dataclasses.dataclass
class Section:
    """A part of a page that is opened by itself.

    Attributes:
      name: short, lower case; what its address ends with.
      title: above it.
      notes: sentences.
      facts: names and what they are.
      tables, pictures: below them.
      text: as a terminal shows it, "" if there is none.
      commands: command lines to copy, with what they do: (sentence, command).
    """

    name: str
    title: str
    notes: Sequence[str] = ()
    facts: Sequence[Fact] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    text: str = ""
    commands: Sequence[tuple[str, str]] = ()


class Gallery:
    """Examples with their images, gathered one by one.

    Args:
      measures: heads of the columns that are numbers: sorted by; the others are chosen from.
      caption: heads of the columns that stand below an example's images.
      chosen: head -> the value that is chosen at first, if there is one.
      command: what re-creates an example, "{id}" for its id.
    """

    def __init__(self, measures: Iterable[str], caption: Iterable[str], chosen: Mapping[str, str], command: str):
        self._measures, self._caption = frozenset(measures), frozenset(caption)
        self._chosen, self._command = chosen, command
        self._rows: list[Mapping[str, str]] = []
        self._ids: list[str] = []
        self._blocks: list[dict[str, str]] = []
        self._tiles: list[list[np.ndarray]] = []
        self._records: list[list[tuple[str, str]]] = []
        self._images = 0
        self.size = (1, 1)
        self.shrunk = False

    def __len__(self) -> int:
        return len(self._ids)

    def add(
        self, example_id: str, row: Mapping[str, str], images: Sequence[np.ndarray], record: Iterable[tuple[str, str]]
    ) -> None:
        """Adds an example.

        Args:
          example_id: its id.
          row: what is told of it at once, head -> text; the same heads for all.
          images: uint8 `[H, W, C]`, as many for all: the changed image last.
          record: all that is known of it, name and text.
        """
        self._ids.append(example_id)
        self._rows.append(row)
        self._images, self.size = len(images), sprites.tile_size(*images[0].shape[:2])
        self.shrunk = self.shrunk or self.size != images[0].shape[:2]
        self._tiles.append([sprites.tile(image) for image in images])
        self._records.append(list(record))
        if len(self._tiles) == BLOCK:
            self._close_block()

    def _close_block(self) -> None:
        if self._tiles:
            sheets = [_base64(sprites.sheet(tiles)) for tiles in zip(*self._tiles, strict=True)]
            records = gzip.compress(json.dumps(self._records).encode(), mtime=0)
            self._blocks.append({"records": _base64(records), **{f"sheet{place}": s for place, s in enumerate(sheets)}})
        self._tiles, self._records = [], []

    def data(self) -> dict[str, Any]:
        """Returns what the script reads first: ids, columns, how images lie in their sheets; JSON-able."""
        self._close_block()
        heads = list(self._rows[0]) if self._rows else []
        return {
            "ids": self._ids,
            "columns": [self._column(head) for head in heads],
            "images": self._images,
            "height": self.size[0],
            "width": self.size[1],
            "block": BLOCK,
            "across": [sprites.columns(min(BLOCK, len(self) - start)) for start in range(0, len(self), BLOCK)],
            "command": self._command,
        }

    def _column(self, head: str) -> dict[str, Any]:
        texts = [row[head] for row in self._rows]
        if head in self._measures:
            return {"head": head, "measure": True, "values": texts}
        names = list(dict.fromkeys(texts))
        places = {name: place for place, name in enumerate(names)}
        chosen = self._chosen.get(head, "")
        return {
            "head": head,
            "measure": False,
            "caption": head in self._caption,
            "names": names,
            "values": [places[text] for text in texts],
            "chosen": chosen if chosen in names else "",
        }

    @property
    def blocks(self) -> list[dict[str, str]]:
        """The sheets and records of each block, base64; complete after `data`."""
        return self._blocks


@dataclasses.dataclass(frozen=True)
class Page:
    """A page: a title, what it is of, and its sections; a gallery is a section of its own, after the first."""

    title: str
    subtitle: str
    sections: Sequence[Section]
    gallery: Gallery


def files(page: Page) -> dict[str, bytes]:
    """Returns a page as files: "index.html", and each of its pictures as PNG besides."""
    drawn = _all_drawn([picture for section in page.sections for picture in section.pictures])
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipeline.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shown = page.gallery.data()
    html = environment.get_template("page.html").render(
        page=page,
        pictures={name: _base64(data) for name, data in drawn.items()},
        sizes={name: _size(data) for name, data in drawn.items()},
        gallery=_in_script(shown),
        blocks=page.gallery.blocks,
    )
    return {PAGE: html.encode(), **{f"{name}.png": data for name, data in drawn.items()}}


def _all_drawn(pictures: Sequence[Picture]) -> dict[str, bytes]:
    drawn = {}
    with Bar("draw", len(pictures), "picture") as bar:
        for picture in pictures:
            drawn[picture.name] = _drawn(picture)
            bar.show(len(drawn))
    return drawn


def _drawn(picture: Picture) -> bytes:
    stream = io.BytesIO()
    picture.draw(stream)
    return stream.getvalue()


def _size(png: bytes) -> tuple[int, int]:
    """Returns width and height of a PNG, from its header."""
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _in_script(value: Any) -> str:
    """Returns JSON that no text in it can end the script element of."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")

"""What a page is made of: its data, its pictures, and that no name in it is taken for markup."""

import base64
import gzip
import html.parser
import io
import json
import re

import numpy as np
import pytest
from etils import epath
from PIL import Image

from pipeline.progress import Bar
from pipeline.report import page
from pipeline.report.page import BLOCK, Fact, Gallery, Page, Picture, Section, files
from pipeline.report.tables import Table
from pipeline.versions import pages

HOSTILE = '<script>alert("x")</script></script><!--&amp;'


def _png(stream):
    Image.new("L", (7, 5)).save(stream, "PNG")


def _gallery(count=3, name="three", images=2):
    gallery = Gallery(["confidence"], ["label", "read as"], {"read as": "1"}, "peerpressure replay x {id}")
    for number in range(count):
        row = {"label": name, "read as": str(number % 2), "confidence": f"{number / count:.3f}"}
        shown = [np.full((4, 6, 1), number % 256, np.uint8)] * images
        gallery.add(f"id-{number}", row, shown, [("seed", f"{name} {number}")])
    return gallery


def _page(name="three", gallery=None):
    tables = [Table([["net", name], [name, "12.5"]], name, name, heat=True)]
    picture = Picture("one", name, name, _png)
    section = Section("overview", "Overview", [name], [Fact(name, name, name)], tables, [picture], name, [(name, name)])
    return Page(
        name, name, [section, Section("more", "More", [name])], _gallery(name=name) if gallery is None else gallery
    )


class _Elements(html.parser.HTMLParser):
    """Counts elements, and keeps what is in scripts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.scripts, self._open = [], {}, None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, tuple(sorted(name for name, _ in attributes))))
        self._open = dict(attributes).get("id") if tag == "script" else None

    def handle_data(self, data):
        if self._open:
            self.scripts[self._open] = self.scripts.get(self._open, "") + data


def _parsed(shown):
    return _Elements(files(shown)["index.html"].decode())


def test_names_like_markup_make_no_elements():
    plain, hostile = _parsed(_page("three")), _parsed(_page(HOSTILE))
    assert plain.tags == hostile.tags
    assert json.loads(hostile.scripts["gallery"])["columns"][0]["names"] == [HOSTILE]


def test_the_page_needs_nothing_besides_itself():
    text = files(_page())["index.html"].decode()
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", text)
    assert "default-src 'none'" in text and "@import" not in text and "url(http" not in text


def test_pictures_are_in_the_page_and_beside_it_with_their_size():
    made = files(_page())
    assert made.keys() == {"index.html", "one.png"}
    text = made["index.html"].decode()
    assert base64.b64encode(made["one.png"]).decode() in text
    assert 'width="7" height="5"' in text and 'alt="three"' in text


def test_a_bar_moves_with_every_picture_and_every_file(monkeypatch, tmp_path):
    shown = []

    class Recorder(Bar):
        def show(self, place, note=""):
            drawn, written = len(calls), len(list(tmp_path.glob("*.*")))
            shown.append((self._what, place, self._total, drawn, written))

    calls = []

    def draw(stream):
        _png(stream)
        calls.append(stream)

    monkeypatch.setattr(page, "Bar", Recorder)
    monkeypatch.setattr(pages, "Bar", Recorder)
    drawn = [Picture(f"picture-{number}", "title", "alt", draw) for number in range(3)]
    sections = [Section("overview", "Overview", pictures=drawn[:1]), Section("found", "Found", pictures=drawn[1:])]
    pages.write(Page("title", "subtitle", sections, _gallery()), epath.Path(tmp_path) / "index.html")
    assert shown == [("draw", count, 3, count, 0) for count in (1, 2, 3)] + [
        ("write page", count, 4, 3, count) for count in (1, 2, 3, 4)
    ]


def test_the_same_page_has_the_same_bytes():
    assert files(_page()) == files(_page())


@pytest.mark.parametrize("count", [0, 1, BLOCK, BLOCK + 1, 2 * BLOCK + 3])
def test_all_examples_are_in_the_data_and_all_records_and_images_in_the_blocks(count):
    page = _page(gallery=_gallery(count))
    scripts = _parsed(page).scripts
    data = json.loads(scripts["gallery"])
    assert data["ids"] == [f"id-{number}" for number in range(count)]
    assert len(data["across"]) == -(-count // BLOCK) == sum(name.startswith("records-") for name in scripts)
    for number in range(count):
        block, place = divmod(number, BLOCK)
        if place == 0:
            records = json.loads(gzip.decompress(base64.b64decode(scripts[f"records-{block}"])))
            sheets = [base64.b64decode(scripts[f"sheet{image}-{block}"]) for image in range(2)]
            pixels = [np.asarray(Image.open(io.BytesIO(sheet))) for sheet in sheets]
        assert records[place] == [["seed", f"three {number}"]]
        across = data["across"][block]
        assert all(each[place // across * 4, place % across * 6] == number % 256 for each in pixels)


def test_columns_are_numbers_or_names_to_choose_from():
    label, read, confidence = json.loads(_parsed(_page()).scripts["gallery"])["columns"]
    assert (label["names"], label["values"], label["chosen"]) == (["three"], [0, 0, 0], "")
    assert (read["names"], read["values"], read["chosen"]) == (["0", "1"], [0, 1, 0], "1")
    assert confidence["measure"] and confidence["values"] == ["0.000", "0.333", "0.667"]


def test_percentages_are_shaded_and_other_cells_are_not():
    table = Table([["", "a", "b"], ["x", "50.0", "-"]], heat=True)
    assert [table.shade(cell) for cell in table.cells[1]] == [0.0, 0.5, 0.0]
    assert Table(table.cells).shade("50.0") == 0.0

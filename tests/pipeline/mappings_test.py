"""Processes that have nearly all the memory mappings that Linux gives them compile nothing more."""

from __future__ import annotations

import mmap
import sys

import pytest

from pipeline import mappings


@pytest.mark.skipif(sys.platform != "linux", reason="mappings are counted on Linux alone")
def test_mappings_are_counted():
    before, most = mappings.counted()
    # Mappings that stand side by side become one, so that every other one may be written into.
    held = [
        mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | (mmap.PROT_WRITE if number % 2 else 0))
        for number in range(200)
    ]
    after, still = mappings.counted()
    assert 0 < before < before + 100 <= after < most == still
    for each in held:
        each.close()


@pytest.mark.parametrize(("count", "spent"), [(0, False), (52_424, False), (52_425, True), (65_530, True)])
def test_four_fifths_are_enough(monkeypatch, count, spent):
    monkeypatch.setattr(mappings, "counted", lambda: (count, 65_530))
    if spent:
        with pytest.raises(mappings.SpentError, match=r"has used \d\d,\d\d\d of the 65,530 memory mappings") as raised:
            mappings.check()
        assert raised.value.exit_code == 4 and "the same command goes on from there" in str(raised.value)
    else:
        mappings.check()


def test_where_nothing_is_told_nothing_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(mappings, "_MOST", tmp_path / "none")
    assert mappings.counted() == (0, 1)
    mappings.check()

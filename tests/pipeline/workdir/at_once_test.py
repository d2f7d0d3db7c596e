from __future__ import annotations

import threading

import pytest

from pipeline.workdir import at_once


def test_what_calls_give_comes_in_the_order_of_the_items():
    first, second = threading.Event(), threading.Event()

    def call(item: int) -> int:
        if item == 0:
            assert second.wait(30)  # the second thread is done first
            first.set()
        if item == 5:
            second.set()
        return -item

    assert list(at_once.each(call, iter(range(11)), threads=3)) == [-item for item in range(11)]
    assert first.is_set()


def test_all_threads_are_at_work_at_once():
    met = threading.Barrier(3, timeout=30)

    def call(item: int) -> int:
        return met.wait() if item % 4 == 0 else 0

    assert sum(at_once.each(call, range(12), threads=3)) == 0 + 1 + 2


def test_only_so_many_items_are_taken_ahead_of_what_was_asked_for():
    taken: list[int] = []

    def items():
        for item in range(100):
            taken.append(item)
            yield item

    given = at_once.each(lambda item: item, items(), threads=2)
    assert taken == []
    assert next(given) == 0 and len(taken) == 8
    assert [next(given) for _ in range(4)] == [1, 2, 3, 4] and len(taken) == 12
    given.close()
    assert len(taken) == 12


def test_an_error_is_raised_when_it_is_its_turn():
    def call(item: int) -> int:
        if item == 6:
            raise OSError("the disk is full")
        return item

    heard = []
    with pytest.raises(OSError, match="the disk is full"):
        for item in at_once.each(call, range(40), threads=2):
            heard.append(item)
    assert heard == [0, 1, 2, 3]  # what a thread does together is heard together


def test_nothing_gives_nothing():
    assert list(at_once.each(str, [])) == []

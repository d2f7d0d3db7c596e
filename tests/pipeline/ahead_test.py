from __future__ import annotations

import threading

import pytest

from pipeline import ahead


def test_items_come_in_order_with_what_is_said_of_each():
    for count in (0, 1, 5):
        assert list(ahead.asked(range(count), str)) == [(item, str(item)) for item in range(count)]


def test_the_next_item_is_asked_about_while_the_one_before_is_looked_at():
    second = threading.Event()
    answers = ahead.asked(range(3), lambda item: second.set() if item == 1 else None)
    next(answers)
    assert second.wait(60)


def test_an_error_comes_out_as_itself():
    with pytest.raises(ZeroDivisionError):
        list(ahead.asked([1, 0, 1], lambda item: 1 / item))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("asked")]

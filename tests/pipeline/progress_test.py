"""What is said of a long step, on a terminal and in a log."""

import io

import pytest

from pipeline import progress
from pipeline.progress import Bar


class _Terminal(io.StringIO):
    def isatty(self):
        return True


class _Clock:
    def __init__(self):
        self.seconds = 0.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def log():
    """Shows places at seconds in a log, and returns its lines."""

    def run(shown, total=1000, initial=0):
        to, clock = io.StringIO(), _Clock()
        with Bar("mine", total, "image", initial=initial, to=to, clock=clock) as bar:
            for clock.seconds, place, note in shown:
                bar.show(place, note)
        return to.getvalue().splitlines()

    return run


def test_a_log_has_a_plain_line_every_half_minute_and_one_at_the_end(log):
    lines = log([(second, 10 * second, "") for second in range(101)])
    assert lines == [
        "mine: 300 of 1,000 images, 00:30 gone, 10 a second, about 01:10 left",
        "mine: 600 of 1,000 images, 01:00 gone, 10 a second, about 00:40 left",
        "mine: 900 of 1,000 images, 01:30 gone, 10 a second, about 00:10 left",
        "mine: 1,000 of 1,000 images, 01:40 gone",
    ]


def test_a_short_step_has_no_line_in_a_log(log):
    assert log([(second, second, "") for second in range(30)]) == []


def test_a_line_has_the_note_and_no_time_left_where_nothing_is_done(log):
    assert log([(40, 0, "3 found")])[0] == "mine: 0 of 1,000 images, 00:40 gone, 3 found"


def test_the_pace_is_that_of_what_was_done_here(log):
    (line, _) = log([(50, 900, "")], initial=800)
    assert line == "mine: 900 of 1,000 images, 00:50 gone, 2 a second, about 00:50 left"


@pytest.mark.parametrize("to", [io.StringIO, _Terminal])
def test_the_bar_never_goes_back(to):
    bar = Bar("mine", 10, "image", to=to())
    for place, shown in [(4, 4), (2, 4), (5, 5)]:
        bar.show(place)
        assert bar._place == shown


def test_a_terminal_has_a_bar_with_the_note():
    to = _Terminal()
    with Bar("mine", 4, "image", to=to) as bar:
        bar.show(3, "7 found")
    assert "mine:  75%" in to.getvalue() and "3/4" in to.getvalue() and "7 found" in to.getvalue()


def test_what_goes_on_elsewhere_is_shown_to_the_end(monkeypatch):
    class Standing:
        total, unit, place = 5, "image", 0

        def now(self):
            return self.place, "2 found"

    shown, standing = [], Standing()
    monkeypatch.setattr(Bar, "show", lambda self, place, note="": shown.append((place, note)))
    with progress.watching("mine", standing):
        standing.place = 5
    assert shown[-1] == (5, "2 found")


def test_the_longer_a_look_takes_the_longer_it_is_until_the_next():
    assert progress._pause(0.0) == progress._pause(0.01) == 0.5
    assert progress._pause(3.0) == 60.0


def test_a_bar_is_drawn_ten_times_a_second_at_most_and_at_the_end():
    to, clock = _Terminal(), _Clock()
    with Bar("report", 1000, "example", to=to, clock=clock) as bar:
        for place in range(1, 1001):
            clock.seconds = place / 1000
            bar.show(place)
    drawn = to.getvalue().count("/1000")
    assert drawn < 40 and "1000/1000" in to.getvalue()

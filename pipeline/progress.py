"""How far a long step is: a bar on a terminal; where the output is kept, in a log, a plain line now and then."""

from __future__ import annotations

import contextlib
import math
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import IO, Any, Protocol

from tqdm import tqdm

_SECONDS = 0.5  # between two looks at what goes on elsewhere
_DRAWN_SECONDS = 0.1  # between two drawings of a bar
_LOG_SECONDS = 30.0  # between two lines in a log; a step that takes less has none
_REST = 20.0  # times as long as a look takes: in a bucket with many chunks a look is many requests


class Bar:
    """How far a step is.

    Args:
      what: the step, in a word or two.
      total: how many units it takes.
      unit: what they are, in the singular.
      initial: how many of them were done before.
      to: where it is shown; by default stderr.
      clock: seconds; only differences count.
    """

    def __init__(
        self,
        what: str,
        total: int,
        unit: str,
        initial: int = 0,
        to: IO[str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._what, self._total, self._unit, self._clock = what, total, unit, clock
        self._to = to or sys.stderr
        self._begun = self._told = clock()
        self._initial = self._place = initial
        self._note = ""
        self._lines = 0
        self._bar: Any = None
        if self._to.isatty():
            self._bar = tqdm(total=total, initial=initial, desc=what, unit=unit, file=self._to)

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def show(self, place: int, note: str = "") -> None:
        """Shows that so many units are done; one that is less than before is not believed."""
        self._place, self._note = max(place, self._place), note
        if self._clock() - self._told < (_LOG_SECONDS if self._bar is None else _DRAWN_SECONDS):
            return
        if self._bar is None:
            self._tell()
        else:
            self._draw()

    def close(self) -> None:
        """Ends the bar, and the lines by one that tells how far it came, if there were any."""
        if self._bar is not None:
            self._draw()
            self._bar.close()
        elif self._lines:
            self._tell()

    def _draw(self) -> None:
        self._told = self._clock()
        self._bar.set_postfix_str(self._note, refresh=False)
        self._bar.update(self._place - self._bar.n)
        self._bar.refresh()  # the clock goes on while a unit takes its time

    def _tell(self) -> None:
        self._told, self._lines = self._clock(), self._lines + 1
        parts = [f"{self._place:,} of {self._total:,} {self._unit}s", *self._pace(), self._note]
        print(f"{self._what}: {', '.join(filter(None, parts))}", file=self._to, flush=True)

    def _pace(self) -> Iterator[str]:
        seconds, done = self._told - self._begun, self._place - self._initial
        yield f"{tqdm.format_interval(seconds)} gone"
        if done and self._place < self._total:
            left = seconds * (self._total - self._place) / done
            yield f"{done / seconds:.3g} a second, about {tqdm.format_interval(left)} left"


def training(figure: str = "accuracy") -> Callable[[str, int, int, float], None]:
    """Returns what shows a bar for each net: called with name, step (from 1), steps, and a training figure or NaN."""
    bars: dict[str, Bar] = {}

    def show(name: str, step: int, steps: int, value: float) -> None:
        if name not in bars:
            bars[name] = Bar(f"train {name}", steps, "step")
        bars[name].show(step, "" if math.isnan(value) else f"{figure} {value:.4f}")
        if step == steps:
            bars[name].close()

    return show


class Standing(Protocol):
    """How far something is that goes on elsewhere."""

    total: int
    unit: str

    def now(self) -> tuple[int, str]:
        """Returns how many of `total` are done, and a note."""


@contextlib.contextmanager
def watching(what: str, standing: Standing) -> Iterator[None]:
    """Shows how far something is, looked at again and again, while the body blocks."""
    stop = threading.Event()

    def watch() -> None:
        took = 0.0
        while not stop.wait(_pause(took)):
            start = time.monotonic()
            bar.show(*standing.now())
            took = time.monotonic() - start

    with Bar(what, standing.total, standing.unit, initial=standing.now()[0]) as bar:
        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            bar.show(*standing.now())


def _pause(took: float) -> float:
    """Returns how many seconds to wait after a look that took so many."""
    return max(_SECONDS, _REST * took)

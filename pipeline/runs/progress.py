"""Progress bars: of each net in training, and of a run while its pipeline blocks."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from tqdm import tqdm

from pipeline.kinds.kind import Standing

_SECONDS = 0.5  # between two looks at the run's folder
_LOG_SECONDS = 30.0  # between two lines of the bar where they are kept, in a log
_REST = 20.0  # times as long as a look takes: in a bucket with many chunks a look is many requests


def training(figure: str = "accuracy") -> Callable[[str, int, int, float], None]:
    """Returns what shows a bar for each net: to be called with name, epoch (from 1), epochs and a figure of training."""
    bars: dict[str, Any] = {}

    def show(name: str, epoch: int, epochs: int, value: float) -> None:
        bar = bars.setdefault(
            name, tqdm(total=epochs, desc=f"train {name}", unit="epoch", mininterval=1.0, file=sys.stderr)
        )
        bar.update(epoch - bar.n)
        bar.set_postfix_str(f"{figure} {value:.4f}", refresh=False)
        if epoch == epochs:
            bar.close()

    return show


@contextlib.contextmanager
def mining(standing: Standing) -> Iterator[None]:
    """Shows a bar of how far a run is while the pipeline blocks."""
    initial, between = standing.now()[0], 0.1 if sys.stderr.isatty() else _LOG_SECONDS
    waits = {"mininterval": between, "maxinterval": max(between, 10.0)}
    bar = tqdm(total=standing.total, initial=initial, desc="mine", unit=standing.unit, file=sys.stderr, **waits)
    stop = threading.Event()

    def watch() -> None:
        took = 0.0
        while not stop.wait(_pause(took)):
            start = time.monotonic()
            _show(bar, *standing.now())
            took = time.monotonic() - start

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        _show(bar, *standing.now())
        bar.close()


def _pause(took: float) -> float:
    """Returns how many seconds to wait after a look at the run's folder that took so many."""
    return max(_SECONDS, _REST * took)


def _show(bar: Any, place: int, note: str) -> None:
    bar.set_postfix_str(note, refresh=False)
    bar.update(max(place - bar.n, 0))  # when a unit ends, its images count for nothing until its chunk is there
    if sys.stderr.isatty():
        bar.refresh()  # the clock goes on while a unit takes its time

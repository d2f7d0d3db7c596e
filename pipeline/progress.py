"""Progress bars: of each net in training, and of a run while its pipeline blocks."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from pipeline import under_way
from pipeline.ledger import RunFolder
from pipeline.plan import Unit

_SECONDS = 0.5  # between two looks at the run's folder
_LOG_SECONDS = 30.0  # between two lines of the bar where they are kept, in a log
_REST = 20.0  # times as long as a look takes: in a bucket with many chunks a look is many requests


def training() -> Callable[[str, int, int, float], None]:
    """Returns what shows a bar for each net: to be called with name, epoch (from 1), epochs and training accuracy."""
    bars: dict[str, Any] = {}

    def show(name: str, epoch: int, epochs: int, accuracy: float) -> None:
        bar = bars.setdefault(
            name, tqdm(total=epochs, desc=f"train {name}", unit="epoch", mininterval=1.0, file=sys.stderr)
        )
        bar.update(epoch - bar.n)
        bar.set_postfix_str(f"accuracy {accuracy:.4f}", refresh=False)
        if epoch == epochs:
            bar.close()

    return show


@contextlib.contextmanager
def mining(folder: RunFolder, units: Sequence[Unit], generations: int) -> Iterator[None]:
    """Shows a bar while the pipeline blocks: of seed images, or of the islands' generations if there are.

    Args:
      folder: the run.
      units: all that it has.
      generations: most generations of an island; 0 if the units are no islands.
    """
    watched = _Islands(folder, generations) if generations else _Images(folder, units)

    total = len(units) * generations or sum(len(unit.positions) for unit in units)
    initial, between = watched.standing()[0], 0.1 if sys.stderr.isatty() else _LOG_SECONDS
    waits = {"mininterval": between, "maxinterval": max(between, 10.0)}
    bar = tqdm(total=total, initial=initial, desc="mine", unit=watched.unit, file=sys.stderr, **waits)
    stop = threading.Event()

    def watch() -> None:
        took = 0.0
        while not stop.wait(_pause(took)):
            start = time.monotonic()
            _show(bar, *watched.standing())
            took = time.monotonic() - start

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        _show(bar, *watched.standing())
        bar.close()


def _pause(took: float) -> float:
    """Returns how many seconds to wait after a look at the run's folder that took so many."""
    return max(_SECONDS, _REST * took)


def _show(bar: Any, place: int, note: str) -> None:
    bar.set_postfix_str(note, refresh=False)
    bar.update(max(place - bar.n, 0))  # when a unit ends, its images count for nothing until its chunk is there
    if sys.stderr.isatty():
        bar.refresh()  # the clock goes on while a unit takes its time


class _Images:
    """How many seed images a run has behind it: those of finished units, and of others the share of ended trials."""

    unit = "image"

    def __init__(self, folder: RunFolder, units: Sequence[Unit]):
        self._folder = folder
        self._sizes = {unit.number: len(unit.positions) for unit in units}

    def standing(self) -> tuple[int, str]:
        """Returns the number, and no note."""
        finished = self._folder.finished_units()  # first, so that a unit that ends meanwhile does not count twice
        return sum(self._sizes.get(unit, 0) for unit in finished) + under_way.images_behind(self._folder), ""


class _Islands:
    """Where the islands of a run stand; the curve of a finished one, which no longer changes, is read once."""

    unit = "generation"

    def __init__(self, folder: RunFolder, generations: int):
        self._folder, self._generations = folder, generations
        self._ended: dict[int, list[str]] = {}  # last lines of the curves of finished islands

    def standing(self) -> tuple[int, str]:
        """Returns the generations that islands have behind them, those of finished ones all, and where they stand."""
        finished = self._folder.finished_units()  # before their curves, which are written first
        last = self._ended | {unit: self._last_line(unit) for unit in self._folder.begun_islands() - self._ended.keys()}
        self._ended = {unit: values for unit, values in last.items() if unit in finished}
        behind = sum(self._generations if unit in finished else int(values[0]) for unit, values in last.items())
        done = sum(int(values[1]) for values in last.values())
        middle = np.median([float(values[2]) for values in last.values()]) if last else 0.0
        return behind, f"classes done {done}, median confidence {middle:.6f}"

    def _last_line(self, unit: int) -> list[str]:
        return self._folder.curve(unit).read_text().splitlines()[-1].split(",")

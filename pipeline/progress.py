"""Progress bars: of each net in training, and of a run while its pipeline blocks."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from tqdm import tqdm

from pipeline.ledger import RunFolder

_SECONDS = 0.5  # between two looks at the run's folder
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
def mining(folder: RunFolder, units: int, generations: int) -> Iterator[None]:
    """Shows a bar while the pipeline blocks: of finished chunk files, or of the islands' generations if there are.

    Args:
      folder: the run.
      units: how many it has.
      generations: most generations of an island; 0 if the units are no islands.
    """
    standing = _Islands(folder, generations).standing if generations else lambda: (len(folder.finished_units()), "")

    def show() -> None:
        place, note = standing()
        bar.set_postfix_str(note, refresh=False)
        bar.update(place - bar.n)
        if sys.stderr.isatty():
            bar.refresh()  # the clock goes on while a unit takes its time

    total, unit = (units * generations, "generation") if generations else (units, "unit")
    bar = tqdm(total=total, initial=standing()[0], desc="mine", unit=unit, file=sys.stderr)
    stop = threading.Event()

    def watch() -> None:
        took = 0.0
        while not stop.wait(_pause(took)):
            start = time.monotonic()
            show()
            took = time.monotonic() - start

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        show()
        bar.close()


def _pause(took: float) -> float:
    """Returns how many seconds to wait after a look at the run's folder that took so many."""
    return max(_SECONDS, _REST * took)


class _Islands:
    """Where the islands of a run stand; the curve of a finished one, which no longer changes, is read once."""

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

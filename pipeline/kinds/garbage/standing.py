"""How far a run of islands is, for its bar."""

from __future__ import annotations

import numpy as np

from pipeline.workdir.ledger import RunFolder


class Generations:
    """Where the islands of a run stand; the curve of a finished one, which no longer changes, is read once."""

    unit = "generation"

    def __init__(self, folder: RunFolder, islands: int, generations: int):
        self._folder, self._generations = folder, generations
        self.total = islands * generations
        self._ended: dict[int, list[str]] = {}  # last lines of the curves of finished islands

    def now(self) -> tuple[int, str]:
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

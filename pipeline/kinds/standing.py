"""How far a run of seed images is, for its bar."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline import records
from pipeline.seeds.plan import Unit
from pipeline.workdir import under_way
from pipeline.workdir.ledger import RunFolder

_READ = 100  # chunks that are read at a look: a run that goes on may have thousands


class Images:
    """How many seed images a run has behind it: those of finished units, and of others the share of ended trials."""

    unit = "image"

    def __init__(self, folder: RunFolder, units: Sequence[Unit]):
        self._folder = folder
        self._sizes = {unit.number: len(unit.positions) for unit in units}
        self.total = sum(self._sizes.values())
        self._found: dict[int, int] = {}  # of finished units, whose chunks no longer change

    def now(self) -> tuple[int, str]:
        """Returns the number, and how many examples the finished units have."""
        finished = self._folder.finished_units()  # first, so that a unit that ends meanwhile does not count twice
        for unit in sorted(finished - self._found.keys())[:_READ]:
            self._found[unit] = records.count_found(self._folder.chunk(unit))
        behind = sum(self._sizes.get(unit, 0) for unit in finished) + under_way.images_behind(self._folder)
        return behind, f"{sum(self._found.values()):,} found"

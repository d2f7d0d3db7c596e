"""How far a run of seed images is, for its bar."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.seeds.plan import Unit
from pipeline.workdir import under_way
from pipeline.workdir.ledger import RunFolder


class Images:
    """How many seed images a run has behind it: those of finished units, and of others the share of ended trials."""

    unit = "image"

    def __init__(self, folder: RunFolder, units: Sequence[Unit]):
        self._folder = folder
        self._sizes = {unit.number: len(unit.positions) for unit in units}
        self.total = sum(self._sizes.values())

    def now(self) -> tuple[int, str]:
        """Returns the number, and no note."""
        finished = self._folder.finished_units()  # first, so that a unit that ends meanwhile does not count twice
        return sum(self._sizes.get(unit, 0) for unit in finished) + under_way.images_behind(self._folder), ""

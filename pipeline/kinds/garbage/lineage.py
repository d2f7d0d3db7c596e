"""Who a garbage image descends from, as the ledger of its run says."""

from __future__ import annotations

import dataclasses
from typing import Any

import pyarrow.compute as pc

from models.errors import InputError
from pipeline import records
from pipeline.config.recorded import Recorded
from pipeline.report.tables import Table
from pipeline.workdir.ledger import RunFolder


@dataclasses.dataclass(frozen=True)
class Ancestor:
    """An image of an island that took a cell.

    Attributes:
      name: within the run, as in an example's `individual`.
      parents: their names; none, one, or two if it was crossed.
      generation: in which it was born.
      cells: how many classes it was the best of when it was born.
    """

    name: str
    parents: tuple[str, ...]
    generation: int
    cells: int

    @property
    def birth(self) -> int:
        """Its place among all images of the island, in the order of birth."""
        return int(self.name.rsplit("-", 1)[1])


def ancestors(folder: RunFolder, example: dict[str, Any], run: Recorded) -> list[Ancestor]:
    """Returns all ancestors of a garbage image and the image itself, parents before children.

    Args:
      folder: the run that bred it.
      example: NumPy values.
      run: the same run, as the dataset tells of it.

    Raises:
      InputError: it was not bred, or the run's lineages are not there.
    """
    if not run.sections["garbage"].has_ancestors:
        raise InputError(
            f"{example['id'].decode()} was made by '{run.method.name}': it descends from its own earlier steps alone; "
            "name an image that was evolved."
        )
    born, name = _born(folder, example), example["individual"].decode()
    found, left = {name}, [name]
    while left:
        new = set(born[left.pop()].parents) - found
        found |= new
        left += new
    return sorted((born[name] for name in found), key=lambda one: one.birth)


def _born(folder: RunFolder, example: dict[str, Any]) -> dict[str, Ancestor]:
    """Returns the images of the example's island that took a cell, by name."""
    target, island = example["target_net"].decode(), int(example["island"])
    paths = sorted(folder.lineages.iterdir()) if folder.lineages.exists() else []
    for path in paths:
        rows = records.read_table(path)
        mine = rows.filter((pc.field("target_net") == target) & (pc.field("island") == island)).to_pylist()
        if mine:
            return {
                row["individual"]: Ancestor(row["individual"], tuple(row["parents"]), row["generation"], row["cells"])
                for row in mine
            }
    raise InputError(
        f"{folder.lineages} has no lineage of net '{target}', island {island}; name the workdir in which run "
        f"'{folder.run_id}' was mined."
    )


def line(family: list[Ancestor]) -> list[Ancestor]:
    """Returns the line of first parents, who give a child all genes but those it gets by crossing, oldest first.

    Args:
      family: what `ancestors` returns.
    """
    known = {one.name: one for one in family}
    direct = [family[-1]]
    while direct[-1].parents:
        direct.append(known[direct[-1].parents[0]])
    return direct[::-1]


def table(family: list[Ancestor]) -> Table:
    """Returns images, a line each."""
    rows = [[one.name, str(one.generation), str(one.cells), *(*one.parents, "", "")[:2]] for one in family]
    return Table([["image", "generation", "classes taken", "parent", "crossed with"], *rows])


def text(family: list[Ancestor]) -> str:
    """Formats the line of first parents for a terminal, and says how many ancestors there are in all."""
    direct = line(family)
    return "\n".join(
        [
            table(direct).text(),
            f"{len(direct) - 1} first parents, {len(family) - 1} ancestors in all, from generation "
            f"{family[0].generation} on",
        ]
    )

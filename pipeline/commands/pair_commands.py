"""The commands that study adversarial pairs: `transfer`, `probe`."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from models.errors import InputError
from pipeline.commands import libraries, options, outputs
from pipeline.commands.dataset_commands import Command
from pipeline.commands.outputs import OK
from pipeline.kinds.pairs.kind import PAIRS

if TYPE_CHECKING:
    from models.classifier import PeerGroup
    from pipeline.report.tables import Table
    from pipeline.versions.published import Published


def add(command: Command) -> None:
    """Adds the commands to the command line; `command` takes a name, the function to call and a sentence about it."""
    options.transfer(command("transfer", _transfer, "Show adversarial twins, and noise of their size, to all nets."))
    options.probe(command("probe", _probe, "Show how adversarial twins and their originals hold out against noise."))


def _transfer(arguments: argparse.Namespace) -> int:
    libraries.load()
    from pipeline.studies import transfer

    for size in arguments.rescale:
        if not 0.0 < size <= 1.0:
            raise InputError(f"--rescale is {size:g}, expected a distortion above 0 and at most 1.")
    pairs = _pairs(arguments)
    group = pairs.group
    rows = transfer.table(pairs.shown(transfer.FEATURES), group, arguments.rescale, group.batch)
    pairs.check_any(rows)
    table = pairs.told(transfer.formatted(rows, group.names))
    print(table.text())
    outputs.write_text("--csv", arguments.csv, table.csv())
    outputs.write_tables(arguments, [table])
    if arguments.picture:
        with outputs.writing("--picture", arguments.picture):
            transfer.draw(rows, group.names, arguments.picture)
    return OK


def _probe(arguments: argparse.Namespace) -> int:
    libraries.load()
    from pipeline.studies import probe

    for size in arguments.noise:
        if not 0.0 < size <= 1.0:
            raise InputError(f"--noise is {size:g}, expected a distortion above 0 and at most 1.")
    if not 1 <= arguments.draws <= 1000:
        raise InputError(f"--draws is {arguments.draws}, expected a number from 1 to 1000.")
    pairs, sizes = _pairs(arguments), sorted(set(arguments.noise))
    rows = probe.table(pairs.shown(probe.FEATURES), pairs.group, sizes, arguments.draws, pairs.group.batch)
    pairs.check_any(rows)
    table = pairs.told(probe.formatted(rows))
    print(table.text())
    outputs.write_text("--csv", arguments.csv, table.csv())
    outputs.write_tables(arguments, [table])
    if arguments.picture:
        with outputs.writing("--picture", arguments.picture):
            probe.draw(rows, arguments.picture)
    return OK


class _Pairs(NamedTuple):
    """What nets are shown: pairs of the runs of one group of nets.

    Attributes:
      published: the dataset.
      runs: ids of its runs with these nets, the newest last.
      group: the nets.
    """

    published: Published
    runs: list[str]
    group: PeerGroup

    def shown(self, features: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yields features of the examples of these runs, and tells how far it is."""
        from pipeline.progress import Bar

        runs = set(self.runs)
        with Bar("ask nets", self.published.count, "pair") as bar:
            for place, example in enumerate(self.published.examples((*features, "run/id")), 1):
                bar.show(place)
                if example["run"]["id"].decode() in runs:
                    yield example

    def check_any(self, rows: Sequence[Any]) -> None:
        """Raises InputError if there was nothing to be shown, and so there are no rows."""
        name = f"{self.published.name}:{self.published.version}"
        if not rows:
            none = f"has no pair of run '{self.runs[-1]}' among those looked at"
            what = none if self.published.count else "is empty"
            raise InputError(f"'{name}' {what}; there is nothing to show to nets.")

    def told(self, table: Table) -> Table:
        """Returns a table that tells what it is not of: the rest of a sample, runs of other nets."""
        table, every = outputs.of_sample(table, self.published), len(self.published.runs)
        if len(self.runs) == every:
            return table
        runs = f"of {len(self.runs)} of {every} runs: those with the newest run's nets"
        return dataclasses.replace(table, note=f"{table.note}\n{runs}; for others, name an earlier :VERSION")


def _pairs(arguments: argparse.Namespace) -> _Pairs:
    """Opens a dataset of pairs, for those of the newest run and of the runs with the same nets."""
    if not arguments.dataset.startswith(f"{PAIRS.name}/"):
        raise InputError(
            f"`{arguments.command}` shows pairs, not '{arguments.dataset}'; expected {PAIRS.name}/TASK[:VERSION]."
        )
    published = outputs.open_dataset(arguments)
    newest = list(published.runs.values())[-1]
    runs = [run_id for run_id, run in published.runs.items() if run["nets"] == newest["nets"]]
    return _Pairs(published, runs, outputs.nets(published, arguments).group(newest))

"""The commands that study adversarial pairs: `transfer`, `probe`."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
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
    pairs = _pairs(arguments, transfer.FEATURES)
    group = pairs.group
    rows = transfer.table(pairs.examples, group, arguments.rescale, outputs.batch(group.input_shape))
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
    pairs, sizes = _pairs(arguments, probe.FEATURES), sorted(set(arguments.noise))
    rows = probe.table(pairs.examples, pairs.group, sizes, arguments.draws, outputs.batch(pairs.group.input_shape))
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
      runs: ids of its runs with these nets.
      examples: of these runs.
      group: the nets.
    """

    published: Published
    runs: set[str]
    examples: list[dict[str, Any]]
    group: PeerGroup

    def told(self, table: Table) -> Table:
        """Returns a table that tells what it is not of: the rest of a sample, runs of other nets."""
        table, every = outputs.of_sample(table, self.published), len(self.published.runs)
        if len(self.runs) == every:
            return table
        runs = f"of {len(self.runs)} of {every} runs: those with the newest run's nets"
        return dataclasses.replace(table, note=f"{table.note}\n{runs}; for others, name an earlier :VERSION")


def _pairs(arguments: argparse.Namespace, features: Sequence[str]) -> _Pairs:
    """Opens a dataset of pairs: its examples' features, of the newest run and of those with the same nets."""
    if not arguments.dataset.startswith(f"{PAIRS.name}/"):
        raise InputError(
            f"`{arguments.command}` shows pairs, not '{arguments.dataset}'; expected {PAIRS.name}/TASK[:VERSION]."
        )
    published = outputs.open_dataset(arguments)
    newest = list(published.runs.values())[-1]
    runs = {run_id for run_id, run in published.runs.items() if run["nets"] == newest["nets"]}
    group, found = outputs.nets(published, arguments).group(newest), published.examples((*features, "run/id"))
    examples = [example for example in found if example["run"]["id"].decode() in runs]
    if not examples:
        what = "is empty" if not published.count else f"has no pair of run '{newest['run_id']}' among those looked at"
        raise InputError(f"'{arguments.dataset}' {what}; there is nothing to show to nets.")
    return _Pairs(published, runs, examples, group)

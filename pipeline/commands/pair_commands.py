"""The commands that study adversarial pairs: `transfer`, `probe`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from models.errors import InputError
from pipeline.commands import libraries, options, outputs
from pipeline.commands.dataset_commands import Command
from pipeline.commands.outputs import OK
from pipeline.kinds.pairs.kind import PAIRS

if TYPE_CHECKING:
    from models.classifier import PeerGroup
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
    published, examples, group = _pairs(arguments, transfer.FEATURES)
    rows = transfer.table(examples, group, arguments.rescale, outputs.batch(group.input_shape))
    table = outputs.of_sample(transfer.formatted(rows, group.names), published)
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
    published, examples, group = _pairs(arguments, probe.FEATURES)
    rows = probe.table(examples, group, sorted(set(arguments.noise)), arguments.draws, outputs.batch(group.input_shape))
    table = outputs.of_sample(probe.formatted(rows), published)
    print(table.text())
    outputs.write_text("--csv", arguments.csv, table.csv())
    outputs.write_tables(arguments, [table])
    if arguments.picture:
        with outputs.writing("--picture", arguments.picture):
            probe.draw(rows, arguments.picture)
    return OK


def _pairs(arguments: argparse.Namespace, features: Sequence[str]) -> tuple[Published, list[dict[str, Any]], PeerGroup]:
    """Opens a dataset of pairs: with its examples' features, and the nets that its runs have in common."""
    if not arguments.dataset.startswith(f"{PAIRS.name}/"):
        raise InputError(
            f"`{arguments.command}` shows pairs, not '{arguments.dataset}'; expected {PAIRS.name}/TASK[:VERSION]."
        )
    published = outputs.open_dataset(arguments)
    runs = list(published.runs.values())
    if any(run["nets"] != runs[0]["nets"] for run in runs):
        raise InputError(f"the runs of '{arguments.dataset}' are of different nets; name the version of the first run.")
    group, examples = outputs.nets(published, arguments).group(runs[0]), list(published.examples(features))
    if not examples:
        raise InputError(f"'{arguments.dataset}' is empty; there is nothing to show to nets.")
    return published, examples, group

"""The commands that look at garbage images: `render`, `sheet`, `lineage`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from models.errors import InputError
from pipeline.commands import libraries, options, outputs
from pipeline.commands.dataset_commands import Command
from pipeline.commands.outputs import OK
from pipeline.kinds.garbage.kind import GARBAGE
from pipeline.kinds.garbage.title import title

if TYPE_CHECKING:
    from pipeline.versions.published import Published


def add(command: Command) -> None:
    """Adds the commands to the command line; `command` takes a name, the function to call and a sentence about it."""
    options.render(command("render", _render, "Draw a CPPN garbage image again, at any size."))
    options.sheet(command("sheet", _sheet, "Draw garbage images as a contact sheet, with their classes."))
    options.lineage(command("lineage", _lineage, "Tell from which images a garbage image descends."))


def _open(arguments: argparse.Namespace) -> Published:
    if not arguments.dataset.startswith(f"{GARBAGE.name}/"):
        raise InputError(
            f"`{arguments.command}` is for garbage images, not '{arguments.dataset}'; expected "
            f"{GARBAGE.name}/TASK[:VERSION]."
        )
    return outputs.open_dataset(arguments)


def _render(arguments: argparse.Namespace) -> int:
    libraries.load()
    from pipeline import records
    from pipeline.search.evolution import cppn

    cppn.check_size(arguments.size, arguments.size)
    genome, shape = _genome(arguments)
    scale = arguments.size / max(shape) if shape else 0.0
    height, width = (max(1, round(scale * side)) for side in shape) if shape else (arguments.size, arguments.size)
    image = cppn.render_at(genome, height, width)
    outputs.write_bytes("--out", arguments.out, records.encode_png(image))
    outputs.write_text("--genome", arguments.genome, genome)
    print(f"{arguments.out}: {image.shape[0]} x {image.shape[1]} pixels")
    return OK


def _genome(arguments: argparse.Namespace) -> tuple[str, tuple[int, ...]]:
    """Returns a genome as JSON, and the size (H, W) of its example, () if it comes from a file."""
    from etils import epath

    from pipeline.versions import published as datasets

    if arguments.dataset.endswith(".json"):
        try:
            return epath.Path(arguments.dataset).read_text(), ()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                f"{arguments.dataset}: the genome cannot be read ({error}); name a genome's file."
            ) from error
    published = _open(arguments)
    if not arguments.id:
        raise InputError("`render` needs the id of an example, or a genome's .json file in place of the dataset.")
    example = datasets.find(published, arguments.id)
    if not example["genome"]:
        raise InputError(
            f"{example['id'].decode()} is of the encoding '{example['encoding'].decode()}': its genome is the image "
            "itself, of one size; only 'cppn' can be rendered at another."
        )
    return example["genome"].decode(), example["image"].shape[:2]


def _sheet(arguments: argparse.Namespace) -> int:
    libraries.load()
    import numpy as np

    from pipeline.report import picture

    if arguments.limit < 1:
        raise InputError(f"--limit is {arguments.limit}, expected at least 1.")
    published = _open(arguments)
    wanted = {"target_net": arguments.net.encode(), "encoding": arguments.encoding.encode()}
    mine = [
        example
        for example in published.examples()
        if all(value in (b"", example[key]) for key, value in wanted.items())
    ]
    if not mine:
        of = "".join(f" of {value.decode()}" for value in wanted.values() if value)
        raise InputError(f"'{arguments.dataset}' has no example{of} to draw.")
    order = ("target_net", "encoding", "wrong_class", "island")
    mine.sort(key=lambda example: tuple(example[key] for key in order))
    places = np.unique(np.linspace(0, len(mine) - 1, min(arguments.limit, len(mine))).round().astype(int))
    shown = [mine[place] for place in places]
    titles = [title(example, published.run(example)) for example in shown]
    with outputs.writing("--out", arguments.out):
        picture.draw_sheet(np.stack([example["image"] for example in shown]), titles, arguments.out)
    print(f"{arguments.out}: {len(shown)} of {len(mine)} images")
    return OK


def _lineage(arguments: argparse.Namespace) -> int:
    libraries.load()
    from pipeline.kinds.garbage import lineage
    from pipeline.versions import published as datasets
    from pipeline.workdir.ledger import Workdir

    published = _open(arguments)
    example = datasets.find(published, arguments.id)
    run = published.run(example)
    folder = Workdir.at(arguments.workdir).run(published.name, run["run_id"])
    family = lineage.ancestors(folder, example, run)
    print(f"{example['id'].decode()}: {published.kind.about(example, run)}")
    print(lineage.text(family))
    table = lineage.table(family)
    outputs.write_text("--csv", arguments.csv, table.csv())
    outputs.write_tables(arguments, [table])
    if arguments.picture:
        from pipeline.kinds.garbage import pictures

        with outputs.writing("--picture", arguments.picture):
            pictures.draw_strip(example, run, folder, arguments.picture)
    return OK

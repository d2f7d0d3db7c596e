"""The commands to begin with, and to find things again: `init`, `help`, `nets`, `list`, `show`."""

from __future__ import annotations

import argparse
import difflib
import itertools
import json
import os
import pathlib
import re
import statistics
import textwrap
from collections.abc import Iterator

from models import zoo
from models.errors import InputError
from pipeline.commands import libraries, options, outputs
from pipeline.commands.dataset_commands import Command
from pipeline.commands.outputs import OK
from pipeline.config import config_file
from pipeline.kinds import registry
from pipeline.report.tables import Table

_KINDS = {kind.name.rpartition("_")[2] if kind.seeded else kind.name.partition("_")[0]: kind for kind in registry.KINDS}
_NETS = ("mlp-10", "mlp-20", "mlp-30")
_LOOKED_AT, _LARGEST = 200, 96  # pictures whose size is looked at; pixels of the longer side of images of mixed sizes
_TRAINING = "[training]\nepochs = 30\nbatch_size = 32\n"


def add(command: Command) -> None:
    """Adds the commands to the command line; `command` takes a name, the function to call and a sentence about it."""
    first = command("init", _init, "Write a short configuration that runs as it is.")
    first.add_argument("kind", nargs="?", choices=list(_KINDS), default=next(iter(_KINDS)), help="what to look for")
    first.add_argument("--dataset", default="", metavar="NAME", help="the TFDS dataset of seed images, such as mnist")
    first.add_argument("--image_folder", default="", metavar="FOLDER", help="instead, a folder SPLIT/CLASS/PICTURE.png")
    first.add_argument("--nets", nargs="+", default=[], metavar="NET", help="your .keras files or SavedModel folders")
    first.add_argument("--out", default="", metavar="TOML", help="the file to write; by default KIND.toml")
    asked = command("help", _help, "Tell what a key of a configuration means, and which values it takes.")
    asked.add_argument("key", help="its name, or a part of it, such as patience; or its section, such as search")
    options.tables(command("nets", _nets, "List the architectures that can be trained here by name."))
    listed = command("list", _list, "List the tasks of a workdir: their runs, versions and retrained nets.")
    options.workdir(listed)
    options.tables(listed)
    options.show(command("show", _show, "Show a dataset's examples as a table, or all that is known of one."))


def _init(arguments: argparse.Namespace) -> int:
    path = pathlib.Path(arguments.out or f"{arguments.kind}.toml")
    if path.exists():
        raise InputError(f"{path} is there already; name another file with --out.")
    text = _starter(arguments, path)
    try:
        path.write_text(text)
        config_file.load(str(path), registry.methods())  # it is to run as it is
    except OSError as error:
        raise InputError(f"--out {path} cannot be written ({error.strerror}); name another file.") from error
    except InputError:
        path.unlink()
        raise
    print(f"{path} is written. Now:\n\n    peerpressure run --config {path} --workdir runs")
    return OK


def _starter(arguments: argparse.Namespace, path: pathlib.Path) -> str:
    """Returns a configuration; the paths in it are relative to its folder."""
    if arguments.dataset and arguments.image_folder:
        raise InputError("--dataset and --image_folder are both given; give one of them.")
    folder = path.resolve().parent
    given = [net if "://" in net else os.path.relpath(net, folder) for net in arguments.nets]
    if missing := [net for net in arguments.nets if "://" not in net and not os.path.exists(net)]:
        raise InputError(f"--nets: {missing[0]} is not there; expected .keras files or SavedModel folders.")
    peers = f"files = {json.dumps(given)}" if given else f"architectures = {json.dumps(_NETS)}  # trained here"
    task = path.stem if re.fullmatch("[a-z][a-z0-9_]*", path.stem) else arguments.kind
    return "\n".join(
        [
            f'# Looks for {_KINDS[arguments.kind].noun}. Of any key tells `peerpressure help KEY`.\ntask = "{task}"\n',
            f"[seeds]\n{_seeds(arguments, folder)}",
            f"[peers]\n{peers}\n",
            *([] if given else [_TRAINING]),
            _KINDS[arguments.kind].starter,
        ]
    )


def _seeds(arguments: argparse.Namespace, folder: pathlib.Path) -> str:
    if not arguments.image_folder:
        dataset = arguments.dataset or "digits"
        about = "any TFDS dataset; digits needs no download" if dataset == "digits" else "any TFDS dataset"
        return f'dataset = {json.dumps(dataset)}         # {about}\nsplits = ["train"]\n'
    pictures = pathlib.Path(arguments.image_folder)
    if not pictures.is_dir():
        raise InputError(f"--image_folder: {pictures} is no folder; expected SPLIT/CLASS/PICTURE.png below it.")
    folders = [each for each in sorted(pictures.iterdir()) if each.is_dir() and not each.name.startswith(".")]
    if not folders:
        raise InputError(f"--image_folder: {pictures} has no folders; expected SPLIT/CLASS/PICTURE.png below it.")
    splits = [each.name for each in folders if any(below.is_dir() for below in each.iterdir())]
    name = json.dumps(os.path.relpath(pictures, folder))
    named = f"splits = {json.dumps(splits)}\n" if splits else ""  # else it holds classes, which are one split
    return f"image_folder = {name}\n{named}{_photos(pictures)}"


def _photos(folder: pathlib.Path) -> str:
    """Returns the keys that bring pictures to one size; as a comment where they have one size."""
    sizes = list(itertools.islice(_sizes(folder), _LOOKED_AT))
    height, width = (int(statistics.median(side)) for side in zip(*sizes)) if sizes else (_LARGEST, _LARGEST)
    shrink = min(1.0, _LARGEST / max(height, width))
    off = "" if len(set(sizes)) > 1 else "# "
    size = f"[{max(1, round(height * shrink))}, {max(1, round(width * shrink))}]"
    return (
        f'{off}resize = "crop"          # pictures have several sizes; or "pad", "stretch"\n'
        f"{off}size = {size}          # height and width; without it, those of most pictures\n"
        '# background = "white"     # behind transparent pixels, which else are set aside\n'
    )


def _sizes(folder: pathlib.Path) -> Iterator[tuple[int, int]]:
    """Yields height and width of what is a picture in a folder, and below it."""
    from PIL import Image

    for path in sorted(folder.rglob("*.*")):
        try:
            with Image.open(path) as picture:
                yield picture.height, picture.width
        except (OSError, ValueError, Image.DecompressionBombError):  # `run` tells
            continue


def _help(arguments: argparse.Namespace) -> int:
    from pipeline.commands import reference

    known, wanted = reference.all_keys(), arguments.key.strip("[]").lower()
    names = {name.rpartition(" ")[2] for name, _ in known}
    exact = [entry for entry in known if entry[0].rpartition(" ")[2] == wanted]
    found = exact or [entry for entry in known if wanted in entry[0].lower()]
    if not found:
        near = difflib.get_close_matches(wanted, names, 1, 0.6)
        hint = f"did you mean {near[0]}?" if near else "docs/configuration.md has them all."
        raise InputError(f"no key has '{arguments.key}' in its name; {hint}")
    for name, told in found:
        print("\n".join([name, textwrap.fill(told, 100, initial_indent="    ", subsequent_indent="    ")]))
    return OK


def _nets(arguments: argparse.Namespace) -> int:
    rows = [[form.name, form.example, form.about] for form in zoo.FORMS]
    note = (
        "U: units, F: filters, K: classes. Other nets: save them as .keras or SavedModel; name them in [peers] files."
    )
    table = Table([["architecture", "such as", "what it is"], *rows], note=note, left=3)
    print(table.text())
    outputs.write_tables(arguments, [table])
    return OK


def _list(arguments: argparse.Namespace) -> int:
    libraries.load()
    from pipeline.versions import overview
    from pipeline.workdir.ledger import Workdir

    told = overview.tables(Workdir.at(arguments.workdir))
    print("\n\n".join(table.text() for table in told) if told else f"{arguments.workdir}: no run yet.")
    outputs.write_tables(arguments, told)
    return OK


def _show(arguments: argparse.Namespace) -> int:
    if arguments.limit < 1:
        raise InputError(f"--limit is {arguments.limit}, expected 1 or more examples.")
    if arguments.id and arguments.csv:
        raise InputError("--csv is for the table of all examples; leave out the id, or --csv.")
    published = outputs.open_dataset(arguments)
    from pipeline.versions import examples
    from pipeline.versions import published as datasets

    if arguments.id:
        example = datasets.find(published, arguments.id)
        print(examples.record(published, example))
        print(f"\n{_replay(arguments, example['id'].decode())}")
        known = dict(examples.lines(example, published.run(example).class_names))
        outputs.write_text("--json", arguments.json, json.dumps(known, indent=1) + "\n")
        return OK
    table, count = examples.table(published, arguments.limit)
    print(table.text())
    print(f"{min(count, arguments.limit):,} of {count:,} examples; more with --limit, one of them with its id")
    if arguments.csv or arguments.json:
        whole, _ = examples.table(published, max(count, 1))
        outputs.write_text("--csv", arguments.csv, whole.csv())
        outputs.write_tables(arguments, [whole])
    return OK


def _replay(arguments: argparse.Namespace, example_id: str) -> str:
    return f"peerpressure replay {arguments.dataset} {example_id} --workdir {arguments.workdir} --picture example.png"

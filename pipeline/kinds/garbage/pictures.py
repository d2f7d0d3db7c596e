"""What a report draws of garbage images: an image of each class, and when they were born."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from models.errors import InputError
from pipeline.config.recorded import Recorded
from pipeline.kinds import published
from pipeline.kinds.garbage import ancestor_images, lineage
from pipeline.kinds.garbage.title import title
from pipeline.kinds.kind import Example
from pipeline.progress import Bar
from pipeline.report import picture
from pipeline.report.page import Picture
from pipeline.workdir.ledger import RunFolder

_MOST = 100  # images of a sheet
_STRIPS = 5


def pictures(examples: Sequence[Example], whole: Sequence[Example], run: Recorded) -> list[Picture]:
    """Returns the pictures of a report; see `Kind.pictures`."""
    nets = published.target_nets(examples, run)
    born = {net: [float(e["generation"]) for e in examples if e["target_net"].decode() == net] for net in nets}
    one: dict[tuple[str, int], Example] = {}
    for example in whole:
        one.setdefault((example["encoding"].decode(), int(example["wrong_class"])), example)
    shown = [one[key] for key in sorted(one)][:_MOST]
    titles = [title(example, run) for example in shown]
    by_encoding = ", ".join(dict.fromkeys(e["encoding"].decode() for e in shown))
    return [
        Picture(
            "sheet",
            f"An image of each class ({by_encoding})",
            f"Contact sheet of {len(shown)} garbage images with the class each is taken for: {', '.join(titles)}.",
            functools.partial(picture.draw_sheet, np.stack([example["image"] for example in shown]), titles),
        ),
        Picture(
            "generations",
            "In which generation they were born",
            f"Histogram of generations by target net, {', '.join(nets)}.",
            functools.partial(picture.draw_histograms, born, "generation"),
        ),
    ]


def strips(whole: Sequence[Example], run: Recorded, folder: RunFolder) -> list[Picture]:
    """Returns the picture of how some images came about, if that can be told: those of the most generations."""
    mine = [one for one in whole if one["run"]["id"].decode() == run["run_id"]]
    longest = sorted(mine, key=lambda one: -int(one["generation"]))[:_STRIPS]
    try:
        rows = _strips(longest, run, folder)
    except InputError:  # no ancestors, no lineage in this folder, or another kind of device
        return []
    named = "; ".join(f"{title(one, run)}, generation {int(one['generation'])}" for one in longest)
    return [
        Picture(
            "lineages",
            "From which images they descend",
            f"A strip of first parents for each, from generation 0 to the image itself: {named}.",
            functools.partial(picture.draw_strips, rows),
        )
    ] * bool(rows)


def draw_strip(example: Example, run: Recorded, folder: RunFolder, path: str) -> None:
    """Draws an example's line of first parents as PNG.

    Raises:
      InputError: it has none, or what is bred again is not the stored image.
    """
    picture.draw_strips(_strips([example], run, folder), path)


def _strips(examples: Sequence[Example], run: Recorded, folder: RunFolder) -> list[picture.Strip]:
    islands: dict[tuple[bytes, int], ancestor_images.Island] = {}
    strips = []
    with Bar("breed again", len(examples), "image") as bar:
        for example in examples:
            family = lineage.ancestors(folder, example, run)
            key = example["target_net"], int(example["island"])
            if key not in islands:
                islands[key] = ancestor_images.Island(example, run)
            line = lineage.line(family)
            name = f"{run.class_names[int(example['wrong_class'])]}, {example['target_net'].decode()}"
            titles = [f"generation {one.generation}" for one in line]
            strips.append(picture.Strip(name, islands[key].images(family, line, example), titles))
            bar.show(len(strips))
    return strips


def curves(folder: RunFolder) -> list[Picture]:
    """Returns the picture of a run's islands over the generations, if its folder has it."""
    path = folder.path / "curves.png"
    if not path.exists():
        return []

    def copy(stream: Any) -> None:
        stream.write(path.read_bytes())

    title = "Confidence over the generations"
    about = "Two panels over generations, a line for each island: median confidence, and how many classes are done."
    return [Picture("curves", title, about, copy)]

"""What a report draws of garbage images: an image of each class, and when they were born."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.config.recorded import Recorded
from pipeline.kinds import published
from pipeline.kinds.kind import Example
from pipeline.report import picture
from pipeline.report.page import Picture
from pipeline.workdir.ledger import RunFolder

_MOST = 100  # images of a sheet


def pictures(examples: Sequence[Example], whole: Sequence[Example], run: Recorded) -> list[Picture]:
    """Returns the pictures of a report; see `Kind.pictures`."""
    names, nets = run.class_names, published.target_nets(examples, run)
    born = {net: [float(e["generation"]) for e in examples if e["target_net"].decode() == net] for net in nets}
    one: dict[tuple[str, int], Example] = {}
    for example in whole:
        one.setdefault((example["encoding"].decode(), int(example["wrong_class"])), example)
    shown = [one[key] for key in sorted(one)][:_MOST]
    titles = [f"{names[int(e['wrong_class'])]} {100 * e['confidence']:.2f}%" for e in shown]
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

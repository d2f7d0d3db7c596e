"""What a report draws of adversarial pairs: pairs, how large their changes are, and which nets they mislead."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from pipeline.config.recorded import Recorded
from pipeline.kinds import published
from pipeline.kinds.kind import Example
from pipeline.report import picture
from pipeline.report.page import Picture

_PAIRS = 10


def pictures(examples: Sequence[Example], whole: Sequence[Example], run: Recorded) -> list[Picture]:
    """Returns the pictures of a report; see `Kind.pictures`."""
    names, nets = run.class_names, published.target_nets(examples, run)
    sizes = {net: [float(e["distortion"]) for e in examples if e["target_net"].decode() == net] for net in nets}
    medians = ", ".join(f"{net} {np.median(values):.4f}" for net, values in sizes.items())
    shown = whole[:_PAIRS]
    originals, twins = (np.stack([example[name] for example in shown]) for name in ("seed_image", "image"))
    titles = [f"{names[int(e['label'])]} read as {names[int(e['wrong_class'])]}" for e in shown]
    return [
        Picture(
            "pairs",
            "Original, change, twin",
            f"{len(shown)} pairs: the original, the change ten times magnified, the twin; {'; '.join(titles)}.",
            functools.partial(picture.draw_pairs, originals, twins, titles),
        ),
        Picture(
            "distortions",
            "How large the changes are",
            f"Histogram of the distortion of twins, by target net; medians: {medians}.",
            functools.partial(picture.draw_histograms, sizes, "distortion, sqrt(mean((x' - x)^2)), pixels in [0, 1]"),
        ),
    ]

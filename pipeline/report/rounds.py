"""A picture of rounds of mining and retraining: what is found, and how good the nets are, round by round."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np

matplotlib.use("Agg")  # no display needed

from matplotlib import pyplot

_COLOURS = ("#2f6fab", "#c8402f", "#4a8f3c", "#8a5fb0", "#b8860b", "#3aa6a6")


def draw(panels: Mapping[str, Mapping[str, Sequence[Sequence[float]]]]) -> bytes:
    """Draws a panel for each figure, with a line for each recipe; returns a PNG.

    Args:
      panels: what the panel's axis says -> recipe -> for each round, from 0, the figure of each training seed.
    """
    figure, axes = pyplot.subplots(1, len(panels), figsize=(4.2 * len(panels), 4), squeeze=False)
    for place, (label, recipes) in zip(axes[0], panels.items(), strict=True):
        for colour, (recipe, steps) in zip(_COLOURS * len(recipes), recipes.items(), strict=False):
            means = [float(np.mean(values)) for values in steps]
            place.plot(range(len(steps)), means, marker="o", ms=4, color=colour, label=recipe)
            low, high = (pick for pick in ([min(values) for values in steps], [max(values) for values in steps]))
            place.fill_between(range(len(steps)), low, high, color=colour, alpha=0.15, lw=0)
        place.set_xlabel("rounds of retraining")
        place.set_title(label, fontsize=10)
        place.xaxis.get_major_locator().set_params(integer=True)
        place.set_ylim(0, 1.08 * max(max(values) for steps in recipes.values() for values in steps) or 1)
        place.grid(alpha=0.25)
    legend = figure.legend(*axes[0][0].get_legend_handles_labels(), loc="lower center", ncols=6, frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)
    figure.tight_layout(rect=(0, 0.08, 1, 1))
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=120, metadata={"Software": None})
    pyplot.close(figure)
    return stream.getvalue()

"""A picture of what recipes cost and give: error across, gain upwards."""

from __future__ import annotations

import io
from collections.abc import Iterable

import matplotlib
import numpy as np

matplotlib.use("Agg")  # no display needed

from matplotlib import pyplot

_MINED, _CONTROL = "#c8402f", "#2f6fab"


def draw(points: Iterable[tuple[str, bool, list[float], list[float]]], across: str, upwards: str) -> bytes:
    """Draws recipes as points with the spread over training seeds; returns a PNG.

    Args:
      points: of each recipe its name, whether it uses mined examples, and for each training seed its error in percent
        and its gain.
      across, upwards: what the axes say.
    """
    figure, axes = pyplot.subplots(figsize=(7.5, 5))
    for name, is_mined, errors, gains in points:
        colour, mark = (_MINED, "o") if is_mined else (_CONTROL, "s")
        error, gain = np.mean(errors), np.mean(gains)
        axes.errorbar(error, gain, np.std(gains), np.std(errors), color=colour, marker=mark, capsize=2, lw=1)
        at, away, side = (error, gain), (7, 3) if is_mined else (-7, -9), "left" if is_mined else "right"
        axes.annotate(name, at, away, textcoords="offset points", ha=side, fontsize=8, parse_math=False)
    for colour, mark, label in ((_MINED, "o", "with mined examples"), (_CONTROL, "s", "without")):
        axes.plot([], [], color=colour, marker=mark, ls="", label=label)
    axes.set_yscale("log")
    axes.margins(0.15)  # room for names
    axes.set_title("mean and standard deviation over training seeds", fontsize=9)
    axes.set_xlabel(across)
    axes.set_ylabel(upwards)
    axes.legend(frameon=False)
    axes.grid(alpha=0.25)
    figure.tight_layout()
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=120, metadata={"Software": None})
    pyplot.close(figure)
    return stream.getvalue()

"""A picture of what recipes cost and give: error across, gain upwards."""

from __future__ import annotations

import io
from collections.abc import Iterable

import matplotlib
import numpy as np

matplotlib.use("Agg")  # no display needed

from matplotlib import pyplot, ticker

_MINED, _CONTROL = "#c8402f", "#2f6fab"
_MARKS = "os^vDPX*<>"  # a recipe is known by its mark, filled or not, for points may lie on each other


def draw(points: Iterable[tuple[str, bool, list[float], list[float]]], across: str, upwards: str) -> bytes:
    """Draws recipes as points with the spread over training seeds; returns a PNG.

    Args:
      points: of each recipe its name, whether it uses mined examples, and for each training seed its error in percent
        and its gain.
      across, upwards: what the axes say.
    """
    shown = list(points)
    figure, axes = pyplot.subplots(figsize=(9, 5))
    for place, (name, is_mined, errors, gains) in enumerate(shown):
        colour, again = _MINED if is_mined else _CONTROL, place // len(_MARKS)
        face = "none" if again % 2 else colour
        at, spread = (np.mean(errors), np.mean(gains)), (np.std(gains), np.std(errors))
        axes.errorbar(*at, *spread, color=colour, capsize=2, lw=1, ls="", alpha=0.6)
        axes.plot(*at, _MARKS[place % len(_MARKS)], color=colour, mfc=face, ms=8, label=name)
    if all(min(gains) > 0 for _, _, _, gains in shown):
        axes.set_yscale("log")
        axes.yaxis.set_minor_locator(ticker.LogLocator(subs=(2, 3, 4, 5, 7)))
    for formatted in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        formatted(ticker.StrMethodFormatter("{x:g}"))
    axes.margins(0.08)
    axes.set_title(
        "mean and standard deviation over training seeds; red: with mined examples, blue: without", fontsize=9
    )
    axes.set_xlabel(across)
    axes.set_ylabel(upwards)
    for text in axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1.01, 0.5)).get_texts():
        text.set_parse_math(False)
    axes.grid(alpha=0.25, which="both")
    figure.tight_layout()
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=120, metadata={"Software": None})
    pyplot.close(figure)
    return stream.getvalue()

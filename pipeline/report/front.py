"""A picture of what recipes cost and give: average error across, candidates that a search takes upwards."""

from __future__ import annotations

import io
from collections.abc import Iterable

import matplotlib
import numpy as np

matplotlib.use("Agg")  # no display needed

from matplotlib import pyplot

_MINED, _CONTROL = "#c8402f", "#2f6fab"


def draw(points: Iterable[tuple[str, bool, list[float], list[float]]]) -> bytes:
    """Draws recipes as points with the spread over training seeds; returns a PNG.

    Args:
      points: of each recipe its name, whether it uses mined examples, and for each training seed the error on moved
        images in percent, and the candidates that a search takes.
    """
    figure, axes = pyplot.subplots(figsize=(7.5, 5))
    for name, is_mined, errors, candidates in points:
        colour, mark = (_MINED, "o") if is_mined else (_CONTROL, "s")
        across, up = np.mean(errors), np.mean(candidates)
        axes.errorbar(across, up, np.std(candidates), np.std(errors), color=colour, marker=mark, capsize=2, lw=1)
        axes.annotate(name, (across, up), xytext=(6, 4), textcoords="offset points", fontsize=8)
    for colour, mark, label in ((_MINED, "o", "with mined examples"), (_CONTROL, "s", "without")):
        axes.plot([], [], color=colour, marker=mark, ls="", label=label)
    axes.set_xlabel("error on moved images, %")
    axes.set_ylabel("candidates until a mistake is found")
    axes.legend(frameon=False)
    axes.grid(alpha=0.25)
    figure.tight_layout()
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=120, metadata={"Software": None})
    pyplot.close(figure)
    return stream.getvalue()

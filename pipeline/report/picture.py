"""Pictures: a hillclimb session, the image after each move with every net's confidence below it; adversarial pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import IO, Any, NamedTuple

import matplotlib
import numpy as np

matplotlib.use("Agg")  # no display needed

from matplotlib import pyplot

matplotlib.rcParams["text.parse_math"] = False  # the names of classes and nets may have dollar signs

_PEER, _RIGHT, _WRONG = "#9aa5b1", "#2f6fab", "#c8402f"
_MOST = 12  # states of a session, images of a strip, or places of a line
_NAMED = 25  # classes of a heat map


def draw_session(
    images: np.ndarray,
    probabilities: np.ndarray,
    net_names: Sequence[str],
    target_net: str,
    class_names: Sequence[str],
    label: int,
    path: str | IO[bytes],
) -> None:
    """Draws a session as PNG.

    Args:
      images: uint8 `[S, H, W, C]`, the seed image and the image after each move.
      probabilities: float32 `[N, S, K]`, every net on every image; NaN, no bar, where it is not known.
      net_names: the nets' names, `[N]`.
      target_net: the one that is misled.
      class_names: the classes' names, `[K]`.
      label: the class that the peers hold.
      path: the file to write.
    """
    states = _shown(len(images))
    wrong = int(probabilities[list(net_names).index(target_net), -1].argmax())
    figure, axes = pyplot.subplots(
        2, len(states), figsize=(1.5 * len(states) + 1.6, 3.6), squeeze=False, height_ratios=[1.2, 1]
    )
    for column, state in enumerate(states):
        top, bottom = axes[0, column], axes[1, column]
        _show(top, images[state])
        top.set_title("seed image" if state == 0 else f"move {state}", fontsize=8)
        top.axis("off")
        _bars(bottom, probabilities[:, state], net_names, target_net, label, wrong, labelled=column == 0)
    right = class_names[label]
    peers = {f"{right}, peers": _PEER} if len(net_names) > 1 else {}
    held = f" while its peers hold {right}" if peers else ""
    figure.suptitle(f"{target_net} is led from {right} to {class_names[wrong]}{held}", fontsize=10)
    colors = {f"{right}, {target_net}": _RIGHT, **peers, class_names[wrong]: _WRONG}
    handles = [pyplot.Rectangle((0, 0), 1, 1, color=color) for color in colors.values()]
    figure.legend(handles, list(colors), loc="lower center", ncols=3, fontsize=8, frameon=False)
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    _save(figure, path)


def draw_pairs(originals: np.ndarray, twins: np.ndarray, titles: Sequence[str], path: str | IO[bytes]) -> None:
    """Draws pairs as PNG, a column each: the original, what was changed ten times magnified (grey: nothing), the twin.

    Args:
      originals: uint8 `[B, H, W, C]`, B >= 1.
      twins: likewise.
      titles: what stands above each pair, `[B]`.
      path: the file to write.
    """
    changes = np.clip(127.5 + 10.0 * (twins.astype(np.float64) - originals), 0, 255).astype(np.uint8)
    figure, axes = pyplot.subplots(3, len(originals), figsize=(1.2 * len(originals) + 0.6, 4.0), squeeze=False)
    for row, (name, images) in enumerate((("original", originals), ("change x 10", changes), ("twin", twins))):
        for axis, image in zip(axes[row], images, strict=True):
            _show(axis, image)
            axis.set_xticks([])
            axis.set_yticks([])
        axes[row, 0].set_ylabel(name, fontsize=8)
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=8)
    figure.tight_layout()
    _save(figure, path)


def draw_table(
    shares: np.ndarray, rows: Sequence[str], columns: Sequence[str], path: str | IO[bytes], title: str = "% misread by"
) -> None:
    """Draws shares `[R, N]` in [0, 1] as a heat map, PNG, with their figures in percent."""
    figure, axis = pyplot.subplots(figsize=(0.9 * len(columns) + 2.4, 0.34 * len(rows) + 1.2))
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for row, column in np.ndindex(*shares.shape):
        share = shares[row, column]
        color = "white" if share > 0.55 else "black"
        axis.text(column, row, f"{100 * share:.1f}", ha="center", va="center", fontsize=7, color=color)
    axis.set_xticks(np.arange(len(columns)), columns, fontsize=7, rotation=30, ha="right")
    axis.set_yticks(np.arange(len(rows)), rows, fontsize=7)
    axis.set_title(title, fontsize=8)
    figure.tight_layout()
    _save(figure, path)


def draw_probe(
    nets: Sequence[str], distortions: Sequence[float], sizes: Sequence[float], kept: np.ndarray, path: str
) -> None:
    """Draws how often originals and twins keep their class under noise as PNG, a panel for each net.

    Args:
      nets: whose pairs they are, `[R]`.
      distortions: mean of each net's twins, `[R]`, drawn as a dotted line.
      sizes: distortions of the noise, ascending, `[S]`.
      kept: shares `[R, S, 2]` in [0, 1], of originals and of twins.
      path: the file to write.
    """
    across = min(len(nets), 3)
    down = -(-len(nets) // across)
    figure, axes = pyplot.subplots(
        down,
        across,
        figsize=(2.6 * across + 0.6, 1.9 * down + 0.6),
        squeeze=False,
        sharex=True,
        sharey=True,
        layout="constrained",
    )
    for axis, net, distortion, shares in zip(axes.flat, nets, distortions, kept):
        for curve, color, name in zip(shares.T, (_RIGHT, _WRONG), ("original", "twin"), strict=True):
            axis.plot(sizes, 100 * curve, color=color, marker="o", markersize=3, label=name)
        axis.axvline(distortion, color=_PEER, linestyle=":", label="mean distortion of the twins")
        axis.set_title(net, fontsize=8)
        axis.set(xscale="log", ylim=(-3, 103))
        axis.set_xticks(sizes, [f"{size:g}" for size in sizes], fontsize=7)
        axis.set_xticks([], minor=True)
        axis.tick_params(labelsize=7, labelbottom=True)  # the panel below may be an empty one
    for axis in axes.flat[len(nets) :]:
        axis.axis("off")
    figure.supxlabel("distortion of the noise", fontsize=8)
    figure.supylabel("% that keep their class", fontsize=8)
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=3, fontsize=8, frameon=False)
    _save(figure, path)


def draw_sheet(images: np.ndarray, titles: Sequence[str], path: str | IO[bytes]) -> None:
    """Draws images, uint8 `[B, H, W, C]` with B >= 1, as a contact sheet, PNG, each under its title `[B]`."""
    columns = min(len(images), 10)
    rows = -(-len(images) // columns)
    figure, axes = pyplot.subplots(rows, columns, figsize=(1.2 * columns, 1.45 * rows), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, image, title in zip(axes.flat, images, titles):
        _show(axis, image)
        axis.set_title(title, fontsize=7)
    figure.tight_layout()
    _save(figure, path)


class Strip(NamedTuple):
    """How an image came about: what stands before it, images uint8 `[S, H, W, C]` with S >= 1, and titles `[S]`."""

    name: str
    images: np.ndarray
    titles: Sequence[str]


def draw_strips(strips: Sequence[Strip], path: str | IO[bytes]) -> None:
    """Draws strips, at least one, as PNG, a row each: evenly spaced images where there are many."""
    columns = max(len(_shown(len(strip.images))) for strip in strips)
    size = (1.2 * columns + 0.6, 1.45 * len(strips) + 0.1)
    figure, axes = pyplot.subplots(len(strips), columns, figsize=size, squeeze=False)
    for row, strip in zip(axes, strips, strict=True):
        for axis in row:
            axis.set_axis_off()
        for axis, place in zip(row, _shown(len(strip.images))):
            _show(axis, strip.images[place])
            axis.set_title(strip.titles[place], fontsize=7)
        row[0].text(
            -0.12, 0.5, strip.name, rotation=90, ha="right", va="center", fontsize=8, transform=row[0].transAxes
        )
    figure.tight_layout()
    _save(figure, path)


def draw_curves(curves: Sequence[np.ndarray], stream: IO[bytes]) -> None:
    """Draws islands' curves as PNG: the median confidence and the number of classes done, by generation.

    Args:
      curves: for each island float64 `[G, 3]`: generation, classes done, median confidence in [0, 1].
      stream: where the PNG goes.
    """
    figure, (above, below) = pyplot.subplots(2, 1, sharex=True, figsize=(6, 4.6))
    for curve in curves:
        above.plot(curve[:, 0], curve[:, 2], color=_RIGHT, linewidth=0.9)
        below.plot(curve[:, 0], curve[:, 1], color=_RIGHT, linewidth=0.9)
    above.set_ylim(0, 1.02)
    above.set_ylabel("median confidence", fontsize=8)
    below.set_ylabel("classes done", fontsize=8)
    below.set_xlabel("generation", fontsize=8)
    figure.tight_layout()
    _save(figure, stream)


def draw_confusions(counts: np.ndarray, nets: Sequence[str], class_names: Sequence[str], to: str | IO[bytes]) -> None:
    """Draws for each net how many images of a class (row) it takes for which other (column), as PNG.

    Args:
      counts: `[R, K, K]`.
      nets: `[R]`, R >= 1.
      class_names: `[K]`; of many, none is written.
      to: the file to write.
    """
    across = min(len(nets), 3)
    down = -(-len(nets) // across)
    figure, axes = pyplot.subplots(
        down, across, figsize=(3.1 * across + 0.4, 2.9 * down + 0.3), squeeze=False, layout="constrained"
    )
    for axis, net, each in zip(axes.flat, nets, counts):
        drawn = axis.imshow(np.ma.masked_equal(each, 0), cmap="Blues", vmin=0)
        axis.set_title(f"{net}: {int(each.sum())}", fontsize=8)
        figure.colorbar(drawn, ax=axis, shrink=0.8).ax.tick_params(labelsize=6)
        if len(class_names) <= _NAMED:
            axis.set_xticks(np.arange(len(class_names)), class_names, fontsize=6, rotation=90)
            axis.set_yticks(np.arange(len(class_names)), class_names, fontsize=6)
    for axis in axes.flat[len(nets) :]:
        axis.axis("off")
    figure.supylabel("class of the seed image", fontsize=8)
    figure.supxlabel("class that the target net takes it for", fontsize=8)
    _save(figure, to)


def draw_spreads(spreads: Mapping[str, Mapping[str, Sequence[float]]], to: str | IO[bytes]) -> None:
    """Draws numbers as boxes (quartiles; whiskers at the 5th and 95th percentile), as PNG.

    Args:
      spreads: panel -> row -> its numbers; the same rows in each panel, at least one of either. Where they are 0 and 1
        and no others, bars show the share of ones.
      to: the file to write.
    """
    across = min(len(spreads), 3)
    down, rows = -(-len(spreads) // across), list(next(iter(spreads.values())))
    size = (2.7 * across + 0.8, (0.26 * len(rows) + 0.75) * down + 0.1)
    figure, axes = pyplot.subplots(down, across, figsize=size, squeeze=False, sharey=True, layout="constrained")
    for axis, (name, numbers) in zip(axes.flat, spreads.items()):
        _draw_spread(axis, list(numbers.values()))
        axis.set_title(name, fontsize=8)
        axis.tick_params(labelsize=7)
        axis.set_yticks(np.arange(1, len(rows) + 1), rows, fontsize=7)
    axes[0, 0].invert_yaxis()
    for axis in axes.flat[len(spreads) :]:
        axis.axis("off")
    _save(figure, to)


def _draw_spread(axis: pyplot.Axes, rows: Sequence[Sequence[float]]) -> None:
    look: dict[str, Any] = {"facecolor": "#d7e3ef", "edgecolor": _RIGHT}
    if {number for row in rows for number in row} == {0.0, 1.0}:
        axis.barh(np.arange(1, len(rows) + 1), [sum(row) / max(len(row), 1) for row in rows], height=0.6, **look)
        axis.set_xlim(0, 1)
        return
    style: dict[str, Any] = {"showfliers": False, "patch_artist": True, "medianprops": {"color": _WRONG}}
    for box in axis.boxplot(rows, orientation="horizontal", whis=(5, 95), widths=0.6, **style)["boxes"]:
        box.set(**look)


def draw_histograms(values: Mapping[str, Sequence[float]], label: str, to: str | IO[bytes]) -> None:
    """Draws a histogram of each row's numbers over one axis, as lines, PNG.

    Args:
      values: row -> its numbers, at least one.
      label: what they are.
      to: the file to write.
    """
    figure, axis = pyplot.subplots(figsize=(6, 3), layout="constrained")
    every = np.concatenate([np.asarray(numbers, np.float64) for numbers in values.values()])
    edges = np.histogram_bin_edges(every, bins=40)
    for name, numbers in values.items():
        axis.hist(numbers, bins=list(edges), histtype="step", label=name, linewidth=1.2)
    axis.set_xlabel(label, fontsize=8)
    axis.set_ylabel("examples", fontsize=8)
    axis.tick_params(labelsize=7)
    axis.legend(fontsize=7, frameon=False)
    _save(figure, to)


def draw_lines(lines: Mapping[str, Sequence[float]], places: Sequence[str], label: str, to: str | IO[bytes]) -> None:
    """Draws lines over named places, as PNG; NaN leaves a gap.

    Args:
      lines: name -> a number for each place.
      places: what stands below, from left to right; of many, some are written.
      label: what the numbers are.
      to: the file to write.
    """
    figure, axis = pyplot.subplots(figsize=(6, 3), layout="constrained")
    for name, numbers in lines.items():
        axis.plot(numbers, marker="o", markersize=3, linewidth=1.2, label=name)
    step = max(1, -(-len(places) // _MOST))
    axis.set_xticks(np.arange(0, len(places), step), places[::step], fontsize=7, rotation=30, ha="right")
    axis.set_ylim(bottom=0)
    axis.set_ylabel(label, fontsize=8)
    axis.tick_params(labelsize=7)
    axis.legend(fontsize=7, frameon=False)
    _save(figure, to)


class Plane(NamedTuple):
    """The unit square in two classes.

    Attributes:
      name: what stands above it.
      classes: `[G, G]`, 0 or 1, of equal cells; the first row is that of the least y.
      points: drawn on it, `[P, 2]`, x and y in [0, 1].
      labels: their classes, `[P]`.
    """

    name: str
    classes: np.ndarray
    points: np.ndarray
    labels: np.ndarray


def draw_planes(planes: Sequence[Plane], to: str | IO[bytes]) -> None:
    """Draws unit squares in two colours, at least one, as PNG, with points in the darker colours of their classes."""
    across = min(len(planes), 3)
    down = -(-len(planes) // across)
    size = (2.5 * across + 0.3, 2.6 * down + 0.2)
    figure, axes = pyplot.subplots(down, across, figsize=size, squeeze=False, layout="constrained")
    pale = matplotlib.colors.ListedColormap(["#d7e3ef", "#f3d9d5"])
    for axis, plane in zip(axes.flat, planes):
        axis.imshow(plane.classes, cmap=pale, vmin=0, vmax=1, origin="lower", extent=(0, 1, 0, 1))
        for label, color in enumerate((_RIGHT, _WRONG)):
            x, y = plane.points[plane.labels == label].T
            axis.scatter(x, y, s=5, linewidths=0, color=color)
        axis.set_title(plane.name, fontsize=9)
        axis.set_xticks([0, 0.5, 1])
        axis.set_yticks([0, 0.5, 1])
        axis.tick_params(labelsize=7)
    for axis in axes.flat[len(planes) :]:
        axis.axis("off")
    _save(figure, to)


def _save(figure: pyplot.Figure, to: str | IO[bytes]) -> None:
    figure.savefig(to, dpi=130, format="png")
    pyplot.close(figure)


def _show(axis: pyplot.Axes, image: np.ndarray) -> None:
    """Shows an image, uint8 `[H, W, C]`, on an axis."""
    axis.imshow(image[..., 0] if image.shape[-1] == 1 else image, cmap="gray", vmin=0, vmax=255)


def _shown(states: int) -> list[int]:
    """The states to draw: all, or evenly spaced ones with the first and the last."""
    if states <= _MOST:
        return list(range(states))
    return sorted({round(place) for place in np.linspace(0, states - 1, _MOST)})


def _bars(
    axis: pyplot.Axes,
    probabilities: np.ndarray,
    net_names: Sequence[str],
    target_net: str,
    label: int,
    wrong: int,
    labelled: bool,
) -> None:
    places = np.arange(len(net_names))[::-1]
    colors = [_RIGHT if name == target_net else _PEER for name in net_names]
    axis.barh(places + 0.2, probabilities[:, label], height=0.38, color=colors)
    axis.barh(places - 0.2, probabilities[:, wrong], height=0.38, color=_WRONG)
    axis.set_xlim(0, 1)
    axis.set_xticks([0, 1])
    axis.tick_params(labelsize=7, length=2)
    axis.set_yticks(places, net_names if labelled else [""] * len(net_names), fontsize=7)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)

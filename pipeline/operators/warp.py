"""Sampling matrices: how they are composed, and how an image is sampled by one.

A transform is a 2x3 sampling matrix: output pixel (x, y) takes the bilinear value of the source at
`matrix @ (x, y, 1)`. `sample_tf` applies it inside the search; `sample` is the one plain NumPy float64 function from
which every stored image of an operator with matrices comes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from etils import epy

with epy.lazy_imports():  # operators are named in configurations, whose mistakes are told before libraries are loaded
    import numpy as np
    import tensorflow as tf

Border = Literal["constant", "edge"]
BORDER = 1  # pixels around a source, so that every position has four neighbours
IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))

# Sampling matrices in a graph: six float32 `[L]`, row by row. Stacked into one tensor, XLA would work out the sines of
# every entry anew.
Entries: TypeAlias = "Sequence[tf.Tensor]"


def compose_entries(first: Sequence[Any], then: Sequence[Any]) -> list[Any]:
    """Returns the sampling matrices of: apply `first`, then `then`; six entries `[B]` each (NumPy or TensorFlow)."""
    entries: list[Any] = []
    for left, right, shift in (first[:3], first[3:]):
        entries += [left * column + right * below for column, below in zip(then[:3], then[3:], strict=True)]
        entries[-1] = entries[-1] + shift
    return entries


def entries_of(matrices: np.ndarray) -> list[np.ndarray]:
    """Returns the six entries, float64 `[B]` each, of `[B, 2, 3]` sampling matrices."""
    return list(matrices.reshape(-1, 6).T)


def compose(matrices: np.ndarray) -> np.ndarray:
    """Returns the float64 `[2, 3]` matrix of applying `[M, 2, 3]` sampling matrices one after the other."""
    return compose_each(matrices, [len(matrices)])[0]


def compose_each(matrices: np.ndarray, counts: Sequence[int]) -> np.ndarray:
    """`compose` for B chains, whose matrices `[sum of counts, 2, 3]` follow each other: float64 `[B, 2, 3]`."""
    square = np.concatenate([matrices, np.broadcast_to([0.0, 0.0, 1.0], (len(matrices), 1, 3))], axis=1)
    lengths = np.array(counts, int)
    starts, totals = np.cumsum(lengths) - lengths, np.tile(np.eye(3), (len(lengths), 1, 1))
    for move in range(lengths.max(initial=0)):
        longer = np.flatnonzero(lengths > move)
        with np.errstate(invalid="ignore"):  # what is not finite stays so
            totals[longer] = totals[longer] @ square[starts[longer] + move]
    return totals[:, :2]


def pad_tf(images: tf.Tensor, border: Border) -> tf.Tensor:
    """Returns `warp_tf`'s sources, float32 `[B, H + 2, W + 2, C]` in 0 to 255, of uint8-valued `[B, H, W, C]`."""
    mode = {"constant": "CONSTANT", "edge": "SYMMETRIC"}[border]
    return tf.pad(tf.cast(images, tf.float32), [[0, 0], [1, 1], [1, 1], [0, 0]], mode=mode)


def warp_tf(sources: tf.Tensor, rows: tf.Tensor, matrices: Entries) -> tf.Tensor:
    """Returns what `sample_tf` does, on the uint8 grid."""
    return on_grid(sample_tf(sources, rows, matrices))


def on_grid(values: tf.Tensor) -> tf.Tensor:
    """Rounds values 0 to 255 to the uint8 grid; the gradient passes as if they were not rounded."""
    return tf.grad_pass_through(tf.round)(values)


def sample_tf(sources: tf.Tensor, rows: tf.Tensor, matrices: Entries) -> tf.Tensor:
    """Samples one source image a lane, as one fused gather.

    Args:
      sources: float32 `[S, H + 2, W + 2, C]` from `pad_tf`.
      rows: int32 `[L]`, each lane's source.
      matrices: the sampling matrix of each lane.

    Returns:
      float32 `[L, H, W, C]`, values 0 to 255.
    """
    padded_height, padded_width, channels = sources.shape[1:]
    height, width = padded_height - 2, padded_width - 2
    xx, xy, from_left, yx, yy, from_top = (tf.reshape(entry, [-1, 1, 1, 1]) for entry in matrices)
    ys = tf.reshape(tf.range(height, dtype=tf.float32), [1, height, 1, 1])
    xs = tf.reshape(tf.range(width, dtype=tf.float32), [1, 1, width, 1])
    # Positions in the padded source. The upper bound keeps the right and lower neighbours inside it.
    from_x = tf.clip_by_value(xx * xs + xy * ys + from_left + 1.0, 0.0, _below(width + 1))
    from_y = tf.clip_by_value(yx * xs + yy * ys + from_top + 1.0, 0.0, _below(height + 1))
    kind = _position_type(sources.shape.num_elements())
    left, top = tf.cast(from_x, kind), tf.cast(from_y, kind)
    across, down = from_x - tf.cast(left, tf.float32), from_y - tf.cast(top, tf.float32)
    flat = tf.reshape(sources, [-1])
    first = tf.reshape(tf.cast(rows, kind) * (padded_height * padded_width * channels), [-1, 1, 1, 1])
    corner = first + (top * padded_width + left) * channels + tf.range(channels, dtype=kind)
    upper_left, upper_right, lower_left, lower_right = (
        tf.gather(flat, corner + offset)
        for offset in (0, channels, padded_width * channels, (padded_width + 1) * channels)
    )
    upper = upper_left + (upper_right - upper_left) * across
    lower = lower_left + (lower_right - lower_left) * across
    return upper + (lower - upper) * down


def _position_type(elements: int) -> tf.DType:
    """The integers that count so many elements; XLA takes a position that overflowed for one outside, and gives 0."""
    return tf.int32 if elements <= tf.int32.max else tf.int64


def _below(size: int) -> float:
    return float(np.nextafter(np.float32(size), np.float32(0)))


def render(images: np.ndarray, matrices: np.ndarray, border: Border = "constant") -> np.ndarray:
    """Returns what `sample` does, on the grid: uint8 `[B, H, W, C]`."""
    return np.rint(sample(images, matrices, border)).astype(np.uint8)


def sample(images: np.ndarray, matrices: np.ndarray, border: Border) -> np.ndarray:
    """Applies sampling matrices in NumPy float64; what is stored comes from here.

    Only additions, multiplications and roundings act on the numbers, each exact in IEEE arithmetic's sense, so the
    same arguments give the same bytes on every machine, whatever the batch.

    Args:
      images: uint8 `[B, H, W, C]`.
      matrices: float64 `[B, 2, 3]`, one for each image.
      border: as in `Affine`.

    Returns:
      float64 `[B, H, W, C]`, values 0 to 255.
    """
    count, height, width, _ = images.shape
    mode: Any = {"constant": "constant", "edge": "edge"}[border]
    padded = np.pad(images, [(0, 0), (1, 1), (1, 1), (0, 0)], mode=mode).astype(np.float64)
    entries = np.asarray(matrices, np.float64).reshape(count, 6, 1, 1)
    ys, xs = np.arange(height, dtype=np.float64)[:, None], np.arange(width, dtype=np.float64)[None, :]
    from_x = np.clip(entries[:, 0] * xs + entries[:, 1] * ys + entries[:, 2], -1.0, width) + 1.0
    from_y = np.clip(entries[:, 3] * xs + entries[:, 4] * ys + entries[:, 5], -1.0, height) + 1.0
    left = np.minimum(from_x.astype(np.int64), width)
    top = np.minimum(from_y.astype(np.int64), height)
    across, down = (from_x - left)[..., None], (from_y - top)[..., None]
    rows = np.arange(count)[:, None, None]
    upper_left, upper_right = padded[rows, top, left], padded[rows, top, left + 1]
    lower_left, lower_right = padded[rows, top + 1, left], padded[rows, top + 1, left + 1]
    upper = upper_left + (upper_right - upper_left) * across
    lower = lower_left + (lower_right - lower_left) * across
    return upper + (lower - upper) * down


def on_black(values: Any, matrices: Sequence[Any], xp: Any) -> Any:
    """Returns samples of images whose outermost pixels go on for ever, with black beyond the image.

    The edge is where the image ends, half a pixel beyond the outermost pixels' centres, and as soft as a pixel is wide.
    So a crop that reaches to the edge has no dark rim, and what changes the samples' light leaves black as it is.

    Args:
      values: floating-point `[B, H, W, C]`, by border "edge".
      matrices: the six entries of the sampling matrices, `[B]` each.
      xp: NumPy or TensorFlow.
    """
    height, width = values.shape[1:3]
    xx, xy, from_left, yx, yy, from_top = (xp.reshape(entry, [-1, 1, 1, 1]) for entry in matrices)
    ys, xs = np.arange(height, dtype=np.float32)[:, None, None], np.arange(width, dtype=np.float32)[:, None]

    def covered(place: Any, step: Any, side: int) -> Any:
        inside = xp.minimum(place + 0.5, side - 0.5 - place) / step + 0.5
        return xp.minimum(xp.maximum(inside, 0.0), 1.0)

    across = covered(xx * xs + xy * ys + from_left, xp.abs(xx) + xp.abs(xy), width)
    return values * across * covered(yx * xs + yy * ys + from_top, xp.abs(yx) + xp.abs(yy), height)

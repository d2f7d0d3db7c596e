"""Changes of images that no recipe is trained on: what a net has learned beyond the moves that it was shown.

Each is drawn by an image's id and the seed: an image comes out the same whatever stands beside it. Lengths are those
for images of 28 pixels, and grow with the shorter side of others. At severity 0 an image stays as it is, at 1 it is
changed as `STRENGTHS` says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from scipy import ndimage, special

from pipeline import seeding

Corruption = Callable[[np.ndarray, Sequence[str], int, float], np.ndarray]

STRENGTHS = {
    "elastic_alpha": 34.0,  # of noise from -1 to 1 that is smoothed by:
    "elastic_sigma": 4.0,
    "perspective_pixels": 4.0,
    "thinner_pixels": 0.7,
    "thicker_pixels": 1.0,
    "blur_sigma": 1.2,
    "noise_sd": 0.2,  # of the way from black to white
}
_SIDE = 28  # pixels; see above
_ELASTIC, _PERSPECTIVE, _THICKNESS, _NOISE = range(1 << 16, (1 << 16) + 4)  # streams that no search draws from


def elastic(images: np.ndarray, ids: Sequence[str], seed: int, severity: float = 1.0) -> np.ndarray:
    """Moves each pixel by a smooth random field: Simard, Steinkraus and Platt (ICDAR 2003), sigma 4 and alpha 34.

    The field is uniform noise, smoothed; moves are then 1.4 pixels (standard deviation) in each direction.

    Args:
      images: uint8 `[B, H, W, C]`.
      ids: B of them, by which random numbers are drawn.
      seed: uint32, of the random numbers.
      severity: how far pixels move, as a multiple.

    Returns:
      uint8 `[B, H, W, C]`.
    """
    height, width = images.shape[1:3]
    scale = _scale(images)
    sigma = STRENGTHS["elastic_sigma"] * scale
    alpha = severity * STRENGTHS["elastic_alpha"] * scale**2  # smoothing a wider field leaves less of it

    def moved(numbers: np.ndarray) -> np.ndarray:
        noise = 2.0 * numbers.reshape(2, height, width) - 1.0
        return np.stack([ndimage.gaussian_filter(field, sigma, mode="wrap") for field in noise])  # alike to the border

    drawn = _drawn(_ELASTIC, ids, seed, 2 * height * width)
    return _sampled(images, (np.indices((height, width)) + alpha * moved(numbers) for numbers in drawn))


def perspective(images: np.ndarray, ids: Sequence[str], seed: int, severity: float = 1.0) -> np.ndarray:
    """Moves each corner by up to four pixels across and down, and the image with them by a homography.

    As DeTone, Malisiewicz and Rabinovich (2016) draw homographies. Arguments as for `elastic`.
    """
    height, width = images.shape[1:3]
    rows, columns = np.indices((height, width))
    points = np.stack([columns, rows, np.ones_like(rows)]).reshape(3, -1).astype(np.float64)
    corners = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], np.float64)
    reach = severity * STRENGTHS["perspective_pixels"] * _scale(images)

    def moved(numbers: np.ndarray) -> np.ndarray:
        x, y, z = _homography(corners, corners + reach * (2.0 * numbers.reshape(4, 2) - 1.0)) @ points
        return np.stack([y / z, x / z]).reshape(2, height, width)

    return _sampled(images, map(moved, _drawn(_PERSPECTIVE, ids, seed, 8)))


def thickness(images: np.ndarray, ids: Sequence[str], seed: int, severity: float = 1.0) -> np.ndarray:
    """Makes bright strokes thicker or thinner, one as often as the other, by grey dilation or erosion with a disk.

    As in Morpho-MNIST (Castro et al., JMLR 2019), but for grey images, and with disks of one radius. Arguments as for
    `elastic`.
    """
    thicker = _drawn(_THICKNESS, ids, seed, 1)[:, 0] < 0.5
    reach, changed = severity * _scale(images), images.copy()
    changed[thicker] = _extreme(images[thicker], np.maximum, reach * STRENGTHS["thicker_pixels"])
    changed[~thicker] = _extreme(images[~thicker], np.minimum, reach * STRENGTHS["thinner_pixels"])
    return changed


def blur(images: np.ndarray, ids: Sequence[str], seed: int, severity: float = 1.0) -> np.ndarray:
    """Smooths by a Gaussian, the same for all images. Arguments as for `elastic`."""
    sigma = severity * STRENGTHS["blur_sigma"] * _scale(images)
    return _grey(ndimage.gaussian_filter(images.astype(np.float64), (0.0, sigma, sigma, 0.0), mode="nearest"))


def noise(images: np.ndarray, ids: Sequence[str], seed: int, severity: float = 1.0) -> np.ndarray:
    """Adds Gaussian noise to every value by itself, and clips. Arguments as for `elastic`."""
    uniform = _drawn(_NOISE, ids, seed, int(np.prod(images.shape[1:])))
    normal = special.ndtri(uniform + 2.0**-25).reshape(images.shape)  # in the middle of their steps, never at 0
    return _grey(images + 255.0 * severity * STRENGTHS["noise_sd"] * normal)


CORRUPTIONS: dict[str, Corruption] = {
    "elastic": elastic,
    "perspective": perspective,
    "thickness": thickness,
    "blur": blur,
    "noise": noise,
}


def _scale(images: np.ndarray) -> float:
    return min(images.shape[1:3]) / _SIDE


def _drawn(stream: int, ids: Sequence[str], seed: int, count: int) -> np.ndarray:
    """Returns float64 `[B, count]` in [0, 1), each row a function of its id and the seed."""
    words = np.array([seeding.seed_key(each) for each in ids], np.uint32).reshape(-1, 2)
    return seeding.draws(seed, words, np.full(len(words), stream), np.zeros(len(words)), count)


def _sampled(images: np.ndarray, places: Iterator[np.ndarray]) -> np.ndarray:
    """Returns each image's bilinear values at rows and columns `[2, H, W]`; outside is the nearest pixel."""
    changed = np.empty_like(images)
    for row, (image, where) in enumerate(zip(images, places, strict=True)):
        for channel in range(images.shape[3]):
            values = ndimage.map_coordinates(image[..., channel].astype(np.float64), where, order=1, mode="nearest")
            changed[row, ..., channel] = _grey(values)
    return changed


def _homography(points: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Returns the float64 `[3, 3]` matrix that takes four points (x, y) to four others."""
    rows, values = [], []
    for (x, y), (u, v) in zip(points, images, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return np.append(np.linalg.solve(np.array(rows), np.array(values)), 1.0).reshape(3, 3)


def _extreme(images: np.ndarray, extreme: np.ufunc, radius: float) -> np.ndarray:
    """Returns the largest or least bilinear value in a disk around each pixel; radii need not be whole numbers."""
    values = images.astype(np.float64)
    found = values
    for down, across in _disk(radius):
        found = extreme(found, ndimage.shift(values, (0.0, down, across, 0.0), order=1, mode="nearest"))
    return _grey(found)


def _disk(radius: float) -> Iterator[tuple[float, float]]:
    """Yields shifts (down, across) that fill a disk, in rings at most a pixel apart; its middle is left out."""
    rings = int(np.ceil(radius))
    for ring in range(1, rings + 1):
        for turn in np.linspace(0.0, 2.0 * np.pi, 8 * ring, endpoint=False):
            yield radius * ring / rings * np.sin(turn), radius * ring / rings * np.cos(turn)


def _grey(values: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(values, 0.0, 255.0)).astype(np.uint8)

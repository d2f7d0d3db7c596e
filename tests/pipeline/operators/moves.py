"""Affine moves, and images moved by matrices in both ways, that the tests of operators share."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from pipeline.operators import warp
from pipeline.operators.affine import Affine

SHAPES = [(8, 8, 1), (12, 9, 1), (7, 16, 3)]
BORDERS = ["constant", "edge"]
NO_COLOUR = {"saturation": 0.0, "hue_degrees": 0.0, "temperature_mired": 0.0}  # so that grey images can be changed
AFFINE = Affine(rotation_degrees=40.0, translation_pixels=3.0, scale=0.3, stretch=0.3, shear_degrees=20.0)


@tf.function(jit_compile=True)
def warp_compiled(sources: tf.Tensor, rows: tf.Tensor, matrices: warp.Entries) -> tf.Tensor:
    """Returns what `warp_tf` makes of sources, compiled."""
    return warp.warp_tf(sources, rows, matrices)


def entries(matrices: np.ndarray) -> list[tf.Tensor]:
    """Returns sampling matrices `[B, 2, 3]` as a graph has them."""
    return tf.unstack(tf.constant(np.reshape(matrices, (-1, 6)), tf.float32), axis=1)


def warped(images: np.ndarray, matrices: np.ndarray, border: warp.Border = "constant") -> np.ndarray:
    """Returns each image as the search samples it."""
    rows = tf.range(len(images))
    return warp_compiled(warp.pad_tf(tf.constant(images), border), rows, entries(matrices)).numpy()


def rendered_and_warped(
    images: np.ndarray, matrices: np.ndarray, border: warp.Border = "constant"
) -> tuple[np.ndarray, np.ndarray]:
    """Returns each image as it is stored, and as the search samples it."""
    matrices = np.broadcast_to(matrices, (len(images), 2, 3))
    return warp.render(images, matrices, border), warped(images, matrices, border)


def random_matrices(count: int, shape: tuple[int, ...], operator: Affine = AFFINE) -> np.ndarray:
    """Returns the matrices of random moves, the same every time."""
    uniform = np.random.default_rng(2).random((count, 6))
    return operator.matrices(operator.parameters(uniform, *shape[:2]), shape[0], shape[1])


def matrix(shape: tuple[int, ...], **parameters: float) -> np.ndarray:
    """Returns the matrix of one move, `[1, 2, 3]`; what is not named is off."""
    values = {"scale": 1.0, "stretch": 1.0, **parameters}
    return AFFINE.matrices(np.array([[values.get(name, 0.0) for name in AFFINE.parameter_names]]), *shape[:2])


def shifted(image: np.ndarray, right: int, down: int) -> np.ndarray:
    """Moves an image's content by whole pixels; what comes in is black."""
    height, width = image.shape[:2]
    result = np.zeros_like(image)
    for y in range(max(down, 0), min(height + down, height)):
        for x in range(max(right, 0), min(width + right, width)):
            result[y, x] = image[y - down, x - right]
    return result


def chain(operator: type, *found: dict[str, float]) -> np.ndarray:
    """Returns moves `[M, P]` of an operator of photographs; of each, what is not named is still."""
    factors = ("crop_width", "crop_height", "gamma", "brightness", "contrast", "saturation")
    still = {name: float(name in factors) for name in operator.parameter_names}
    rows = [list({**still, **move}.values()) for move in found]
    return np.array(rows, np.float64).reshape(-1, len(still))

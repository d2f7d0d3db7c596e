"""From the record of a trial to the image that is stored, judged again by every net before it is kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pipeline import records, seeding, transforms
from pipeline.criteria import Judgement, PeerPressure
from pipeline.search.hillclimb import Compose

PEER_LOST = "a peer does not hold the class on the stored image"
TARGET_RIGHT = "the target net is not wrong enough on the stored image"
NOT_LOSSLESS = "the encoded image decodes to other pixels"
_ROUNDING = 1e-9  # so that a move of exactly a limit is within it


class Chain(NamedTuple):
    """The moves that lead from a seed image to its mistake.

    Attributes:
      parameters: float64 `[M, P]`, in the operator's `parameter_names`.
      matrices: float64 `[M, 2, 3]`, the sampling matrix of each move.
      composed: float64 `[2, 3]`, all moves in one.
    """

    parameters: np.ndarray
    matrices: np.ndarray
    composed: np.ndarray


def chain_from_steps(
    operator: transforms.Affine,
    run_seed: int,
    words: np.ndarray,
    target_net: int,
    steps: np.ndarray,
    shape: Sequence[int],
) -> Chain:
    """Draws a trial's accepted moves again from its run seed, seed words `[2]`, target net and step numbers `[M]`."""
    count = len(steps)
    names = operator.parameter_names
    uniform = seeding.draws(run_seed, np.tile(words, (count, 1)), np.full(count, target_net), steps, len(names))
    parameters = np.stack(operator.parameters(uniform), axis=-1).reshape(count, len(names))
    return chain_from_parameters(operator, parameters, shape)


def chain_from_parameters(operator: transforms.Affine, parameters: np.ndarray, shape: Sequence[int]) -> Chain:
    """Builds the chain of moves with float64 `[M, P]` parameters on images of `shape` (H, W, C)."""
    matrices = operator.matrices(parameters, shape[0], shape[1])
    return Chain(parameters, matrices, transforms.compose(matrices))


def render_states(image: np.ndarray, chain: Chain, compose: Compose, border: transforms.Border) -> np.ndarray:
    """Renders the image after each move, uint8 `[M, H, W, C]`, from the seed image uint8 `[H, W, C]`."""
    totals = [transforms.compose(chain.matrices[: move + 1]) for move in range(len(chain.matrices))]
    if compose == "matrix":
        return transforms.render(
            np.repeat(image[None], len(totals), axis=0), np.array(totals).reshape(-1, 2, 3), border
        )
    states = [image]
    for matrix in chain.matrices:
        states.append(transforms.render(states[-1][None], matrix[None], border)[0])
    return np.array(states[1:], np.uint8).reshape(-1, *image.shape)


def render_final(images: np.ndarray, chains: list[Chain], compose: Compose, border: transforms.Border) -> np.ndarray:
    """Renders the last state of each chain, uint8 `[B, H, W, C]`, from seed images `[B, H, W, C]`."""
    if compose == "matrix":
        return transforms.render(images, np.array([chain.composed for chain in chains]).reshape(-1, 2, 3), border)
    finals = [
        render_states(image, chain, compose, border)[-1] if len(chain.matrices) else image
        for image, chain in zip(images, chains, strict=True)
    ]
    return np.array(finals, np.uint8).reshape(images.shape)


def judge(
    criterion: PeerPressure, probabilities: np.ndarray, classes: np.ndarray, target_nets: np.ndarray
) -> Judgement:
    """`PeerPressure.judge` on NumPy arrays, `[N, B, K]`, `[B]`, `[B]`."""
    judgement = criterion.judge(tf.constant(probabilities), np.int32(classes), np.int32(target_nets))
    return Judgement(*(field.numpy() for field in judgement))


def failures(judgement: Judgement) -> list[str]:
    """Returns why each image is not the mistake it was taken for, "" where it is."""
    reasons = np.where(judgement.mistake, "", np.where(judgement.peers_hold, TARGET_RIGHT, PEER_LOST))
    return [str(reason) for reason in reasons]


@dataclasses.dataclass(frozen=True)
class Grading:
    """[grade]: when a mistake is of high value.

    All but the first are limits to what all moves together may do to the seed image. The defaults are what others take
    for harmless. Rotation and translation: Engstrom et al., "Exploring the Landscape of Spatial Robustness", 30 degrees
    and 3 pixels of 28. Scale: affNIST, 0.8 to 1.2. Stretch: random crops in "Going Deeper with Convolutions", aspect
    ratios of 3/4 to 4/3. Shear: "AutoAugment", a slope of 0.3.

    Attributes:
      peer_margin: the least lead, in probability, that every peer must give the class over its runner-up.
      rotation_degrees: largest rotation either way, in degrees; 180 sets no limit.
      translation: largest shift of the centre along x and along y, as a share of the width and of the height.
      scale: largest relative change of size; 0.2 allows factors from 1/1.2 to 1.2.
      stretch: largest relative change of width, paid for by height; same form as `scale`.
      shear_degrees: largest horizontal shear angle either way, in degrees; 90 sets no limit.
    """

    peer_margin: float = 0.1
    rotation_degrees: float = 30.0
    translation: float = 3 / 28
    scale: float = 0.2
    stretch: float = 0.15
    shear_degrees: float = 16.7

    def realistic(self, composed: np.ndarray, shape: Sequence[int]) -> bool:
        """Tells whether a sampling matrix `[2, 3]` for images of `shape` (H, W, C) is within all limits."""
        height, width = shape[:2]
        parts = transforms.decompose(composed, height, width)
        if not (np.isfinite(parts).all() and parts.scale > 0):  # a mirrored image is another one
            return False
        changes = [
            (abs(parts.rotation_degrees), self.rotation_degrees),
            (abs(parts.translate_x) / width, self.translation),
            (abs(parts.translate_y) / height, self.translation),
            (abs(np.log(parts.scale)), np.log1p(self.scale)),
            (abs(np.log(parts.stretch)), np.log1p(self.stretch)),
            (abs(parts.shear_degrees), self.shear_degrees),
        ]
        return all(change <= limit + _ROUNDING for change, limit in changes)

    def grade(self, realistic: bool, peer_margin: float, judge_class: int, label: int) -> str:
        """Returns `records.HIGH` or `records.LOW`; `judge_class` is -1 where there is no judge."""
        agrees = judge_class in (-1, label)
        return records.HIGH if realistic and agrees and peer_margin >= self.peer_margin else records.LOW

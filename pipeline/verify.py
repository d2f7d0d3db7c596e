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
    """When a mistake is of high value.

    Attributes:
      peer_margin: the least lead, in probability, that every peer must give the class over its runner-up.
    """

    peer_margin: float = 0.1

    def grade(self, realistic: bool, peer_margin: float, judge_class: int, label: int) -> str:
        """Returns `records.HIGH` or `records.LOW`; `judge_class` is -1 where there is no judge."""
        agrees = judge_class in (-1, label)
        return records.HIGH if realistic and agrees and peer_margin >= self.peer_margin else records.LOW

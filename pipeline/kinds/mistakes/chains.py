"""From a chain of moves to the image that is stored, and what the nets say of it: the same in mining and in checks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from pipeline import records
from pipeline.criteria import Judgement, PeerPressure
from pipeline.operators.operator import Compose, Operator

PEER_LOST = "a peer does not hold the class on the stored image"
TARGET_RIGHT = "the target net is not wrong enough on the stored image"
NOT_LOSSLESS = "the encoded image decodes to other pixels"


def render_states(operator: Operator, image: np.ndarray, chain: np.ndarray, compose: Compose) -> np.ndarray:
    """Renders the image after each move, uint8 `[M, H, W, C]`, from the seed image uint8 `[H, W, C]`."""
    if compose == "matrix":
        starts = [chain[: move + 1] for move in range(len(chain))]
        return operator.render(np.repeat(image[None], len(chain), axis=0), starts)
    states = [image]
    for move in chain:
        states.append(operator.render(states[-1][None], [move[None]])[0])
    return np.array(states[1:], np.uint8).reshape(-1, *image.shape)


def render_final(operator: Operator, images: np.ndarray, chains: Sequence[np.ndarray], compose: Compose) -> np.ndarray:
    """Renders the last state of each chain, uint8 `[B, H, W, C]`, from seed images `[B, H, W, C]`."""
    if compose == "matrix":
        return operator.render(images, chains)
    finals = [
        render_states(operator, image, chain, compose)[-1] if len(chain) else image
        for image, chain in zip(images, chains, strict=True)
    ]
    return np.array(finals, np.uint8).reshape(images.shape)


def flat_composed(operator: Operator, chain: np.ndarray, height: int, width: int) -> np.ndarray:
    """Returns what an operator records of a chain as a whole, sorted by name as manifests are, flattened."""
    composed = operator.composed([chain], height, width)
    return np.concatenate([np.zeros(0), *(composed[name].ravel() for name in sorted(operator.composed_shapes))])


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


def grade(realistic: bool, peer_margin: float, least_margin: float, judge_class: int, label: int) -> str:
    """Returns `records.HIGH` or `records.LOW`; `judge_class` is -1 where there is no judge."""
    agrees = judge_class in (-1, label)
    return records.HIGH if realistic and agrees and peer_margin >= least_margin else records.LOW

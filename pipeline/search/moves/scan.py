"""The peer filter without a search: images, as they are, on which exactly one net disagrees with all others."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pipeline.criteria import ClassFrom, PeerPressure


class ScanResult(NamedTuple):
    """Who stands alone, each `[B]`.

    Attributes:
      target_nets: int32, the net that all others contradict, -1 where there is none.
      classes: int32, the class that the image is taken for: the label, or what all nets but one give; -1 where there is
        none.
    """

    target_nets: np.ndarray
    classes: np.ndarray


def scan(probabilities: np.ndarray, labels: np.ndarray, class_from: ClassFrom, criterion: PeerPressure) -> ScanResult:
    """Applies the peer filter to images by their nets' probabilities.

    Args:
      probabilities: float32 `[N, B, K]`, N >= 2, or >= 3 where the class comes from the nets.
      labels: int32 `[B]`.
      class_from: "label": all other nets have to give the label; "consensus": one and the same class.
      criterion: how sure the others and the lone net have to be.
    """
    nets, count, _ = probabilities.shape
    target_nets = np.full(count, -1, np.int32)
    classes = np.array(labels, np.int32) if class_from == "label" else np.full(count, -1, np.int32)
    for net in range(nets):
        others = probabilities[(net + 1) % nets].argmax(-1).astype(np.int32)
        held = labels.astype(np.int32) if class_from == "label" else others
        judgement = criterion.judge(tf.constant(probabilities), held, np.full(count, net, np.int32))
        alone = judgement.mistake.numpy()
        target_nets[alone] = net
        classes[alone] = held[alone]
    return ScanResult(target_nets, classes)

"""When an image is a high-value mistake: the peers hold its class while the target net gives it up.

The rule of Baluja, Covell and Sukthankar, "The Virtues of Peer Pressure". The same function judges inside the
compiled search and, eagerly, whatever is stored.
"""

from __future__ import annotations

import dataclasses
from typing import Literal, NamedTuple

import numpy as np
import tensorflow as tf

ClassFrom = Literal["label", "consensus"]  # an image's class: its label, or the one that all nets give


class Judgement(NamedTuple):
    """What the nets say of a batch of images, every field `[B]`.

    Attributes:
      peers_hold: bool, every peer puts the image in its class, with at least `peer_confidence`; so without peers.
      class_confidence: float32, the target net's probability of the class (what the search lowers).
      wrong_confidence: float32, the target net's highest probability of any other class.
      peer_margin: float32, the smallest lead that any peer gives the class over its runner-up; without peers -1, the
        least that there is, for nobody vouches for the class.
      mistake: bool, the peers hold and the target net is wrong with at least `target_confidence`.
    """

    peers_hold: tf.Tensor
    class_confidence: tf.Tensor
    wrong_confidence: tf.Tensor
    peer_margin: tf.Tensor
    mistake: tf.Tensor


def class_and_rival(probabilities: tf.Tensor, classes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Splits `[N, B, K]` probabilities at classes `[B]`: that class's, and the highest of the others, each `[N, B]`.

    Both are NaN where a net does not give finite numbers.
    """
    chosen = tf.one_hot(classes, probabilities.shape[-1], on_value=True, off_value=False, dtype=tf.bool)[None]
    own = tf.reduce_max(tf.where(chosen, probabilities, 0.0), axis=-1)
    rival = tf.reduce_max(tf.where(chosen, -1.0, probabilities), axis=-1)
    # Compiled and eager maxima treat NaN differently; NaN on both sides makes every comparison false.
    finite = tf.reduce_all(tf.math.is_finite(probabilities), axis=-1)
    return tf.where(finite, own, np.nan), tf.where(finite, rival, np.nan)


@dataclasses.dataclass(frozen=True)
class PeerPressure:
    """The mistake criterion.

    Attributes:
      peer_confidence: least probability that every peer must give the class, in [0, 1].
      target_confidence: least probability that the target net must give one wrong class, in [0, 1].
    """

    peer_confidence: float = 0.0
    target_confidence: float = 0.0

    def holds(self, own: tf.Tensor, rival: tf.Tensor) -> tf.Tensor:
        """Tells whether a peer holds a class that it gives `own`, and the likeliest other one `rival`."""
        return (own > rival) & (own >= self.peer_confidence)

    def misled(self, own: tf.Tensor, rival: tf.Tensor) -> tf.Tensor:
        """Tells whether a target net gives up a class that it gives `own`, and the likeliest other one `rival`."""
        return (rival > own) & (rival >= self.target_confidence)

    def judge(self, probabilities: tf.Tensor, classes: tf.Tensor, target_nets: tf.Tensor) -> Judgement:
        """Judges images from the nets' `[N, B, K]` probabilities, classes `[B]` and target nets `[B]` (0 to N - 1).

        A net puts an image in a class when that class's probability is above every other's; a tie is nobody's.
        """
        own, rival = class_and_rival(probabilities, classes)
        is_target = tf.range(probabilities.shape[0])[:, None] == target_nets[None]
        peers_hold = tf.reduce_all(self.holds(own, rival) | is_target, axis=0)
        class_confidence = tf.reduce_sum(tf.where(is_target, own, 0.0), axis=0)
        wrong_confidence = tf.reduce_sum(tf.where(is_target, rival, 0.0), axis=0)
        wrong = self.misled(class_confidence, wrong_confidence)
        alone = probabilities.shape[0] == 1
        peer_margin = tf.reduce_min(tf.where(is_target, -1.0 if alone else 2.0, own - rival), axis=0)
        return Judgement(peers_hold, class_confidence, wrong_confidence, peer_margin, peers_hold & wrong)


def consensus(probabilities: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the class int32 `[B]` that all nets give, and whether they all do, bool `[B]`, from `[N, B, K]`."""
    classes = tf.argmax(probabilities, axis=-1, output_type=tf.int32)
    return classes[0], tf.reduce_all(classes == classes[:1], axis=0)


def all_hold(probabilities: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
    """Tells, bool `[B]`, whether every net puts an image in its class."""
    own, rival = class_and_rival(probabilities, classes)
    return tf.reduce_all(own > rival, axis=0)

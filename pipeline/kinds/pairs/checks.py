"""Published pairs looked at again: what must hold of one, how one is made anew, what new nets make of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from models.classifier import PeerGroup
from pipeline import criteria, seeding
from pipeline.config.recorded import Recorded
from pipeline.kinds import published
from pipeline.kinds.kind import HEALED, Example
from pipeline.kinds.pairs import mining
from pipeline.kinds.pairs.status import FOOLED

OTHER_DISTORTION = "the pair's images differ by another distortion than stored"
OTHER_CLASS = "the target net gives another class than stored"


def failures(examples: Sequence[Example], run: Recorded, answers: np.ndarray) -> list[list[str]]:
    """Returns why each pair does not hold; see `Kind.failures`."""
    nets = [published.target_net(example, run) for example in examples]
    own = answers[nets, np.arange(len(examples))]
    labels, aims = (np.array([example[key] for example in examples]) for key in ("label", "aimed_class"))
    misread = mining.misreads(own, labels, aims)
    found = []
    for place, example in enumerate(examples):
        distortion, largest = mining.distances(example["image"], example["seed_image"])
        same = np.allclose([distortion, largest], [example["distortion"], example["largest_change"]], atol=1e-6)
        reasons = published.id_failures(example, run) + [OTHER_DISTORTION] * (not same)
        reasons += [mining.NOT_MISREAD] * (not misread[place])
        found.append(reasons + [OTHER_CLASS] * bool(own[place].argmax() != example["wrong_class"]))
    return found


def again(example: Example, run: Recorded, group: PeerGroup) -> np.ndarray:
    """Makes a twin anew, uint8 `[H, W, C]`: the same bytes on the same kind of device and versions."""
    net, words = published.target_net(example, run), seeding.seed_key(example["seed"]["id"].decode())
    task = mining.task_of(run.method, run.sections, run.run, (net,), run["config_digest"])
    label, aim = (np.array([example[key]], np.int32) for key in ("label", "aimed_class"))
    images = example["seed_image"][None]
    return task.miner(group, None).attack(net, images, label, aim, np.array([words], np.uint32)).images[0]


def status(examples: Sequence[Example], answers: np.ndarray, target_net: int) -> list[str]:
    """Returns what new nets make of pairs of one target net; see `Kind.status`."""
    classes = np.array([example["label"] for example in examples], np.int32)
    own, rival = (part.numpy() for part in criteria.class_and_rival(tf.constant(answers), tf.constant(classes)))
    return np.where(own[target_net] > rival[target_net], HEALED, FOOLED).tolist()

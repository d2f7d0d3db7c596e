"""Published garbage images looked at again: what must hold of one, how one is bred anew, what new nets make of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from models.classifier import PeerGroup
from models.errors import InputError
from pipeline import criteria
from pipeline.config.recorded import Recorded
from pipeline.kinds import published
from pipeline.kinds.garbage import mining
from pipeline.kinds.garbage.islands import Island
from pipeline.kinds.garbage.status import CERTAIN, SAME_CLASS
from pipeline.kinds.kind import HEALED, Example
from pipeline.search.evolution import cppn

_TOLERANCE = 1e-6  # by which a probability near 1 may differ on another device


def failures(examples: Sequence[Example], run: Recorded, answers: np.ndarray) -> list[list[str]]:
    """Returns why each image does not hold; see `Kind.failures`."""
    nets = [published.target_net(example, run) for example in examples]
    own = answers[nets, np.arange(len(examples)), [example["wrong_class"] for example in examples]]
    least = run.sections["garbage"].confidence
    found = []
    for example, confidence in zip(examples, own, strict=True):
        number, digest = int(example["island"]), example["target_digest"].decode()
        made_of = (run["config_digest"], run["run_seed"], number, int(example["wrong_class"]), digest)
        reasons = [published.OTHER_ID] * (example["id"].decode() != mining.example_id(*made_of))
        stated, genome = min(least, float(example["confidence"])), example["genome"].decode()
        reasons += [published.OTHER_PIXELS] * bool(genome and not _draws(genome, example["image"]))
        found.append(reasons + [mining.NOT_CONFIDENT] * bool(confidence < stated - _TOLERANCE))
    return found


def _draws(genome: str, image: np.ndarray) -> bool:
    """Tells whether a CPPN's genome renders to an image."""
    try:
        return np.array_equal(cppn.render_at(genome, *image.shape[:2]), image)
    except InputError:
        return False


def again(example: Example, run: Recorded, group: PeerGroup) -> np.ndarray:
    """Runs an image's island again up to its generation, uint8 `[H, W, C]`: equal bytes on the same kind of device."""
    bred = dataclasses.replace(run.sections["garbage"], generations=int(example["generation"]))
    classes = mining.classes_of(bred.classes, run["class_names"], run["num_classes"])
    sections = {**run.sections, "garbage": bred}
    task = mining.task_of(run.method, sections, run.run, group, classes, run["config_digest"], None)
    island = Island(0, published.target_net(example, run), int(example["island"]))
    _, champions = task.miner(group, None).evolve(island)
    return champions.images[classes.index(int(example["wrong_class"]))]


def status(examples: Sequence[Example], run: Recorded, answers: np.ndarray, target_net: int) -> list[str]:
    """Returns what new nets make of images of one target net; see `Kind.status`."""
    classes = np.array([example["wrong_class"] for example in examples], np.int32)
    own, rival = (part.numpy()[target_net] for part in criteria.class_and_rival(tf.constant(answers), classes))
    certain = own >= np.float32(run.sections["garbage"].confidence)
    return np.where(certain, CERTAIN, np.where(rival > own, HEALED, SAME_CLASS)).tolist()

"""Published mistakes looked at again: what must hold of one, how one is made anew, what new nets make of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from models.classifier import PeerGroup
from pipeline import criteria, seeding
from pipeline.config.recorded import Recorded
from pipeline.kinds import published
from pipeline.kinds.kind import HEALED, Example
from pipeline.kinds.mistakes import chains
from pipeline.kinds.mistakes.finder import Finder
from pipeline.kinds.mistakes.status import LOST, REMAINING, SHARED
from pipeline.report import picture

OTHER_MOVES = "the run seed draws other moves"

_TOGETHER = 16  # images that are rendered at a time: few, for they take up 8 bytes a pixel many times over


def finder_of(run: Recorded) -> Finder:
    """Returns what found a run's mistakes."""
    return run.method.build(run.sections)


def failures(examples: Sequence[Example], run: Recorded, answers: np.ndarray) -> list[list[str]]:
    """Returns why each mistake does not hold; see `Kind.failures`."""
    finder = finder_of(run)
    labels = np.array([example["label"] for example in examples])
    nets = np.array([published.target_net(example, run) for example in examples])
    reasons = chains.failures(chains.judge(finder.criterion, answers, labels, nets))
    checked = zip(examples, _rendered(examples, finder), _drew(examples, run, finder, nets), reasons, strict=True)
    return [
        _record_failures(example, image, drew, run) + [reason] * bool(reason)
        for example, image, drew, reason in checked
    ]


def _record_failures(example: Example, image: np.ndarray, drew: bool, run: Recorded) -> list[str]:
    """Tells what needs no net; `image` is what the record renders to, `drew` what `_drew` says of it."""
    other_pixels = [published.OTHER_PIXELS] * (not np.array_equal(image, example["image"]))
    return other_pixels + [OTHER_MOVES] * (not drew) + published.id_failures(example, run)


def _drew(examples: Sequence[Example], run: Recorded, finder: Finder, nets: np.ndarray) -> list[bool]:
    """Tells which records are what the run seed draws for the accepted steps, and add up; `nets` are the targets."""
    transforms, (height, width) = [example["transform"] for example in examples], examples[0]["seed_image"].shape[:2]
    words = np.array([seeding.seed_key(example["seed"]["id"].decode()) for example in examples], np.uint32)
    stored = [transform["parameters"] for transform in transforms]
    steps = [transform["steps"] for transform in transforms]
    drawn = finder.drawn(run["run_seed"], words, nets, steps, height, width) or stored
    composed = finder.operator.composed(drawn, height, width)
    return [
        example["run"]["seed"] == run["run_seed"]
        and _close(drawn[place], stored[place])
        and all(_close(composed[name][place], transforms[place][name]) for name in finder.operator.composed_shapes)
        for place, example in enumerate(examples)
    ]


def _close(one: np.ndarray, other: np.ndarray) -> bool:
    return one.shape == other.shape and bool((np.abs(one - other) <= 1e-9).all())


def _rendered(examples: Sequence[Example], finder: Finder) -> Iterator[np.ndarray]:
    for start in range(0, len(examples), _TOGETHER):
        part = examples[start : start + _TOGETHER]
        images = np.stack([example["seed_image"] for example in part])
        moves = [example["transform"]["parameters"] for example in part]
        yield from chains.render_final(finder.operator, images, moves, finder.compose)


def again(example: Example, run: Recorded) -> np.ndarray:
    """Renders a mistake from its record and seed image, uint8 `[H, W, C]`, with NumPy alone."""
    return next(_rendered([example], finder_of(run)))


def draw(example: Example, run: Recorded, group: PeerGroup, path: str, batch: int) -> None:
    """Draws a mistake's session, move by move, as PNG; the nets see `batch` images at a time."""
    finder, seed_image = finder_of(run), example["seed_image"]
    chain = example["transform"]["parameters"]
    states = chains.render_states(finder.operator, seed_image, chain, finder.compose)
    images = np.concatenate([seed_image[None], states])
    answers, target = group.probabilities(images, batch), example["target_net"].decode()
    picture.draw_session(images, answers, group.names, target, run.class_names, int(example["label"]), path)


def status(examples: Sequence[Example], answers: np.ndarray, target_net: int) -> list[str]:
    """Returns what new nets make of mistakes of one target net; see `Kind.status`."""
    classes = np.array([example["label"] for example in examples], np.int32)
    own, rival = (part.numpy() for part in criteria.class_and_rival(tf.constant(answers), tf.constant(classes)))
    right = own > rival
    peers = np.delete(right, target_net, axis=0).all(axis=0)
    return np.where(right[target_net], np.where(peers, HEALED, LOST), np.where(peers, REMAINING, SHARED)).tolist()

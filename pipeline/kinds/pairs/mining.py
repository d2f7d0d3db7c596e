"""Mining of adversarial pairs in one work unit: seed images in, a chunk (every attack, and the verified twins) out."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import tensorflow as tf

from models import kernels
from models.classifier import PeerGroup
from pipeline import criteria, records, seeding
from pipeline.config.config import Run
from pipeline.config.method import Method, Sections
from pipeline.kinds.chunk import NOT_FINITE, ChunkRows, as_stored, judge_columns, set_aside_whole
from pipeline.search.attacks.gradient import UNTARGETED, Attack, Originals, Twins
from pipeline.seeds.source import SeedBatch

Aim = Literal["random", "next", "untargeted"]

SCHEMA = records.schema(  # also filled, with `image` the best try, where the attack found no twin
    pa.field("aimed_class", pa.int32()),  # -1: any class but the label
    pa.field("distortion", pa.float32()),  # sqrt(mean squared change), pixels in [0, 1]
    pa.field("unrounded_distortion", pa.float32()),  # the same before rounding to uint8; NaN if none was misread
    pa.field("broken_by_rounding", pa.bool_()),  # that nearest image is not misread once rounded: another was found
    pa.field("largest_change", pa.float32()),  # of any pixel (L-inf), pixels in [0, 1]
    pa.field("c", pa.float32()),  # L-BFGS: the weight of the squared change; else 0
    seeded=True,
)

NO_TWIN = "no image within reach of the attack is misread"
NO_GRADIENT = "the net's gradient is zero or not finite at the image"
NOT_MISREAD = "the target net does not misread the stored image"
AIM_IS_LABEL = "the aimed class is the image's own"
READ_WRONG = "the target net gets the seed image wrong"


@dataclasses.dataclass(frozen=True)
class Task:
    """What to do to each unit, apart from the nets.

    Attributes:
      attack: how images are changed.
      aim: the class that the target net is to give: drawn at "random", the "next" most likely, a number, or
        "untargeted" (any but the label).
      target_nets: places in the group of the nets to be fooled.
      class_from: "label" (the right class is the seed image's label) or "consensus" (the one that all nets give).
      run_seed: uint32.
      lanes: images that are changed at a time.
      config_digest: stands for all of this in the ids of examples.
    """

    attack: Attack
    aim: Aim | int
    target_nets: tuple[int, ...]
    class_from: Literal["label", "consensus"]
    run_seed: int
    lanes: int
    config_digest: str

    def miner(self, group: PeerGroup, judge: PeerGroup | None) -> PairMiner:
        """Returns what mines units with loaded nets."""
        return PairMiner(self, group, judge)


def task_of(method: Method, sections: Sections, run: Run, target_nets: tuple[int, ...], config_digest: str) -> Task:
    """Returns the task that a method and its sections describe; of `run` run_seed and lanes count."""
    return Task(
        attack=method.build(sections),
        aim=sections["attack"].aim,
        target_nets=target_nets,
        class_from=sections["search"].class_from,
        run_seed=run.run_seed,
        lanes=run.lanes,
        config_digest=config_digest,
    )


@dataclasses.dataclass(frozen=True)
class _Attacked:
    """The trials of one target net in a unit: rows in the batch `[R]`, labels, aimed classes, and the twins."""

    net: int
    rows: np.ndarray
    labels: np.ndarray
    aims: np.ndarray
    twins: Twins


class PairMiner:
    """Attacks units' images with one group of nets; builds its compiled attacks once, when first needed."""

    lower = "[run] lanes or unit_size"

    def __init__(self, task: Task, group: PeerGroup, judge: PeerGroup | None):
        self._task = task
        self._group = group
        self._judge = judge
        self._compiled: dict[int, Any] = {}

    def mine(self, seeds: SeedBatch) -> pa.Table:
        """Returns the chunk of a unit: set-aside and skipped seed images first, then every trial."""
        rows = ChunkRows(SCHEMA, seeds)
        rows.add_unreadable()
        if len(seeds.images):
            before = self._group.probabilities(seeds.images, self._task.lanes)
            finite = np.isfinite(before).all(axis=(0, 2))
            rows.add_seeds(np.flatnonzero(~finite), records.SET_ASIDE, NOT_FINITE)
            for attacked in self._attack_each(seeds, before, finite, rows):
                self._keep(seeds, before, attacked, rows)
        return rows.table()

    def set_aside(self, seeds: SeedBatch, reason: str) -> pa.Table:
        """Returns the chunk of a unit that failed."""
        return set_aside_whole(SCHEMA, seeds, reason)

    def _attack_each(
        self, seeds: SeedBatch, before: np.ndarray, finite: np.ndarray, rows: ChunkRows
    ) -> Iterator[_Attacked]:
        """Attacks, for each target net, the images that it gets right."""
        labels = seeds.labels if self._task.class_from == "label" else criteria.consensus(before)[0].numpy()
        own, rival = (value.numpy() for value in criteria.class_and_rival(tf.constant(before), tf.constant(labels)))
        words = np.array([seeding.seed_key(seed_id) for seed_id in seeds.ids], np.uint32)
        for net in self._task.target_nets:
            right = finite & (own[net] > rival[net])
            aims = self._aims(before[net], labels, words, net)
            self._skip(rows, np.flatnonzero(finite & ~right), net, READ_WRONG)
            self._skip(rows, np.flatnonzero(right & (aims == labels)), net, AIM_IS_LABEL)
            chosen = np.flatnonzero(right & (aims != labels))
            twins = self.attack(net, seeds.images[chosen], labels[chosen], aims[chosen], words[chosen])
            yield _Attacked(net, chosen, labels[chosen], aims[chosen], twins)

    def _skip(self, rows: ChunkRows, places: np.ndarray, net: int, reason: str) -> None:
        zeros = np.zeros(len(places), np.int64)
        names, outcomes = [self._group.names[net]] * len(places), np.full(len(places), records.SKIPPED)
        rows.add_trials(places, names, outcomes, zeros, zeros, None, reason)

    def _aims(self, before: np.ndarray, labels: np.ndarray, words: np.ndarray, net: int) -> np.ndarray:
        """Returns the aimed class of each image, int32 `[B]`, from the target net's probabilities `[B, K]`."""
        count, classes = before.shape
        if self._task.aim == "untargeted":
            return np.full(count, UNTARGETED, np.int32)
        if self._task.aim == "next":
            others = np.where(np.arange(classes)[None] == labels[:, None], -1.0, before)
            return others.argmax(axis=-1).astype(np.int32)
        if self._task.aim == "random":
            nets, steps = np.full(count, net), np.full(count, 2**32 - 1)  # a step that no attack draws
            drawn = seeding.draws(self._task.run_seed, words, nets, steps, 1)[:, 0]
            return ((labels + 1 + (drawn * (classes - 1)).astype(np.int32)) % classes).astype(np.int32)
        return np.full(count, self._task.aim, np.int32)

    def attack(self, net: int, images: np.ndarray, labels: np.ndarray, aims: np.ndarray, words: np.ndarray) -> Twins:
        """Attacks images, `lanes` at a time.

        Args:
          net: the target net's place in the group.
          images: uint8 `[R, H, W, C]`.
          labels: int32 `[R]`, the right classes, 0 to K - 1.
          aims: int32 `[R]`, the classes that the net is to give, or `UNTARGETED`.
          words: uint32 `[R, 2]`, `seeding.seed_key` of the images' ids.

        Returns:
          `Twins` of R rows in NumPy, with images uint8 `[R, H, W, C]`: of an image without a twin, the last try.
        """
        parts = []
        for start in range(0, max(len(images), 1), self._task.lanes):
            chunk = [part[start : start + self._task.lanes] for part in (images, labels, aims, words)]
            parts.append(self._attack_lanes(net, chunk))
        return Twins(*(np.concatenate(fields) for fields in zip(*parts, strict=True)))

    def _attack_lanes(self, net: int, chunk: list[np.ndarray]) -> Twins:
        """Attacks at most `lanes` images; lanes to spare repeat the first image, or hold a black one."""
        count = len(chunk[0])
        if not count:
            chunk = [np.zeros((1, *part.shape[1:]), part.dtype) for part in chunk]
        spare = self._task.lanes - len(chunk[0])
        padded = [np.concatenate([part, np.repeat(part[:1], spare, axis=0)]) for part in chunk]
        twins = self._compiled_attack(net)(*(tf.constant(part) for part in padded))
        return Twins(*(field.numpy()[:count] for field in twins))

    def _compiled_attack(self, net: int) -> Any:
        if net not in self._compiled:
            classifier = self._group.classifiers[net]

            def attack(images: tf.Tensor, labels: tf.Tensor, aims: tf.Tensor, words: tf.Tensor) -> Twins:
                originals = Originals(tf.cast(images, tf.float32) / 255.0, labels, aims, words)
                run_seed = tf.constant(self._task.run_seed, tf.uint32)
                twins = self._task.attack.attack(classifier.predict, run_seed, originals)
                return twins._replace(images=tf.cast(tf.round(twins.images * 255.0), tf.uint8))

            self._compiled[net] = kernels.compiled(attack, classifier.kernels)
        return self._compiled[net]

    def _keep(self, seeds: SeedBatch, before: np.ndarray, attacked: _Attacked, rows: ChunkRows) -> None:
        """Encodes, decodes and judges each twin; keeps it, or writes down why not, with the best try."""
        net, twins, first = attacked.net, attacked.twins, len(rows)
        encoded, stored = as_stored(twins.images)
        after = self._group.probabilities(stored, self._task.lanes)
        misread = misreads(after[net], attacked.labels, attacked.aims)
        outcomes = np.where(twins.misread, np.where(misread, records.FOUND, records.DROPPED), records.EXHAUSTED)
        names, own = [self._group.names[net]] * len(stored), after[net, np.arange(len(stored)), attacked.labels]
        rows.add_trials(attacked.rows, names, outcomes, np.zeros(len(stored), np.int64), twins.evaluations, own)
        judged = self._judge.probabilities(stored, self._task.lanes)[0] if self._judge else None
        for place, row in enumerate(attacked.rows):
            if outcomes[place] != records.FOUND:
                reason = NO_GRADIENT if twins.flat[place] else NO_TWIN
                rows.fill(first + place, reason=NOT_MISREAD if twins.misread[place] else reason)
            original = seeds.images[row]
            distortion, largest_change = distances(stored[place], original)
            rows.fill(
                first + place,
                id=records.example_id(
                    self._task.config_digest,
                    self._task.run_seed,
                    records.made_from(seeds.ids[row], original),
                    self._group.digests[net],
                ),
                image=encoded[place],
                seed_image=records.encode_png(original),
                label=int(attacked.labels[place]),
                wrong_class=int(after[net, place].argmax()),
                probabilities_before=before[:, row].ravel(),
                probabilities_after=after[:, place].ravel(),
                **judge_columns(None if judged is None else judged[place]),
                aimed_class=int(attacked.aims[place]),
                distortion=distortion,
                unrounded_distortion=float(twins.unrounded_distortion[place]),
                broken_by_rounding=bool(twins.broken_by_rounding[place]),
                largest_change=largest_change,
                c=float(twins.c[place]),
            )


def distances(image: np.ndarray, original: np.ndarray) -> tuple[float, float]:
    """Returns distortion (sqrt of the mean squared change) and largest change of uint8 images, pixels as in [0, 1]."""
    change = (image.astype(np.float64) - original) / 255.0
    return float(np.sqrt(np.mean(change**2))), float(np.abs(change).max())


def misreads(probabilities: np.ndarray, labels: np.ndarray, aims: np.ndarray) -> np.ndarray:
    """Tells, bool `[B]`, which answers `[B, K]` of a target net are the mistake aimed at (-1: any but the label)."""
    aimed = aims != UNTARGETED
    wanted = np.where(aimed, aims, labels).astype(np.int32)
    own, rival = (value.numpy()[0] for value in criteria.class_and_rival(tf.constant(probabilities[None]), wanted))
    return np.where(aimed, own > rival, rival > own)

"""Mining of garbage images on one island: a chunk with the champion of every class, done or not, comes out."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf

from models.classifier import PeerGroup
from models.errors import InputError
from pipeline import interruption, records
from pipeline.config.config import Run
from pipeline.config.method import Method, Sections
from pipeline.kinds.chunk import NOT_FINITE, as_stored
from pipeline.kinds.garbage import islands
from pipeline.kinds.garbage.islands import SPLIT, Course, Island, individual, individuals
from pipeline.kinds.garbage.methods import most_generations
from pipeline.search.evolution import elites
from pipeline.search.evolution.elites import NOBODY, Elites, Search
from pipeline.seeds.source import SeedSource
from pipeline.workdir import ledger
from pipeline.workdir.ledger import RunFolder

SCHEMA = records.schema(  # the last ones are also filled, with `image` the best try, where the class was not done
    pa.field("island", pa.int32()),
    pa.field("generation", pa.int32()),
    pa.field("individual", pa.string()),  # "ISLAND-BIRTH", unique for a target net of a run
    pa.field("parents", pa.list_(pa.string())),  # likewise; none to two
    pa.field("genome", pa.string()),  # JSON; "" where the image is the genome
)

NOT_DONE = "the class was not brought to its confidence in all generations"
NOT_CONFIDENT = "the target net is not confident enough on the stored image"

_REASONS = {records.FOUND: "", records.EXHAUSTED: NOT_DONE, records.DROPPED: NOT_CONFIDENT}
_BLOCK = 20  # generations between two looks at the clock
_CHECKPOINT_SECONDS = 5.0
_READ = 4096  # natural images in memory at a time


@dataclasses.dataclass(frozen=True)
class Task:
    """What to do on each island, apart from the nets.

    Attributes:
      search: how images are made.
      classes: the classes to be brought to `confidence`, a cell each.
      confidence: at or above it a class is done, in (0, 1).
      generations: most generations, the 0th not counted.
      batch: images that nets see at a time when stored images are judged.
      run_seed: uint32.
      config_digest: stands for all of this in the ids of examples.
      folder: where islands under way are kept; None keeps nothing.
    """

    search: Search
    classes: tuple[int, ...]
    confidence: float
    generations: int
    batch: int
    run_seed: int
    config_digest: str
    folder: RunFolder | None

    def miner(self, group: PeerGroup, judge: PeerGroup | None) -> GarbageMiner:
        """Returns what mines islands with loaded nets."""
        return GarbageMiner(self, group, judge)


def task_of(
    method: Method,
    sections: Sections,
    run: Run,
    group: PeerGroup,
    classes: tuple[int, ...],
    config_digest: str,
    folder: RunFolder | None,
) -> Task:
    """Returns the task that a method and its sections describe, of `run` run_seed; `folder` as in the task.

    Raises:
      InputError: the nets' images have a number of channels that the encoding cannot make, or there are more
        generations than can be counted.
    """
    bred = sections["garbage"]
    maker = method.build(sections, group.input_shape, len(classes))
    most = most_generations(maker.population)
    if bred.generations > most:
        raise InputError(
            f"[garbage] generations is {bred.generations}, expected at most {most} with {maker.population} images "
            "in each; lower it."
        )
    return Task(
        search=maker,
        classes=classes,
        confidence=bred.confidence,
        generations=bred.generations,
        batch=bred.population,
        run_seed=run.run_seed,
        config_digest=config_digest,
        folder=folder,
    )


@dataclasses.dataclass(frozen=True)
class Champions:
    """The elites of an island as they are stored, K rows each.

    Attributes:
      elites: in NumPy.
      images: uint8 `[K, H, W, C]`, decoded from `encoded`.
      encoded: PNG `[K]`.
      probabilities: float32 `[N, K, classes]`, of all nets on the stored images.
      confidences: float32 `[K]`, the target net's probability of the cell's class.
    """

    elites: Elites
    images: np.ndarray
    encoded: list[bytes]
    probabilities: np.ndarray
    confidences: np.ndarray


class GarbageMiner:
    """Runs islands with one group of nets; compiles each target net's search once, when first needed."""

    lower = "[garbage] population"

    def __init__(self, task: Task, group: PeerGroup, judge: PeerGroup | None):
        self._task = task
        self._group = group
        self._judge = judge
        self._compiled: dict[int, tuple[Any, Any]] = {}

    def mine(self, material: Island) -> pa.Table:
        """Returns the chunk of an island, a row for each class; writes its curve and its lineage."""
        task, name = self._task, self._group.names[material.net]
        course, champions = self.evolve(material)
        if task.folder:
            self._write_curve(material, course)
            lineage = course.lineage(material, name, task.search.population)
            ledger.write_whole(task.folder.lineage(material.unit), records.table_bytes(lineage))
        return self._chunk(material, course, champions)

    def set_aside(self, material: Island, reason: str) -> pa.Table:
        """Returns the chunk of an island that failed: every class set aside."""
        count = len(self._task.classes)
        nothing = {name: [0] * count for name in ("moves", "candidates", "inferences")}
        columns = {
            **self._common(material),
            **nothing,
            "outcome": [records.SET_ASIDE] * count,
            "reason": [reason] * count,
        }
        return records.chunk_table(SCHEMA, columns, count)

    def evolve(self, island: Island) -> tuple[Course, Champions]:
        """Runs an island, or goes on with it, until every class is done, as stored, or the generations are spent."""
        task = self._task
        begin, advance = self._searches(island.net)
        key = islands.key(task.run_seed, self._group.digests[island.net], island.number)
        course = Course.begun(*begin(key))
        if task.folder:
            course = Course.load(task.folder.checkpoint(island.unit), course.state) or course
        saved_at = time.monotonic()
        while True:
            interruption.check()
            state, generation, log = advance(key, course.state, tf.constant(course.generation))
            course = course.after(state, int(generation), log)
            if course.generation == task.generations or course.classes_done == len(task.classes):
                champions = self._champions(island, course)
                fallen = self._fallen(champions)
                if course.generation == task.generations or not fallen.any():
                    return course, champions
                course = _corrected(course, np.where(fallen, champions.confidences, champions.elites.confidences))
            if task.folder and time.monotonic() - saved_at > _CHECKPOINT_SECONDS:
                course.save(task.folder.checkpoint(island.unit))
                self._write_curve(island, course)
                saved_at = time.monotonic()

    def _searches(self, net: int) -> tuple[Any, Any]:
        if net not in self._compiled:
            task, classifier = self._task, self._group.classifiers[net]
            asked = (task.search, classifier.predict, task.classes, task.confidence, task.generations, _BLOCK)
            island = elites.Island(*asked, classifier.kernels)
            self._compiled[net] = island.begin(), island.advance()
        return self._compiled[net]

    def _champions(self, island: Island, course: Course) -> Champions:
        """Renders, encodes, decodes and judges the elites."""
        held = tf.nest.map_structure(lambda tensor: tensor.numpy(), course.state.elites)
        cells = range(len(self._task.classes))
        genomes = [tf.nest.map_structure(lambda field, at=at: field[at], held.genomes) for at in cells]
        encoded, images = as_stored(np.stack([self._task.search.image(genome) for genome in genomes]))
        probabilities = self._group.probabilities(images, self._task.batch)
        return Champions(
            held, images, encoded, probabilities, probabilities[island.net, cells, list(self._task.classes)]
        )

    def _fallen(self, champions: Champions) -> np.ndarray:
        """Tells, bool `[K]`, which classes were done in the search and are not on the stored image."""
        least = np.float32(self._task.confidence)
        return (champions.elites.confidences >= least) & ~(champions.confidences >= least)

    def _write_curve(self, island: Island, course: Course) -> None:
        assert self._task.folder is not None
        ledger.write_whole(self._task.folder.curve(island.unit), course.curve().encode())

    def _common(self, island: Island) -> dict[str, list[Any]]:
        """Returns the columns that do not hang on what came out."""
        count = len(self._task.classes)
        return {
            "seed_id": [f"island {island.number}"] * count,
            "split": [SPLIT] * count,
            "seed_label": [-1] * count,
            "target_net": [self._group.names[island.net]] * count,
            "wrong_class": list(self._task.classes),
            "island": [island.number] * count,
        }

    def _chunk(self, island: Island, course: Course, champions: Champions) -> pa.Table:
        task, held, rows = self._task, champions.elites, len(self._task.classes)
        digest = self._group.digests[island.net]
        least = np.float32(task.confidence)
        outcomes = np.where(champions.confidences >= least, records.FOUND, records.EXHAUSTED)
        outcomes = np.where(self._fallen(champions), records.DROPPED, outcomes)
        evaluations = (course.generation + 1) * task.search.population
        judged = self._judge.probabilities(champions.images, task.batch)[0] if self._judge else None
        genomes = [tf.nest.map_structure(lambda field, at=at: field[at], held.genomes) for at in range(rows)]
        columns = {
            **self._common(island),
            "outcome": outcomes.tolist(),
            "reason": np.where(held.births == NOBODY, NOT_FINITE, [_REASONS[outcome] for outcome in outcomes]).tolist(),
            "moves": [0] * rows,
            "candidates": [evaluations] * rows,
            "inferences": [evaluations + 1] * rows,
            "target_confidence": champions.confidences.tolist(),
            "id": [example_id(task.config_digest, task.run_seed, island.number, at, digest) for at in task.classes],
            "image": champions.encoded,
            "probabilities_after": [champions.probabilities[:, at].ravel() for at in range(rows)],
            "judge_class": [-1] * rows if judged is None else judged.argmax(axis=-1).tolist(),
            "judge_confidence": [0.0] * rows if judged is None else judged.max(axis=-1).tolist(),
            "generation": (held.births // task.search.population).tolist(),
            "individual": [individual(island, birth) for birth in held.births],
            "parents": [individuals(island, pair) for pair in held.parents],
            "genome": [task.search.text(genome) for genome in genomes],
        }
        return records.chunk_table(SCHEMA, columns, rows)


def _corrected(course: Course, confidences: np.ndarray) -> Course:
    """Gives the cells the confidences of the stored images, so that the search goes on where these fall short."""
    known = course.state.elites._replace(confidences=tf.constant(confidences))
    return dataclasses.replace(course, state=course.state._replace(elites=known))


def example_id(config_digest: str, run_seed: int, island: int, wrong_class: int, target_digest: str) -> str:
    """Returns the id of the champion of a class on an island; see `records.example_id`."""
    return records.example_id(config_digest, run_seed, f"island {island}, class {wrong_class}", target_digest)


def natural_confidence(group: PeerGroup, source: SeedSource, split: str, batch: int) -> dict[str, float]:
    """Returns each net's median confidence, in the class that it gives, on the natural images of a split."""
    count = source.count(split)
    highest = [
        group.probabilities(source.read(split, range(start, min(start + _READ, count))).images, batch).max(axis=-1)
        for start in range(0, count, _READ)
    ]
    medians = np.median(np.concatenate(highest, axis=1), axis=1)
    return {name: float(value) for name, value in zip(group.names, medians, strict=True)}


def classes_of(wanted: str | Sequence[int | str], names: Sequence[str], num_classes: int) -> tuple[int, ...]:
    """Returns the classes, by number, that [garbage] classes asks for by number or name, each once, in order.

    Raises:
      InputError: there is no such class.
    """
    if wanted == "all":
        return tuple(range(num_classes))
    found = set()
    for given in [wanted] if isinstance(wanted, str) else wanted:
        if isinstance(given, str) and given in names:
            found.add(list(names).index(given))
        elif isinstance(given, int) and 0 <= given < num_classes:
            found.add(given)
        else:
            known = f", or of the names {', '.join(names[:10])}{', ...' if len(names) > 10 else ''}" if names else ""
            raise InputError(
                f"[garbage] classes has {given!r}, expected 'all' or some of the numbers 0 to {num_classes - 1}{known}."
            )
    return tuple(sorted(found))

"""Retrains nets by every recipe of a file and measures them; what is there already is not made again.

    WORKDIR/retrained/TASK/RECIPE-DIGEST/seed-N/net.keras          a retrained net
    WORKDIR/retrained/TASK/RECIPE-DIGEST/seed-N/training.json      what its lesson notes
    WORKDIR/retrained/TASK/RECIPE-DIGEST/seed-N/retrained.json     where it comes from, and how good it is
    WORKDIR/retrained/TASK/summary.json, summary.csv, front.png    recipes beside each other

The digest is of all that determines the net and its measures.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from etils import epath

from models import devices, loading, training
from models.classifier import Classifier, PeerGroup
from models.errors import InputError
from models.settings import determining
from pipeline import formats, mappings, records
from pipeline.retrain import lessons
from pipeline.retrain.recipe import Lesson, Recipe
from pipeline.retrain.settings import Plan
from pipeline.retrain.subject import Examiner, Front, Material
from pipeline.runs import job as jobs
from pipeline.runs import nets as run_nets
from pipeline.runs import steps
from pipeline.runs.job import Job
from pipeline.seeds.source import Part, SeedBatch, check_usable
from pipeline.versions import published
from pipeline.versions.published import Published
from pipeline.workdir import ledger

Told = Callable[[str, int, int], None]  # what is next, how many nets are done, and of how many


def prepare(plan: Plan, workdir: str, data_dir: str | None, device: str) -> Material:
    """Trains and reads all that recipes start from, but for mined examples.

    Raises:
      InputError: there is no such net or part, the net is no `.keras` model, or no image to measure on is left.
    """
    job = jobs.open_job(plan.mined, workdir, data_dir, device)
    group, _ = steps.train(job).load()
    target = _place(plan.retraining.net, group)
    _check_nets(plan, group.classifiers[target].source)
    learned = _read(job, plan.retraining.learn_from, "[retrain] learn_from")
    others = [_read_part(job, part) for part in run_nets.learned_parts(plan.mined, job.source)]
    known = [learned.images, *(batch.images for batch in others)]
    measured = _unseen(_read(job, plan.measuring.images, "[measure] images"), known)
    return Material(plan, job, group, target, learned, measured, None, None)


def with_published(material: Material) -> Material:
    """Returns the material with the mined task's published dataset, if a recipe uses it.

    Raises:
      InputError: there is no such dataset, or its images or classes are not the net's.
    """
    plan, job = material.plan, material.job
    if not any(recipe.needs_mined() for recipe in plan.recipes.values()):
        return material
    return with_examples(material, mined_dataset(plan, job))


def mined_dataset(plan: Plan, job: Job) -> Published:
    """Opens the mined dataset that a plan names; raises InputError if it is not there."""
    version = plan.retraining.dataset_version
    return published.open_dataset(job.dataset_name + (f":{version}" if version else ""), job.workdir.datasets)


def with_examples(material: Material, dataset: Published) -> Material:
    """Returns the material with the examples of a dataset, but for those whose seed image is measured on."""
    held_out = {_pixels(image) for image in material.measured.images}
    plan, group, target = material.plan, material.group, material.target
    mined = plan.subject.read(dataset, lambda image: _pixels(image) in held_out, group, target, plan.measuring)
    return dataclasses.replace(material, dataset=dataset, mined=mined)


def _place(name: str, group: PeerGroup) -> int:
    if name and name not in group.names:
        raise InputError(f"[retrain] net is '{name}', expected one of {', '.join(group.names)}.")
    place = group.names.index(name) if name else len(group.names) - 1
    require_keras(group.classifiers[place])
    return place


def require_keras(net: Classifier) -> None:
    """Raises InputError if a net is no file that can be trained on."""
    if not net.source.endswith(".keras"):
        raise InputError(f"net '{net.name}' is no .keras file, and only such nets can be retrained.")


def _check_nets(plan: Plan, source: str) -> None:
    """Tells what cannot be trained before anything is."""
    for name, recipe in plan.recipes.items():
        try:
            recipe.net(tf.keras.models.load_model(source, compile=False))
        except InputError as error:
            raise InputError(f"recipe '{name}': {error}") from error


def _read(job: Job, part: str, key: str) -> SeedBatch:
    try:
        return _read_part(job, job.source.part(part))
    except InputError as error:
        raise InputError(f"{key}: {error}") from error


def _read_part(job: Job, part: Part) -> SeedBatch:
    batches = [job.source.read(split, rows) for split, rows in part]
    failures = [failure for batch in batches for failure in batch.failures]
    check_usable(
        f"images of {job.source.name}", failures, sum(len(rows) for _, rows in part), job.config.run.max_set_aside
    )
    first, ids = batches[0], [seed_id for batch in batches for seed_id in batch.ids]
    images, labels = (np.concatenate([getattr(batch, name) for batch in batches]) for name in ("images", "labels"))
    return SeedBatch(first.split, [], ids, images, labels, failures)


def _unseen(measured: SeedBatch, known: Sequence[np.ndarray]) -> SeedBatch:
    """Leaves out the images that some net learned from, pixel by pixel."""
    seen = {_pixels(image) for images in known for image in images}
    kept = np.array([_pixels(image) not in seen for image in measured.images], bool)
    if not kept.any():
        raise InputError(
            f"[measure] images: nets have learned from all {len(kept)} of them; name others, or keep some from them "
            "with [peers] trained_on."
        )
    ids = [seed_id for seed_id, stays in zip(measured.ids, kept, strict=True) if stays]
    return SeedBatch(measured.split, [], ids, measured.images[kept], measured.labels[kept], [])


def _pixels(image: np.ndarray) -> bytes:
    return hashlib.sha256(image.tobytes()).digest()


def run(material: Material, told: Told) -> dict[str, list[dict[str, Any]]]:
    """Retrains and measures what is missing; returns the records, recipe by recipe, in the order of training seeds.

    Args:
      material: what `prepare` gave.
      told: called before each net, and at the end.
    """
    plan, count = material.plan, material.plan.retraining.seeds
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in plan.recipes}
    worker = _Worker(material)
    todo = [(seed, name) for seed in range(count) for name in plan.recipes]  # by seed, for recipes are compared so
    for place, (seed, name) in enumerate(todo):
        told(f"{name}, seed {seed}", place, len(todo))
        results[name].append(worker.record(name, seed))
    told("", len(todo), len(todo))
    return results


def folder(workdir: ledger.Workdir, task: str) -> epath.Path:
    """Returns the folder of a retraining file's results."""
    return workdir.path / "retrained" / task


def identity(material: Material, examiner: Examiner) -> dict[str, Any]:
    """Returns what determines a net and its measures, besides recipe and training seed; JSON-able."""
    plan = material.plan
    return {
        "retrain": determining(plan.retraining),
        "measure": determining(plan.measuring),
        "measures": list(plan.subject.measures.names),  # a record of other ones is made again
        "mined": plan.mined.result_determining(),
        "parent": {"name": material.parent.name, "digest": material.parent.digest},
        "peers": list(material.group.digests),
        **examiner.determined_by(),
        "learned": lessons.digest(material.learned),
        "measured": lessons.digest(material.measured),
    }


def retrained(material: Material, recipe: Recipe, source: str, seed: int) -> tuple[tf.keras.Model, Lesson]:
    """Returns the net of a `.keras` file retrained by a recipe, and its lesson; equal arguments give equal weights."""
    tf.keras.utils.set_random_seed(seed)
    strategy = devices.strategy(material.job.device)
    with strategy.scope():
        model = recipe.net(tf.keras.models.load_model(source, compile=False))
        if material.plan.retraining.start == "scratch":
            model = tf.keras.models.clone_model(model)  # new weights
    how, sections = material.plan.retraining, material.plan.mined.sections
    return model, lessons.teach(model, recipe, how, material.learned, material.mined, sections, seed, strategy)


class _Worker:
    """Makes the record of one net after another."""

    def __init__(self, material: Material):
        self._material = material
        self._examiner = material.plan.subject.examiner(material)
        self._common = identity(material, self._examiner)

    def record(self, name: str, seed: int) -> dict[str, Any]:
        """Returns what is known of a recipe's net, which is trained and measured if it is not there."""
        recipe, material = self._material.plan.recipes[name], self._material
        own = {"recipe": {"kind": recipe.name, **determining(recipe)}, **self._common}
        if recipe.needs_mined() and material.dataset:
            own["dataset"] = f"{material.dataset.name}:{material.dataset.version}"
        where = folder(material.job.workdir, material.plan.task) / f"{name}-{records.digest(own)[:8]}" / f"seed-{seed}"
        if (there := ledger.read_json(where / "retrained.json")) is not None:
            formats.check(there, str(where / "retrained.json"), "retrain under another task's name")
            return there
        mappings.check()
        path = where / "net.keras"
        training.cached(path, lambda: self._trained(recipe, seed, where))
        model = tf.keras.models.load_model(path, compile=False)
        lesson = ledger.read_json(where / "training.json") or {"asked": 0, "notes": {}}
        record = {
            "format": formats.FORMAT,
            "name": name,
            "seed": seed,
            **own,
            "digest": loading.digest(model),
            "cost": self._cost(recipe, lesson["asked"]),
            "training": lesson["notes"],
            "measured": self._measured(model),
        }
        ledger.write_json(where / "retrained.json", record)
        return record

    def _cost(self, recipe: Recipe, asked: int) -> dict[str, int]:
        """Returns what a step takes; what was asked between epochs is spread over all steps."""
        size, count = lessons.steps(self._material.learned, self._material.plan.retraining)
        cost, steps = recipe.cost(size), count * self._material.plan.retraining.epochs
        return {"gradients": cost.gradients, "passes": cost.passes + -(-asked // steps), "steps": steps}

    def _trained(self, recipe: Recipe, seed: int, where: epath.Path) -> tf.keras.Model:
        model, lesson = retrained(self._material, recipe, self._material.parent.source, seed)
        where.mkdir(parents=True, exist_ok=True)
        ledger.write_json(where / "training.json", {"asked": lesson.asked, "notes": lesson.notes()})
        return model

    def _measured(self, model: tf.keras.Model) -> dict[str, float]:
        with tf.device(devices.device_name(self._material.job.device)):
            return self._examiner.measure(model)


def points(
    plan: Plan, results: dict[str, list[dict[str, Any]]], front: Front
) -> Iterator[tuple[str, bool, list[float], list[float]]]:
    """Yields what the front is drawn of: a recipe, whether it uses mined examples, and by seed its error and gain."""
    for name, recipe in plan.recipes.items():
        measured = [record["measured"] for record in results[name]]
        errors, gains = ([each[key] for each in measured] for key in (front.error, front.gain))
        yield name, recipe.needs_mined(), errors, gains

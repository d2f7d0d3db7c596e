"""Retrains nets by every recipe of a file and measures them; what is there already is not made again.

    WORKDIR/retrained/TASK/RECIPE-DIGEST/seed-N/net.keras          a retrained net
    WORKDIR/retrained/TASK/RECIPE-DIGEST/seed-N/retrained.json     where it comes from, and how good it is
    WORKDIR/retrained/TASK/summary.json, summary.csv, front.png    recipes beside each other

The digest is of all that determines the net and its measures.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from etils import epath

from models import devices, loading, training, zoo
from models.classifier import Classifier, PeerGroup
from models.errors import InputError
from models.settings import determining
from pipeline import formats, records
from pipeline.config.config import Config
from pipeline.kinds.mistakes import mined as mined_examples
from pipeline.kinds.mistakes.kind import MISTAKES
from pipeline.kinds.mistakes.mined import Mined
from pipeline.retrain import settings
from pipeline.retrain.measures import Examiner
from pipeline.retrain.recipe import Moment, Recipe
from pipeline.retrain.recipes import Proposals
from pipeline.retrain.settings import Plan
from pipeline.runs import job as jobs
from pipeline.runs import nets as run_nets
from pipeline.runs import progress, steps
from pipeline.runs.job import Job
from pipeline.seeds.source import Part, SeedBatch, check_usable
from pipeline.versions import published
from pipeline.versions.published import Published
from pipeline.workdir import ledger

Told = Callable[[str, int, int], None]  # what is next, how many nets are done, and of how many


@dataclasses.dataclass(frozen=True)
class Material:
    """What all recipes have in common.

    Attributes:
      plan: the file.
      job: the mined task.
      group: its nets.
      target: the place of the net to retrain.
      learned: the images to learn from.
      measured: the images to measure on; none of them was learned from by any net here.
      dataset: the mined dataset; None if no recipe uses it.
      mined: what it holds.
      strong: the net that vouches for labels.
    """

    plan: Plan
    job: Job
    group: PeerGroup
    target: int
    learned: SeedBatch
    measured: SeedBatch
    dataset: Published | None
    mined: Mined | None
    strong: Classifier

    @property
    def parent(self) -> Classifier:
        """The net to retrain."""
        return self.group.classifiers[self.target]


def prepare(plan: Plan, workdir: str, data_dir: str | None, device: str) -> Material:
    """Trains and reads all that recipes start from.

    Raises:
      InputError: the task does not find mistakes by moves; there is no such net, dataset or part; the net is no
        `.keras` model; the dataset's images or classes are not the net's; or no image to measure on is left.
    """
    _check_mined(plan.mined)
    job = jobs.open_job(plan.mined, workdir, data_dir, device)
    group, _ = steps.train(job).load()
    target = _place(plan.retraining.net, group)
    dataset = _dataset(plan, job)
    learned = _read(job, plan.retraining.learn_from, "[retrain] learn_from")
    others = [_read_part(job, part) for part in run_nets.learned_parts(plan.mined, job.source)]
    known = [learned.images, *(batch.images for batch in others)]
    measured = _unseen(_read(job, plan.measuring.images, "[measure] images"), known)
    mined = _mined(dataset, measured) if dataset else None
    _check_fit(mined, group)
    strong = _strong(plan, job, learned)
    return Material(plan, job, group, target, learned, measured, dataset, mined, strong)


def _check_mined(config: Config) -> None:
    """Checks that a task gives what there is to retrain on and with."""
    if config.method not in MISTAKES.methods or "operator" not in config.sections:
        raise InputError(
            f"mined has [search] method '{config.method.name}', expected one that finds mistakes by moves."
        )
    if not config.seeds.labeled:
        raise InputError("mined has [seeds] labeled = false, and nets cannot be retrained without labels.")
    if config.peers.from_logits:
        raise InputError(
            "mined has nets that give logits; save them with a softmax as their last layer to retrain them."
        )


def _place(name: str, group: PeerGroup) -> int:
    if name and name not in group.names:
        raise InputError(f"[retrain] net is '{name}', expected one of {', '.join(group.names)}.")
    place = group.names.index(name) if name else len(group.names) - 1
    if not group.classifiers[place].source.endswith(".keras"):
        raise InputError(f"net '{group.names[place]}' is no .keras file, and only such nets can be retrained.")
    return place


def _dataset(plan: Plan, job: Job) -> Published | None:
    if not any(recipe.needs_mined() for recipe in plan.recipes.values()):
        return None
    version = plan.retraining.dataset_version
    return published.open_dataset(job.dataset_name + (f":{version}" if version else ""), job.workdir.datasets)


def _mined(dataset: Published, measured: SeedBatch) -> Mined:
    """Reads the mined examples but for those whose seed image is measured on."""
    held_out = {_pixels(image) for image in measured.images}
    examples = [example for example in dataset.examples() if _pixels(example["seed_image"]) not in held_out]
    return mined_examples.read(examples, dataset.runs)


def _check_fit(mined: Mined | None, group: PeerGroup) -> None:
    if mined is not None and mined.images.shape[1:] != group.input_shape:
        raise InputError(
            f"the mined dataset has images of shape {mined.images.shape[1:]}, and the nets take {group.input_shape}; "
            "retrain the nets that it was mined with."
        )
    if mined is not None and mined.labels.max() >= group.num_classes:
        raise InputError(
            f"the mined dataset has class {mined.labels.max()}, and the nets have {group.num_classes} classes."
        )


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


def _strong(plan: Plan, job: Job, learned: SeedBatch) -> Classifier:
    """Trains the net that vouches for labels, on moved images, or finds it in the workdir."""
    measuring = plan.measuring
    moved = Proposals(share=1.0, moves=measuring.moves)
    operator = plan.mined.sections["operator"]
    how = dataclasses.replace(plan.retraining, epochs=measuring.judge_epochs)
    moves = {"operator": operator.name, **determining(operator), "recipe": determining(moved)}
    made_of = [measuring.judge, determining(how), moves, _digest_of(learned)]
    path = job.workdir.nets / f"strong-{measuring.judge}-{records.digest(made_of)[:12]}.keras"
    bars = functools.partial(progress.training("loss"), "strong")

    def trained() -> tf.keras.Model:
        tf.keras.utils.set_random_seed(0)
        strategy = devices.strategy(job.device)
        with strategy.scope():
            model = zoo.build(measuring.judge, job.source.shape(), len(job.source.class_names()))
        _fit(model, moved, how, learned, None, operator, 0, strategy, bars)
        return model

    training.cached(path, trained)
    return loading.load(str(path), name="strong", expected_shape=job.source.shape())


def _digest_of(batch: SeedBatch) -> str:
    content = hashlib.sha256(batch.images.tobytes() + batch.labels.tobytes()).hexdigest()
    return records.digest([content, batch.ids])  # searches are drawn by ids


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


class _Worker:
    """Makes the record of one net after another; the examiner is compiled when the first is measured."""

    def __init__(self, material: Material):
        self._material = material
        self._examiner: Examiner | None = None
        self._common = self._identity()

    def _identity(self) -> dict[str, Any]:
        """Returns what determines a net and its measures, besides recipe and training seed; JSON-able."""
        material, plan = self._material, self._material.plan
        return {
            "retrain": determining(plan.retraining),
            "measure": determining(plan.measuring),
            "mined": plan.mined.result_determining(),
            "parent": {"name": material.parent.name, "digest": material.parent.digest},
            "peers": list(material.group.digests),
            "strong": material.strong.digest,
            "learned": _digest_of(material.learned),
            "measured": _digest_of(material.measured),
        }

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
        path = where / "net.keras"
        training.cached(path, lambda: self._trained(recipe, seed))
        model = tf.keras.models.load_model(path, compile=False)
        size, count = _steps(self._material.learned, material.plan.retraining)
        record = {
            "format": formats.FORMAT,
            "name": name,
            "seed": seed,
            **own,
            "digest": loading.digest(model),
            "cost": {**recipe.cost(size)._asdict(), "steps": count * material.plan.retraining.epochs},
            "measured": self._measured(model),
        }
        ledger.write_json(where / "retrained.json", record)
        return record

    def _trained(self, recipe: Recipe, seed: int) -> tf.keras.Model:
        material = self._material
        tf.keras.utils.set_random_seed(seed)
        strategy = devices.strategy(material.job.device)
        with strategy.scope():
            model = self._parent()
            if material.plan.retraining.start == "scratch":
                model = tf.keras.models.clone_model(model)  # new weights
        operator = material.plan.mined.sections["operator"]
        how, learned, mined = material.plan.retraining, material.learned, material.mined
        _fit(model, recipe, how, learned, mined, operator, seed, strategy)
        return model

    def _parent(self) -> tf.keras.Model:
        return tf.keras.models.load_model(self._material.parent.source, compile=False)

    def _measured(self, model: tf.keras.Model) -> dict[str, float]:
        material = self._material
        with tf.device(devices.device_name(material.job.device)):
            if self._examiner is None:
                climb = material.plan.mined.method.build(material.plan.mined.sections).climb
                nets = (material.group, material.target, material.strong)
                self._examiner = Examiner(self._parent(), material.measured, climb, *nets, material.plan.measuring)
            return self._examiner.measure(model)._asdict()


def _steps(learned: SeedBatch, how: settings.Retraining) -> tuple[int, int]:
    """Returns how many images a step has, and how many steps an epoch."""
    size = min(how.batch_size, len(learned.images))
    return size, len(learned.images) // size


def _fit(
    model: tf.keras.Model,
    recipe: Recipe,
    how: settings.Retraining,
    learned: SeedBatch,
    mined: Mined | None,
    operator: Any,
    seed: int,
    strategy: tf.distribute.Strategy,
    progress: training.Progress | None = None,
) -> None:
    """Trains a net in place by a recipe; equal arguments give equal weights on a CPU with as many cores."""
    size, count = _steps(learned, how)
    total = float(count * how.epochs)

    def loss(net: Any, element: Any, step: tf.Tensor) -> tf.Tensor:
        batch, extra = element
        moment = Moment(tf.cast(step, tf.float32) / total, tf.stack([tf.constant(seed), 4 * step]))
        return recipe.loss(net, batch, extra if extra != () else None, operator, moment)

    batches = _stream(recipe, learned, mined, size, seed)
    training.fit(model, batches, loss, count, how.epochs, how.learning_rate, strategy, progress)


def _stream(recipe: Recipe, learned: SeedBatch, mined: Mined | None, size: int, seed: int) -> tf.data.Dataset:
    """Returns (batch, what the recipe needs besides) without end."""
    rows = tf.data.Dataset.from_tensor_slices({"image": learned.images, "label": learned.labels.astype(np.int32)})
    batches = rows.shuffle(len(learned.images), seed=seed).repeat().batch(size, drop_remainder=True)
    extra = recipe.stream(mined, size, seed + 1)
    if extra is None:
        return batches.map(lambda batch: (batch, ())).prefetch(tf.data.AUTOTUNE)
    return tf.data.Dataset.zip((batches, extra)).prefetch(tf.data.AUTOTUNE)


def points(
    plan: Plan, results: dict[str, list[dict[str, Any]]]
) -> Iterator[tuple[str, bool, list[float], list[float]]]:
    """Yields what the front is drawn of: a recipe, whether it uses mined examples, errors, and candidates by seed."""
    for name, recipe in plan.recipes.items():
        measured = [record["measured"] for record in results[name]]
        errors, candidates = ([each[key] for each in measured] for key in ("moved_error", "candidates"))
        yield name, recipe.needs_mined(), errors, candidates

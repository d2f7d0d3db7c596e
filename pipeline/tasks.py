"""What a configuration asks of each unit: a dataset's task, made of its sections, for a run or to repeat one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from models import preflight
from models.classifier import PeerGroup
from models.errors import InputError
from pipeline import criteria, garbage, mining, pairs, records
from pipeline.config import Attack, Config, Garbage, Run, Search
from pipeline.ledger import RunFolder
from pipeline.search import elites


def task_of(
    config: Config, group: PeerGroup, class_names: Sequence[str], config_digest: str, folder: RunFolder
) -> mining.Task | pairs.Task | garbage.Task:
    """Returns what a configuration asks of each unit.

    Args:
      config: the configuration.
      group: the nets.
      class_names: of the seed images, `[K]` or none; [garbage] classes may go by them.
      config_digest: SHA-256 (hex) that stands for all of this in the ids of examples.
      folder: where islands are kept while they are under way, and where other units tell how far they have come.

    Raises:
      InputError: there is no such net or class, or a target net cannot be searched by this method.
    """
    targets = target_nets(config, group)
    if config.dataset == records.GARBAGE:
        classes = garbage.classes_of(config.garbage.classes, class_names, group.num_classes)
        for net in targets:
            preflight.check_varies(group.classifiers[net])
            if config.search.method == "ascent":
                preflight.check_gradient(group.classifiers[net])
        return garbage_task(config.search, config.garbage, config.run, group, classes, config_digest, folder)
    if config.dataset == records.PAIRS:
        _check_aim(config.attack.aim, group.num_classes)
        for net in targets:
            preflight.check_gradient(group.classifiers[net])
        return pairs_task(config.search, config.attack, config.run, targets, config_digest)
    return _mistakes_task(config, targets, config_digest, folder)


def target_nets(config: Config, group: PeerGroup) -> tuple[int, ...]:
    """Returns the places in the group of the nets that [search] targets names; raises InputError if one is missing."""
    targets = config.search.targets
    if targets == "all":
        return tuple(range(len(group.names)))
    wanted = (targets,) if isinstance(targets, str) else targets
    for name in wanted:
        if name not in group.names:
            raise InputError(f"[search] targets names '{name}', expected 'all' or some of {', '.join(group.names)}.")
    return tuple(place for place, name in enumerate(group.names) if name in wanted)


def usable(search: Search, probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Tells, bool `[B]`, which seed images are trials, by the nets' `[N, B, K]`: a search needs all nets right."""
    if search.method == "scan":
        return np.isfinite(probabilities).all(axis=(0, 2))
    answers = tf.constant(probabilities)
    classes = labels if search.class_from == "label" else criteria.consensus(answers)[0]
    return criteria.all_hold(answers, classes).numpy()


def _check_aim(aim: int | str, num_classes: int) -> None:
    if isinstance(aim, int) and not 0 <= aim < num_classes:
        raise InputError(f"[attack] aim is {aim}, expected a class from 0 to {num_classes - 1}.")


def _mistakes_task(config: Config, target_nets: tuple[int, ...], config_digest: str, folder: RunFolder) -> mining.Task:
    return mining.Task(
        method=config.search.method,
        searcher=config.searcher(),
        target_nets=target_nets,
        class_from=config.search.class_from,
        grading=config.grade,
        run_seed=config.run.run_seed,
        lanes=config.run.lanes,
        unit_size=config.run.unit_size,
        config_digest=config_digest,
        folder=folder,
    )


def pairs_task(
    search: Search, attack: Attack, run: Run, target_nets: tuple[int, ...], config_digest: str
) -> pairs.Task:
    """Returns the task of adversarial pairs: of `search` method and class_from count, of `run` run_seed and lanes."""
    return pairs.Task(
        attack=attack.attacker(search.method),
        aim=attack.aim,
        target_nets=target_nets,
        class_from=search.class_from,
        run_seed=run.run_seed,
        lanes=run.lanes,
        config_digest=config_digest,
    )


def garbage_task(
    search: Search,
    bred: Garbage,
    run: Run,
    group: PeerGroup,
    classes: tuple[int, ...],
    config_digest: str,
    folder: RunFolder | None,
) -> garbage.Task:
    """Returns the task of garbage images: of `search` the method counts, of `run` run_seed; `folder` as in the task.

    Raises:
      InputError: the nets' images have a number of channels that the encoding cannot make, or there are more
        generations than can be counted.
    """
    maker = bred.search(search.method, group.input_shape, len(classes))
    most = elites.most_generations(maker.population)
    if bred.generations > most:
        raise InputError(
            f"[garbage] generations is {bred.generations}, expected at most {most} with {maker.population} images "
            "in each; lower it."
        )
    return garbage.Task(
        search=maker,
        classes=classes,
        confidence=bred.confidence,
        generations=bred.generations,
        batch=bred.population,
        run_seed=run.run_seed,
        config_digest=config_digest,
        folder=folder,
    )

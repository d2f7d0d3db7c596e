"""A retraining file: TOML that names a mined task, how nets are retrained by recipes, and how they are measured.

Loads no library: mistakes are told first.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Sequence
from typing import Any, Literal

from models.errors import InputError
from models.settings import setting
from pipeline.config import config_file, sections
from pipeline.config.config import Config, Peers
from pipeline.config.method import Method
from pipeline.config.sections import known, section
from pipeline.retrain.recipe import Recipe
from pipeline.retrain.subject import Subject

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclasses.dataclass(frozen=True)
class Retraining:
    """[retrain]: which net is trained, on what, for how long."""

    net: str = setting(
        "", "the net to retrain, by its name in the mined task; by default the task's last peer", determines=False
    )
    start: Literal["trained", "scratch"] = setting(
        "trained", '"trained" (fine-tuned from the peer) or "scratch" (same architecture, new weights)'
    )
    dataset_version: str = setting(
        "", 'the version of the mined dataset, such as "1.2.0"; by default the newest', determines=False
    )
    learn_from: str = setting(
        "train", 'the images it learns from, in TFDS\'s split syntax ("train[:50000]")', determines=False
    )
    epochs: int = setting(6, "passes over these images", low=1, high=10_000)
    batch_size: int = setting(128, "images in one step, not counting what a recipe adds", low=1, high=1_000_000)
    learning_rate: float = setting(0.001, "of Adam at the start; it falls to 0 as a cosine", low=1e-8, high=100)
    seeds: int = setting(
        10, "how many nets each recipe trains, with seeds 0, 1, ...", low=1, high=1000, determines=False
    )


@dataclasses.dataclass(frozen=True)
class Rounds:
    """[rounds]: how often `peerpressure rounds` mines and retrains."""

    count: int = setting(5, "how often the nets are retrained, at most", low=1, high=1000, determines=False)
    steady: float = setting(
        0.5,
        "a chain ends when the share of trials that find a mistake changes by less than so many points in a round",
        low=0,
        high=100,
        determines=False,
    )


@dataclasses.dataclass(frozen=True)
class Plan:
    """A retraining file.

    Attributes:
      task: its name, of which the results' folder is named.
      mined: the task whose nets and mistakes are used.
      subject: the kind of dataset that they are retrained on.
      retraining, measuring: the sections, `measuring` as the subject has it.
      rounds: the section.
      recipes: by name, in the file's order; the first is what the others are compared with.
    """

    task: str
    mined: Config
    subject: Subject
    retraining: Retraining
    measuring: Any
    rounds: Rounds
    recipes: dict[str, Recipe]


def load(path: str, methods: dict[str, Method], subject_of: Callable[[Config], Subject]) -> Plan:
    """Reads a retraining file; the path of the mined task's configuration is relative to its folder.

    Args:
      path: the TOML file.
      methods: what a mined task's [search] method can name.
      subject_of: gives what nets of a mined task are retrained on, or raises InputError.

    Raises:
      InputError: the file is missing, not TOML, or has an unknown key, a wrong type or a value out of range.
    """
    table = sections.read(path)
    known(table, ["task", "mined", "retrain", "measure", "rounds", "recipe"], path, "key or section")
    task = sections.task_name(table, path)
    if not isinstance(table.get("mined"), str):
        raise InputError(
            f"{path}: mined is missing; expected the configuration that was mined, as in mined = 'my.toml'."
        )
    mined = config_file.load(os.path.join(os.path.dirname(path), table["mined"]), methods)
    if mined.peers.from_logits:
        raise InputError(
            f"{path}: mined has nets that give logits; save them with a softmax as their last layer to retrain them."
        )
    if mined.peers.resize or mined.peers.input_mean or mined.peers.input_range != Peers.input_range:
        raise InputError(
            f"{path}: mined has nets that take another size or range; save them with layers that bring images to it to "
            "retrain them."
        )
    retraining = _section(Retraining, "retrain", table, path)
    try:
        subject = subject_of(mined)
        measuring = _section(subject.measuring, "measure", table, path, f", where mined makes {subject.kind}")
        subject.check(mined, measuring)
    except InputError as error:
        raise InputError(str(error) if str(error).startswith(path) else f"{path}: {error}") from error
    rounds = _section(Rounds, "rounds", table, path)
    return Plan(task, mined, subject, retraining, measuring, rounds, _recipes(table, subject.recipes, path))


def _section(cls: type, name: str, table: dict[str, Any], path: str, where: str = "") -> Any:
    given = table.get(name, {})
    if not isinstance(given, dict):
        raise InputError(f"{path}: '{name}' is a section, expected [{name}] with keys below it.")
    known(given, [field.name for field in dataclasses.fields(cls)], f"{path}: [{name}]{where}", "key")
    return section(cls, name, given, path)


def _recipes(table: dict[str, Any], kinds: Sequence[type], path: str) -> dict[str, Recipe]:
    listed = table.get("recipe", [])
    if not isinstance(listed, list) or len(listed) < 1 or not all(isinstance(entry, dict) for entry in listed):
        raise InputError(f"{path}: there is no recipe, expected [[recipe]] with a name and a kind for each.")
    recipes: dict[str, Recipe] = {}
    for place, entry in enumerate(listed, start=1):
        name = entry.get("name", "")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise InputError(
                f"{path}: the name of [[recipe]] {place} is {name!r}, expected letters, digits, '_', '.' and '-'."
            )
        if name in recipes:
            raise InputError(f"{path}: two recipes are named '{name}'; give each a name of its own.")
        recipes[name] = _recipe(entry, {cls.name: cls for cls in kinds}, f"[recipe] '{name}'", path)  # type: ignore[attr-defined]
    return recipes


def _recipe(entry: dict[str, Any], kinds: dict[str, type], where: str, path: str) -> Recipe:
    kind = entry.get("kind")
    if kind not in kinds:
        raise InputError(f"{path}: {where}: kind is {kind!r}, expected {' or '.join(repr(name) for name in kinds)}.")
    fields = [field.name for field in dataclasses.fields(kinds[kind])]
    known(entry, ["name", "kind", *fields], f"{path}: {where}", "key")
    try:
        return section(kinds[kind], f"recipe '{entry['name']}'", entry, path)
    except InputError as error:
        raise InputError(str(error) if str(error).startswith(path) else f"{path}: {where}: {error}") from error

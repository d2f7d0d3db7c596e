"""The kinds of datasets that there are. A new one is a class like these and a line here."""

from __future__ import annotations

from models.errors import InputError
from pipeline.config.config import Config
from pipeline.config.method import Method
from pipeline.kinds import kind as kinds
from pipeline.kinds.garbage.kind import GARBAGE
from pipeline.kinds.kind import Kind
from pipeline.kinds.mistakes.kind import MISTAKES
from pipeline.kinds.pairs.kind import PAIRS

KINDS: tuple[Kind, ...] = (MISTAKES, PAIRS, GARBAGE)


def methods() -> dict[str, Method]:
    """Returns all methods by name."""
    return dict(kinds.methods(KINDS))


def of(config: Config) -> Kind:
    """Returns the kind that a task's method makes."""
    return next(kind for kind in KINDS if config.method in kind.methods)


def named(dataset: str) -> Kind:
    """Returns the kind whose dataset has a name; raises InputError if there is none."""
    for kind in KINDS:
        if kind.name == dataset:
            return kind
    raise InputError(f"'{dataset}' is none of our datasets; expected {' or '.join(kind.name for kind in KINDS)}.")


def dataset_name(config: Config) -> str:
    """Returns "dataset/task", as TFDS has it."""
    return f"{of(config).name}/{config.task}"

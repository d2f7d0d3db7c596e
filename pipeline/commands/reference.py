"""Prints docs/configuration.md: `python -m pipeline.commands.reference > docs/configuration.md`."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.config import reference
from pipeline.config.method import Method
from pipeline.kinds import registry
from pipeline.retrain import settings, subjects


def page() -> str:
    """Returns the reference of all keys that there are."""
    return reference.page(*_sections())


def all_keys() -> list[tuple[str, str]]:
    """Returns every key, "[section] key", with what is to be said of it."""
    return list(dict.fromkeys(reference.keys(*_sections())))


def _sections() -> tuple[dict[str, Sequence[Method]], dict[str, type]]:
    retraining: dict[str, type] = {"[retrain]": settings.Retraining, "[rounds]": settings.Rounds}
    for subject in subjects.SUBJECTS:
        retraining[f"[measure], {subject.kind}"] = subject.measuring
        retraining |= {f'[[recipe]] kind = "{recipe.name}"': recipe for recipe in subject.recipes}
    return {kind.name: kind.methods for kind in registry.KINDS}, retraining


if __name__ == "__main__":
    print(page(), end="")

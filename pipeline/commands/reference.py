"""Prints docs/configuration.md: `python -m pipeline.commands.reference > docs/configuration.md`."""

from __future__ import annotations

from pipeline.config import reference
from pipeline.kinds import registry
from pipeline.retrain import settings, subjects


def page() -> str:
    """Returns the reference of all keys that there are."""
    retraining: dict[str, type] = {"[retrain]": settings.Retraining, "[rounds]": settings.Rounds}
    for subject in subjects.SUBJECTS:
        retraining[f"[measure], {subject.kind}"] = subject.measuring
        retraining |= {f'[[recipe]] kind = "{recipe.name}"': recipe for recipe in subject.recipes}
    return reference.page({kind.name: kind.methods for kind in registry.KINDS}, retraining)


if __name__ == "__main__":
    print(page(), end="")

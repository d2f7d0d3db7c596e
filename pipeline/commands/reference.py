"""Prints docs/configuration.md: `python -m pipeline.commands.reference > docs/configuration.md`."""

from __future__ import annotations

from pipeline.config import reference
from pipeline.kinds import registry
from pipeline.retrain import recipes, settings


def page() -> str:
    """Returns the reference of all keys that there are."""
    kinds = {f'[[recipe]] kind = "{recipe.name}"': recipe for recipe in recipes.KINDS}
    retraining = {"[retrain]": settings.Retraining, "[measure]": settings.Measuring, **kinds}
    return reference.page({kind.name: kind.methods for kind in registry.KINDS}, retraining)


if __name__ == "__main__":
    print(page(), end="")

"""Prints docs/configuration.md: `python -m pipeline.commands.reference > docs/configuration.md`."""

from __future__ import annotations

from pipeline.config import reference
from pipeline.kinds import registry


def page() -> str:
    """Returns the reference of all keys that there are."""
    return reference.page({kind.name: kind.methods for kind in registry.KINDS})


if __name__ == "__main__":
    print(page(), end="")

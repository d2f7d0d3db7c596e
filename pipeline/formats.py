"""The number of the format in which plans, manifests, chunks and the metadata of versions are written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.errors import InputError

FORMAT = 1


def check(told: Mapping[str, Any], what: str, older: str) -> None:
    """Raises InputError unless something has the format that is written here.

    Args:
      told: has a key "format", from format 1 on.
      what: it is, for the sentence.
      older: what to do with one of before.
    """
    number = told.get("format", 0)
    if number > FORMAT:
        raise InputError(
            f"{what} has format {number}, and this version of peer-pressure reads formats up to {FORMAT}; upgrade it."
        )
    if number < FORMAT:
        raise InputError(f"{what} was made by an older version of peer-pressure; {older}.")

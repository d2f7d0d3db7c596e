"""The numbers of the formats in which plans, manifests and chunks, and the metadata of versions, are written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.errors import InputError

FORMAT = 1
VERSION_FORMAT = 2  # 1 is read, too: what is told of each run is in the metadata themselves, not in a file beside


def check(told: Mapping[str, Any], what: str, older: str, newest: int = FORMAT) -> None:
    """Raises InputError unless something has a format that is read here.

    Args:
      told: has a key "format", from format 1 on.
      what: it is, for the sentence.
      older: what to do with one of before.
      newest: the format in which it is written here.
    """
    number = told.get("format", 0)
    if number > newest:
        raise InputError(
            f"{what} has format {number}, and this version of peer-pressure reads formats up to {newest}; upgrade it."
        )
    if number < FORMAT:
        raise InputError(f"{what} was made by an older version of peer-pressure; {older}.")

"""Examples as studies show them to nets: those of one target net together, some at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pipeline.versions.published import together


def by_target(examples: Iterable[dict[str, Any]], names: Sequence[str], most: int) -> Iterator[list[dict[str, Any]]]:
    """Yields examples whose target net is one of the named, those of a net together, at most `most` at a time.

    Of N nets, N times `most` examples are held back at most: then there are as many of one of them.
    """

    def target(example: dict[str, Any]) -> str | None:
        name = example["target_net"].decode()
        return name if name in names else None

    return together(examples, target, most, most * len(names))

"""Nets are asked while the host works: on what they said before, and on what they are shown next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import tensorflow as tf

from models import devices

Item = TypeVar("Item")
Said = TypeVar("Said")


def asked(items: Iterable[Item], ask: Callable[[Item], Said]) -> Iterator[tuple[Item, Said]]:
    """Yields items, in order, with what `ask` says of each: a thread asks about the next one meanwhile."""
    device = devices.current()  # a thread of its own would not ask on the caller's

    def ask_there(item: Item) -> Said:
        with tf.device(device):
            return ask(item)

    with ThreadPoolExecutor(1, "asked") as executor:
        before: tuple[Item, Future[Said]] | None = None
        for item in items:
            now = item, executor.submit(ask_there, item)
            if before:
                yield before[0], before[1].result()
            before = now
        if before:
            yield before[0], before[1].result()

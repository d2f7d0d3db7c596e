"""Many files at once: of small ones on a cold disk, and of all in a bucket, the time goes into waiting for them."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_THREADS = 32
_TOGETHER = 4  # calls that a thread makes before it is heard: on a warm disk they take less time than to hear it

Item = TypeVar("Item")
Said = TypeVar("Said")


def each(call: Callable[[Item], Said], items: Iterable[Item], threads: int = _THREADS) -> Iterator[Said]:
    """Yields what `call` gives for each item, in order.

    Args:
      call: reads or writes a file or a few; called in threads.
      items: of the files.
      threads: how many there are. Of four times as many items, what calls gave is in memory at a time.

    Raises:
      Whatever a call raises, when it is its turn; calls under way are waited for.
    """

    def of_all(items: list[Item]) -> list[Said]:
        return [call(item) for item in items]

    with ThreadPoolExecutor(threads, "files") as executor:
        ahead: collections.deque[Future[list[Said]]] = collections.deque()
        left = iter(items)
        while together := list(itertools.islice(left, _TOGETHER)):
            ahead.append(executor.submit(of_all, together))
            if len(ahead) == threads:
                yield from ahead.popleft().result()
        while ahead:
            yield from ahead.popleft().result()

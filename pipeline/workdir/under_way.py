"""How far the units under way have come: small files in the run's folder, which workers write and the bar reads."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import tensorflow as tf
from etils import epath

from pipeline import interruption
from pipeline.workdir import ledger
from pipeline.workdir.ledger import RunFolder


@contextlib.contextmanager
def told(folder: RunFolder, name: str, images: int) -> Iterator[Callable[[int, int], None]]:
    """Tells of a unit while it is searched, and forgets it at the end.

    Args:
      folder: the run.
      name: a file name that no other unit of the run has.
      images: the unit's seed images.

    Yields:
      What is to be called now and then with the number of trials that have ended, and of all trials; it raises
      KeyboardInterrupt where the search is to end.
    """
    path = folder.progress / name

    def tell(ended: int, trials: int) -> None:
        interruption.check()
        ledger.write_whole(path, str(images * ended // trials).encode())

    try:
        yield tell
    finally:
        path.unlink(missing_ok=True)


def images_behind(folder: RunFolder) -> int:
    """Returns how many seed images the units under way have behind them."""
    paths = folder.progress.iterdir() if folder.progress.exists() else ()
    return sum(_read(path) for path in paths if not ledger.is_unfinished(path))


def _read(path: epath.Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, tf.errors.OpError, ValueError):  # the unit has ended meanwhile, or its file is being written
        return 0

"""Files of nets: whole or not at all, and without what killed processes left."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable

import tensorflow as tf
from etils import epath


def write_whole(path: epath.Path, write: Callable[[epath.Path], None]) -> None:
    """Writes a file under another name, flushes it to the disk, and then gives it its own.

    Args:
      path: the file, local or in a bucket, in a folder that is there.
      write: writes what the file is to hold to the path that it is given.
    """
    unfinished = path.parent / f".{path.stem}.{uuid.uuid4().hex}{path.suffix}"
    try:
        write(unfinished)
        _flush_to_disk(unfinished)
        unfinished.replace(path)
    except (FileNotFoundError, tf.errors.NotFoundError):
        if not path.exists():  # else another process had the same net in place first, and swept ours (see `sweep`)
            raise
    finally:
        unfinished.unlink(missing_ok=True)


def _flush_to_disk(path: epath.Path) -> None:
    if "://" in os.fspath(path):  # an object in a bucket appears whole
        return
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def checkpoint_of(path: epath.PathLike) -> epath.Path:
    """Returns the checkpoint of the training of the net that is to be the file `path`."""
    return epath.Path(path).with_suffix(".checkpoint")


def sweep(path: epath.Path) -> None:
    """Removes the unfinished files of a finished net, and its checkpoint.

    One of them may be in the hands of a live process that trains the same net: that one finds the finished file and is
    content with it, so nothing is lost.
    """
    stem = re.escape(path.stem)
    unfinished = re.compile(rf"\.{stem}\.[0-9a-f]{{32}}\.(keras|checkpoint)|{stem}\.checkpoint")
    for file in path.parent.iterdir():
        if unfinished.fullmatch(file.name):
            file.unlink(missing_ok=True)

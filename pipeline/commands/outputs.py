"""What commands have in common: exit codes, how a dataset and its nets are opened, files written if they are named."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import errno
import os
import pathlib
import tempfile
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from models.errors import InputError
from pipeline.commands import libraries

if TYPE_CHECKING:
    from pipeline.report.tables import Table
    from pipeline.runs.nets import Finder
    from pipeline.versions.published import Published

OK, CHECK_FAILED = 0, 1  # exit codes
_FILES = ("csv", "json", "status", "picture")  # options that name a file that a command writes when all is done


def open_dataset(arguments: argparse.Namespace) -> Published:
    """Opens the dataset that a command was given, in its workdir, and as much of it as is to be looked at."""
    sample = getattr(arguments, "sample", None)
    if sample is not None and sample < 1:
        raise InputError(f"--sample is {sample}, expected a number of examples, at least 1.")
    libraries.load()
    from pipeline.versions import published
    from pipeline.workdir.ledger import Workdir

    opened = published.open_dataset(arguments.dataset, Workdir.at(arguments.workdir).datasets)
    return dataclasses.replace(opened, sample=sample or 0)


def of_all(dataset: Published) -> str:
    """Returns " of 1,000" behind the number of examples of a sample; "" where all are looked at."""
    return f" of {dataset.whole:,}" if dataset.count < dataset.whole else ""


def of_sample(table: Table, dataset: Published) -> Table:
    """Returns a table that tells that it is of a sample, if it is."""
    if dataset.count == dataset.whole:
        return table
    told = f"of a sample: {dataset.count:,}{of_all(dataset)} examples"
    return dataclasses.replace(table, note="\n".join(filter(None, [table.note, told])))


def nets(dataset: Published, arguments: argparse.Namespace) -> Finder:
    """Returns what finds the nets of a dataset's runs: in --peers, else where the ledger says."""
    from pipeline.runs.nets import Finder
    from pipeline.workdir.ledger import Workdir

    return Finder(Workdir.at(arguments.workdir), dataset.name, arguments.peers)


def check_files(arguments: argparse.Namespace) -> None:
    """Checks that the files that were named can be written, before a command works for hours."""
    for name in _FILES:
        path = getattr(arguments, name, "")
        if path and "://" not in path:
            folder = os.path.dirname(path) or "."
            wrong = next((number for number, is_wrong in _obstacles(path, folder) if is_wrong), None)
            if wrong:
                raise InputError(_not_written(f"--{name}", path, os.strerror(wrong)))


def _obstacles(path: str, folder: str) -> Iterator[tuple[int, bool]]:
    yield errno.ENOENT, not os.path.exists(folder)
    yield errno.ENOTDIR, not os.path.isdir(folder)
    yield errno.EISDIR, os.path.isdir(path)
    yield errno.EACCES, not os.access(path if os.path.exists(path) else folder, os.W_OK)


def check_folder(option: str, path: str) -> None:
    """Checks that files can be written into a folder, there or not yet; leaves nothing behind.

    Raises:
      InputError: the folder cannot be made or written into, or is a file. Of a bucket nothing is asked.
    """
    if "://" in path:
        return
    folder = pathlib.Path(path).absolute()
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(_not_written(option, path, os.strerror(error.errno or 0), "folder")) from error
    finally:
        for each in missing:
            with contextlib.suppress(OSError):
                each.rmdir()


def _not_written(option: str, path: str, reason: str, what: str = "file") -> str:
    return f"{option} {path} cannot be written ({reason}); name another {what}."


@contextlib.contextmanager
def writing(option: str, path: str, what: str = "file") -> Iterator[None]:
    """Tells in one sentence that an output, a file or what it is, cannot be written."""
    import tensorflow as tf

    from models import preflight

    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        reason = getattr(error, "strerror", None) or preflight.reason(error)
        raise InputError(_not_written(option, path, reason, what)) from error


def write_text(option: str, path: str, text: str) -> None:
    """Writes a text file if it was named."""
    from etils import epath

    if path:
        with writing(option, path):
            epath.Path(path).write_text(text)


def write_tables(arguments: argparse.Namespace, tables: Sequence[Table]) -> None:
    """Writes tables to the file that --json names, if it names one."""
    from pipeline.report.tables import to_json

    write_text("--json", arguments.json, to_json(tables))


def write_bytes(option: str, path: str, data: bytes) -> None:
    """Writes a file if it was named."""
    from etils import epath

    if path:
        with writing(option, path):
            epath.Path(path).write_bytes(data)

"""What rechecks said of published examples, kept in the ledger so that versions can be made of it.

A recheck is two files in `Workdir.rechecks`: NUMBER.parquet, the status of every example that it asked about, and
NUMBER.json, which says which nets were shown which version. The recheck is there when the second, written last, is.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime
from collections.abc import Sequence
from typing import Any, NamedTuple

import pyarrow as pa
from etils import epath

from models.errors import InputError
from pipeline import records
from pipeline.kinds.kind import Kind
from pipeline.workdir import ledger

_SCHEMA = pa.schema([pa.field(name, pa.string()) for name in ("id", "target_net", "status")])


@dataclasses.dataclass(frozen=True)
class Rechecked:
    """What became of one example: its id, its target net, and one of its kind's `statuses`."""

    id: str
    target_net: str
    status: str


class Net(NamedTuple):
    """A new net that was shown to a dataset, by the name of the net whose place it takes, and its digest."""

    name: str
    digest: str


@dataclasses.dataclass(frozen=True)
class Recheck:
    """What new nets said of a version.

    Attributes:
      asked: the version, such as "1.0.0".
      runs: how many finished runs the version holds.
      nets: the new nets, sorted.
      found: the examples that were asked about, in the order of the table.
    """

    asked: str
    runs: int
    nets: tuple[Net, ...]
    found: tuple[Rechecked, ...]

    def counts(self) -> dict[str, dict[str, int]]:
        """Returns target net -> status -> how many examples have it."""
        counts: dict[str, dict[str, int]] = collections.defaultdict(lambda: collections.defaultdict(int))
        for one in self.found:
            counts[one.target_net][one.status] += 1
        return {net: dict(of_net) for net, of_net in counts.items()}


def read(folder: epath.Path) -> list[Recheck]:
    """Reads a task's rechecks, first kept first.

    Raises:
      InputError: a recheck's statuses are not those that were kept with it.
    """
    return [_read(folder, number) for number in _numbers(folder)]


def _read(folder: epath.Path, number: int) -> Recheck:
    about, path = ledger.read_json(folder / f"{number:06d}.json"), folder / f"{number:06d}.parquet"
    assert about is not None
    if not path.exists() or ledger.file_digest(path) != about["sha256"]:
        raise InputError(f"{path} is not what the recheck wrote; restore it.")
    found = tuple(Rechecked(**row) for row in records.read_table(path).to_pylist())
    return Recheck(
        about["asked"], about["runs"], tuple(Net(net["name"], net["digest"]) for net in about["nets"]), found
    )


def _numbers(folder: epath.Path) -> list[int]:
    return sorted(int(path.stem) for path in folder.iterdir() if path.suffix == ".json") if folder.exists() else []


def newest(rechecks: Sequence[Recheck]) -> dict[str, str]:
    """Returns by id what was last said of each example."""
    return {one.id: one.status for recheck in rechecks for one in recheck.found}


def nothing_new(recheck: Recheck, before: Sequence[Recheck], kind: Kind) -> bool:
    """Tells whether the last that was said of each example is the same, and by the same nets."""

    def said(each: Recheck) -> dict[str, tuple[str, list[Net]]]:
        return {one.id: (one.status, _asked(each, one, kind)) for one in each.found}

    last = {name: answer for each in before for name, answer in said(each).items()}
    return all(last.get(name) == answer for name, answer in said(recheck).items())


def _asked(recheck: Recheck, one: Rechecked, kind: Kind) -> list[Net]:
    """Returns the new nets that were shown an example: all, or its target net's successor."""
    return [net for net in recheck.nets if kind.whole_group or net.name == one.target_net]


def keep(folder: epath.Path, recheck: Recheck, sources: dict[str, str]) -> None:
    """Adds a recheck to those of a task.

    Args:
      folder: `Workdir.rechecks`.
      recheck: what is added.
      sources: digest of a net -> the file it was read from.
    """
    ledger.sweep_files(folder)
    number = max(_numbers(folder), default=-1) + 1
    path = folder / f"{number:06d}.parquet"
    rows = [dataclasses.asdict(one) for one in recheck.found]
    ledger.write_whole(path, records.table_bytes(pa.Table.from_pylist(rows, _SCHEMA)))
    about: dict[str, Any] = {
        "asked": recheck.asked,
        "runs": recheck.runs,
        "nets": [{**net._asdict(), "source": sources[net.digest]} for net in recheck.nets],
        "finished_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "sha256": ledger.file_digest(path),
    }
    ledger.write_json(folder / f"{number:06d}.json", about)

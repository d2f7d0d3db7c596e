"""What rechecks said of published examples, kept in the ledger so that versions can be made of it.

A recheck is two files in `Workdir.rechecks`: NUMBER.parquet, the status of every example that it asked about, and
NUMBER.json, which says which nets were shown which version. The recheck is there when the second, written last, is.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime
import functools
from collections.abc import Iterable, Sequence
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


@dataclasses.dataclass(frozen=True)
class Kept:
    """A recheck in the ledger, whose statuses are read when they are asked for.

    Attributes:
      about: what its JSON file says.
      path: of its statuses.
    """

    about: dict[str, Any]
    path: epath.Path

    @property
    def asked(self) -> str:
        """The version, such as "1.0.0"."""
        return self.about["asked"]

    @property
    def runs(self) -> int:
        """How many finished runs the version holds."""
        return self.about["runs"]

    @property
    def nets(self) -> tuple[Net, ...]:
        """The new nets, sorted."""
        return tuple(Net(net["name"], net["digest"]) for net in self.about["nets"])

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of its statuses."""
        return self.about["sha256"]

    def counts(self) -> dict[str, dict[str, int]]:
        """Returns target net -> status -> how many examples have it."""
        return dict(self.about["counts"]) if "counts" in self.about else self.recheck.counts()

    @functools.cached_property
    def recheck(self) -> Recheck:
        """All of it; raises InputError if its statuses are not those that were kept with it."""
        if not self.path.exists() or ledger.file_digest(self.path) != self.digest:
            raise InputError(f"{self.path} is not what the recheck wrote; restore it.")
        found = tuple(Rechecked(**row) for row in records.read_table(self.path).to_pylist())
        return Recheck(self.asked, self.runs, self.nets, found)

    @functools.cached_property
    def statuses(self) -> dict[str, str]:
        """The status of each example that it asked about, by id."""
        return {one.id: one.status for one in self.recheck.found}


def read(folder: epath.Path) -> list[Kept]:
    """Returns a task's rechecks, first kept first."""
    kept = []
    for number in _numbers(folder):
        about = ledger.read_json(folder / f"{number:06d}.json")
        assert about is not None
        kept.append(Kept(about, folder / f"{number:06d}.parquet"))
    return kept


def _numbers(folder: epath.Path) -> list[int]:
    return sorted(int(path.stem) for path in folder.iterdir() if path.suffix == ".json") if folder.exists() else []


def newest(rechecks: Sequence[Kept], ids: Iterable[str]) -> dict[str, str]:
    """Returns by id what was last said of examples; those that no recheck asked about are left out.

    Args:
      rechecks: first kept first. They are read from the last on, until all examples have a status.
      ids: of the examples.

    Raises:
      InputError: the statuses of one are not those that were kept with it.
    """
    told: dict[str, str] = {}
    left = set(ids)
    for recheck in reversed(rechecks):
        if left:
            said = recheck.statuses
            told |= {name: said[name] for name in left & said.keys()}
            left -= said.keys()
    return told


def nothing_new(recheck: Recheck, before: Sequence[Kept], kind: Kind) -> bool:
    """Tells whether the last that was said of each example is the same, and by the same nets."""

    def said(each: Recheck) -> dict[str, tuple[str, list[Net]]]:
        return {one.id: (one.status, _asked(each, one, kind)) for one in each.found}

    left = said(recheck)
    for kept in reversed(before):
        last = said(kept.recheck) if left else {}
        if any(left.pop(name) != last[name] for name in left.keys() & last.keys()):
            return False
    return not left


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
        "counts": list(recheck.counts().items()),  # in their order
        "finished_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "sha256": ledger.file_digest(path),
    }
    ledger.write_json(folder / f"{number:06d}.json", about)

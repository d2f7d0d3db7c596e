"""What one version of a dataset has that another has not: examples, and the nets and configuration behind them."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import json
from collections.abc import Container, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from models.errors import InputError
from pipeline.kinds import targets
from pipeline.report import rates, tables
from pipeline.versions.published import Published

_LISTED = 10  # ids that are named in the text
_DIGITS = 12  # of a digest in the text


class Counts(NamedTuple):
    """Examples of a target net or a class: of the old version, of the new one, and which came and went between."""

    old: int
    new: int
    added: int
    dropped: int


class Run(NamedTuple):
    """A run that made examples of a version."""

    run_id: str
    run_seed: int
    config_digest: str


class Recheck(NamedTuple):
    """New nets, [name, digest] each, that gave examples of a version their status; `version` is the first with it."""

    version: str
    asked: str
    nets: tuple[tuple[str, str], ...]


class Rate(NamedTuple):
    """How many trials of a run found an example for a target net."""

    found: int
    trials: int


@dataclasses.dataclass(frozen=True)
class Diff:
    """The difference between two versions.

    Attributes:
      old, new: "dataset/task:version".
      added, dropped: ids of examples that only the new, only the old version has.
      changed: ids of examples that both have, with other contents; none, if both were packaged here.
      unchanged: how many examples are the same in both, bit for bit, but for their status.
      status_changed: ids of examples that both have, with another status.
      by_target, by_class, by_status: examples of each target net, class (`Kind.class_column`) and status ("": none).
      runs_added, runs_dropped: runs that only the new, only the old version holds.
      rechecks_added, rechecks_dropped: likewise.
      newest_runs: the newest run of the old version and that of the new one; what follows compares these two.
      rates: of each target net in either; None where it is not one.
      nets: name -> digest in either, "" where there is none; only nets that differ, the judge among them.
      config: "section.key" -> value in either, None where there is none; only what differs.
    """

    old: str
    new: str
    added: tuple[str, ...]
    dropped: tuple[str, ...]
    changed: tuple[str, ...]
    unchanged: int
    status_changed: tuple[str, ...]
    by_target: dict[str, Counts]
    by_class: dict[str, Counts]
    by_status: dict[str, Counts]
    runs_added: tuple[Run, ...]
    runs_dropped: tuple[Run, ...]
    rechecks_added: tuple[Recheck, ...]
    rechecks_dropped: tuple[Recheck, ...]
    newest_runs: tuple[str, str]
    rates: dict[str, tuple[Rate | None, Rate | None]]
    nets: dict[str, tuple[str, str]]
    config: dict[str, tuple[Any, Any]]


class _Example(NamedTuple):
    target_net: str
    class_name: str
    status: str
    content: bytes  # digest of all features but the status


def compare(old: Published, new: Published) -> Diff:
    """Compares two published versions, example by example and newest run by newest run.

    Raises:
      InputError: they are of two different datasets.
    """
    if old.kind is not new.kind:
        raise InputError(
            f"'{_name(old)}' and '{_name(new)}' hold different things; give two versions of one dataset of ours."
        )
    ours, theirs = _examples(old), _examples(new)
    both = [example_id for example_id in ours if example_id in theirs]
    changed = [example_id for example_id in both if ours[example_id].content != theirs[example_id].content]
    rechecks = _rechecks(old), _rechecks(new)
    runs, newest = (old.runs, new.runs), (_newest(old), _newest(new))
    return Diff(
        old=_name(old),
        new=_name(new),
        added=tuple(example_id for example_id in theirs if example_id not in ours),
        dropped=tuple(example_id for example_id in ours if example_id not in theirs),
        changed=tuple(changed),
        unchanged=len(both) - len(changed),
        status_changed=tuple(name for name in both if ours[name].status != theirs[name].status),
        by_target=_counts(ours, theirs, "target_net", [net["name"] for run in newest for net in run["nets"]]),
        by_class=_counts(ours, theirs, "class_name", [*_class_names(old), *_class_names(new)]),
        by_status=_counts(ours, theirs, "status", [*old.kind.statuses, ""]),
        runs_added=tuple(_run(run.manifest) for run_id, run in runs[1].items() if run_id not in runs[0]),
        runs_dropped=tuple(_run(run.manifest) for run_id, run in runs[0].items() if run_id not in runs[1]),
        rechecks_added=tuple(recheck for recheck in rechecks[1] if recheck not in rechecks[0]),
        rechecks_dropped=tuple(recheck for recheck in rechecks[0] if recheck not in rechecks[1]),
        newest_runs=(newest[0]["run_id"], newest[1]["run_id"]),
        rates=_both(_rates(newest[0]), _rates(newest[1]), None),
        nets=_differing(_nets(newest[0]), _nets(newest[1]), ""),
        config=_differing(_settings(newest[0]), _settings(newest[1]), None),
    )


def _name(published: Published) -> str:
    return ":".join(published.builder.info.full_name.rsplit("/", 1))


def _newest(published: Published) -> Mapping[str, Any]:
    return list(published.runs.values())[-1].manifest


def _run(manifest: Mapping[str, Any]) -> Run:
    return Run(*(manifest[name] for name in Run._fields))


def _rechecks(published: Published) -> list[Recheck]:
    return [
        Recheck(told["version"], told["asked"], tuple((net["name"], net["digest"]) for net in told["nets"]))
        for told in published.rechecks
    ]


def _class_names(published: Published) -> list[str]:
    return published.builder.info.features[published.kind.class_column].names


def _examples(published: Published) -> dict[str, _Example]:
    """Returns the examples by id, in their order."""
    names, column = _class_names(published), published.kind.class_column
    return {
        example["id"].decode(): _Example(
            target_net=example["target_net"].decode(),
            class_name=names[example[column]],
            status=example.get("status", b"").decode(),
            content=_content({key: value for key, value in example.items() if key != "status"}),
        )
        for example in published.examples()
    }


def _content(example: Mapping[str, Any]) -> bytes:
    hashed = hashlib.sha256()
    for key, value in sorted(_flat(example).items()):
        array = np.asarray(value)
        data = repr(array.tolist()).encode() if array.dtype == object else array.tobytes()  # object: of texts
        hashed.update(f"{key} {array.dtype} {array.shape} ".encode() + data)
    return hashed.digest()


def _flat(nested: Mapping[str, Any]) -> dict[str, Any]:
    """Returns {"a": {"b": 1}} as {"a.b": 1}."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping):
            flat |= {f"{key}.{name}": entry for name, entry in _flat(value).items()}
        else:
            flat[key] = value
    return flat


def _counts(old: dict[str, _Example], new: dict[str, _Example], field: str, order: Iterable[str]) -> dict[str, Counts]:
    def count(examples: dict[str, _Example], without: Container[str] = ()) -> collections.Counter[str]:
        return collections.Counter(getattr(each, field) for name, each in examples.items() if name not in without)

    counters = (count(old), count(new), count(new, old), count(old, new))
    names = dict.fromkeys([*order, *counters[0], *counters[1]])
    return {name: Counts(*(counter[name] for counter in counters)) for name in names if any(c[name] for c in counters)}


def _rates(run: Mapping[str, Any]) -> dict[str, Rate]:
    return {net: Rate(*rates.rate(run, net)) for net in targets.names(run)}


def _nets(run: Mapping[str, Any]) -> dict[str, str]:
    judge = {f"judge {run['judge']['name']}": run["judge"]["digest"]} if run["judge"] else {}
    return {net["name"]: net["digest"] for net in run["nets"]} | judge


def _settings(run: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the configuration, and what else is told of how a result came about."""
    return _flat(run["config"]) | _flat({name: run[name] for name in ("seeds", "reading", "code_version")})


def _both(old: Mapping[str, Any], new: Mapping[str, Any], missing: Any) -> dict[str, tuple[Any, Any]]:
    return {key: (old.get(key, missing), new.get(key, missing)) for key in dict.fromkeys([*old, *new])}


def _differing(old: Mapping[str, Any], new: Mapping[str, Any], missing: Any) -> dict[str, tuple[Any, Any]]:
    return {key: values for key, values in _both(old, new, missing).items() if values[0] != values[1]}


def to_json(diff: Diff) -> str:
    """Formats a difference as JSON: the attributes of `Diff`, named tuples as objects."""
    return json.dumps({field.name: _plain(getattr(diff, field.name)) for field in dataclasses.fields(diff)}, indent=1)


def _plain(value: Any) -> Any:
    if isinstance(value, Counts | Run | Recheck | Rate):
        return value._asdict()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return {key: _plain(item) for key, item in value.items()} if isinstance(value, dict) else value


def text(diff: Diff) -> str:
    """Formats a difference for a terminal."""
    added, dropped, changed = len(diff.added), len(diff.dropped), len(diff.changed)
    lines = [
        f"{diff.old} -> {diff.new}",
        f"examples: {added} added, {dropped} dropped, {changed} changed, {diff.unchanged} unchanged",
        *_ids("dropped", diff.dropped),
        *_ids("changed", diff.changed),
        *(f"run added: {_run_text(run)}" for run in diff.runs_added),
        *(f"run dropped: {_run_text(run)}" for run in diff.runs_dropped),
        *(f"recheck added: {_recheck_text(recheck)}" for recheck in diff.rechecks_added),
        *(f"recheck dropped: {_recheck_text(recheck)}" for recheck in diff.rechecks_dropped),
        "",
        *_status_text(diff),
        *_counts_text("target", diff.by_target),
        "",
        *_counts_text("class", diff.by_class),
        "",
        *tables.aligned([["% found by run", *diff.newest_runs], *(_rate_line(*entry) for entry in diff.rates.items())]),
        "",
        *(_change("net", name, *(digest[:_DIGITS] for digest in both)) for name, both in diff.nets.items()),
        *(_change("config", key, *map(_setting, both)) for key, both in diff.config.items()),
    ]
    return "\n".join(lines).rstrip()


def _ids(what: str, ids: tuple[str, ...]) -> list[str]:
    more = [f"and {len(ids) - _LISTED} more"] if len(ids) > _LISTED else []
    return [f"{what}: {', '.join([*ids[:_LISTED], *more])}"] if ids else []


def _run_text(run: Run) -> str:
    return f"{run.run_id} (run seed {run.run_seed}, config {run.config_digest[:_DIGITS]})"


def _recheck_text(recheck: Recheck) -> str:
    nets = ", ".join(f"{name} {digest[:_DIGITS]}" for name, digest in recheck.nets)
    return f"{recheck.version} (of {recheck.asked}, with {nets})"


def _status_text(diff: Diff) -> list[str]:
    """Says which statuses there are, if there are any, with an empty line at the end."""
    if not any(diff.by_status):
        return []
    counts = {status or "(none)": count for status, count in diff.by_status.items()}
    return [f"examples with another status: {len(diff.status_changed)}", *_counts_text("status", counts), ""]


def _counts_text(head: str, counts: Mapping[str, Counts]) -> list[str]:
    return tables.aligned([[head, *Counts._fields], *([name, *map(str, row)] for name, row in counts.items())])


def _rate_line(net: str, both: tuple[Rate | None, Rate | None]) -> list[str]:
    return [net, *(_rate_text(rate) if rate else "-" for rate in both)]


def _rate_text(rate: Rate) -> str:
    low, high = rates.wilson(*rate)
    share = rate.found / rate.trials if rate.trials else 0.0
    return f"{100 * share:.1f} ({100 * low:.1f} to {100 * high:.1f}) of {rate.trials}"


def _setting(value: Any) -> str:
    return "" if value is None else json.dumps(value)


def _change(kind: str, name: str, old: str, new: str) -> str:
    if not old or not new:
        return f"{kind} {name} {'added' if new else 'dropped'}: {new or old}"
    return f"{kind} {name}: {old} -> {new}"

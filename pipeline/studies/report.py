"""The report, with what nets say when they are shown some of the examples again: the studies that a kind names."""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from models.classifier import PeerGroup
from models.errors import InputError
from pipeline.config.recorded import Recorded
from pipeline.kinds.kind import Example, Kind
from pipeline.progress import Bar
from pipeline.report.page import Page, Picture, Section
from pipeline.report.tables import Table
from pipeline.runs.nets import Finder
from pipeline.studies import probe, transfer
from pipeline.versions import pages
from pipeline.versions.of_run import RunExamples
from pipeline.versions.published import Published
from pipeline.workdir.ledger import Workdir

_SHOWN = 100  # examples of each target net: a page is to cost the same every night
_FIRST = ("overview", "found")  # sections


class _Study(NamedTuple):
    """What is told of examples that nets are shown again, and the features that it needs."""

    for_report: Callable[[Sequence[Example], PeerGroup, int], tuple[Table, Picture]]
    features: tuple[str, ...]


_STUDIES: Mapping[str, _Study] = {
    "transfer": _Study(transfer.for_report, transfer.FEATURES),
    "probe": _Study(probe.for_report, probe.FEATURES),
}


def of_run(examples: RunExamples, workdir: Workdir) -> Page:
    """Returns the page of a run, finished or not; of a finished one with its kind's studies."""
    page, kind = pages.of_run(examples, workdir), examples.kind
    if kind.studies and examples.finished:
        return _with_studies(page, kind, examples.run, examples.examples(), Finder(workdir, examples.name))
    return page


def of_version(published: Published, workdir: Workdir) -> Page:
    """Returns the page of a published version, with its kind's studies of the newest run's examples."""
    page, kind, newest = pages.of_version(published, workdir), published.kind, list(published.runs.values())[-1]
    if kind.studies:
        features = {"id", "run/id", *(name for study in kind.studies for name in _STUDIES[study].features)}
        mine = (one for one in published.examples(features) if published.run(one) is newest)
        return _with_studies(page, kind, newest, mine, Finder(workdir, published.name))
    return page


def _with_studies(page: Page, kind: Kind, run: Recorded, examples: Iterable[Example], nets: Finder) -> Page:
    """Returns a page with a section more, after those that tell what the run is and what it found."""
    chosen = _chosen(examples)
    if not chosen:
        return page
    first = [section for section in page.sections if section.name in _FIRST]
    others = [section for section in page.sections if section.name not in _FIRST]
    return dataclasses.replace(page, sections=[*first, _section(kind, run, chosen, nets), *others])


def _chosen(examples: Iterable[Example]) -> list[Example]:
    """Returns those of each target net with the lowest ids: ids are digests, so they are any."""
    by_net: dict[bytes, list[Example]] = {}
    for example in examples:
        mine = by_net.setdefault(example["target_net"], [])
        mine.append(example)
        if len(mine) >= 2 * _SHOWN:
            by_net[example["target_net"]] = heapq.nsmallest(_SHOWN, mine, key=_id)
    return [example for mine in by_net.values() for example in heapq.nsmallest(_SHOWN, mine, key=_id)]


def _id(example: Example) -> bytes:
    return example["id"]


def _section(kind: Kind, run: Recorded, examples: list[Example], nets: Finder) -> Section:
    section = Section("shown", "Shown to nets again")
    try:
        group = nets.group(run)
    except InputError as error:
        section.notes = [f"Nothing could be shown: {error}"]
        return section
    told = []
    with Bar("ask nets again", len(kind.studies), "question") as bar:
        for study in kind.studies:
            told.append(_STUDIES[study].for_report(examples, group, group.batch))
            bar.show(len(told))
    section.notes = [f"{len(examples):,} examples of run {run['run_id']}, at most {_SHOWN} of each target net."]
    section.tables, section.pictures = zip(*told, strict=True)
    return section

"""The report: a page of a published version, or of a run, with all that its examples, tables and pictures tell."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from etils import epath

from models.errors import InputError
from pipeline.config.recorded import Recorded
from pipeline.kinds import targets
from pipeline.kinds.kind import Example, Kind
from pipeline.progress import Bar
from pipeline.report import picture, rates, tables
from pipeline.report.page import PAGE, Fact, Gallery, Page, Picture, Section, files
from pipeline.report.tables import Table
from pipeline.versions import diff
from pipeline.versions import examples as told
from pipeline.versions import published as datasets
from pipeline.versions.of_run import RunExamples
from pipeline.versions.published import Published
from pipeline.workdir import ledger
from pipeline.workdir.ledger import RunFolder, Workdir

MOST = 50_000  # examples of a page; of more, so many evenly spaced ones
_WHOLE = 200  # examples that are kept with their images, for pictures
_DIGITS = 12


def of_run(examples: RunExamples, workdir: Workdir) -> Page:
    """Returns the page of a run, finished or not."""
    kind, run, folder = examples.kind, examples.run, examples.folder
    replay = _replay(examples.name, workdir)
    gathered = _gather(examples.examples(), {folder.run_id: run}, kind, examples.count, replay)
    done, units = examples.units
    notes = [] if examples.finished else [f"The run is not finished: {done} of {units} units are there."]
    first = Section("overview", "Overview", notes, *_about_run(run, gathered))
    found = _found(folder, kind)
    return _page(examples.name, f"run {folder.run_id}", kind, first, found, [], gathered, run, folder)


def of_version(published: Published, workdir: Workdir) -> Page:
    """Returns the page of a published version."""
    kind, runs = published.kind, published.runs
    name, full = published.name, f"{published.name}:{published.version}"
    gathered = _gather(published.examples(), runs, kind, published.count, _replay(full, workdir))
    newest = list(runs.values())[-1]
    facts, about = _about_run(newest, gathered)
    notes = [] if published.count else [f"There are none: {kind.nothing_found}"]
    if published.count < published.whole:
        notes += [f"Of a sample: {published.count:,} of {published.whole:,} examples, spread evenly over all."]
    first = Section("overview", "Overview", notes, [Fact("version", published.version), *facts], about)
    folder = workdir.run(name, newest["run_id"])
    more = [_over_time(published, workdir), *_retrained(workdir, name), _questions(full, kind, workdir)]
    subtitle = f"version {published.version}"
    return _page(name, subtitle, kind, first, _found(folder, kind), more, gathered, newest, folder)


@dataclasses.dataclass
class _Gathered:
    """What one pass over the examples kept.

    Attributes:
      gallery: all that are shown.
      drawn: of each, the features that pictures need.
      whole: one of each target net and class, with its images.
      count: how many there were, shown or not.
    """

    gallery: Gallery
    drawn: list[Example]
    whole: list[Example]
    count: int = 0


def _gather(
    examples: Iterable[Example], runs: Mapping[str, Recorded], kind: Kind, count: int, command: str
) -> _Gathered:
    gathered = _Gathered(Gallery(kind.measures, kind.caption, kind.chosen, command), [], [])
    met: set[tuple[bytes, int]] = set()
    with Bar("report", count, "example") as bar:
        for place, example in enumerate(examples):
            gathered.count += 1
            bar.show(gathered.count)
            if count <= MOST or (place * MOST) // count != ((place - 1) * MOST) // count:
                _add(gathered, example, runs, kind, met)
    return gathered


def _add(
    gathered: _Gathered, example: Example, runs: Mapping[str, Recorded], kind: Kind, met: set[tuple[bytes, int]]
) -> None:
    """Adds an example; `met` are the target nets and classes of which there is a whole one."""
    run = runs[example["run"]["id"].decode()]
    gathered.drawn.append({name: example[name] for name in (*kind.drawn, "target_net")})
    net_and_class = example["target_net"], int(example[kind.class_column])
    if net_and_class not in met and len(met) < _WHOLE:
        met.add(net_and_class)
        gathered.whole.append(example)
    images = [example[name] for name in ("seed_image", "image") if name in example]
    record = told.lines(example, run.class_names)
    gathered.gallery.add(example["id"].decode(), _row(example, run, kind, len(runs)), images, record)


def _row(example: Example, run: Recorded, kind: Kind, runs: int) -> dict[str, str]:
    status = example["status"].decode() or "-"
    row = {"target net": example["target_net"].decode(), **kind.row(example, run), "status": status}
    return {**row, "run": run["run_id"]} if runs > 1 else row


def _page(
    name: str,
    subtitle: str,
    kind: Kind,
    first: Section,
    found: Section,
    more: list[Section],
    gathered: _Gathered,
    run: Recorded,
    folder: RunFolder,
) -> Page:
    if gathered.count > len(gathered.gallery):
        of = f"{len(gathered.gallery):,} of {gathered.count:,}"
        first.notes = [*first.notes, f"The examples below are {of}, evenly spaced."]
    if gathered.drawn:
        found.pictures = kind.pictures(gathered.drawn, gathered.whole, run, folder)
    sections = [section for section in (first, found, *more) if _holds(section)]
    return Page(name, f"{gathered.count:,} {kind.noun}, {subtitle}", sections, gathered.gallery)


def _holds(section: Section) -> bool:
    return any((section.facts, section.notes, section.tables, section.pictures, section.text, section.commands))


def _replay(name: str, workdir: Workdir) -> str:
    return f"peerpressure replay {name} {{id}} --workdir {workdir.path} --picture example.png"


# What a run is.


def _about_run(run: Recorded, gathered: _Gathered) -> tuple[list[Fact], list[Table]]:
    manifest = run.manifest
    height, width, channels = manifest["image_shape"]
    splits = ", ".join(manifest["config"]["seeds"]["splits"])
    finished = manifest.get("finished_at")
    facts = [
        Fact("examples", f"{gathered.count:,}"),
        Fact("images", manifest["seeds"], f"{splits}; {height} x {width} x {channels}"),
        Fact("classes", str(manifest["num_classes"])),
        Fact("method", run.method.name),
        Fact("run", manifest["run_id"], f"run seed {manifest['run_seed']}, code {manifest['code_version']}"),
        *([Fact("finished", finished)] if finished else []),
        Fact("configuration", manifest["config_digest"][:_DIGITS], "digest of what determines the examples"),
    ]
    return facts, [_nets(manifest), *_left_out(manifest), _settings(manifest["config"])]


def _nets(manifest: Mapping[str, Any]) -> Table:
    accuracy = manifest.get("seed_accuracy") or {}
    of_nets, judge = accuracy.get("nets", {}), manifest["judge"]
    rows = [[net["name"], _percent(of_nets.get(net["name"])), net["digest"][:_DIGITS]] for net in manifest["nets"]]
    if judge:
        rows.append([f"{judge['name']} (judge)", _percent(accuracy.get("judge")), judge["digest"][:_DIGITS]])
    note = f"accuracy on {accuracy['images']} seed images of split {accuracy['split']}, in %" if accuracy else ""
    return Table([["net", "accuracy", "digest"], *rows], "Nets", note)


def _percent(share: float | None) -> str:
    return "-" if share is None else tables.number(100 * share)


def _left_out(manifest: Mapping[str, Any]) -> list[Table]:
    reasons = sorted(manifest.get("reasons", {}).items(), key=lambda entry: -entry[1])
    cells = [["trials", "why no example came of them"], *([f"{count:,}", reason] for reason, count in reasons)]
    return [Table(cells, "Skipped, dropped, set aside", left=2)] if reasons else []


def _settings(config: Mapping[str, Any]) -> Table:
    rows = []
    for section, keys in config.items():
        of_section = keys.items() if isinstance(keys, dict) else [("", keys)]
        told = [(f"[{section}] {key}" if key else section, _setting(value)) for key, value in of_section]
        rows += [[key, value] for key, value in told if value]
    return Table([["key", "value"], *rows], "Configuration", left=2)


def _questions(full: str, kind: Kind, workdir: Workdir) -> Section:
    own = {about: command.format(full) for about, command in kind.questions.items()}
    asked = {
        "Check every example against its nets": f"verify {full}",
        "Show the examples to new nets": f"recheck {full} --peers NET.keras ...",
        **own,
    }
    commands = [(about, f"peerpressure {command} --workdir {workdir.path}") for about, command in asked.items()]
    load = f'tfds.load("{full}", data_dir="{workdir.datasets}")'
    return Section("more", "More", commands=[("Load the examples in Python", load), *commands])


def _setting(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_setting, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _found(folder: RunFolder, kind: Kind) -> Section:
    """Tells what a run found: by tables, if it is finished and its files are there."""
    manifest = folder.manifest()
    if manifest is None:
        return Section("found", "What was found")
    hints = kind.hints(folder, manifest) + ([] if manifest["examples"] else [kind.nothing_found])
    return Section("found", "What was found", hints, tables=kind.tables(folder, manifest))


# What became of it.


def _over_time(published: Published, workdir: Workdir) -> Section:
    """Tells how runs and rechecks of a task followed each other."""
    runs = [run.manifest for run in published.runs.values()]
    nets = list(dict.fromkeys(net for run in reversed(runs) for net in targets.names(run)))
    rows = [
        [run["run_id"], f"{run['examples']:,}", *(_percent(_share(*rates.rate(run, net))) for net in nets)]
        for run in runs
    ]
    shown = [
        Table([["run", "examples", *nets], *rows], "Runs", "of each target net: % of trials that found an example")
    ]
    drawn = [_rates_picture(runs, nets)] if len(runs) > 1 else []
    return Section(
        "time",
        "Over time",
        tables=[*shown, *_statuses(published)],
        pictures=drawn,
        text=_changes(published, workdir),
    )


def _share(found: int, trials: int) -> float | None:
    return found / trials if trials else None


def _rates_picture(runs: list[Mapping[str, Any]], nets: list[str]) -> Picture:
    shares = {net: [_share(*rates.rate(run, net)) for run in runs] for net in nets}
    lines = {net: [math.nan if each is None else 100 * each for each in of_net] for net, of_net in shares.items()}
    names = [run["run_id"] for run in runs]

    def draw(stream: Any) -> None:
        picture.draw_lines(lines, names, "% of trials", stream)

    return Picture("rates", "Trials that found an example, by run", f"A line for each of {', '.join(nets)}.", draw)


def _statuses(published: Published) -> Iterator[Table]:
    statuses = published.kind.statuses
    rows = [
        [recheck["version"], net, *(str(counts.get(status, 0)) for status in statuses)]
        for recheck in published.rechecks
        for net, counts in recheck["counts"].items()
    ]
    if rows:
        yield Table(
            [["version", "target net", *statuses], *rows], "Rechecks by new nets", published.kind.legend, left=2
        )


def _changes(published: Published, workdir: Workdir) -> str:
    """Tells what changed against the version before, if that is still there."""
    major, minor, _ = published.version.split(".")
    if minor == "0":
        return ""
    before = f"{published.name}:{major}.{int(minor) - 1}.0"
    try:
        old = datasets.open_dataset(before, workdir.datasets)
    except InputError:
        return f"{before} is not in this workdir: what changed since cannot be told."
    return diff.text(diff.compare(old, published))


def _retrained(workdir: Workdir, name: str) -> Iterator[Section]:
    """Tells of the nets that were retrained on a task's dataset, if there are any."""
    folders = [path.parent for path in sorted((workdir.path / "retrained").glob("*/summary.csv"))]
    mine = [folder for folder in folders if name in _learned_from(folder)]
    if mine:
        summaries = [(folder / "summary.csv").read_text() for folder in mine]
        cells = [list(csv.reader(io.StringIO(text))) for text in summaries]
        shown = [Table(each, folder.name) for each, folder in zip(cells, mine, strict=True)]
        fronts = [_front(folder) for folder in mine if (folder / "front.png").exists()]
        yield Section("retrained", "Retraining", tables=shown, pictures=fronts)


def _learned_from(folder: epath.Path) -> set[str]:
    """Returns the datasets, "dataset/task", that the recipes of a retraining learned from."""
    records = [next(recipe.glob("seed-*/retrained.json"), None) for recipe in folder.iterdir() if recipe.is_dir()]
    told = [ledger.read_json(record) or {} for record in records if record]
    return {record.get("dataset", "").rpartition(":")[0] for record in told}


def _front(folder: epath.Path) -> Picture:
    def copy(stream: Any) -> None:
        stream.write((folder / "front.png").read_bytes())

    title = f"{folder.name}: recipes beside each other"
    return Picture(f"front-{folder.name}", title, "Each recipe's nets, by what it costs and what it gains.", copy)


# Where pages lie.


def path(workdir: Workdir, name: str, part: str) -> epath.Path:
    """Returns where the page of a version, or of a run, of "dataset/task" lies."""
    return workdir.path / "reports" / name / part / PAGE


def write(page: Page, path: epath.Path) -> None:
    """Writes a page, after its pictures, which lie beside it."""
    made = files(page)
    ledger.sweep_files(path.parent)  # before, for when the page is there, nobody comes again
    with Bar("write page", len(made), "file") as bar:
        for count, name in enumerate(sorted(made, key=lambda name: (name == PAGE, name)), 1):
            ledger.write_whole(path.parent / name, made[name])
            bar.show(count)

"""The commands that look at any published dataset: `verify`, `replay`, `recheck`, `diff`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from models.errors import InputError
from pipeline.commands import libraries, options, outputs
from pipeline.commands.outputs import CHECK_FAILED, OK

if TYPE_CHECKING:
    from models.classifier import Classifier
    from pipeline.config.recorded import Recorded
    from pipeline.runs.nets import Finder
    from pipeline.versions.published import Published
    from pipeline.versions.statuses import Recheck

Command = Callable[[str, Callable[[argparse.Namespace], int], str], Any]


def add(command: Command) -> None:
    """Adds the commands to the command line; `command` takes a name, the function to call and a sentence about it."""
    options.verify(command("verify", _verify, "Check every example of a published dataset against its nets."))
    options.replay(command("replay", _replay, "Re-create one example from its record and compare the bytes."))
    options.recheck(command("recheck", _recheck, "Show an existing dataset to new nets: what is healed, what is not."))
    options.diff(command("diff", _diff, "Tell what one version of a dataset has that another has not."))


def _verify(arguments: argparse.Namespace) -> int:
    libraries.load()
    from pipeline.versions import check

    published = outputs.open_dataset(arguments)
    nets = outputs.nets(published, arguments)
    groups = {run_id: nets.group(run) for run_id, run in published.runs.items()}
    verified = check.check(published, groups, min(group.batch for group in groups.values()))
    shown = len(verified.failed_ids)
    checked = f"{verified.checked:,}{outputs.of_all(published)}"
    print(f"{arguments.dataset}: {checked} examples checked, {shown} shown of those that fail")
    for reason, count in sorted(verified.reasons.items()):
        print(f"{count} examples: {reason}")
    for example_id in verified.failed_ids:
        print(f"failed: {example_id}")
    return CHECK_FAILED if verified.reasons else OK


def _replay(arguments: argparse.Namespace) -> int:
    libraries.load()
    import numpy as np

    from pipeline import records
    from pipeline.versions import published as datasets

    published = outputs.open_dataset(arguments)
    example = datasets.find(published, arguments.id)
    run, kind = published.run(example), published.kind

    def group() -> Any:
        return outputs.nets(published, arguments).group(run)

    image = kind.again(example, run, group)
    equal = np.array_equal(image, example["image"])
    outputs.write_bytes("--out", arguments.out, records.encode_png(image) if arguments.out else b"")
    if arguments.picture:
        with outputs.writing("--picture", arguments.picture):
            kind.draw(example, run, group, arguments.picture)
    print(f"{example['id'].decode()}: {kind.about(example, run)}")
    print(f"the re-created image and the stored one are {'equal' if equal else 'NOT equal'}, byte for byte")
    return OK if equal else CHECK_FAILED


def _recheck(arguments: argparse.Namespace) -> int:
    if arguments.publish and arguments.sample is not None:
        raise InputError("--publish gives all examples a status, and --sample shows some to nets; leave one out.")
    published = outputs.open_dataset(arguments)
    if arguments.publish:
        _publish(published.name, arguments)
    else:
        _ask(published, arguments)
    return OK


def _publish(name: str, arguments: argparse.Namespace) -> None:
    """Shows the newest version of "dataset/task" to new nets, and makes the next one of what they say."""
    from pipeline.report import tables
    from pipeline.versions import package, recheck, statuses
    from pipeline.versions import published as datasets
    from pipeline.workdir import lock
    from pipeline.workdir.ledger import Workdir

    workdir = Workdir.at(arguments.workdir)
    workdir.check_writable()
    with lock.hold(workdir.lock(name), name, "`peerpressure recheck`", arguments.wait):
        published, newest = (datasets.open_dataset(which, workdir.datasets) for which in (arguments.dataset, name))
        kept, finished = statuses.read(workdir.rechecks(name)), [run.run_id for run in workdir.finished_runs(name)]
        recheck.check_newest(published, newest, finished, len(kept))
        asked, sources = _ask(published, arguments)
        if not statuses.nothing_new(asked, kept, published.kind):
            statuses.keep(workdir.rechecks(name), asked, sources)
        packaged = package.package(workdir, *name.split("/"))
    if packaged.existed:
        print("\nthese nets said the same of these examples before: there is nothing new to publish.")
    print(f"\n{package.text(packaged, workdir.datasets)}")
    print(tables.last_line(**packaged.fields()))


def _ask(published: Published, arguments: argparse.Namespace) -> tuple[Recheck, dict[str, str]]:
    """Shows a version to the nets of --peers and tells what they say; returns that, and their files by digest."""
    from pipeline.runs.nets import Finder
    from pipeline.versions import recheck
    from pipeline.workdir.ledger import Workdir

    first, known = next(iter(published.runs.values())), Finder(Workdir.at(arguments.workdir), published.name)
    given = [known.load(path, first, name) for name, path in map(recheck.split_name, arguments.peers)]
    new = nets = recheck.successors(published, given)
    recheck.check_new(published, given)
    if published.kind.whole_group:
        nets = {run_id: _with_old(published.runs[run_id], of_run, known) for run_id, of_run in new.items()}
    groups = recheck.groups_to_ask(published, nets)
    batch = min((group.batch for of_run in groups.values() for group in of_run.values()), default=1)
    found = recheck.recheck(published, groups, batch)
    table = outputs.of_sample(recheck.table(found, published.kind), published)
    print(table.text())
    outputs.write_text("--csv", arguments.csv, table.csv())
    outputs.write_tables(arguments, [table])
    outputs.write_text("--status", arguments.status, recheck.to_json_lines(found))
    return recheck.to_keep(published, new, found), {net.digest: net.source for net in given}


def _with_old(run: Recorded, new: dict[str, Classifier], known: Finder) -> dict[str, Classifier]:
    """Returns a run's nets in their order, new ones where there are, else the run's own; none if none is new."""
    if not new:
        return {}
    nets = {**new, **known.nets([net for net in run["nets"] if net["name"] not in new], run)}
    return {net["name"]: nets[net["name"]] for net in run["nets"]}


def _diff(arguments: argparse.Namespace) -> int:
    libraries.load()
    from pipeline.versions import diff, published
    from pipeline.workdir.ledger import Workdir

    folder = Workdir.at(arguments.workdir).datasets
    found = diff.compare(*(published.open_dataset(name, folder) for name in (arguments.old, arguments.new)))
    print(diff.text(found))
    outputs.write_text("--json", arguments.json, diff.to_json(found) + "\n")
    return OK

"""The commands that look at a published dataset, from `verify` to `lineage`."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from etils import epath

from models import preflight
from models.classifier import Classifier, PeerGroup
from models.errors import InputError
from pipeline import (
    diff,
    lineage,
    lock,
    options,
    package,
    picture,
    probe,
    recheck,
    records,
    replay,
    statuses,
    tables,
    transfer,
    verify,
)
from pipeline.ledger import Workdir
from pipeline.nets import Finder
from pipeline.search import cppn

OK, CHECK_FAILED = 0, 1  # exit codes
_BATCH = 256

Command = Callable[[str, Callable[[argparse.Namespace], int], str], Any]


def add(command: Command) -> None:
    """Adds the commands to the command line; `command` takes a name, the function to call and a sentence about it."""
    options.verify(command("verify", _verify, "Check every example of a published dataset against its nets."))
    options.replay(command("replay", _replay, "Re-create one example from its record and compare the bytes."))
    options.recheck(command("recheck", _recheck, "Show an existing dataset to new nets: what is healed, what is not."))
    options.diff(command("diff", _diff, "Tell what one version of a dataset has that another has not."))
    options.transfer(command("transfer", _transfer, "Show adversarial twins, and noise of their size, to all nets."))
    options.probe(command("probe", _probe, "Show how adversarial twins and their originals hold out against noise."))
    options.render(command("render", _render, "Draw a CPPN garbage image again, at any size."))
    options.sheet(command("sheet", _sheet, "Draw garbage images as a contact sheet, with their classes."))
    options.lineage(command("lineage", _lineage, "Tell from which images a garbage image descends."))


def _verify(arguments: argparse.Namespace) -> int:
    published = replay.open_dataset(arguments.dataset, Workdir.at(arguments.workdir).datasets)
    nets = _nets(published, arguments)
    groups = {run_id: nets.group(run) for run_id, run in published.runs.items()}
    verified = replay.check(published, groups, _BATCH)
    print(
        f"{arguments.dataset}: {verified.checked} examples checked, {len(verified.failed_ids)} shown of those that fail"
    )
    for reason, count in sorted(verified.reasons.items()):
        print(f"{count} examples: {reason}")
    for example_id in verified.failed_ids:
        print(f"failed: {example_id}")
    return CHECK_FAILED if verified.reasons else OK


def _recheck(arguments: argparse.Namespace) -> int:
    published = replay.open_dataset(arguments.dataset, Workdir.at(arguments.workdir).datasets)
    if arguments.publish:
        _publish(published.name, arguments)
    else:
        _ask(published, arguments)
    return OK


def _publish(name: str, arguments: argparse.Namespace) -> None:
    """Shows the newest version of "dataset/task" to new nets, and makes the next one of what they say."""
    workdir = Workdir.at(arguments.workdir)
    workdir.check_writable()
    with lock.hold(workdir.lock(name), name, "`peerpressure recheck`", arguments.wait):
        published, newest = (replay.open_dataset(which, workdir.datasets) for which in (arguments.dataset, name))
        kept, finished = statuses.read(workdir.rechecks(name)), [run.run_id for run in workdir.finished_runs(name)]
        recheck.check_newest(published, newest, finished, len(kept))
        asked, sources = _ask(published, arguments)
        if not statuses.nothing_new(asked, kept, published.dataset):
            statuses.keep(workdir.rechecks(name), asked, sources)
        packaged = package.package(workdir, *name.split("/"))
    if packaged.existed:
        print("\nthese nets said the same of these examples before: there is nothing new to publish.")
    print(f"\n{package.text(packaged, workdir.datasets)}")
    print(tables.last_line(**packaged.fields()))


def _ask(published: replay.Published, arguments: argparse.Namespace) -> tuple[statuses.Recheck, dict[str, str]]:
    """Shows a version to the nets of --peers and tells what they say; returns that, and their files by digest."""
    first, known = next(iter(published.runs.values())), Finder(Workdir.at(arguments.workdir), published.name)
    given = [known.load(path, first, name) for name, path in map(recheck.split_name, arguments.peers)]
    new = nets = recheck.successors(published, given)
    recheck.check_new(published, given)
    if published.dataset == records.MISTAKES:
        nets = {run_id: _with_old(published.runs[run_id], of_run, known) for run_id, of_run in new.items()}
    found = recheck.recheck(published, recheck.groups_to_ask(published, nets), _BATCH)
    print(recheck.text(found, published.dataset))
    if arguments.csv:
        with _writing("--csv", arguments.csv):
            epath.Path(arguments.csv).write_text(tables.to_csv(recheck.cells(found, published.dataset)))
    if arguments.status:
        with _writing("--status", arguments.status):
            epath.Path(arguments.status).write_text(recheck.to_json_lines(found))
    return recheck.to_keep(published, new, found), {net.digest: net.source for net in given}


def _with_old(run: dict[str, Any], new: dict[str, Classifier], known: Finder) -> dict[str, Classifier]:
    """Returns a run's nets in their order, new ones where there are, else the run's own; none if none is new."""
    if not new:
        return {}
    nets = {**new, **known.nets([net for net in run["nets"] if net["name"] not in new], run)}
    return {net["name"]: nets[net["name"]] for net in run["nets"]}


def _transfer(arguments: argparse.Namespace) -> int:
    for size in arguments.rescale:
        if not 0.0 < size <= 1.0:
            raise InputError(f"--rescale is {size:g}, expected a distortion above 0 and at most 1.")
    examples, group = _pairs(arguments)
    rows = transfer.table(examples, group, arguments.rescale, _BATCH)
    print(transfer.text(rows, group.names))
    if arguments.csv:
        with _writing("--csv", arguments.csv):
            epath.Path(arguments.csv).write_text(tables.to_csv(transfer.cells(rows, group.names)))
    if arguments.picture:
        named = [(f"{row.made_for}, {row.size}", row.induced) for row in rows]
        named += [(f"noise: {row.made_for}, {row.size}", row.noise) for row in rows]
        names, shares = zip(*named, strict=True)
        with _writing("--picture", arguments.picture):
            picture.draw_table(np.array(shares), names, group.names, arguments.picture)
    return OK


def _probe(arguments: argparse.Namespace) -> int:
    for size in arguments.noise:
        if not 0.0 < size <= 1.0:
            raise InputError(f"--noise is {size:g}, expected a distortion above 0 and at most 1.")
    if not 1 <= arguments.draws <= 1000:
        raise InputError(f"--draws is {arguments.draws}, expected a number from 1 to 1000.")
    examples, group = _pairs(arguments)
    rows = probe.table(examples, group, sorted(set(arguments.noise)), arguments.draws, _BATCH)
    print(probe.text(rows))
    if arguments.csv:
        with _writing("--csv", arguments.csv):
            epath.Path(arguments.csv).write_text(tables.to_csv(probe.cells(rows)))
    if arguments.picture:
        with _writing("--picture", arguments.picture):
            _draw_probe(rows, arguments.picture)
    return OK


def _draw_probe(rows: Sequence[probe.Row], path: str) -> None:
    distortions = {row.made_for: row.distortion for row in rows}
    sizes = [row.noise for row in rows if row.made_for == rows[0].made_for]
    kept = np.array([(row.original, row.twin) for row in rows]).reshape(len(distortions), len(sizes), 2)
    picture.draw_probe(list(distortions), list(distortions.values()), sizes, kept, path)


def _pairs(arguments: argparse.Namespace) -> tuple[list[dict[str, Any]], PeerGroup]:
    """Opens a dataset of pairs: its examples, and the nets that its runs have in common."""
    if not arguments.dataset.startswith(f"{records.PAIRS}/"):
        raise InputError(
            f"`{arguments.command}` shows pairs, not '{arguments.dataset}'; expected adversarial_pairs/TASK[:VERSION]."
        )
    published = replay.open_dataset(arguments.dataset, Workdir.at(arguments.workdir).datasets)
    runs = list(published.runs.values())
    if any(run["nets"] != runs[0]["nets"] for run in runs):
        raise InputError(f"the runs of '{arguments.dataset}' are of different nets; name the version of the first run.")
    group, examples = _nets(published, arguments).group(runs[0]), list(published.examples())
    if not examples:
        raise InputError(f"'{arguments.dataset}' is empty; there is nothing to show to nets.")
    return examples, group


@contextlib.contextmanager
def _writing(option: str, path: str) -> Iterator[None]:
    """Tells in one sentence that an output file cannot be written."""
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        reason = getattr(error, "strerror", None) or preflight.reason(error)
        raise InputError(f"{option} {path} cannot be written ({reason}); name another file.") from error


def _replay(arguments: argparse.Namespace) -> int:
    published = replay.open_dataset(arguments.dataset, Workdir.at(arguments.workdir).datasets)
    example = replay.find(published, arguments.id)
    run = published.run(example)
    image = _made_again(published, example, run, arguments)
    equal = np.array_equal(image, example["image"])
    if arguments.out:
        with _writing("--out", arguments.out):
            epath.Path(arguments.out).write_bytes(records.encode_png(image))
    if arguments.picture:
        with _writing("--picture", arguments.picture):
            if published.dataset == records.PAIRS:
                _draw_pair(example, run, arguments.picture)
            elif published.dataset == records.GARBAGE:
                picture.draw_sheet(example["image"][None], [_garbage_title(example, run)], arguments.picture)
            else:
                _draw(example, run, _nets(published, arguments).group(run), arguments.picture)
    print(f"{example['id'].decode()}: {_about(published.dataset, example, run)}")
    print(f"the re-created image and the stored one are {'equal' if equal else 'NOT equal'}, byte for byte")
    return OK if equal else CHECK_FAILED


def _diff(arguments: argparse.Namespace) -> int:
    datasets = Workdir.at(arguments.workdir).datasets
    found = diff.compare(*(replay.open_dataset(name, datasets) for name in (arguments.old, arguments.new)))
    print(diff.text(found))
    if arguments.json:
        with _writing("--json", arguments.json):
            epath.Path(arguments.json).write_text(diff.to_json(found) + "\n")
    return OK


def _made_again(
    published: replay.Published, example: dict[str, Any], run: dict[str, Any], arguments: argparse.Namespace
) -> np.ndarray:
    if published.dataset == records.MISTAKES:
        return replay.render(example, run)
    again = replay.attack_again if published.dataset == records.PAIRS else replay.breed_again
    return again(example, run, _nets(published, arguments).group(run))


def _nets(published: replay.Published, arguments: argparse.Namespace) -> Finder:
    return Finder(Workdir.at(arguments.workdir), published.name, arguments.peers)


def _about(dataset: str, example: dict[str, Any], run: dict[str, Any]) -> str:
    if dataset == records.GARBAGE:
        born = f"born in generation {example['generation']} on island {example['island']}"
        return f"{_garbage_title(example, run)}, {born}"
    pair = dataset == records.PAIRS
    made = f"distortion {example['distortion']:.4f}" if pair else f"{len(example['transform']['steps'])} moves"
    return f"{made} of {example['seed']['id'].decode()}"


def _garbage_title(example: dict[str, Any], run: dict[str, Any]) -> str:
    return f"{_class_names(run)[int(example['wrong_class'])]} {100 * example['confidence']:.2f}%"


def _open_garbage(arguments: argparse.Namespace) -> replay.Published:
    if not arguments.dataset.startswith(f"{records.GARBAGE}/"):
        raise InputError(
            f"`{arguments.command}` is for garbage images, not '{arguments.dataset}'; expected "
            f"{records.GARBAGE}/TASK[:VERSION]."
        )
    return replay.open_dataset(arguments.dataset, Workdir.at(arguments.workdir).datasets)


def _render(arguments: argparse.Namespace) -> int:
    cppn.check_size(arguments.size, arguments.size)
    genome, shape = _genome(arguments)
    scale = arguments.size / max(shape) if shape else 0.0
    height, width = (max(1, round(scale * side)) for side in shape) if shape else (arguments.size, arguments.size)
    image = cppn.render_at(genome, height, width)
    with _writing("--out", arguments.out):
        epath.Path(arguments.out).write_bytes(records.encode_png(image))
    if arguments.genome:
        with _writing("--genome", arguments.genome):
            epath.Path(arguments.genome).write_text(genome)
    print(f"{arguments.out}: {image.shape[0]} x {image.shape[1]} pixels")
    return OK


def _genome(arguments: argparse.Namespace) -> tuple[str, tuple[int, ...]]:
    """Returns a genome as JSON, and the size (H, W) of its example, () if it comes from a file."""
    if arguments.dataset.endswith(".json"):
        try:
            return epath.Path(arguments.dataset).read_text(), ()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                f"{arguments.dataset}: the genome cannot be read ({error}); name a genome's file."
            ) from error
    published = _open_garbage(arguments)
    if not arguments.id:
        raise InputError("`render` needs the id of an example, or a genome's .json file in place of the dataset.")
    example = replay.find(published, arguments.id)
    if not example["genome"]:
        raise InputError(
            f"{example['id'].decode()} is of the encoding '{example['encoding'].decode()}': its genome is the image "
            "itself, of one size; only 'cppn' can be rendered at another."
        )
    return example["genome"].decode(), example["image"].shape[:2]


def _sheet(arguments: argparse.Namespace) -> int:
    if arguments.limit < 1:
        raise InputError(f"--limit is {arguments.limit}, expected at least 1.")
    published = _open_garbage(arguments)
    wanted = {"target_net": arguments.net.encode(), "encoding": arguments.encoding.encode()}
    mine = [
        example
        for example in published.examples()
        if all(value in (b"", example[key]) for key, value in wanted.items())
    ]
    if not mine:
        of = "".join(f" of {value.decode()}" for value in wanted.values() if value)
        raise InputError(f"'{arguments.dataset}' has no example{of} to draw.")
    order = ("target_net", "encoding", "wrong_class", "island")
    mine.sort(key=lambda example: tuple(example[key] for key in order))
    places = np.unique(np.linspace(0, len(mine) - 1, min(arguments.limit, len(mine))).round().astype(int))
    shown = [mine[place] for place in places]
    titles = [_garbage_title(example, published.run(example)) for example in shown]
    with _writing("--out", arguments.out):
        picture.draw_sheet(np.stack([example["image"] for example in shown]), titles, arguments.out)
    print(f"{arguments.out}: {len(shown)} of {len(mine)} images")
    return OK


def _lineage(arguments: argparse.Namespace) -> int:
    published = _open_garbage(arguments)
    example = replay.find(published, arguments.id)
    run = published.run(example)
    folder = Workdir.at(arguments.workdir).run(published.name, run["run_id"])
    family = lineage.ancestors(folder, example)
    print(f"{example['id'].decode()}: {_about(published.dataset, example, run)}")
    print(lineage.text(family))
    if arguments.csv:
        with _writing("--csv", arguments.csv):
            epath.Path(arguments.csv).write_text(tables.to_csv(lineage.cells(family)))
    return OK


def _draw_pair(example: dict[str, Any], run: dict[str, Any], path: str) -> None:
    names = _class_names(run)
    title = f"{names[int(example['label'])]} read as {names[int(example['wrong_class'])]}"
    picture.draw_pairs(example["seed_image"][None], example["image"][None], [title], path)


def _class_names(run: dict[str, Any]) -> list[str]:
    return run["class_names"] or [str(number) for number in range(run["num_classes"])]


def _draw(example: dict[str, Any], run: dict[str, Any], group: PeerGroup, path: str) -> None:
    chain, seed_image = replay.stored_chain(example, run), example["seed_image"]
    search = run["config"]["search"]
    states = verify.render_states(seed_image, chain, search["compose"], run["config"]["operator"]["border"])
    images = np.concatenate([seed_image[None], states])
    target = example["target_net"].decode()
    picture.draw_session(
        images, group.probabilities(images, _BATCH), group.names, target, _class_names(run), int(example["label"]), path
    )

"""The command line, `peerpressure COMMAND`.

Exit codes: 0, done; 1, a check found something wrong; 2, a mistake in what was given; 3, another run holds the task (2
and 3 with one sentence on stderr). `run`, `mine` and `package` end with one line "peerpressure: status=done key=value
...".
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import difflib
import shlex
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import numpy as np
import tensorflow_datasets as tfds
from absl import app, logging
from absl.flags import argparse_flags
from etils import epath

from models.classifier import Classifier, PeerGroup
from models.errors import InputError
from models.loading import load as load_net
from pipeline import (
    config,
    diff,
    lock,
    picture,
    probe,
    recheck,
    records,
    replay,
    stages,
    steps,
    tables,
    transfer,
    verify,
)
from pipeline import package as packaging
from pipeline.ledger import RunFolder, Workdir
from pipeline.search import cppn

OK, CHECK_FAILED, WRONG_INPUT, TASK_HELD = 0, 1, 2, 3
_BATCH = 256


def main() -> None:
    """Runs the command line of this process and exits with its code."""
    logging.set_verbosity(logging.ERROR)
    app.run(_main, flags_parser=_parse)


def _main(arguments: argparse.Namespace) -> int:
    tfds.disable_progress_bar()
    try:
        return arguments.call(arguments)
    except InputError as error:
        print(_sentence(error), file=sys.stderr)
        return TASK_HELD if isinstance(error, lock.HeldError) else WRONG_INPUT


def _sentence(error: InputError) -> str:
    return f"peerpressure: error: {error}"


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line; what our parser does not know has to be Beam's."""
    parser, commands = _parser()
    try:
        _check_command(argv[1:], commands.choices)
        arguments, unknown = parser.parse_known_args(argv[1:])
        if unknown and not unknown[0].startswith("-"):
            raise InputError(f"unexpected argument '{unknown[0]}'; see `peerpressure {arguments.command} --help`.")
    except InputError as error:
        print(_sentence(error), file=sys.stderr)
        sys.exit(WRONG_INPUT)
    arguments.beam_arguments = unknown
    return arguments


def _check_command(arguments: Sequence[str], parsers: dict[str, Any]) -> None:
    """Checks names before anything is parsed, so that a misspelt option is not reported as a missing one."""
    if not arguments:
        raise InputError(f"a command is missing; give one of {', '.join(parsers)}, or see `peerpressure --help`.")
    command = arguments[0]
    if command in parsers:
        _check_options(command, arguments[1:], parsers[command])
    elif not command.startswith("-"):
        near = difflib.get_close_matches(command, parsers, 1, 0.6)
        hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(parsers)}."
        raise InputError(f"unknown command '{command}'; {hint}")


def _check_options(command: str, arguments: Sequence[str], parser: Any) -> None:
    ours = parser._option_string_actions
    others = [argument for argument in arguments if argument.startswith("--") and argument.split("=")[0] not in ours]
    stages.check_options(others, list(ours))
    if others and command not in ("run", "mine"):
        raise InputError(f"{others[0]}: `{command}` runs no Beam pipeline; leave it out.")


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Says defaults, but not those that mean "not given"."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default in (None, False, "", []) else super()._get_help_string(action)


class _Parser(argparse_flags.ArgumentParser):
    """Tells a mistake in one sentence, as everything else here does, in place of argparse's usage."""

    _REQUIRED = "the following arguments are required: "

    def error(self, message: str) -> NoReturn:
        if message.startswith(self._REQUIRED):
            missing = message.removeprefix(self._REQUIRED).replace(", ", " and ")
            raise InputError(f"`{self.prog}` needs {missing}; `{self.prog} --help` says what to give.")
        raise InputError(f"{message.removeprefix('argument ')}; see `{self.prog} --help`.")


def _parser() -> tuple[Any, Any]:
    parser = _Parser(
        prog="peerpressure",
        description="Mines the inputs on which one net is wrong while its peers are right, as versioned TFDS datasets.",
        epilog="Exit codes: 0 done, 1 a check failed, 2 wrong input, 3 another run holds the task. Options of Apache "
        "Beam (--runner, --direct_num_workers, ...) may be given to run and mine.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, call: Any, about: str) -> Any:
        added = commands.add_parser(
            name,
            help=about,
            description=about,
            allow_abbrev=False,
            inherited_absl_flags=None,
            formatter_class=_HelpFormatter,
        )
        added.set_defaults(call=call)
        return added

    for name, call, about in (
        ("run", _run, "Train what is missing, mine, package, and print the table of the run."),
        ("train", _train, "Train the nets of a task that are not in the workdir yet."),
        ("mine", _mine, "Search, verify and write the chunks of a run; goes on where a killed run stopped."),
        ("package", _package, "Make all finished runs of a task the next version of its dataset."),
    ):
        step = command(name, call, about)
        _task_options(step)
        if name in ("run", "mine"):
            _run_options(step)
        if name != "train":
            _lock_options(step)
    _verify_options(command("verify", _verify, "Check every example of a published dataset against its nets."))
    _replay_options(command("replay", _replay, "Re-create one example from its record and compare the bytes."))
    _recheck_options(command("recheck", _recheck, "Show an existing dataset to new nets: what is healed, what is not."))
    _diff_options(command("diff", _diff, "Tell what one version of a dataset has that another has not."))
    _transfer_options(command("transfer", _transfer, "Show adversarial twins, and noise of their size, to all nets."))
    _probe_options(command("probe", _probe, "Show how adversarial twins and their originals hold out against noise."))
    _render_options(command("render", _render, "Draw a CPPN garbage image again, at any size."))
    _sheet_options(command("sheet", _sheet, "Draw garbage images as a contact sheet, with their classes."))
    return parser, commands


def _task_options(parser: Any) -> None:
    parser.add_argument("--config", required=True, help="the task's TOML file; required", default=argparse.SUPPRESS)
    _workdir_option(parser)
    parser.add_argument(
        "--data_dir", help="TFDS data_dir that holds the seed images' dataset (TFDS's own if not given)"
    )
    parser.add_argument(
        "--device",
        choices=("auto", "cpu", "gpu", "tpu"),
        default="auto",
        help="where nets are trained and asked; auto takes TPU, GPU, CPU in this order",
    )


def _run_options(parser: Any) -> None:
    parser.add_argument(
        "--run_id", default="", help="name of the run in the workdir; by default a digest of config and nets"
    )
    parser.add_argument(
        "--run_seed",
        default="",
        metavar="auto|N",
        help="in place of the configuration's [run] run_seed; auto derives it from --run_id",
    )
    parser.add_argument("--islands", type=int, help="garbage images: in place of [garbage] islands")


def _lock_options(parser: Any) -> None:
    parser.add_argument("--wait", action="store_true", help="wait while another run holds the task")


def _workdir_option(parser: Any) -> None:
    parser.add_argument("--workdir", default="runs", help="folder or bucket for nets, ledger and datasets")


def _verify_options(parser: Any) -> None:
    parser.add_argument("dataset", help="NAME/TASK, with or without :VERSION, such as high_value_mistakes/digits")
    _workdir_option(parser)
    _peers_option(parser)


def _peers_option(parser: Any) -> None:
    parser.add_argument(
        "--peers",
        nargs="+",
        default=[],
        metavar="NET",
        help=".keras files or SavedModel folders, matched by digest; the run's own if not given",
    )


def _replay_options(parser: Any) -> None:
    parser.add_argument("dataset", help="NAME/TASK, with or without :VERSION, such as high_value_mistakes/digits")
    parser.add_argument("id", help="the example's id, or enough of its start")
    _workdir_option(parser)
    _peers_option(parser)
    parser.add_argument("--out", default="", metavar="PNG", help="write the re-created image here")
    parser.add_argument(
        "--picture",
        default="",
        metavar="PNG",
        help="draw a mistake's session, move by move, or a pair with its change, or a garbage image, here",
    )


def _recheck_options(parser: Any) -> None:
    parser.add_argument("dataset", help="NAME/TASK, with or without :VERSION, such as high_value_mistakes/digits")
    _workdir_option(parser)
    parser.add_argument(
        "--peers",
        required=True,
        nargs="+",
        metavar="NET",
        default=argparse.SUPPRESS,
        help="new .keras files or SavedModel folders; each takes the place of the net that its file is named after "
        "(NAME.keras, or NAME-KEY.keras as in a workdir), or of the one that it is given for, as NAME=FILE. Mistakes "
        "are shown to all nets of their run, old ones where no new one is given; pairs and garbage to the given nets "
        "only; required",
    )
    parser.add_argument("--csv", default="", metavar="FILE", help="write the table here")
    parser.add_argument("--status", default="", metavar="FILE", help="write each example's status here, as JSON lines")


def _diff_options(parser: Any) -> None:
    parser.add_argument("old", help="NAME/TASK:VERSION, such as high_value_mistakes/digits:1.0.0")
    parser.add_argument("new", help="likewise; without :VERSION, the newest")
    _workdir_option(parser)
    parser.add_argument("--json", default="", metavar="FILE", help="write the difference here, with all ids")


def _transfer_options(parser: Any) -> None:
    parser.add_argument("dataset", help="adversarial_pairs/TASK, with or without :VERSION")
    _workdir_option(parser)
    _peers_option(parser)
    parser.add_argument(
        "--rescale",
        nargs="*",
        type=float,
        default=[0.1],
        metavar="DISTORTION",
        help="also rescale every perturbation to these, in (0, 1], pixels in [0, 1]",
    )
    parser.add_argument("--csv", default="", metavar="FILE", help="write the table here")
    parser.add_argument("--picture", default="", metavar="PNG", help="draw the table here")


def _probe_options(parser: Any) -> None:
    parser.add_argument("dataset", help="adversarial_pairs/TASK, with or without :VERSION")
    _workdir_option(parser)
    _peers_option(parser)
    parser.add_argument(
        "--noise",
        nargs="+",
        type=float,
        default=[0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5],
        metavar="SIZE",
        help="standard deviations of the noise, in (0, 1], pixels in [0, 1]",
    )
    parser.add_argument("--draws", type=int, default=10, help="how often noise is drawn for each image")
    parser.add_argument("--csv", default="", metavar="FILE", help="write the table here")
    parser.add_argument("--picture", default="", metavar="PNG", help="draw the curves here")


def _render_options(parser: Any) -> None:
    parser.add_argument("dataset", help="garbage_images/TASK, with or without :VERSION, or a genome's .json file")
    parser.add_argument("id", nargs="?", default="", help="the example's id, or enough of its start")
    _workdir_option(parser)
    parser.add_argument("--size", type=int, default=512, help="pixels on the longer side")
    parser.add_argument("--out", required=True, metavar="PNG", help="write the image here", default=argparse.SUPPRESS)
    parser.add_argument("--genome", default="", metavar="JSON", help="write the genome here, to be rendered later")


def _sheet_options(parser: Any) -> None:
    parser.add_argument("dataset", help="garbage_images/TASK, with or without :VERSION")
    _workdir_option(parser)
    parser.add_argument("--out", required=True, metavar="PNG", help="write the sheet here", default=argparse.SUPPRESS)
    parser.add_argument("--net", default="", help="only of this target net")
    parser.add_argument("--limit", type=int, default=100, help="images at most, spread evenly over all")


def _job(task: config.Config, arguments: argparse.Namespace) -> steps.Job:
    return steps.open_job(task, arguments.workdir, arguments.data_dir, arguments.device)


@contextlib.contextmanager
def _job_alone(task: config.Config, arguments: argparse.Namespace, who: str) -> Iterator[steps.Job]:
    """Opens a job on a task that no other run works on meanwhile."""
    workdir = Workdir(epath.Path(arguments.workdir))
    workdir.check_writable()
    with lock.hold(workdir.lock(task.dataset_name), task.dataset_name, who, arguments.wait):
        yield _job(task, arguments)


def _run_alone(arguments: argparse.Namespace) -> contextlib.AbstractContextManager[steps.Job]:
    task = config.load(arguments.config).with_run_seed(arguments.run_seed, arguments.run_id)
    if (islands := arguments.islands) is not None:
        if islands < 1:
            raise InputError(f"--islands is {islands}, expected at least 1.")
        task = dataclasses.replace(task, garbage=dataclasses.replace(task.garbage, islands=islands))
    who = f"run '{arguments.run_id}'" if arguments.run_id else "a run without --run_id"
    return _job_alone(task, arguments, who)


def _train(arguments: argparse.Namespace) -> int:
    nets = steps.train(_job(config.load(arguments.config), arguments))
    for net in [*nets.peers, *([nets.judge] if nets.judge else [])]:
        print(f"{net.name}: {net.path}")
    return OK


def _mine(arguments: argparse.Namespace) -> int:
    with _run_alone(arguments) as job:
        folder = steps.mine(job, arguments.run_id, arguments.beam_arguments)
    print(steps.summary(folder))
    print(f"run {folder.run_id}: {folder.path}")
    _print_last_line(**_of_run(folder))
    return OK


def _package(arguments: argparse.Namespace) -> int:
    with _job_alone(config.load(arguments.config), arguments, "`peerpressure package`") as job:
        packaged = packaging.package(job.workdir, job.config.dataset, job.config.task)
    _show_package(job, packaged)
    _print_last_line(**_of_version(packaged))
    return OK


def _run(arguments: argparse.Namespace) -> int:
    with _run_alone(arguments) as job:
        folder = steps.mine(job, arguments.run_id, arguments.beam_arguments)
        packaged = packaging.package(job.workdir, job.config.dataset, job.config.task)
    print(steps.summary(folder))
    _show_package(job, packaged)
    _print_last_line(**_of_run(folder), **_of_version(packaged))
    return OK


def _show_package(job: steps.Job, packaged: packaging.Packaged) -> None:
    sizes = ", ".join(f"{split} {count}" for split, count in packaged.examples.items())
    state = "is there already" if packaged.existed else "written"
    split = max(packaged.examples, key=lambda name: packaged.examples[name], default="train")
    print(f"\ndataset {packaged.dataset} {state} in {job.workdir.datasets} ({sizes}). Load it with")
    print("    import tensorflow_datasets as tfds")
    print(f'    tfds.load("{packaged.dataset}", data_dir="{job.workdir.datasets}", split="{split}")')


def _of_run(folder: RunFolder) -> dict[str, Any]:
    manifest = folder.manifest()
    assert manifest is not None
    counted = {"examples": manifest["examples"], "set_aside": manifest["set_aside"]}
    return {"run": folder.run_id, **counted, "manifest": folder.path / "manifest.json"}


def _of_version(packaged: packaging.Packaged) -> dict[str, Any]:
    return {"dataset": packaged.dataset, "dataset_examples": sum(packaged.examples.values())}


def _print_last_line(**fields: Any) -> None:
    """Prints what a log is grepped for: key=value, with what the shell would split in quotes."""
    print("peerpressure: status=done", *(f"{key}={shlex.quote(str(value))}" for key, value in fields.items()))


def _verify(arguments: argparse.Namespace) -> int:
    published = replay.open_dataset(arguments.dataset, Workdir.at(arguments.workdir).datasets)
    groups = {run_id: _group(run, arguments) for run_id, run in published.runs.items()}
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
    first = next(iter(published.runs.values()))
    given = [_load(path, first, name) for name, path in map(recheck.split_name, arguments.peers)]
    nets = recheck.successors(published, given)
    if published.dataset == records.MISTAKES:
        nets = {run_id: _with_old(published.runs[run_id], new, arguments) for run_id, new in nets.items()}
    found = recheck.recheck(published, recheck.groups_to_ask(published, nets), _BATCH)
    print(recheck.text(found, published.dataset))
    if arguments.csv:
        with _writing("--csv", arguments.csv):
            epath.Path(arguments.csv).write_text(tables.to_csv(recheck.cells(found, published.dataset)))
    if arguments.status:
        with _writing("--status", arguments.status):
            epath.Path(arguments.status).write_text(recheck.to_json_lines(found))
    return OK


def _with_old(run: dict[str, Any], new: dict[str, Classifier], arguments: argparse.Namespace) -> dict[str, Classifier]:
    """Returns a run's nets in their order, new ones where there are, else the run's own."""
    left = [net for net in run["nets"] if net["name"] not in new]
    nets = {**new, **_found(left, run, _own_paths(run, arguments) if left else [])}
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
            raise InputError(f"--noise is {size:g}, expected a standard deviation above 0 and at most 1.")
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
    group, examples = _group(runs[0], arguments), list(published.examples())
    if not examples:
        raise InputError(f"'{arguments.dataset}' is empty; there is nothing to show to nets.")
    return examples, group


@contextlib.contextmanager
def _writing(option: str, path: str) -> Iterator[None]:
    """Tells in one sentence that an output file cannot be written."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{option} {path} cannot be written ({error.strerror or error}); name another file."
        ) from error


def _group(run: dict[str, Any], arguments: argparse.Namespace) -> PeerGroup:
    """Finds a run's nets by their digests: in --peers, or where the workdir's ledger says they are."""
    return PeerGroup(tuple(_found(run["nets"], run, arguments.peers or _own_paths(run, arguments)).values()))


def _own_paths(run: dict[str, Any], arguments: argparse.Namespace) -> list[str]:
    workdir = Workdir.at(arguments.workdir)
    manifest = workdir.run(arguments.dataset.split(":")[0], run["run_id"]).manifest() or {"net_paths": {}}
    # A workdir may have been moved: its own nets first, by name.
    paths = [epath.Path(path) for path in manifest["net_paths"].values()]
    return [str(place) for path in paths for place in (workdir.nets / path.name, path) if place.exists()]


def _load(path: str, run: dict[str, Any], name: str = "") -> Classifier:
    peers, shape = run["config"]["peers"], tuple(run["image_shape"])
    return load_net(
        path, name=name, from_logits=peers["from_logits"], signature=peers["signature"], expected_shape=shape
    )


def _found(nets: Sequence[dict[str, str]], run: dict[str, Any], paths: Sequence[str]) -> dict[str, Classifier]:
    """Returns nets of a run by name, found among files by their digests."""
    loaded = {net.digest: net for net in (_load(path, run) for path in paths)}
    for net in nets:
        if net["digest"] not in loaded:
            raise InputError(
                f"net '{net['name']}' of run '{run['run_id']}' (digest {net['digest'][:12]}) was not found; "
                "name its file with --peers."
            )
    return {net["name"]: dataclasses.replace(loaded[net["digest"]], name=net["name"]) for net in nets}


def _replay(arguments: argparse.Namespace) -> int:
    published = replay.open_dataset(arguments.dataset, Workdir.at(arguments.workdir).datasets)
    example = replay.find(published, arguments.id)
    run = published.run(example)
    image = _made_again(published.dataset, example, run, arguments)
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
                _draw(example, run, _group(run, arguments), arguments.picture)
    print(f"{example['id'].decode()}: {_about(published.dataset, example, run)}")
    print(f"the re-created image and the stored one are {'equal' if equal else 'NOT equal'}, byte for byte")
    return OK if equal else CHECK_FAILED


def _diff(arguments: argparse.Namespace) -> int:
    datasets = Workdir(epath.Path(arguments.workdir)).datasets
    found = diff.compare(*(replay.open_dataset(name, datasets) for name in (arguments.old, arguments.new)))
    print(diff.text(found))
    if arguments.json:
        with _writing("--json", arguments.json):
            epath.Path(arguments.json).write_text(diff.to_json(found) + "\n")
    return OK


def _made_again(
    dataset: str, example: dict[str, Any], run: dict[str, Any], arguments: argparse.Namespace
) -> np.ndarray:
    if dataset == records.MISTAKES:
        return replay.render(example, run)
    again = replay.attack_again if dataset == records.PAIRS else replay.breed_again
    return again(example, run, _group(run, arguments))


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
            f"`{arguments.command}` draws garbage images, not '{arguments.dataset}'; expected "
            f"{records.GARBAGE}/TASK[:VERSION]."
        )
    return replay.open_dataset(arguments.dataset, Workdir.at(arguments.workdir).datasets)


def _render(arguments: argparse.Namespace) -> int:
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
    mine = [example for example in published.examples() if arguments.net in ("", example["target_net"].decode())]
    if not mine:
        raise InputError(f"'{arguments.dataset}' has no example{f' of {arguments.net}' * bool(arguments.net)} to draw.")
    mine.sort(key=lambda example: (example["target_net"], int(example["wrong_class"]), int(example["island"])))
    places = np.unique(np.linspace(0, len(mine) - 1, min(arguments.limit, len(mine))).round().astype(int))
    shown = [mine[place] for place in places]
    titles = [_garbage_title(example, published.run(example)) for example in shown]
    with _writing("--out", arguments.out):
        picture.draw_sheet(np.stack([example["image"] for example in shown]), titles, arguments.out)
    print(f"{arguments.out}: {len(shown)} of {len(mine)} images")
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

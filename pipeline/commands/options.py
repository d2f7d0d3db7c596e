"""The options of the commands that look at a published dataset, and those that they share with the others."""

from __future__ import annotations

import argparse
from typing import Any

from pipeline.kinds import registry
from pipeline.kinds.garbage.kind import GARBAGE
from pipeline.kinds.pairs.kind import PAIRS
from pipeline.studies import default_sizes

_ANY = f"NAME/TASK, with or without :VERSION, such as {registry.KINDS[0].name}/digits"
_PAIRS = f"{PAIRS.name}/TASK, with or without :VERSION"
_GARBAGE = f"{GARBAGE.name}/TASK, with or without :VERSION"


def workdir(parser: Any) -> None:
    """Adds the option that every command has."""
    parser.add_argument("--workdir", default="runs", help="folder or bucket for nets, ledger and datasets")


def wait(parser: Any, what: str = "wait while another run holds the task") -> None:
    """Adds the option of the commands that hold a task."""
    parser.add_argument("--wait", action="store_true", help=what)


def _dataset(parser: Any, expected: str) -> None:
    parser.add_argument("dataset", help=expected)
    workdir(parser)


def _peers(parser: Any) -> None:
    parser.add_argument(
        "--peers",
        nargs="+",
        default=[],
        metavar="NET",
        help=".keras files or SavedModel folders, matched by digest; the run's own if not given",
    )


def _sample(parser: Any) -> None:
    """Adds the option for a quick look."""
    parser.add_argument(
        "--sample", type=int, metavar="N", help="look at N examples, spread evenly over the dataset; by default at all"
    )


def _file(parser: Any, option: str, kind: str, about: str) -> None:
    """Adds an option for a file that is written only if it is named."""
    parser.add_argument(option, default="", metavar=kind, help=about)


def _required_file(parser: Any, option: str, kind: str, about: str) -> None:
    parser.add_argument(option, required=True, metavar=kind, help=f"{about}; required", default=argparse.SUPPRESS)


def _table(parser: Any) -> None:
    """Adds the options of the commands that print one table."""
    _file(parser, "--csv", "FILE", "write the table here")
    _file(parser, "--json", "FILE", "write the table here")


def tables(parser: Any) -> None:
    """Adds the option of the commands that print tables."""
    _file(parser, "--json", "FILE", "write all tables here")


def verify(parser: Any) -> None:
    """Adds what `verify` takes."""
    _dataset(parser, _ANY)
    _peers(parser)
    _sample(parser)


def replay(parser: Any) -> None:
    """Adds what `replay` takes."""
    _dataset(parser, _ANY)
    parser.add_argument("id", help="the example's id, or enough of its start")
    _peers(parser)
    _file(parser, "--out", "PNG", "write the re-created image here")
    drawn = "draw a mistake's session, move by move, or a pair with its change, or a garbage image, here"
    _file(parser, "--picture", "PNG", drawn)


def show(parser: Any) -> None:
    """Adds what `show` takes."""
    _dataset(parser, _ANY)
    parser.add_argument("id", nargs="?", default="", help="an example's id, or enough of its start")
    parser.add_argument("--limit", type=int, default=20, help="examples in the table")
    _file(parser, "--csv", "FILE", "write the table of all examples here")
    _file(parser, "--json", "FILE", "write the table of all examples here, or all that is known of the one")


def report(parser: Any) -> None:
    """Adds what `report` takes."""
    _dataset(parser, f"{_ANY}, or KIND/TASK@RUN for one run")
    _sample(parser)
    _file(parser, "--out", "FOLDER", "write index.html and its pictures here, in place of WORKDIR/reports/...")


def recheck(parser: Any) -> None:
    """Adds what `recheck` takes."""
    _dataset(parser, _ANY)
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
    _sample(parser)
    _table(parser)
    _file(parser, "--status", "FILE", "write each example's status here, as JSON lines")
    parser.add_argument(
        "--publish",
        action="store_true",
        help="make the next version of the dataset, with these statuses in the examples' feature `status`",
    )
    wait(parser, "with --publish: wait while another run holds the task")


def diff(parser: Any) -> None:
    """Adds what `diff` takes."""
    parser.add_argument("old", help=f"NAME/TASK:VERSION, such as {registry.KINDS[0].name}/digits:1.0.0")
    parser.add_argument("new", help="likewise; without :VERSION, the newest")
    workdir(parser)
    _file(parser, "--json", "FILE", "write the difference here, with all ids")


def transfer(parser: Any) -> None:
    """Adds what `transfer` takes."""
    _dataset(parser, _PAIRS)
    _peers(parser)
    _sample(parser)
    parser.add_argument(
        "--rescale",
        nargs="*",
        type=float,
        default=list(default_sizes.RESCALED),
        metavar="DISTORTION",
        help="also rescale every perturbation to these, in (0, 1], pixels in [0, 1]",
    )
    _table(parser)
    _file(parser, "--picture", "PNG", "draw the table here")


def probe(parser: Any) -> None:
    """Adds what `probe` takes."""
    _dataset(parser, _PAIRS)
    _peers(parser)
    _sample(parser)
    parser.add_argument(
        "--noise",
        nargs="+",
        type=float,
        default=list(default_sizes.NOISE),
        metavar="SIZE",
        help="distortions to give the noise, in (0, 1], pixels in [0, 1]",
    )
    parser.add_argument("--draws", type=int, default=10, help="how often noise is drawn for each image")
    _table(parser)
    _file(parser, "--picture", "PNG", "draw the curves here")


def render(parser: Any) -> None:
    """Adds what `render` takes."""
    _dataset(parser, f"{_GARBAGE}, or a genome's .json file")
    parser.add_argument("id", nargs="?", default="", help="the example's id, or enough of its start")
    parser.add_argument("--size", type=int, default=512, help="pixels on the longer side")
    _required_file(parser, "--out", "PNG", "write the image here")
    _file(parser, "--genome", "JSON", "write the genome here, to be rendered later")


def sheet(parser: Any) -> None:
    """Adds what `sheet` takes."""
    _dataset(parser, _GARBAGE)
    _required_file(parser, "--out", "PNG", "write the sheet here")
    parser.add_argument("--net", default="", help="only of this target net")
    parser.add_argument(
        "--encoding",
        default="",
        help=f"only of this encoding: {' or '.join(method.name for method in GARBAGE.methods)}",
    )
    parser.add_argument("--limit", type=int, default=100, help="images at most, spread evenly over all")


def lineage(parser: Any) -> None:
    """Adds what `lineage` takes."""
    _dataset(parser, _GARBAGE)
    parser.add_argument("id", help="the example's id, or enough of its start")
    _file(parser, "--csv", "FILE", "write all ancestors here, not the first parents alone")
    _file(parser, "--json", "FILE", "write all ancestors here, likewise")
    _file(parser, "--picture", "PNG", "draw the first parents here, each bred again; of many, twelve")


def task(parser: Any) -> None:
    """Adds the options of the commands that work on a task."""
    parser.add_argument("--config", required=True, help="the task's TOML file; required", default=argparse.SUPPRESS)
    workdir(parser)
    _data_and_device(parser)


def _data_and_device(parser: Any) -> None:
    parser.add_argument(
        "--data_dir", help="TFDS data_dir that holds the seed images' dataset (TFDS's own if not given)"
    )
    parser.add_argument(
        "--device",
        choices=("auto", "cpu", "gpu", "tpu"),
        default="auto",
        help="where nets are trained and asked; auto takes TPU, GPU, CPU in this order",
    )


def reproduce(parser: Any) -> None:
    """Adds what `reproduce` takes."""
    parser.add_argument("name", nargs="?", default="", help="the experiment; see --list")
    parser.add_argument("--list", action="store_true", help="tell all experiments, and how long each takes")
    parser.add_argument("--small", action="store_true", help="a small form of it: less data, smaller nets, a minute")
    workdir(parser)
    _data_and_device(parser)
    _file(parser, "--out", "FOLDER", "write the page and its pictures here, in place of WORKDIR/reproduced/pages/...")
    tables(parser)


def run(parser: Any) -> None:
    """Adds the options of the commands that mine."""
    parser.add_argument(
        "--run_id", default="", help="name of the run in the workdir; by default a digest of config and nets"
    )
    parser.add_argument(
        "--run_seed",
        default="",
        metavar="auto|N",
        help="in place of the configuration's [run] run_seed; auto derives it from --run_id",
    )
    for kind in registry.KINDS:
        for option, (section, key) in kind.options.items():
            parser.add_argument(f"--{option}", type=int, help=f"{kind.noun}: in place of [{section}] {key}")

"""What packaging a night costs as nights go by: `python -m benchmarks.nights [--nights N] [--examples E]`.

A first run is mined of the built-in digits. The nights are made of it: runs in the ledger with its manifest and its
finds, each under a new id and with fresh noise in its image; one in twenty has the same noise every night, and is a
near-duplicate from the second on. All nights have the same seed images and nets, so that every find is compared with
those of all nights before. Each night is packaged; some of them in a process of their own, as `peerpressure package`
does. Measured of these are, with the ratio to the second night, the first that has one before it,

- the seconds of packaging, and of the whole process, most of which loads libraries;
- new disk: bytes of files and folders that were not there before, a file with two names counted once;
- the process's peak memory.

Every figure is from this run and this machine; only the ratios carry over.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import pathlib
import stat
import subprocess
import sys
import tempfile
import time
from typing import Any, NamedTuple

import matplotlib.figure
import numpy as np
import pyarrow as pa
from absl import logging

from pipeline import records
from pipeline.commands import libraries
from pipeline.kinds.mistakes.kind import MISTAKES
from pipeline.versions import package
from pipeline.workdir.ledger import Workdir

_CONFIG = pathlib.Path(__file__).parents[1] / "configs" / "digits.toml"
_TASK, _BASE = "digits", "base"
_UNIT = 1000  # finds of a chunk
_NOISE = 30  # levels of 255 by which a pixel may change
_AGAIN = 20  # one in so many finds is the same every night
_MEASURED = 12  # nights


class Night(NamedTuple):
    """What packaging a night took: seconds, those of the whole process, bytes on the disk, bytes in memory."""

    number: int
    seconds: float
    process: float
    disk: int
    memory: int


def _base(workdir: pathlib.Path) -> tuple[dict[str, Any], pa.Table]:
    """Mines a run, takes it out of the ledger, and returns its manifest and its finds."""
    command = ["mine", "--config", _CONFIG, "--workdir", workdir, "--run_id", _BASE]
    subprocess.run([sys.executable, "-m", "pipeline", *map(str, command)], check=True, capture_output=True)
    folder = workdir / "ledger" / MISTAKES.name / _TASK / _BASE
    tables = [records.finds(records.read_table(path)) for path in sorted((folder / "chunks").iterdir())]
    manifest = json.loads((folder / "manifest.json").read_text())
    folder.rename(workdir / _BASE)
    return manifest, pa.concat_tables(tables).combine_chunks()


def _image(base: bytes, night: int, place: int) -> bytes:
    random = np.random.default_rng([night if place % _AGAIN else 0, place])
    image = records.decode_png(base).astype(int)
    noise = random.integers(-_NOISE, _NOISE + 1, image.shape)
    return records.encode_png(np.clip(image + noise, 0, 255).astype(np.uint8))


def _run_id(night: int) -> str:
    return f"night-{night:04d}"


def _make(workdir: pathlib.Path, manifest: dict[str, Any], finds: pa.Table, night: int, count: int) -> None:
    """Writes the run of a night into the ledger."""
    run_id = _run_id(night)
    folder = workdir / "ledger" / MISTAKES.name / _TASK / run_id
    (folder / "chunks").mkdir(parents=True)
    units = []
    for number, start in enumerate(range(0, count, _UNIT)):
        places = np.arange(start, min(start + _UNIT, count))
        table = finds.take(places % len(finds))
        columns = {name: table[name].to_pylist() for name in ("image", "seed_id")}
        columns["image"] = [_image(base, night, place) for base, place in zip(columns["image"], places)]
        columns["seed_id"] = [f"{seed}#{place // len(finds)}" for seed, place in zip(columns["seed_id"], places)]
        columns["id"] = [records.digest([night, int(place)])[:32] for place in places]
        columns["split"] = ["train"] * len(places)
        for name, values in columns.items():
            where = table.schema.get_field_index(name)
            table = table.set_column(where, table.schema.field(where), pa.array(values, table.schema.field(where).type))
        data = records.table_bytes(table)
        (folder / "chunks" / f"{number:06d}.parquet").write_bytes(data)
        units.append({"number": number, "split": "train", "sha256": hashlib.sha256(data).hexdigest()})
    told = copy.deepcopy(manifest) | {"run_id": run_id, "sequence": night, "run_seed": night}
    told |= {"units": units, "examples": count}
    (folder / "manifest.json").write_text(json.dumps(told))


def _new(run: pathlib.Path, version: pathlib.Path, before: set[pathlib.Path]) -> int:
    """Returns the bytes on the disk of what packaging made: in the run's folder, and alone in the version's."""
    made = [path for path in run.rglob("*") if path not in before]
    found = [path.stat() for path in (version, *version.rglob("*"))]
    alone = [told.st_size for told in found if told.st_nlink == 1 or stat.S_ISDIR(told.st_mode)]
    return sum(alone) + sum(path.stat().st_size for path in made)


def peak_memory() -> int:
    """Returns the peak memory of this process in bytes; what the kernel tells by `getrusage` is its parent's, too."""
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmHWM"))
    return 1024 * int(line.split()[1])


def _package(workdir: pathlib.Path) -> tuple[str, float]:
    """Packages all there is; returns the version, and how many seconds it took."""
    begun = time.perf_counter()
    packaged = package.package(Workdir.at(str(workdir)), MISTAKES.name, _TASK)
    return packaged.dataset.replace(":", "/"), time.perf_counter() - begun


def _measured(workdir: pathlib.Path, number: int) -> Night:
    """Packages all there is in a process of its own."""
    folder = workdir / "ledger" / MISTAKES.name / _TASK / _run_id(number)
    before = set(folder.rglob("*"))
    command = [sys.executable, "-m", "benchmarks.nights", "--package", str(workdir)]
    begun = time.perf_counter()
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    process = time.perf_counter() - begun
    version, seconds, memory = json.loads(out)
    return Night(number, seconds, process, _new(folder, workdir / "datasets" / version, before), memory)


def _tell(nights: list[Night]) -> None:
    heads = ("packaging", "process", "new disk", "peak memory")
    print(f"{'night':>6}" + "".join(f" {head:>12} {'ratio':>6}" for head in heads))
    for night in nights:
        ratios = [each / of for each, of in zip(night[1:], nights[0][1:], strict=True)]
        seconds = [f"{night.seconds:.2f} s", f"{night.process:.2f} s"]
        cells = [*seconds, f"{night.disk / 1e6:.2f} MB", f"{night.memory / 1e6:.0f} MB"]
        print(f"{night.number:>6}" + "".join(f" {cell:>12} {ratio:>6.2f}" for cell, ratio in zip(cells, ratios)))


def _draw(nights: list[Night], path: pathlib.Path) -> None:
    figure = matplotlib.figure.Figure(figsize=(9, 3), layout="constrained")
    names = ("packaging, seconds", "new disk, MB", "peak memory, MB")
    for axes, name, field, scale in zip(figure.subplots(1, 3), names, (1, 3, 4), (1, 1e6, 1e6), strict=True):
        axes.plot([night.number for night in nights], [night[field] / scale for night in nights], "o-", markersize=3)
        axes.set_ylim(bottom=0)
        axes.set_title(name)
        axes.set_xlabel("night")
    figure.savefig(path, dpi=100)


def main(nights: int, examples: int, picture: pathlib.Path | None) -> None:
    """Measures and prints the table; draws it too if a file is given."""
    chosen = {round(night) for night in np.linspace(2, nights, _MEASURED)}
    told = []
    with tempfile.TemporaryDirectory() as folder:
        workdir = pathlib.Path(folder)
        manifest, finds = _base(workdir)
        for night in range(1, nights + 1):
            _make(workdir, manifest, finds, night, examples)
            if night in chosen:
                told.append(_measured(workdir, night))
            else:
                _package(workdir)
    print(f"{nights} nights of {examples:,} examples, packaged one after the other")
    _tell(told)
    if picture:
        _draw(told, picture)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nights", type=int, default=100)
    parser.add_argument("--examples", type=int, default=5000)
    parser.add_argument("--picture", type=pathlib.Path, help="a PNG of the nights that were measured")
    parser.add_argument("--package", type=pathlib.Path, help=argparse.SUPPRESS)  # what a process of its own does
    arguments = parser.parse_args()
    logging.set_verbosity(logging.ERROR)
    libraries.load()
    if arguments.package:
        told = _package(arguments.package)
        print(json.dumps([*told, peak_memory()]))
    else:
        main(arguments.nights, arguments.examples, arguments.picture)

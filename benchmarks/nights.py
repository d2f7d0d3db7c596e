"""What packaging a night costs as nights go by: `python -m benchmarks.nights [--nights N] [--examples E]`.

A first run is mined of the built-in digits. The nights are made of it: runs in the ledger with its manifest and its
finds, each under a new id and with fresh noise in its image; one in twenty has the same noise every night, and is a
near-duplicate from the second on. All nights have the same seed images and nets, so that every find is compared with
those of all nights before. Each night is packaged by what `peerpressure package` does when libraries are loaded.
Measured are

- seconds, with the ratio to the second night, the first that has one before it;
- new disk: bytes of files and folders that were not there before, a file with two names counted once;
- peak memory while it is packaged, of the whole process.

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
_SHOWN = 12  # nights in the table


class Night(NamedTuple):
    """What packaging a night took: seconds, bytes on the disk, bytes in memory."""

    number: int
    seconds: float
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


def _make(workdir: pathlib.Path, manifest: dict[str, Any], finds: pa.Table, night: int, count: int) -> None:
    """Writes the run of a night into the ledger."""
    run_id = f"night-{night:04d}"
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


def _peak(reset: bool = False) -> int:
    """Returns the peak memory of this process in bytes since it was reset."""
    if reset:
        pathlib.Path("/proc/self/clear_refs").write_text("5")
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmHWM"))
    return 1024 * int(line.split()[1])


def _packaged(workdir: pathlib.Path, night: int) -> Night:
    ledger = Workdir.at(str(workdir))
    run = ledger.finished_runs(f"{MISTAKES.name}/{_TASK}")[-1]
    folder = pathlib.Path(run.path)
    before = set(folder.rglob("*"))
    _peak(reset=True)
    begun = time.perf_counter()
    packaged = package.package(ledger, MISTAKES.name, _TASK)
    seconds, memory = time.perf_counter() - begun, _peak()
    version = workdir / "datasets" / packaged.dataset.replace(":", "/")
    return Night(night, seconds, _new(folder, version, before), memory)


def _tell(nights: list[Night]) -> None:
    """Prints a table of some nights; single ones vary, so that each is the median of it and its neighbours."""
    second = _smooth(nights, 1)
    print(f"{'night':>6} {'seconds':>8} {'ratio':>6} {'new disk':>10} {'ratio':>6} {'peak memory':>12} {'ratio':>6}")
    chosen = sorted({1, *np.linspace(1, len(nights) - 1, _SHOWN).astype(int).tolist()})
    for place in chosen:
        night = _smooth(nights, place)
        ratios = [each / of for each, of in zip(night[1:], second[1:], strict=True)]
        print(
            f"{night.number:>6} {night.seconds:>8.2f} {ratios[0]:>6.2f} {night.disk / 1e6:>7.2f} MB {ratios[1]:>6.2f} "
            f"{night.memory / 1e6:>9.0f} MB {ratios[2]:>6.2f}"
        )


def _smooth(nights: list[Night], place: int) -> Night:
    mine = nights[max(1, place - 2) : place + 3]
    seconds, disk, memory = (float(np.median([night[field] for night in mine])) for field in (1, 2, 3))
    return Night(nights[place].number, seconds, int(disk), int(memory))


def _draw(nights: list[Night], path: pathlib.Path) -> None:
    figure = matplotlib.figure.Figure(figsize=(9, 3), layout="constrained")
    for axes, field, name, scale in zip(
        figure.subplots(1, 3), (1, 2, 3), ("seconds", "new disk, MB", "peak memory, MB"), (1, 1e6, 1e6), strict=True
    ):
        axes.plot([night.number for night in nights], [night[field] / scale for night in nights], ".", markersize=3)
        axes.set_ylim(bottom=0)
        axes.set_title(name)
        axes.set_xlabel("night")
    figure.savefig(path, dpi=100)


def main(nights: int, examples: int, picture: pathlib.Path | None) -> None:
    """Measures and prints the table; draws it too if a file is given."""
    logging.set_verbosity(logging.ERROR)
    libraries.load()
    with tempfile.TemporaryDirectory() as folder:
        workdir = pathlib.Path(folder)
        manifest, finds = _base(workdir)
        told = []
        for night in range(1, nights + 1):
            _make(workdir, manifest, finds, night, examples)
            told.append(_packaged(workdir, night))
        print(f"{nights} nights of {examples:,} examples, packaged one after the other")
        _tell(told)
    if picture:
        _draw(told, picture)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nights", type=int, default=100)
    parser.add_argument("--examples", type=int, default=5000)
    parser.add_argument("--picture", type=pathlib.Path, help="a PNG of all nights")
    arguments = parser.parse_args()
    main(arguments.nights, arguments.examples, arguments.picture)

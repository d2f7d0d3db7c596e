"""Makes a golden workdir: every kind of dataset, a few examples each, published by the code of its day.

    python -m tests.golden.make [FOLDER]

`golden_test.py` tells that later code still verifies, replays, rechecks and compares it. So it is made once, when a
number in `pipeline.formats` is a new one, and never again; the default FOLDER is named after these numbers. The three
tasks are the TOML files beside this one: three tiny nets on digits of 8x8 pixels, in seconds.

- high_value_mistakes: 1.0.0 of run "first", 1.1.0 of run "second" too, 1.2.0 with the statuses of a recheck
- adversarial_pairs, garbage_images: 1.0.0 of run "first"
"""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import sys

import numpy as np
from PIL import Image
from sklearn import datasets

from pipeline.formats import FORMAT, VERSION_FORMAT

HERE = pathlib.Path(__file__).parent
NEWEST = HERE / f"format_{FORMAT}_versions_{VERSION_FORMAT}"
WORKDIRS = (HERE / "format_1", NEWEST)  # format_1: its versions have format 1, too
TASKS = ("mistakes", "pairs", "garbage")  # the TOML files
SUCCESSOR = ("mlp-6", "mlp-10")  # whose place which net takes in the recheck
_MADE_IN = pathlib.Path("/tmp/peerpressure_golden")  # manifests tell of it: the same whoever makes it
_CLASSES = {3: "three", 5: "five", 8: "eight", 9: "nine"}
_NOT_NEEDED = ("*.lock", "curves.png", "downloads", "reports", "dataset", "signatures.npy", "addition.json")


def draw_digits(folder: pathlib.Path) -> None:
    """Writes the seed images, SPLIT/CLASS/PICTURE.bmp: files without compression have the same bytes everywhere."""
    digits = datasets.load_digits()
    for number, (digit, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        if label in _CLASSES:
            path = folder / ("test" if number % 10 == 0 else "train") / _CLASSES[label] / f"{number:04d}.bmp"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.rint(digit * (255 / 16)).astype(np.uint8)).save(path)


def prepare(folder: pathlib.Path) -> None:
    """Writes what a run of the tasks needs: the seed images, and the TOML files beside them."""
    draw_digits(folder / "small_digits")
    for task in TASKS:
        shutil.copy(HERE / f"{task}.toml", folder)


def net(workdir: pathlib.Path, name: str) -> str:
    """Returns a trained net's file."""
    (path,) = (workdir / "nets").glob(f"{name}-*.keras")
    return str(path)


def _peerpressure(*argv: object) -> None:
    subprocess.run([sys.executable, "-m", "pipeline", *map(str, argv)], check=True, cwd=HERE.parents[1])


def main(to: pathlib.Path) -> None:
    """Makes the workdir and copies what is needed of it."""
    if to.exists():
        sys.exit(f"{to} is there already; a golden file is never made again.")
    shutil.rmtree(_MADE_IN, ignore_errors=True)
    work = _MADE_IN / "work"
    _MADE_IN.mkdir()
    prepare(_MADE_IN)
    for task in TASKS:
        _peerpressure("run", "--config", _MADE_IN / f"{task}.toml", "--workdir", work, "--run_id", "first")
    again = ("--run_id", "second", "--run_seed", 1)
    _peerpressure("run", "--config", _MADE_IN / "mistakes.toml", "--workdir", work, *again)
    place, successor = SUCCESSOR
    peers = f"{place}={net(work, successor)}"
    _peerpressure("recheck", "high_value_mistakes/golden", "--workdir", work, "--publish", "--peers", peers)
    shutil.copytree(work, to, ignore=shutil.ignore_patterns(*_NOT_NEEDED))
    shutil.rmtree(_MADE_IN)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else NEWEST)

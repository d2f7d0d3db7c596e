"""The seed images of all benchmarks."""

from __future__ import annotations

import os
import sys

from models.errors import InputError
from pipeline.seeds.tfds_dataset import TfdsSeeds


def data_dir() -> str | None:
    """Returns the TFDS data_dir that should hold MNIST; None for TFDS's own."""
    return os.environ.get("PEERPRESSURE_SHARED_TFDS") or None


def seeds() -> TfdsSeeds:
    """Returns MNIST; ends the process with a sentence if it is not prepared."""
    source = TfdsSeeds("mnist", data_dir())
    try:
        source.count("train")
    except InputError:
        sys.exit(
            f"benchmarks: error: MNIST is not prepared in {data_dir() or 'the data_dir of TFDS'}; run `tfds build "
            "mnist`, or name in PEERPRESSURE_SHARED_TFDS a TFDS data_dir that holds it."
        )
    return source

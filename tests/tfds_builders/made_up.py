"""A made-up run of three finds by three nets, as chunks on the disk, for the tests of the datasets made of runs."""

from __future__ import annotations

import pathlib
import types
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from pipeline import records
from pipeline.kinds.kind import Kind
from tfds_builders import runs

SHAPE, CLASSES = (6, 5, 1), 3
IDS = ["a" * 32, "b" * 32, "c" * 32]
MANIFEST: dict[str, Any] = {
    "run_id": "first",
    "run_seed": 7,
    "config_digest": "d" * 64,
    "code_version": "0.1.0",
    "seeds": "made_up:1.0.0",
    "reading": {"image_key": "image", "label_key": "label", "pixels": "uint8 as it is"},
    "nets": [{"name": name, "digest": f"digest of {name}"} for name in ("left", "middle", "right")],
    "judge": {"name": "judge", "digest": "digest of judge"},
    "image_shape": list(SHAPE),
    "class_names": ["zero", "one", "two"],
    "num_classes": CLASSES,
}

Row = dict[str, Any]


def picture(number: int) -> np.ndarray:
    """Returns a random image, uint8 [6, 5, 1]."""
    return np.random.default_rng(number).integers(0, 256, SHAPE, np.uint8)


def trial(number: int, outcome: str) -> Row:
    """Returns what a chunk's row has whatever came of it: net "middle" is tried on image `number`, a "one"."""
    return {
        "seed_id": f"seed {number}",
        "split": "test",
        "seed_label": 1,
        "target_net": "middle",
        "outcome": outcome,
        "reason": "",
        "moves": 0,
        "candidates": 9,
        "inferences": 10,
        "target_confidence": 0.25,
    }


def find(number: int) -> Row:
    """Returns what a row has besides where there is an image: "middle" takes it for a "two"."""
    return {
        "id": IDS[number % len(IDS)],
        "image": records.encode_png(picture(number)),
        "seed_image": records.encode_png(picture(100 + number)),
        "label": 1,
        "wrong_class": 2,
        "probabilities_before": [0.1, 0.8, 0.1] * 3,
        "probabilities_after": [0.1, 0.8, 0.1, 0.0, 0.25, 0.75, 0.2, 0.7, 0.1],
        "judge_class": 1,
        "judge_confidence": 0.75,
    }


def task(
    folder: pathlib.Path,
    kind: Kind,
    manifest: dict[str, Any],
    chunks: dict[str, list[Row]],
    left_out: frozenset[tuple[str, str]] = frozenset(),
    statuses: Mapping[str, str] = types.MappingProxyType({}),
) -> runs.RunsConfig:
    """Writes a chunk of a kind a split and returns the task that is made of them."""
    for split, rows in chunks.items():
        columns = {field.name: [row.get(field.name) for row in rows] for field in kind.schema()}
        table = records.chunk_table(kind.schema(), columns, len(rows))
        (folder / f"{split}.parquet").write_bytes(records.table_bytes(table))
    paths = {split: [str(folder / f"{split}.parquet")] for split in chunks}
    return runs.RunsConfig(
        name="made_up",
        version="1.0.0",
        description="Made up.",
        release_notes={"1.0.0": "Made up."},
        runs=(records.FinishedRun(manifest, paths),),
        left_out=left_out,
        statuses=statuses,
    )


def build(builder: Any, config: runs.RunsConfig, folder: pathlib.Path, most: int | None = None) -> Any:
    """Builds a dataset, of each split the first `most` examples, and opens its files with plain TFDS."""
    made = builder(data_dir=folder, config=config)
    made.download_and_prepare(download_config=tfds.download.DownloadConfig(max_examples_per_split=most))
    return tfds.builder(f"{made.name}/{config.name}", data_dir=folder)


class RunsBuilderTest:
    """TFDS's own checks of a dataset made of runs; goes before `tfds.testing.DatasetBuilderTestCase`."""

    SPLITS = {"test": 2, "train": 1}
    EXAMPLE_DIR = pathlib.Path(__file__).parent  # Nothing is downloaded, so there are no fake examples to find.

    def test_registered(self):
        """It is not, so that TFDS finds the packaged files where the name alone is asked for."""
        self.assertNotIn(self.builder.name, tfds.list_builders(with_community_datasets=False))

    def _make_builder(self, config=None):
        return self.DATASET_CLASS(data_dir=self.tmp_dir, config=config or self.task(pathlib.Path(self.tmp_dir)))


def examples(builder: Any, split: str) -> dict[str, dict[str, Any]]:
    """Returns a split's examples by id."""
    return {example["id"].decode(): example for example in tfds.as_numpy(builder.as_dataset(split=split))}

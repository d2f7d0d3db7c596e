"""What is kept of every trial and of every find: the columns of a chunk file, and the names of outcomes.

A chunk is one Parquet file for one work unit. It has a row for every trial (a seed image and a target net), found or
not; the columns from `id` on are filled where the outcome is `FOUND`. Leaf module: the dataset builders read chunks
through it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from etils import epath
from PIL import Image

from pipeline.formats import FORMAT

FOUND = "found"  # a verified mistake, pair or garbage image
EXHAUSTED = "exhausted"  # too many candidates in a row without a move; an attack that found no twin; a class not done
MOVES_SPENT = "moves_spent"  # the largest number of moves was made
NOT_ALONE = "not_alone"  # scan: the target net is not wrong with all others against it
SKIPPED = "skipped"  # some net already gets the seed image wrong: not a trial
DROPPED = "dropped"  # found by the search, but the stored image did not pass verification
SET_ASIDE = "set_aside"  # the seed image could not be read or judged, or its unit failed

TRIAL_OUTCOMES = (FOUND, EXHAUSTED, MOVES_SPENT, NOT_ALONE, DROPPED)
HIGH, LOW = "high", "low"


TRIAL_FIELDS = [
    pa.field("seed_id", pa.string()),
    pa.field("split", pa.string()),
    pa.field("seed_label", pa.int32()),  # -1 where the seeds have no labels
    pa.field("target_net", pa.string()),  # empty where the row is about the image as a whole
    pa.field("outcome", pa.string()),
    pa.field("reason", pa.string()),
    pa.field("moves", pa.int32()),
    pa.field("candidates", pa.int64()),  # transforms drawn, or points at which an attack asked the target net
    pa.field("inferences", pa.int64()),  # forward passes, the seed image's own included
    pa.field("target_confidence", pa.float32()),  # the target net's last probability of the class
    pa.field("asked", pa.list_(pa.int32())),  # [N] candidates shown to each net, those in vain included; null: unknown
    pa.field("refused", pa.list_(pa.int32())),  # [N] candidates that fell by each net's answer; likewise
]
_FIND_FIELDS = [
    pa.field("id", pa.string()),
    pa.field("image", pa.binary()),  # PNG
    pa.field("wrong_class", pa.int32()),  # what the target net makes of the image
    pa.field("probabilities_after", pa.list_(pa.float32())),  # [N, K] flattened
    pa.field("judge_class", pa.int32()),  # -1 without a judge
    pa.field("judge_confidence", pa.float32()),
]
_SEED_FIELDS = [
    pa.field("seed_image", pa.binary()),  # PNG
    pa.field("label", pa.int32()),  # the class of the seed image, as the peers hold it
    pa.field("probabilities_before", pa.list_(pa.float32())),  # [N, K] flattened
]


def schema(*own: pa.Field, seeded: bool = False) -> pa.Schema:
    """Returns the columns of a chunk: every kind's, those of finds made of seed images if `seeded`, and its own."""
    fields = [*TRIAL_FIELDS, *_FIND_FIELDS, *(_SEED_FIELDS if seeded else []), *own]
    return pa.schema(fields, metadata={"format": str(FORMAT)})


LINEAGE_SCHEMA = pa.schema(  # a row for every image of an island that took a cell
    [
        pa.field("target_net", pa.string()),
        pa.field("island", pa.int32()),
        pa.field("individual", pa.string()),
        pa.field("parents", pa.list_(pa.string())),
        pa.field("generation", pa.int32()),
        pa.field("cells", pa.int32()),  # how many it took when it was born
    ]
)
TRIALS_SCHEMA = pa.schema(TRIAL_FIELDS)


def digest(value: Any) -> str:
    """Returns the SHA-256 (hex) of a JSON-able value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def example_id(config_digest: str, run_seed: int, made_from: str, target_digest: str) -> str:
    """Returns the id of an example: 32 hex digits, a function of all that determines it.

    Args:
      config_digest: of configuration and nets.
      run_seed: of the run.
      made_from: what tells the trials for one target net apart; see `made_from`.
      target_digest: of the target net.
    """
    return digest([config_digest, run_seed, made_from, target_digest])[:32]


def made_from(seed_id: str, seed_image: np.ndarray) -> str:
    """Names a seed image by its id and its pixels: in a folder, another picture can take a name."""
    return f"{seed_id} {hashlib.sha256(np.ascontiguousarray(seed_image).tobytes()).hexdigest()}"


def encode_png(image: np.ndarray) -> bytes:
    """Encodes uint8 `[H, W, C]`, one or three channels, without loss."""
    stream = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(stream, "PNG")
    return stream.getvalue()


def decode_png(data: bytes) -> np.ndarray:
    """Decodes a PNG to uint8 `[H, W, C]`; raises what Pillow raises if it is none."""
    with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
        image = np.asarray(picture)
    return image[..., None] if image.ndim == 2 else image


def chunk_table(schema: pa.Schema, columns: dict[str, Any], count: int) -> pa.Table:
    """Makes a chunk of `count` rows with the columns of a kind; columns not given are null."""
    arrays = [
        pa.array(columns[field.name], field.type) if field.name in columns else pa.nulls(count, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def table_bytes(table: pa.Table) -> bytes:
    """Serialises a table as Parquet; the same table gives the same bytes."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue().to_pybytes()


def read_table(path: epath.PathLike, columns: list[str] | None = None) -> pa.Table:
    """Reads a Parquet file, local or in a bucket; if `columns` are given, little more of it than those."""
    if columns is None:
        return table_of(epath.Path(path).read_bytes())
    with epath.Path(path).open("rb") as file:
        return pq.ParquetFile(_ForArrow(file)).read(columns)


def table_of(data: bytes, columns: list[str] | None = None) -> pa.Table:
    """Returns the table, or some of its columns, that a Parquet file's bytes hold."""
    return pq.ParquetFile(pa.BufferReader(data)).read(columns)


def finds(chunk: pa.Table) -> pa.Table:
    """Returns the rows of a chunk, or of some of its columns with `outcome`, that are finds."""
    return chunk.filter(pc.equal(chunk["outcome"], FOUND))


def count_found(path: epath.PathLike) -> int:
    """Returns how many finds a chunk file holds; reads one column of it."""
    return pc.sum(pc.equal(read_table(path, ["outcome"])["outcome"], FOUND)).as_py() or 0


class _ForArrow(io.RawIOBase):
    """An open file for Arrow, which takes those that TensorFlow opens in a bucket for closed."""

    def __init__(self, file: Any):
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._file.seek(offset, whence)
        return self._file.tell()

    def tell(self) -> int:
        return self._file.tell()

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)


def read_examples(path: epath.PathLike) -> Iterator[dict[str, Any]]:
    """Yields the finds of a chunk file, one dict of its schema's columns each, in the chunk's order."""
    for batch in finds(read_table(path)).to_batches(max_chunksize=256):
        yield from batch.to_pylist()


@dataclasses.dataclass(frozen=True)
class FinishedRun:
    """A finished run as the dataset builders see it.

    Attributes:
      manifest: what `manifest.json` says: run, nets, configuration, counts.
      chunks: split -> paths of its chunk files, in the order of the units.
    """

    manifest: dict[str, Any]
    chunks: dict[str, list[str]]

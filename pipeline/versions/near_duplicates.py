"""Near-duplicates: finds that differ less from an earlier one than makes another find of them.

Two finds are compared if they have the same target net, wrong class and seed image (if they have one). They are near
if the root mean square of their difference, pixels in [0, 1], is less than the limit of both. The limit of a find is
a share, which its kind states, of what it was changed by: the same root mean square between the find and its seed
image; without one, between the find and its mean. It is 2/255 at most, and equal images are always near.

What is left out of a run is decided once, when it is packaged first, and kept beside a signature of each find, so that
later runs are compared with it without reading its images. A signature is a sketch: the pixels, each with a random
sign, summed in 64 random groups. The sum of squares of the difference of two sketches has the sum of squares of the
difference of the images as its mean (Charikar, Chen, Farach-Colton, "Finding frequent items in data streams", 2002;
Alon, Matias, Szegedy, "The space complexity of approximating the frequency moments", 1996). Only where it is within
twice the limit are the images themselves compared.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from etils import epath

from models.errors import InputError
from pipeline import records, seeding
from pipeline.kinds.kind import Kind

_MOST = 2.0 / 255.0  # root mean square difference, pixels in [0, 1], from which on no two images are near
_GROUPS = 64  # of pixels, in a sketch
_SLACK = 2.0  # times the limit: up to there sketches do not tell
_BLOCK = 256  # finds whose images, or whose pairs with others, are in memory at a time


@dataclasses.dataclass(frozen=True)
class Signatures:
    """What is kept of a run's finds, in the order of its chunks, to compare others with them.

    Attributes:
      ids: `[n]` of the examples, bytes.
      keys: uint64 `[n]`; equal where target net, wrong class and seed image are.
      limits: `[n]` root mean square difference, pixels in [0, 1], under which another is near.
      sketches: int32 `[n, 64]`, or `[n, H * W * C]` where that is less.
      units: `[n]` the units in whose chunks the finds are.
      left_out: `[n]` whether a find is near an earlier one, or has its id.
    """

    ids: np.ndarray
    keys: np.ndarray
    limits: np.ndarray
    sketches: np.ndarray
    units: np.ndarray
    left_out: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    def kept(self) -> Signatures:
        """Returns those that are not left out."""
        fields = (getattr(self, field.name)[~self.left_out] for field in dataclasses.fields(self))
        return Signatures(*fields)

    def to_bytes(self) -> bytes:
        """Returns them as a NumPy file of one structured array; equal ones give equal bytes."""
        columns = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        kinds = [(name, column.dtype.newbyteorder("<"), column.shape[1:]) for name, column in columns.items()]
        table = np.zeros(len(self), kinds)
        for name, column in columns.items():
            table[name] = column
        stream = io.BytesIO()
        np.save(stream, table, allow_pickle=False)
        return stream.getvalue()

    @classmethod
    def read(cls, path: epath.Path) -> Signatures:
        """Reads what `to_bytes` gave."""
        table = np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)
        return cls(*(table[field.name] for field in dataclasses.fields(cls)))


@dataclasses.dataclass(frozen=True)
class Earlier:
    """A run whose finds are decided, for a later one to be compared with."""

    signatures: Signatures
    chunks: list[str]


def decided(
    run: records.FinishedRun, kind: Kind, earlier: Iterable[Earlier], moved: Callable[[int], None] = lambda count: None
) -> Signatures:
    """Returns the signatures of a run's finds, and which are left out.

    What has the id of an earlier find is left out too: the same trial, to which another device may have given other
    pixels.

    Args:
      run: the run.
      kind: of its examples.
      earlier: the runs before it, first finished first; each is asked for once, and let go.
      moved: called with how many finds more were looked at.
    """
    chunks = [path for paths in run.chunks.values() for path in paths]
    mine = _signatures(chunks, kind, moved)
    left_out = mine.left_out.copy()
    images = _Images(chunks)
    ids, size = mine.ids.tolist(), images.of(mine, 0).size if len(mine) else 1
    for other in earlier:
        known = set(other.signatures.ids.tolist())
        left_out |= np.fromiter((name in known for name in ids), bool, len(ids))
        _leave_out(left_out, mine, images, other.signatures.kept(), _Images(other.chunks), size)
    first = np.unique(mine.ids, return_index=True)[1]
    left_out |= ~np.isin(np.arange(len(mine)), first)
    _leave_out_within(left_out, mine, images, size)
    return dataclasses.replace(mine, left_out=left_out)


def _signatures(chunks: list[str], kind: Kind, moved: Callable[[int], None]) -> Signatures:
    columns = ["target_net", "wrong_class", *(["seed_id"] if kind.seeded else [])]
    pictures = ["image", *(["seed_image"] if kind.seeded else [])]
    parts = []
    for path in chunks:
        for rows in _blocks(path, ["id", *columns, *pictures]):
            images = np.stack([records.decode_png(row["image"]) for row in rows])
            before = _seed_images(rows) if kind.seeded else _means(images)
            parts.append(
                Signatures(
                    np.array([row["id"].encode() for row in rows], bytes),
                    np.array([_key([row[name] for name in columns]) for row in rows], np.uint64),
                    np.minimum(_MOST, kind.near * _distances(images, before)),
                    sketch(images),
                    np.full(len(rows), _unit(path), np.int32),
                    np.zeros(len(rows), bool),
                )
            )
            moved(len(rows))
    return _together(parts)


def _blocks(path: str, columns: list[str]) -> Iterator[list[dict[str, Any]]]:
    """Yields the finds of a chunk, some at a time."""
    table = records.finds(records.read_table(path, [*columns, "outcome"]))
    for batch in table.to_batches(max_chunksize=_BLOCK):
        yield batch.to_pylist()


def _together(parts: list[Signatures]) -> Signatures:
    if not parts:
        kinds = (bytes, np.uint64, np.float64, np.int32, np.int32, bool)
        ids, keys, limits, sketches, units, left_out = (np.zeros(0, kind) for kind in kinds)
        return Signatures(ids, keys, limits, sketches.reshape(0, 1), units, left_out)
    fields = (np.concatenate([getattr(part, field.name) for part in parts]) for field in dataclasses.fields(Signatures))
    return Signatures(*fields)


def _unit(path: str) -> int:
    return int(epath.Path(path).stem)


def _key(values: list[Any]) -> int:
    return int.from_bytes(hashlib.blake2b(repr(values).encode(), digest_size=8).digest(), "little")


def _seed_images(rows: list[dict[str, Any]]) -> np.ndarray:
    return np.stack([records.decode_png(row["seed_image"]) for row in rows])


def _means(images: np.ndarray) -> np.ndarray:
    """Returns for each of uint8 `[n, H, W, C]` one of its mean colour, rounded."""
    return np.broadcast_to(np.rint(images.mean(axis=(1, 2), keepdims=True)).astype(np.uint8), images.shape)


def _distances(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Returns the root mean square differences `[n]`, pixels in [0, 1], of images uint8 `[n, H, W, C]`."""
    differences = np.subtract(some, others, dtype=np.int32)
    squares = np.multiply(differences, differences, out=differences).sum(axis=(1, 2, 3), dtype=np.int64)
    return np.sqrt(squares / math.prod(some.shape[1:])) / 255.0


@functools.lru_cache(maxsize=4)
def _places(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the order in which pixels go to the groups by turns, and their signs, `[size]` each."""
    none = np.zeros(size, np.uint32)
    words = seeding.philox([0, 0], [np.arange(size, dtype=np.uint32), none, none, none])
    return np.argsort(words[:, 0], kind="stable"), np.where(words[:, 1] & 1, 1, -1).astype(np.int32)


def sketch(images: np.ndarray) -> np.ndarray:
    """Returns the sketches of uint8 `[n, H, W, C]`: int32 `[n, 64]`, or `[n, H * W * C]` where that is less."""
    flat = images.reshape(len(images), -1)
    order, signs = _places(flat.shape[1])
    groups = min(_GROUPS, flat.shape[1])
    signed = flat[:, order].astype(np.int32) * signs
    padded = np.pad(signed, ((0, 0), (0, -flat.shape[1] % groups)))
    return padded.reshape(len(images), -1, groups).sum(axis=1, dtype=np.int32)


class _Images:
    """The images of finds, read chunk by chunk as they are asked for."""

    def __init__(self, chunks: list[str]):
        self._paths = {_unit(path): path for path in chunks}
        self._read_unit, self._read_images = -1, dict[bytes, bytes]()

    def _read(self, unit: int) -> dict[bytes, bytes]:
        if not epath.Path(self._paths[unit]).exists():
            raise InputError(f"{self._paths[unit]} is lost, and a later run is compared with it; restore it.")
        table = records.finds(records.read_table(self._paths[unit], ["id", "image", "outcome"]))
        return dict(zip((name.encode() for name in table["id"].to_pylist()), table["image"].to_pylist(), strict=True))

    def of(self, signatures: Signatures, place: int) -> np.ndarray:
        """Returns one as uint8 `[1, H, W, C]`."""
        unit = int(signatures.units[place])
        if unit != self._read_unit:
            self._read_unit, self._read_images = unit, self._read(unit)
        return records.decode_png(self._read_images[bytes(signatures.ids[place])])[None]


def _pairs(some: np.ndarray, others: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields the places in some keys, and those in others, of all pairs of equal ones; in order of the first."""
    order = np.argsort(others, kind="stable")
    left, right = (np.searchsorted(others[order], some, side=side) for side in ("left", "right"))
    counts = right - left
    with_some = np.flatnonzero(counts)
    for start in range(0, len(with_some), _BLOCK):
        here = with_some[start : start + _BLOCK]
        times = counts[here]
        within = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
        yield np.repeat(here, times), order[np.repeat(left[here], times) + within]


def _perhaps_near(mine: Signatures, others: Signatures, size: int) -> Iterator[tuple[int, int, float]]:
    """Yields the places of finds of equal keys that sketches do not tell apart, and their limit.

    Args:
      mine, others: of the finds.
      size: pixels times channels of an image.
    """
    for here, there in _pairs(mine.keys, others.keys):
        limits = np.minimum(mine.limits[here], others.limits[there])
        differences = (mine.sketches[here] - others.sketches[there]).astype(np.float64)
        distances = np.sqrt(np.einsum("ij,ij->i", differences, differences) / size) / 255.0
        for place in np.flatnonzero(distances <= _SLACK * limits):
            yield int(here[place]), int(there[place]), float(limits[place])


def _near(one: np.ndarray, other: np.ndarray, limit: float) -> bool:
    distance = _distances(one, other)[0]
    return bool(distance < limit or distance == 0)


def _leave_out(
    left_out: np.ndarray, mine: Signatures, images: _Images, others: Signatures, theirs: _Images, size: int
) -> None:
    """Marks in `left_out` what is near one of the others; `size`: see `_perhaps_near`."""
    for here, there, limit in _perhaps_near(mine, others, size):
        left_out[here] = left_out[here] or _near(images.of(mine, here), theirs.of(others, there), limit)


def _leave_out_within(left_out: np.ndarray, mine: Signatures, images: _Images, size: int) -> None:
    """Marks in `left_out` what is near an earlier one of the same run that is kept; `size`: see `_perhaps_near`."""
    for here, there, limit in _perhaps_near(mine, mine, size):
        if there < here and not left_out[here] and not left_out[there]:
            left_out[here] = _near(images.of(mine, here), images.of(mine, there), limit)

"""Seed images: any TFDS dataset, or a folder of images in the layout of TFDS's ImageFolder."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from etils import epath

from models import preflight
from models.errors import InputError
from pipeline import pixels, records, seed_features
from pipeline.image_folder import ImageFolder, grouped, opened, printable, why_not, why_not_named

Part = list[tuple[str, range]]  # splits, and the positions in them

_READ_AHEAD = 512
_SAMPLED = 100  # images whose size is looked at where none is declared
_NOTHING = np.zeros((0, 0, 0), np.uint8), "the image does not decode"


@dataclasses.dataclass(frozen=True)
class SeedBatch:
    """Seed images that were read together.

    Attributes:
      split: the split they are from.
      positions: where in the split they are, `[B]`.
      ids: stable ids, `[B]` (the TFDS id, or the path within the folder).
      images: uint8 `[B, H, W, C]`.
      labels: int32 `[B]`, -1 where there is none.
      failures: (id, reason) of images that could not be read.
    """

    split: str
    positions: list[int]
    ids: list[str]
    images: np.ndarray
    labels: np.ndarray
    failures: list[tuple[str, str]]

    @property
    def nbytes(self) -> int:
        """The images' size."""
        return self.images.nbytes


class SeedSource(Protocol):
    """Where seed images come from; small and picklable, so that it travels to workers."""

    @property
    def name(self) -> str:
        """The dataset with its version, "mnist:3.0.1", or the folder's name."""

    def count(self, split: str) -> int:
        """Returns how many images the split has; raises InputError if there is no such split."""

    def part(self, name: str) -> Part:
        """Returns what TFDS's split syntax names, such as "train[:50%]"; raises InputError if that is nothing."""

    def shape(self) -> tuple[int, int, int]:
        """Returns (H, W, C)."""

    def class_names(self) -> list[str]:
        """Returns the classes' names, in the order of the labels; empty without labels."""

    def reading(self) -> dict[str, str]:
        """Returns what of the source is read, and by which rule pixels become uint8; it determines results."""

    def read(self, split: str, positions: Sequence[int]) -> SeedBatch:
        """Reads the images at ascending positions of the split."""

    def fingerprint(self, split: str) -> str:
        """Returns a digest (hex) that tells whether a split's images and classes are still those of another start."""

    def unusable(self, split: str) -> list[tuple[str, str]]:
        """Returns (id, reason) of the images that are known to be unusable before any is decoded."""

    def notes(self, splits: Sequence[str]) -> list[str]:
        """Returns lines that tell a person what will be read of some splits, and what not."""

    def for_workers(self) -> SeedSource:
        """Returns the same source, with what workers then need not find out again."""


def check_usable(what: str, unusable: Sequence[tuple[str, str]], tried: int, most: float) -> None:
    """Raises InputError if more than a share, `most`, of images cannot be used.

    Args:
      what: the images, such as "images of NAME".
      unusable: (id, reason) of those that cannot be used.
      tried: how many there are in all.
      most: [run] max_set_aside.
    """
    if len(unusable) > most * tried:
        raise InputError(
            f"[seeds] {len(unusable)} of {tried} {what} cannot be used, more than [run] max_set_aside = "
            f"{most:g}: {grouped((reason, seed_id) for seed_id, reason in unusable)}; bring all images to one size, "
            "mend or remove the others, or raise max_set_aside."
        )


def has_split(source: SeedSource, split: str) -> bool:
    """Tells whether a split is there and has images."""
    try:
        return source.count(split) > 0
    except InputError:
        return False


@dataclasses.dataclass(frozen=True)
class TfdsSeeds:
    """A prepared TFDS dataset.

    Attributes:
      dataset: "name", "name/config" or "name/config:version".
      data_dir: where it was prepared; None for TFDS's default.
      labeled: whether the labels are to be used.
      image_key, label_key: the features to read; "" for those that `seed_features` chooses.
    """

    dataset: str
    data_dir: str | None = None
    labeled: bool = True
    image_key: str = ""
    label_key: str = ""

    @property
    def name(self) -> str:
        """The dataset with its version, whatever was asked for."""
        return _builder(self.dataset, self.data_dir).info.full_name.replace(f"/{self._version}", f":{self._version}")

    @property
    def _version(self) -> str:
        return str(_builder(self.dataset, self.data_dir).version)

    def count(self, split: str) -> int:
        """Returns how many images the split has; raises InputError if there is no such split."""
        splits = _builder(self.dataset, self.data_dir).info.splits
        if split not in splits:
            raise InputError(f"[seeds] {self.dataset} has no split '{split}'; it has {', '.join(sorted(splits))}.")
        return splits[split].num_examples

    def part(self, name: str) -> Part:
        """Returns what TFDS's split syntax names, such as "train[:50%]"; raises InputError if that is nothing."""
        splits = _builder(self.dataset, self.data_dir).info.splits
        try:
            pieces = tfds.core.ReadInstruction.from_spec(name).to_absolute(splits)
        except ValueError as error:
            sizes = " and ".join(f"'{split}' ({splits[split].num_examples} images)" for split in sorted(splits))
            raise InputError(
                f"'{name}' is no part of {self.dataset}; expected a part of {sizes}, as in 'train[:50%]'."
            ) from error
        found = [
            (piece.splitname, range(splits[piece.splitname].num_examples)[piece.from_ : piece.to]) for piece in pieces
        ]
        return _not_empty(found, name)

    def shape(self) -> tuple[int, int, int]:
        """Returns (H, W, C)."""
        declared = self._image_feature.shape
        return pixels.kept_shape(declared if None not in declared else _commonest_shape(self))

    def class_names(self) -> list[str]:
        """Returns the classes' names, in the order of the labels; empty without labels."""
        key = self._label_key
        feature = _builder(self.dataset, self.data_dir).info.features[key] if key else None
        return list(feature.names) if feature and feature.num_classes else []

    def reading(self) -> dict[str, str]:
        """Returns the features that are read ("": no labels), and by which rule pixels become uint8."""
        rule = pixels.rule(self._image_feature.np_dtype)
        return {"image_key": self._image_key, "label_key": self._label_key, "pixels": rule}

    @property
    def _image_key(self) -> str:
        return seed_features.image_key(_builder(self.dataset, self.data_dir).info, self.image_key)

    @property
    def _image_feature(self) -> Any:
        return _builder(self.dataset, self.data_dir).info.features[self._image_key]

    @property
    def _label_key(self) -> str:
        info = _builder(self.dataset, self.data_dir).info
        return seed_features.label_key(info, self.label_key) if self.labeled else ""

    def read(self, split: str, positions: Sequence[int]) -> SeedBatch:
        """Reads the images at ascending positions of the split."""
        label_key, shape = self._label_key, self.shape()
        examples = _select(self._encoded(split, positions[0], positions[-1] + 1), positions)
        read, ids, images, labels, failures = [], [], [], [], []
        for position, (seed_id, label, image) in zip(positions, self._decode(examples, label_key), strict=True):
            image, reason = _NOTHING if image is None else pixels.as_uint8(image)
            reason = reason or _unusable(image, shape)
            if reason:
                failures.append((seed_id.decode(), reason))
                continue
            read.append(position)
            ids.append(seed_id.decode())
            images.append(image)
            labels.append(int(label))
        return SeedBatch(split, read, ids, _stack(images, shape), np.array(labels, np.int32), failures)

    def fingerprint(self, split: str) -> str:
        """Returns a digest (hex) of the dataset's version, its classes and its files' sizes.

        TFDS keeps no digest of what it prepared, and its files differ in their order of bytes from build to build.
        """
        info = _builder(self.dataset, self.data_dir).info.splits[split]
        return records.digest([self.name, self.class_names(), split, list(info.shard_lengths), info.num_bytes])

    def unusable(self, split: str) -> list[tuple[str, str]]:
        """Returns nothing: TFDS's images are known when they are decoded."""
        return []

    def notes(self, splits: Sequence[str]) -> list[str]:
        """Returns nothing: all that TFDS prepared is read."""
        return []

    def for_workers(self) -> TfdsSeeds:
        """Returns itself; what it finds out is in one small file."""
        return self

    def _decode(self, examples: tf.data.Dataset, label_key: str) -> list[tuple[bytes, Any, np.ndarray | None]]:
        """Returns (id, label, image) of each; one by one, with None for what does not decode, only if batches fail."""
        key, feature = self._image_key, self._image_feature
        encoded = examples.map(
            lambda example: (example["tfds_id"], example[label_key] if label_key else -1, example[key])
        )
        decoded = encoded.map(
            lambda seed_id, label, data: (seed_id, label, feature.decode_example(data)),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        try:
            # Handing images over one at a time would take three times as long.
            batches = list(decoded.batch(_READ_AHEAD).as_numpy_iterator())
            return [example for batch in batches for example in zip(*batch, strict=True)]
        except tf.errors.InvalidArgumentError:
            singles = encoded.as_numpy_iterator()
            return [(seed_id, label, _decode_one(feature, data)) for seed_id, label, data in singles]

    def _encoded(self, split: str, start: int, stop: int) -> tf.data.Dataset:
        # One file at a time and nothing shuffled, so that a position is a place in the split.
        return _builder(self.dataset, self.data_dir).as_dataset(
            split=tfds.core.ReadInstruction(split, from_=start, to=stop, unit="abs"),
            shuffle_files=False,
            read_config=tfds.ReadConfig(add_tfds_id=True, interleave_cycle_length=1, try_autocache=False),
            decoders={self._image_key: tfds.decode.SkipDecoding()},
        )


@functools.cache
def _commonest_shape(seeds: TfdsSeeds) -> tuple[int, ...]:
    """The size that most of the first images of a split have, where the dataset declares none."""
    splits, key, feature = _builder(seeds.dataset, seeds.data_dir).info.splits, seeds._image_key, seeds._image_feature
    split = min((name for name in splits if splits[name].num_examples), default="")
    examples = seeds._encoded(split, 0, min(splits[split].num_examples, _SAMPLED)) if split else []
    decoded = [_decode_one(feature, example[key]) for example in examples]
    shapes = [image.shape for image in decoded if image is not None]
    if not shapes:
        raise InputError(f"[seeds] {seeds.dataset}: none of the first images of split '{split}' can be read.")
    return max(sorted(set(shapes)), key=shapes.count)


def _decode_one(feature: Any, data: bytes) -> np.ndarray | None:
    try:
        return feature.decode_example(data).numpy()
    except (tf.errors.InvalidArgumentError, ValueError):
        return None


def _select(examples: tf.data.Dataset, positions: Sequence[int]) -> tf.data.Dataset:
    wanted = np.zeros(positions[-1] + 1 - positions[0], bool)
    wanted[np.asarray(positions) - positions[0]] = True
    if wanted.all():
        return examples
    flags = tf.data.Dataset.from_tensor_slices(wanted)
    return tf.data.Dataset.zip(flags, examples).filter(lambda flag, _: flag).map(lambda _, example: example)


def _stack(images: list[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    return np.array(images, np.uint8).reshape(len(images), *shape)


def _unusable(image: np.ndarray, shape: tuple[int, ...]) -> str:
    return _not_of_size(image.shape, shape)


def _not_of_size(found: Sequence[int], shape: tuple[int, ...]) -> str:
    return f"the image is {_size(found)}, expected {_size(shape)}" if tuple(found) != tuple(shape) else ""


def _size(shape: Sequence[Any]) -> str:
    return "x".join(str(part) for part in shape)


def find_builder(dataset: str, data_dir: str | None) -> Any:
    """Returns TFDS's builder of a dataset, prepared or not.

    Args:
      dataset: "name", "name/config" or "name/config:version".
      data_dir: where it is, or will be, prepared; None for TFDS's default.

    Raises:
      InputError: there is no such dataset, config or version, or this is no dataset's name.
    """
    try:
        return tfds.builder(dataset, data_dir=data_dir)
    except (AssertionError, FileNotFoundError, ImportError, TypeError, ValueError) as error:
        raise InputError(
            f"[seeds] dataset '{dataset}' was not found in {_where(data_dir)} ({preflight.reason(error)}); name one "
            "that is there, as in 'name', 'name/config' or 'name/config:1.2.3'."
        ) from error


@functools.cache
def _builder(dataset: str, data_dir: str | None) -> Any:
    builder = find_builder(dataset, data_dir)
    if not builder.info.splits:
        raise InputError(
            f"[seeds] dataset '{dataset}' is not prepared in {_where(data_dir)}: run `tfds build {dataset}` there, or "
            "name the folder that holds it with --data_dir."
        )
    return builder


def _where(data_dir: str | None) -> str:
    return data_dir or "TFDS's default folder"


def check_split_name(image_folder: str, split: str) -> None:
    """Raises InputError unless TFDS can write a split of this name, and read it again under it."""
    try:
        tfds.core.ShardedFileTemplate(image_folder, split=split)
        whole = tfds.core.ReadInstruction.from_spec(split) == tfds.core.ReadInstruction(split)
    except (NotImplementedError, ValueError):
        whole = False
    if not whole or split.lower() == "all":  # TFDS reads "ALL" as a split and does not write it
        raise InputError(
            f"[seeds] image_folder {image_folder}: TFDS cannot name a split {split!r}; rename that folder, to letters, "
            "digits, '-' and '_', and not to 'all'."
        )


@dataclasses.dataclass(frozen=True)
class FolderSeeds:
    """A folder `root/split/class/picture`, TFDS's ImageFolder layout.

    Attributes:
      root: the folder, local or in a bucket.
      labeled: whether the classes are to be used.
      splits: those whose pictures decide the size; none for all.
      size: (H, W, C), if it is known.
      content: digest (hex) of what was found there, if it is known, so that a worker that outlives a run looks again.
    """

    root: str
    labeled: bool = True
    splits: tuple[str, ...] = ()
    size: tuple[int, int, int] | None = None
    content: str = ""

    @classmethod
    def look_at(cls, root: str, labeled: bool, splits: tuple[str, ...]) -> FolderSeeds:
        """Returns the seed images of a folder as it is now, whatever this process knows of it."""
        _folder.cache_clear()
        return cls(root, labeled, splits)

    @property
    def name(self) -> str:
        """The folder's name."""
        return epath.Path(self.root).name

    def count(self, split: str) -> int:
        """Returns how many images the split has; raises InputError if there is no such split."""
        return len(_folder(self).pictures(split))

    def part(self, name: str) -> Part:
        """Returns a whole split; a part would lack classes, for pictures are in the order of their classes."""
        if "[" in name or "+" in name:
            raise InputError(
                f"'{name}' is a part of an image folder, which is in the order of its classes; name a split."
            )
        return _not_empty([(name, range(self.count(name)))], name)

    def class_names(self) -> list[str]:
        """Returns the classes' names, in the order of the labels; empty without labels."""
        names = _folder(self).classes if self.labeled else []
        for name in names:
            if why_not_named(name):
                raise InputError(
                    f"[seeds] image_folder {self.root}: the name of the class folder '{printable(name)}' is not UTF-8; "
                    "rename it."
                )
            if name != name.strip() or len(name.splitlines()) > 1:  # TFDS keeps names as the lines of a file
                raise InputError(
                    f"[seeds] image_folder {self.root}: the class {name!r} has a line break, or begins or ends with a "
                    "space; rename its folder."
                )
        return names

    def shape(self) -> tuple[int, int, int]:
        """Returns (H, W, C), the shape that most pictures have."""
        return self.size or _folder(self).shape(self.splits or _folder(self).splits)

    def fingerprint(self, split: str) -> str:
        """Returns a digest (hex) of the paths and bytes of a split's pictures, and of all classes and the size."""
        return records.digest([_folder(self).digest(split), self.class_names(), self.shape()])

    def unusable(self, split: str) -> list[tuple[str, str]]:
        """Returns (id, reason) of the images that are known to be unusable before any is decoded."""
        folder, shape = _folder(self), self.shape()
        looks = zip(folder.pictures(split), folder.looks(split), strict=True)
        reasons = [
            (path, why_not_named(path) or look.reason or _not_of_size(look.shape or (), shape))
            for (path, _), look in looks
        ]
        return [(path, reason) for path, reason in reasons if reason]

    def notes(self, splits: Sequence[str]) -> list[str]:
        """Returns the classes of some splits with counts, and what is ignored or set aside, by reason."""
        unusable = [(reason, path) for split in splits for path, reason in self.unusable(split)]
        lines = [f"images of {self.root}, {_size(self.shape())}:", *_folder(self).notes(splits)]
        return lines + ([f"  set aside: {grouped(unusable)}"] if unusable else [])

    def for_workers(self) -> FolderSeeds:
        """Returns the same source with its size, for which all pictures had to be opened."""
        folder, splits = _folder(self), self.splits or _folder(self).splits
        content = records.digest([folder.digest(split) for split in splits])
        return dataclasses.replace(self, size=self.shape(), content=content)

    def reading(self) -> dict[str, str]:
        """Returns by which rule pixels become uint8."""
        return {"pixels": pixels.PICTURES}

    def read(self, split: str, positions: Sequence[int]) -> SeedBatch:
        """Reads the images at ascending positions of the split."""
        paths, shape = _folder(self).pictures(split), self.shape()
        read, ids, images, labels, failures = [], [], [], [], []
        for position in positions:
            seed_id, label = paths[position]
            if reason := why_not_named(seed_id):
                failures.append((printable(seed_id), reason))
                continue
            image, reason = _read_picture(epath.Path(self.root) / seed_id)
            reason = reason or _unusable(image, shape)
            if reason:
                failures.append((seed_id, reason))
                continue
            read.append(position)
            ids.append(seed_id)
            images.append(image)
            labels.append(label if self.labeled else -1)
        return SeedBatch(split, read, ids, _stack(images, shape), np.array(labels, np.int32), failures)


@functools.lru_cache(maxsize=4)
def _folder(seeds: FolderSeeds) -> ImageFolder:
    return ImageFolder(seeds.root)


def _not_empty(part: Part, name: str) -> Part:
    if not any(positions for _, positions in part):
        raise InputError(f"'{name}' holds no image; name a larger part.")
    return [(split, positions) for split, positions in part if positions]


def _read_picture(path: epath.Path) -> tuple[np.ndarray, str]:
    """Returns the image, uint8 `[H, W, 1 or 3]`, or why it cannot be used."""
    try:
        with path.open("rb") as stream, opened(stream) as picture:
            return pixels.of_picture(picture)
    except Exception as error:  # Pillow raises whatever damaged data lead to
        return np.zeros((0, 0, 0), np.uint8), why_not(error)

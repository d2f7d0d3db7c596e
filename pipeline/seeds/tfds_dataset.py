"""Seed images from any TFDS dataset that is prepared."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from models import preflight, streams
from models.errors import InputError
from pipeline import records
from pipeline.seeds import features as seed_features
from pipeline.seeds import pixels
from pipeline.seeds.fitting import AS_IS, Fitting
from pipeline.seeds.source import Part, SeedBatch, not_empty, not_of_size, size, stack

_READ_AHEAD = 512
_SAMPLED = 100  # images whose size is looked at where none is declared
_NOTHING = np.zeros((0, 0, 0), np.uint8), "the image does not decode"


@dataclasses.dataclass(frozen=True)
class TfdsSeeds:
    """A prepared TFDS dataset.

    Attributes:
      dataset: "name", "name/config" or "name/config:version".
      data_dir: where it was prepared; None for TFDS's default.
      labeled: whether the labels are to be used.
      image_key, label_key: the features to read; "" for those that `seed_features` chooses.
      fitting: how images become images of one size; `background` is for pictures of a folder.
    """

    dataset: str
    data_dir: str | None = None
    labeled: bool = True
    image_key: str = ""
    label_key: str = ""
    fitting: Fitting = AS_IS

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
        return not_empty(found, name)

    def shape(self) -> tuple[int, int, int]:
        """Returns (H, W, C): as declared, else that of most of the first images; or what they are brought to."""
        declared = self._image_feature.shape
        return self.fitting.whole(pixels.kept_shape(declared if None not in declared else _commonest_shape(self)))

    def class_names(self) -> list[str]:
        """Returns the classes' names, in the order of the labels; empty without labels."""
        key = self._label_key
        feature = _builder(self.dataset, self.data_dir).info.features[key] if key else None
        return list(feature.names) if feature and feature.num_classes else []

    def reading(self) -> dict[str, str]:
        """Returns the features that are read ("": no labels), and by which rules they become images of one size."""
        rule = pixels.rule(self._image_feature.np_dtype)
        fitted = {"resize": self.fitting.rule} if self.fitting.fits_all else {}
        return {"image_key": self._image_key, "label_key": self._label_key, "pixels": rule, **fitted}

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
            image, reason = _NOTHING if image is None else self._fitted(image, shape)
            reason = reason or not_of_size(image.shape, shape)
            if reason:
                failures.append((seed_id.decode(), reason))
                continue
            read.append(position)
            ids.append(seed_id.decode())
            images.append(image)
            labels.append(int(label))
        return SeedBatch(split, read, ids, stack(images, shape), np.array(labels, np.int32), failures)

    def _fitted(self, image: np.ndarray, shape: tuple[int, int, int]) -> pixels.Converted:
        converted, reason = pixels.as_uint8(image)
        if reason or not self.fitting.fits_all:
            return converted, reason
        return self.fitting.resized(converted, shape), ""

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

    def _decode(self, examples: tf.data.Dataset, label_key: str) -> Iterable[tuple[bytes, Any, np.ndarray | None]]:
        """Returns (id, label, image) of each; one by one, with None for what does not decode, only if batches fail.

        Images that are to be brought to one size come one by one: together, whole photographs might fill the memory.
        """
        key, feature = self._image_key, self._image_feature
        encoded = examples.map(
            lambda example: (example["tfds_id"], example[label_key] if label_key else -1, example[key])
        )
        singles = (
            (seed_id, label, _decode_one(feature, data))
            for seed_id, label, data in streams.untuned(encoded).as_numpy_iterator()
        )
        if self.fitting.fits_all:
            return singles
        decoded = encoded.map(
            lambda seed_id, label, data: (seed_id, label, feature.decode_example(data)),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        try:
            # Handing images over one at a time would take three times as long.
            batches = list(streams.untuned(decoded.batch(_READ_AHEAD)).as_numpy_iterator())
            return [example for batch in batches for example in zip(*batch, strict=True)]
        except tf.errors.InvalidArgumentError:
            return singles

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
    """The size that most of the first images of a split have, where the dataset declares none.

    Raises:
      InputError: none of them can be read; or no size is that of half of them, and images are not resized.
    """
    splits, key, feature = _builder(seeds.dataset, seeds.data_dir).info.splits, seeds._image_key, seeds._image_feature
    split = min((name for name in splits if splits[name].num_examples), default="")
    examples = seeds._encoded(split, 0, min(splits[split].num_examples, _SAMPLED)) if split else []
    decoded = [_decode_one(feature, example[key]) for example in examples]
    shapes = [image.shape for image in decoded if image is not None]
    if not shapes:
        raise InputError(f"[seeds] {seeds.dataset}: none of the first images of split '{split}' can be read.")
    found = sorted(set(shapes), key=lambda shape: (-shapes.count(shape), shape))
    if 2 * shapes.count(found[0]) < len(shapes) and not seeds.fitting.fits_all:
        raise InputError(
            f"[seeds] {seeds.dataset}: the first {len(shapes)} images of split '{split}' have {len(found)} sizes, such "
            f'as {size(found[0])} and {size(found[1])}; bring them to one with resize = "crop", "pad" or "stretch".'
        )
    return found[0]


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

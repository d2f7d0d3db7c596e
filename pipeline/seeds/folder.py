"""Seed images from a folder of pictures, in the layout of TFDS's ImageFolder."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
import tensorflow_datasets as tfds
from etils import epath

from models.errors import InputError
from pipeline import records
from pipeline.seeds import pixels
from pipeline.seeds.fitting import AS_IS, Fitting
from pipeline.seeds.folder_files import ImageFolder, opened, why_not, why_not_named
from pipeline.seeds.source import Part, SeedBatch, grouped, not_empty, not_of_size, printable, size, stack


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
      known_shape: (H, W, C), if it is known.
      fitting: how pictures become images of one size.
      content: digest (hex) of what was found there, if it is known, so that a worker that outlives a run looks again.
    """

    root: str
    labeled: bool = True
    splits: tuple[str, ...] = ()
    known_shape: tuple[int, int, int] | None = None
    fitting: Fitting = AS_IS
    content: str = ""

    @classmethod
    def look_at(cls, root: str, labeled: bool, splits: tuple[str, ...], fitting: Fitting = AS_IS) -> FolderSeeds:
        """Returns the seed images of a folder as it is now, whatever this process knows of it."""
        _folder.cache_clear()
        return cls(root, labeled, splits, fitting=fitting)

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
        return not_empty([(name, range(self.count(name)))], name)

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
        """Returns (H, W, C), the shape that most pictures have, or are brought to."""
        return self.known_shape or self.fitting.whole(_folder(self).shape(self.splits or _folder(self).splits))

    def fingerprint(self, split: str) -> str:
        """Returns a digest (hex) of the paths and bytes of a split's pictures, and of all classes and the size."""
        told = [told] if (told := self.fitting.told()) else []  # by default, what it was before there was a choice
        return records.digest([_folder(self).digest(split), self.class_names(), self.shape(), *told])

    def unusable(self, split: str) -> list[tuple[str, str]]:
        """Returns (id, reason) of the images that are known to be unusable before any is decoded."""
        folder, shape = _folder(self), self.shape()
        looks = zip(folder.pictures(split), folder.looks(split), strict=True)
        reasons = [
            (path, why_not_named(path) or look.reason or self._not_fitting(look.shape or (), shape))
            for (path, _), look in looks
        ]
        return [(path, reason) for path, reason in reasons if reason]

    def _not_fitting(self, found: Sequence[int], shape: tuple[int, int, int]) -> str:
        return "" if self.fitting.fits_all else not_of_size(found, shape)

    def notes(self, splits: Sequence[str]) -> list[str]:
        """Returns the classes of some splits with counts, and what is ignored or set aside, by reason."""
        unusable = [(reason, path) for split in splits for path, reason in self.unusable(split)]
        lines = [f"images of {self.root}, {size(self.shape())}:", *_folder(self).notes(splits)]
        return lines + ([f"  set aside: {grouped(unusable)}"] if unusable else [])

    def for_workers(self) -> FolderSeeds:
        """Returns the same source with its size, for which all pictures had to be opened."""
        folder, splits = _folder(self), self.splits or _folder(self).splits
        content = records.digest([folder.digest(split) for split in splits])
        return dataclasses.replace(self, known_shape=self.shape(), content=content)

    def reading(self) -> dict[str, str]:
        """Returns by which rule pixels become uint8."""
        return {"pixels": pixels.PICTURES, **self.fitting.told()}

    def read(self, split: str, positions: Sequence[int]) -> SeedBatch:
        """Reads the images at ascending positions of the split."""
        paths, shape = _folder(self).pictures(split), self.shape()
        read, ids, images, labels, failures = [], [], [], [], []
        for position in positions:
            seed_id, label = paths[position]
            if reason := why_not_named(seed_id):
                failures.append((printable(seed_id), reason))
                continue
            image, reason = self._read_picture(epath.Path(self.root) / seed_id, shape)
            reason = reason or not_of_size(image.shape, shape)
            if reason:
                failures.append((seed_id, reason))
                continue
            read.append(position)
            ids.append(seed_id)
            images.append(image)
            labels.append(label if self.labeled else -1)
        return SeedBatch(split, read, ids, stack(images, shape), np.array(labels, np.int32), failures)

    def _read_picture(self, path: epath.Path, shape: tuple[int, int, int]) -> tuple[np.ndarray, str]:
        """Returns the image, uint8 `[H, W, 1 or 3]`, or why it cannot be used."""
        try:
            with path.open("rb") as stream, opened(stream) as picture:
                return self.fitting.image(picture, shape)
        except Exception as error:  # Pillow raises whatever damaged data lead to
            return np.zeros((0, 0, 0), np.uint8), why_not(error)


@functools.lru_cache(maxsize=4)
def _folder(seeds: FolderSeeds) -> ImageFolder:
    return ImageFolder(seeds.root, seeds.fitting)

"""What lies in an image folder SPLIT/CLASS/PICTURE, or CLASS/PICTURE: pictures, their sizes, what is ignored."""

from __future__ import annotations

import collections
import functools
import hashlib
import math
from collections.abc import Sequence
from concurrent import futures
from typing import Any, NamedTuple

import tensorflow as tf
from etils import epath
from PIL import Image, UnidentifiedImageError

from models.errors import InputError
from pipeline.progress import Bar
from pipeline.seeds.fitting import AS_IS, Fitting
from pipeline.seeds.source import grouped, printable

WHOLE = "train"  # the split of a folder that holds classes and no splits
ENDINGS = (".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".gif", ".webp", ".tif", ".tiff")
# Whatever the ending says: Pillow would start Ghostscript for PostScript.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")

_HIDDEN = "hidden"
_OUTSIDE = "outside the class folders"
_NESTED = "folders inside class folders"
_EMPTY = "folders without a picture"
_OTHER = f"with another ending than {' '.join(ENDINGS)}"

_UNREADABLE = "the picture cannot be read"
_THREADS = 16  # a bucket answers slowly, and many at a time
_BATCH = 64  # pictures that a thread takes at a time
_PIECE = 1 << 20  # bytes
_MOST_CLASSES = 20  # named one by one


class Listing(NamedTuple):
    """What lies in one split.

    Attributes:
      pictures: (class, file name) of each picture, sorted.
      ignored: (why, path within the image folder) of everything else.
    """

    pictures: list[tuple[str, str]]
    ignored: list[tuple[str, str]]


class Look(NamedTuple):
    """What is known of a picture before it is decoded.

    Attributes:
      digest: SHA-256 (hex) of the file.
      shape: (H, W, C) that it will have; None if it cannot be read.
      reason: why it cannot be read, or "".
    """

    digest: str
    shape: tuple[int, int, int] | None
    reason: str


class ImageFolder:
    """One look at an image folder, local or in a bucket; what was found is kept.

    A folder without a picture, or whose name begins with ".", is neither a split nor a class. Where the folder's own
    folders hold the pictures, these are classes, and there is one split, `WHOLE`.
    """

    def __init__(self, root: str, fitting: Fitting = AS_IS):
        self._root, self._fitting = epath.Path(root), fitting
        self.listing = functools.cache(self._list)
        self.pictures = functools.cache(self._find_pictures)
        self.looks = functools.cache(self._look)

    @functools.cached_property
    def splits(self) -> list[str]:
        """The splits' names, sorted."""
        return [WHOLE] if self._is_flat else self._folders_of_splits

    @functools.cached_property
    def _folders_of_splits(self) -> list[str]:
        folders = [path.name for path in _children(self._root) if not _is_hidden(path) and path.is_dir()]
        return [name for name in folders if _list_split(self._root / name, f"{name}/").pictures]

    @functools.cached_property
    def _is_flat(self) -> bool:
        """Whether the folder holds classes, and no splits."""
        if self._folders_of_splits or (self._root / WHOLE).is_dir():
            return False
        return any(_holds_pictures(path) for path in _children(self._root))

    def _above(self, split: str) -> str:
        """Returns what stands before the classes of a split in a path."""
        return "" if self._is_flat else f"{split}/"

    @functools.cached_property
    def classes(self) -> list[str]:
        """The names of all splits' classes, in the order of the labels."""
        return sorted({name for split in self.splits for name, _ in self.listing(split).pictures})

    def _find_pictures(self, split: str) -> list[tuple[str, int]]:
        """Returns (path within the folder, label) of a split's pictures; raises InputError if there is none."""
        if split not in self.splits:
            raise InputError(f"[seeds] image_folder {self._root} {self._why_no_split(split)}")
        labels = {name: label for label, name in enumerate(self.classes)}
        above = self._above(split)
        return [(f"{above}{name}/{file}", labels[name]) for name, file in self.listing(split).pictures]

    def _list(self, split: str) -> Listing:
        """Lists a split's folder."""
        return _list_split(self._root if self._is_flat else self._root / split, self._above(split))

    def _look(self, split: str) -> list[Look]:
        """Reads all pictures of a split, in their order, without decoding them."""
        paths = [self._root / path for path, _ in self.pictures(split)]
        batches = [paths[start : start + _BATCH] for start in range(0, len(paths), _BATCH)]
        looks: list[Look] = []
        with futures.ThreadPoolExecutor(_THREADS) as pool, Bar(f"look at {split}", len(paths), "picture") as bar:
            for found in pool.map(lambda batch: [_look(path, self._fitting) for path in batch], batches):
                looks += found
                bar.show(len(looks))
        return looks

    def digest(self, split: str) -> str:
        """Returns the SHA-256 (hex) of the paths and bytes of a split's pictures."""
        total = hashlib.sha256()
        for (path, _), look in zip(self.pictures(split), self.looks(split), strict=True):
            total.update(f"{path}\0{look.digest}\n".encode("utf-8", "surrogateescape"))
        return total.hexdigest()

    def shape(self, splits: Sequence[str]) -> tuple[int, int, int]:
        """Returns the shape (H, W, C) that most pictures of some splits have; raises InputError if none can be read."""
        shapes = collections.Counter(look.shape for split in splits for look in self.looks(split) if look.shape)
        if not shapes:
            raise InputError(
                f"[seeds] image_folder {self._root} holds no readable picture; expected SPLIT/CLASS/PICTURE.png."
            )
        return max(sorted(shapes), key=lambda shape: shapes[shape])

    def notes(self, splits: Sequence[str]) -> list[str]:
        """Returns lines that tell of some splits which classes they have and what in them is ignored."""
        lines = [f"  {split}: {self._counted(split)}" for split in splits]
        beside = [] if self._is_flat else [path for path in _children(self._root) if _is_hidden(path) or path.is_file()]
        ignored = [(_stray(path), path.name) for path in beside]
        ignored += [entry for split in splits for entry in self.listing(split).ignored]
        return lines + ([f"  ignored: {grouped(ignored)}"] if ignored else [])

    def _counted(self, split: str) -> str:
        counts = collections.Counter(name for name, _ in self.listing(split).pictures)
        told = f"{_many(counts.total(), 'picture')} in {_many(len(counts), 'class', 'es')}"
        if len(self.classes) > _MOST_CLASSES:
            return f"{told}, {min(counts.values())} to {max(counts.values())} in each"
        return f"{told}: {', '.join(f'{printable(name)} {counts[name]}' for name in self.classes)}"

    def _why_no_split(self, split: str) -> str:
        """Returns the end of a sentence: what stands in the way of reading a split, and what to do."""
        if not self._root.exists():
            return "does not exist; name a folder that holds SPLIT/CLASS/PICTURE.png."
        if not self._root.is_dir():
            return "is a file; name a folder that holds SPLIT/CLASS/PICTURE.png."
        if (self._root / split).is_dir():
            return (
                f"has no picture in a class folder of split '{split}'; expected {split}/CLASS/PICTURE.png, with one of "
                f"the endings {' '.join(ENDINGS)} (pictures without a class may lie in one folder of any name)."
            )
        if self.splits:
            return f"has no split '{split}'; it has {', '.join(printable(name) for name in self.splits)}."
        return f"holds no split; expected {split}/CLASS/PICTURE.png."


def _children(path: epath.Path) -> list[epath.Path]:
    return sorted(path.iterdir(), key=lambda child: child.name) if path.is_dir() else []


def _is_hidden(path: epath.Path) -> bool:
    return path.name.startswith(".")


def _stray(path: epath.Path) -> str:
    return _HIDDEN if _is_hidden(path) else _OUTSIDE


def _is_picture(path: epath.Path) -> bool:
    return not _is_hidden(path) and path.suffix.lower() in ENDINGS


def _holds_pictures(path: epath.Path) -> bool:
    return not _is_hidden(path) and any(_is_picture(child) for child in _children(path))


def _list_split(folder: epath.Path, above: str) -> Listing:
    """Lists what lies in the folder that holds a split's classes; `above` stands before them in paths."""
    listing = Listing([], [])
    for path in _children(folder):
        if _is_hidden(path) or not path.is_dir():
            listing.ignored.append((_stray(path), f"{above}{path.name}"))
        else:
            _list_class(above, path, listing)
    return listing


def _list_class(above: str, folder: epath.Path, listing: Listing) -> None:
    """Adds to a split's listing what lies in one of its class folders."""
    before = len(listing.pictures)
    for path in _children(folder):
        if _is_picture(path):
            listing.pictures.append((folder.name, path.name))
        else:
            why = _HIDDEN if _is_hidden(path) else _NESTED if path.is_dir() else _OTHER
            listing.ignored.append((why, f"{above}{folder.name}/{path.name}"))
    if len(listing.pictures) == before:
        listing.ignored.append((_EMPTY, f"{above}{folder.name}"))


def opened(stream: Any) -> Image.Image:
    """Opens a picture without decoding it; raises whatever Pillow raises, and for one that is far too large."""
    picture = Image.open(stream, formats=_FORMATS)
    if picture.width * picture.height > (Image.MAX_IMAGE_PIXELS or math.inf):  # Pillow only warns up to twice its limit
        raise Image.DecompressionBombError
    return picture


def _look(path: epath.Path, fitting: Fitting) -> Look:
    total = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while piece := stream.read(_PIECE):
                total.update(piece)
            stream.seek(0)
            with opened(stream) as picture:
                shape, reason = fitting.shape(picture)
    except Exception as error:  # Pillow raises whatever damaged data lead to
        return Look(total.hexdigest(), None, why_not(error))
    return Look(total.hexdigest(), shape, reason)


def why_not(error: Exception) -> str:
    """Says in words why a picture cannot be read; raises the error again if not the picture is to blame."""
    if isinstance(error, UnidentifiedImageError):
        return f"{_UNREADABLE}: it is none of {', '.join(_FORMATS)}"
    if isinstance(error, Image.DecompressionBombError):
        return f"{_UNREADABLE}: it has more than {Image.MAX_IMAGE_PIXELS} pixels"
    if isinstance(error, (FileNotFoundError, IsADirectoryError, PermissionError)):
        return f"{_UNREADABLE}: {error.strerror}"
    if isinstance(error, (MemoryError, tf.errors.OpError)) or getattr(error, "errno", None):
        raise error
    return f"{_UNREADABLE}: its data are damaged or cut short"


def why_not_named(path: str) -> str:
    """Returns why a path within the folder cannot be a seed image's id, or ""."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8; rename the file"
    return ""


def _many(count: int, what: str, plural: str = "s") -> str:
    return f"{count} {what}{'' if count == 1 else plural}"

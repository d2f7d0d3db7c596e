from __future__ import annotations

import errno
import io
import os
import pathlib

import numpy as np
import pytest
from PIL import Image

from models.errors import InputError
from pipeline.seeds import source
from pipeline.seeds.folder import FolderSeeds
from pipeline.seeds.folder_files import ImageFolder
from tests.pipeline import nets

PICTURE = nets.images(1, (8, 8, 3))[0]


def _encoded(kind: str = "PNG", mode: str = "RGB", **options) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(PICTURE).convert(mode).save(stream, kind, **options)
    return stream.getvalue()


def _write(root: pathlib.Path, *paths: str, data: bytes | None = None) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(_encoded() if data is None else data)


@pytest.fixture
def root(tmp_path) -> pathlib.Path:
    """A folder with two pictures of a cat and one of a dog to learn from, and one of each to be tested with."""
    _write(tmp_path, "train/cat/0.png", "train/cat/1.png", "train/dog/0.png", "test/cat/0.png", "test/dog/0.png")
    return tmp_path


STRAY = {
    ".DS_Store": "hidden",
    ".git/objects/0.png": "hidden",
    "train/.ipynb_checkpoints/0.png": "hidden",
    "train/cat/._0.png": "hidden",
    "README.txt": "outside the class folders",
    "train/stray.png": "outside the class folders",
    "train/cat/2020/0.png": "folders inside class folders",
    "train/cat/notes.txt": "with another ending than",
    "train/cat/0": "with another ending than",
    "train/owl/notes.txt": "folders without a picture",
}


def _shown(stray: str) -> str:
    """Returns what is ignored: the outermost part of a path that is no split, class or picture."""
    return {".git/objects/0.png": ".git"}.get(stray, stray.removesuffix("/0.png"))


@pytest.mark.parametrize("stray", STRAY)
def test_what_is_ignored_is_no_split_no_class_and_no_picture_and_is_told(root, stray):
    before = ImageFolder(str(root))
    assert len(before.notes(["train"])) == 1 and before.splits == ["test", "train"]
    _write(root, stray)
    folder = ImageFolder(str(root))
    assert folder.splits == before.splits and folder.classes == before.classes == ["cat", "dog"]
    assert folder.pictures("train") == before.pictures("train") and folder.digest("train") == before.digest("train")
    told = folder.notes(["train"])[1]
    assert told.startswith("  ignored: ") and STRAY[stray] in told and _shown(stray) in told


def test_an_empty_folder_is_no_class_and_no_split(root):
    (root / "valid").mkdir()
    (root / "train" / "ant").mkdir()
    folder = ImageFolder(str(root))
    assert folder.splits == ["test", "train"] and folder.pictures("train")[0] == ("train/cat/0.png", 0)
    assert folder.notes(["train"])[1] == "  ignored: folders without a picture (1: train/ant)"


def test_what_is_ignored_is_counted_by_reason(root):
    _write(root, *(f"train/cat/{number}.heic" for number in range(3)), "train/dog/a.txt", "train/.hidden")
    endings = ".png .jpg .jpeg .jfif .bmp .gif .webp .tif .tiff"
    assert ImageFolder(str(root)).notes(["test", "train"]) == [
        "  test: 2 pictures in 2 classes: cat 1, dog 1",
        "  train: 3 pictures in 2 classes: cat 2, dog 1",
        f"  ignored: with another ending than {endings} (4, such as train/cat/0.heic); hidden (1: train/.hidden)",
    ]


def test_many_classes_are_told_in_one_line_by_their_smallest_and_largest(root):
    _write(root, *(f"train/c{number}/0.png" for number in range(30)))
    assert ImageFolder(str(root)).notes(["train"]) == ["  train: 33 pictures in 32 classes, 1 to 2 in each"]


def test_many_reasons_are_cut_short():
    reasons = [(f"reason {number}", f"{number}.png") for number in range(7)] + [("often", "a"), ("often", "b")]
    told = source.grouped(reasons)
    assert told.startswith("often (2, such as a); reason 0 (1: 0.png); ") and told.endswith("; and 3 reasons more")


@pytest.mark.parametrize(
    ("name", "kind", "options"),
    [
        ("0.png", "PNG", {}),
        ("0.bmp", "BMP", {}),
        ("0.webp", "WEBP", {"lossless": True}),
        ("0.tif", "TIFF", {}),
        ("0.TIFF", "TIFF", {"compression": "tiff_lzw"}),
        ("0.gif", "GIF", {}),
        ("0.jpg", "JPEG", {}),
        ("0.jpeg", "JPEG", {}),
        ("0.jfif", "JPEG", {}),
    ],
)
def test_every_ending_is_read(tmp_path, name, kind, options):
    _write(tmp_path, f"test/cat/{name}", data=_encoded(kind, **options))
    batch = FolderSeeds(str(tmp_path)).read("test", [0])
    assert batch.ids == [f"test/cat/{name}"] and batch.images.shape == (1, 8, 8, 3)
    if kind not in ("GIF", "JPEG"):  # these lose something
        np.testing.assert_array_equal(batch.images[0], PICTURE)


def test_a_header_tells_a_mode_that_cannot_be_read(tmp_path):
    _write(tmp_path, "test/cat/0.tif", data=_encoded("TIFF", "CMYK"))
    (look,) = ImageFolder(str(tmp_path)).looks("test")
    assert look.shape is None and look.reason.startswith("the picture's mode is CMYK")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_the_shape_that_a_header_promises_is_the_one_that_is_read(tmp_path, mode):
    _write(tmp_path, "test/cat/0.png", data=_encoded("PNG", mode))
    (look,) = ImageFolder(str(tmp_path)).looks("test")
    seeds = FolderSeeds(str(tmp_path))
    assert look.shape == seeds.shape() == seeds.read("test", [0]).images.shape[1:]


def test_most_pictures_of_the_named_splits_give_the_shape(root):
    _write(root, *(f"train/cat/grey{number}.png" for number in range(4)), data=_encoded(mode="L"))
    folder = ImageFolder(str(root))
    assert folder.shape(["train"]) == (8, 8, 1)
    assert folder.shape(["test"]) == (8, 8, 3)
    assert FolderSeeds(str(root), splits=("test",)).shape() == (8, 8, 3)
    assert FolderSeeds(str(root), splits=("train",)).shape() == (8, 8, 1)
    assert FolderSeeds(str(root)).shape() == (8, 8, 3)


def test_the_digest_of_a_split_is_that_of_its_names_and_bytes_and_of_nothing_else(root):
    before = ImageFolder(str(root)).digest("train")
    os.utime(root / "train" / "cat" / "0.png", (1, 1))
    _write(root, "test/cat/more.png")
    assert ImageFolder(str(root)).digest("train") == before
    data = (root / "train" / "cat" / "0.png").read_bytes()
    os.utime(root / "train" / "cat" / "0.png", (1, 1))
    (root / "train" / "cat" / "0.png").write_bytes(data[:-1] + b"\0")  # as many bytes, and as old
    os.utime(root / "train" / "cat" / "0.png", (1, 1))
    changed = ImageFolder(str(root)).digest("train")
    (root / "train" / "cat" / "0.png").write_bytes(data)
    (root / "train" / "cat" / "0.png").rename(root / "train" / "cat" / "2.png")
    assert len({before, changed, ImageFolder(str(root)).digest("train")}) == 3


@pytest.mark.parametrize("kind", ["JPEG", "BMP", "GIF", "WEBP", "TIFF"])
@pytest.mark.filterwarnings("ignore")  # Pillow's, of large and damaged pictures
def test_a_picture_with_a_byte_spoilt_is_looked_at_and_read_or_set_aside(tmp_path, kind):
    data, path = _encoded(kind), tmp_path / "test" / "cat" / "0.png"
    _write(tmp_path, "test/cat/0.png", "test/cat/1.png")
    seeds = FolderSeeds(str(tmp_path), known_shape=(8, 8, 3))
    for place in range(0, len(data), 7):
        for spoilt in (data[:place], data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]):
            path.write_bytes(spoilt)
            look, batch = ImageFolder(str(tmp_path)).looks("test")[0], seeds.read("test", [0])
            assert bool(look.shape) != bool(look.reason)
            assert [*batch.ids, *(seed_id for seed_id, _ in batch.failures)] == ["test/cat/0.png"]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.write_bytes(b""), "it is none of PNG, JPEG, BMP, GIF, WEBP, TIFF"),
        (lambda path: path.write_bytes(b"no picture"), "it is none of PNG, JPEG, BMP, GIF, WEBP, TIFF"),
        (lambda path: path.symlink_to(path.parent / "gone.png"), "No such file or directory"),
        (lambda path: path.mkdir(), "Is a directory"),
    ],
    ids=["empty", "text", "gone", "folder"],
)
def test_why_a_picture_cannot_be_used_is_said_in_words_before_it_is_read_and_then(root, make, reason):
    make(root / "train" / "cat" / "2.png")
    seeds = FolderSeeds(str(root))
    told = [("train/cat/2.png", f"the picture cannot be read: {reason}")]
    assert seeds.unusable("train") == seeds.read("train", range(4)).failures == told
    assert seeds.notes(["train"])[-1] == f"  set aside: {told[0][1]} (1: train/cat/2.png)"


def test_a_picture_cut_short_is_told_in_words(root):
    _write(root, "train/cat/2.png", data=_encoded()[:100])
    batch = FolderSeeds(str(root)).read("train", range(4))
    assert batch.failures == [
        ("train/cat/2.png", "the picture cannot be read: its data are damaged or cut short"),
    ]


def test_a_disk_that_fails_is_no_picture_to_be_set_aside(root, monkeypatch):
    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    seeds = FolderSeeds(str(root), known_shape=(8, 8, 3))
    for place in ("pipeline.seeds.folder_files.opened", "pipeline.seeds.folder.opened"):
        monkeypatch.setattr(place, fail)
    for read in (lambda: seeds.read("train", [0]), lambda: ImageFolder(str(root)).looks("train")):
        with pytest.raises(OSError, match="Input/output error"):
            read()


def _not_utf8(path: pathlib.Path) -> pathlib.Path:
    """Renames what is there to a name that is not UTF-8."""
    named = pathlib.Path(os.fsdecode(os.fsencode(path.parent) + b"/caf\xe9" + os.fsencode(path.suffix)))
    return path.rename(named)


def test_a_picture_whose_name_is_not_utf8_is_set_aside_under_a_name_that_can_be_written(root):
    _not_utf8(root / "train" / "cat" / "1.png")
    seeds = FolderSeeds(str(root))
    batch = seeds.read("train", range(3))
    told = ("train/cat/caf\\udce9.png", "its name is not UTF-8; rename the file")
    assert batch.failures == [told] and batch.ids == ["train/cat/0.png", "train/dog/0.png"]
    assert "\n".join(seeds.notes(["train"])).encode() and told[0] in seeds.notes(["train"])[-1]
    assert len(seeds.unusable("train")) == 1 and len(seeds.fingerprint("train")) == 64


def test_a_class_whose_name_is_not_utf8_is_told_with_it(root):
    _not_utf8(root / "train" / "cat")
    with pytest.raises(InputError, match=r"the class folder 'caf\\udce9' is not UTF-8; rename it\.$"):
        FolderSeeds(str(root)).class_names()


def _why(root: pathlib.Path, split: str = "train") -> str:
    with pytest.raises(InputError) as told:
        FolderSeeds(str(root)).count(split)
    assert "\n" not in str(told.value)
    return str(told.value).removeprefix(f"[seeds] image_folder {root} ")


def test_a_folder_that_is_not_there_is_told(tmp_path):
    assert _why(tmp_path / "none") == "does not exist; name a folder that holds SPLIT/CLASS/PICTURE.png."
    (tmp_path / "file").touch()
    assert _why(tmp_path / "file") == "is a file; name a folder that holds SPLIT/CLASS/PICTURE.png."
    (tmp_path / "empty").mkdir()
    assert _why(tmp_path / "empty") == "holds no split; expected train/CLASS/PICTURE.png."


def test_classes_without_a_split_above_them_are_those_of_one_split(tmp_path):
    _write(tmp_path, *(f"{name}/0.png" for name in ("cat", "dog", "emu", ".git")))
    (tmp_path / "notes.txt").touch()
    seeds = FolderSeeds(str(tmp_path))
    assert seeds.read("train", range(3)).ids == ["cat/0.png", "dog/0.png", "emu/0.png"]
    assert seeds.class_names() == ["cat", "dog", "emu"]
    assert seeds.notes(["train"])[-1] == "  ignored: hidden (1: .git); outside the class folders (1: notes.txt)"
    assert _why(tmp_path, "test") == "has no split 'test'; it has train."


def test_pictures_that_lie_in_the_split_itself_are_no_class(tmp_path):
    _write(tmp_path, "train/0.png", "cat/0.png")
    assert _why(tmp_path).startswith("has no picture in a class folder of split 'train'")


def test_of_a_split_that_is_not_there_those_that_are_are_told(root):
    assert _why(root, "valid") == "has no split 'valid'; it has test, train."


@pytest.mark.parametrize("path", ["valid/0.png", "valid/cat/2020/0.png", "valid/cat/0.heic", "valid/.cat/0.png"])
def test_of_a_split_without_a_picture_in_its_place_the_place_is_told(root, path):
    _write(root, path)
    assert _why(root, "valid").startswith("has no picture in a class folder of split 'valid'; expected valid/CLASS/")

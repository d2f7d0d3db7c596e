"""Seed images from a folder of pictures: which are read, what they are called, and what cannot be used."""

from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from models.errors import InputError
from pipeline.seeds import folder_files, pixels
from pipeline.seeds.folder import FolderSeeds, check_split_name
from tests.pipeline import nets
from tests.pipeline.seeds import tiny


def _folder(root, channels: int = 1, splits: tuple[str, ...] = ("train", "test")) -> FolderSeeds:
    """Four pictures in each of two classes of each split."""
    pictures = iter(nets.images(8 * len(splits), (8, 8, channels)))
    for split in splits:
        for name in tiny.CLASS_NAMES:
            (root / split / name).mkdir(parents=True)
            for number in range(4):
                (root / split / name / f"{number}.png").write_bytes(tiny.png(next(pictures)))
    return FolderSeeds(str(root))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_folder_gives_its_pictures_by_class_and_name(tmp_path, channels):
    seeds = _folder(tmp_path, channels)
    batch = seeds.read("train", range(8))
    assert batch.ids == [f"train/{name}/{number}.png" for name in tiny.CLASS_NAMES for number in range(4)]
    assert batch.labels.tolist() == [0] * 4 + [1] * 4 and batch.positions == list(range(8))
    np.testing.assert_array_equal(batch.images, nets.images(16, (8, 8, channels))[:8])
    assert batch.failures == [] and seeds.shape() == (8, 8, channels)


def test_a_folder_tells_its_name_sizes_and_classes(tmp_path):
    seeds = _folder(tmp_path / "pictures")
    assert (seeds.name, seeds.count("train"), seeds.count("test")) == ("pictures", 8, 8)
    assert seeds.class_names() == tiny.CLASS_NAMES
    assert FolderSeeds(seeds.root, labeled=False).class_names() == []


def test_of_a_folder_whole_splits_are_parts_and_nothing_else(tmp_path):
    seeds = _folder(tmp_path)
    assert seeds.part("test") == [("test", range(8))]
    for name, told in (("train[:50%]", "order of its classes"), ("train+test", "name a split"), ("valid", "no split")):
        with pytest.raises(InputError, match=told):
            seeds.part(name)


def test_an_unlabeled_folder_gives_no_labels(tmp_path):
    seeds = FolderSeeds(_folder(tmp_path).root, labeled=False)
    assert seeds.read("train", [0, 7]).labels.tolist() == [-1, -1]


def test_a_class_has_the_same_label_in_every_split(tmp_path):
    (tmp_path / "train" / "a").mkdir(parents=True)
    for split, name in (("train", "b"), ("test", "b"), ("test", "c")):
        (tmp_path / split / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / split / name / "0.png").write_bytes(tiny.png(nets.images(1)[0]))
    seeds = FolderSeeds(str(tmp_path))
    assert seeds.class_names() == ["b", "c"], "an empty folder is no class"
    assert seeds.read("train", [0]).labels.tolist() == [0]
    assert seeds.read("test", [0, 1]).labels.tolist() == [0, 1]


def test_a_picture_of_a_folder_is_the_same_whatever_is_read_with_it(tmp_path):
    seeds = _folder(tmp_path)
    whole, gaps = seeds.read("train", range(8)), seeds.read("train", [1, 5, 6])
    assert gaps.positions == [1, 5, 6]
    for position in gaps.positions:
        assert tiny.row_of(gaps, position) == tiny.row_of(whole, position)


@pytest.mark.parametrize("data", [b"", b"no picture", tiny.png(nets.images(1)[0])[:60]], ids=["empty", "text", "half"])
def test_a_picture_that_is_broken_is_set_aside_with_its_name(tmp_path, data):
    seeds = _folder(tmp_path)
    (tmp_path / "train" / "dark" / "2.png").write_bytes(data)
    batch = seeds.read("train", range(8))
    assert [seed_id for seed_id, _ in batch.failures] == ["train/dark/2.png"]
    assert "the picture cannot be read" in batch.failures[0][1]
    assert batch.positions == [0, 1, 3, 4, 5, 6, 7] and len(batch.images) == 7


def test_a_picture_with_any_byte_spoilt_is_read_or_set_aside(tmp_path):
    seeds, path = _folder(tmp_path), tmp_path / "train" / "dark" / "0.png"
    data, _ = path.read_bytes(), seeds.shape()
    for place in range(len(data)):
        for spoilt in (data[:place], data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]):
            path.write_bytes(spoilt)
            batch = seeds.read("train", [0])
            assert len(batch.ids) + len(batch.failures) == 1


@pytest.mark.parametrize("shape", [(7, 8, 1), (8, 8, 3)])
def test_a_picture_of_another_size_is_set_aside(tmp_path, shape):
    seeds = _folder(tmp_path)
    (tmp_path / "train" / "light" / "3.png").write_bytes(tiny.png(nets.images(1, shape)[0]))
    batch = seeds.read("train", range(8))
    size = "x".join(map(str, shape))
    assert batch.failures == [("train/light/3.png", f"the image is {size}, expected 8x8x1")]
    assert len(batch.images) == 7


def test_a_picture_that_is_far_too_large_is_set_aside(tmp_path, monkeypatch):
    seeds = _folder(tmp_path)
    (tmp_path / "train" / "dark" / "1.png").write_bytes(tiny.png(np.zeros((64, 64, 1), np.uint8)))
    assert seeds.shape() == nets.SHAPE
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    batch = seeds.read("train", range(8))
    assert batch.failures == [("train/dark/1.png", "the picture cannot be read: it has more than 100 pixels")]


def test_a_folder_of_pictures_of_sixteen_bits_keeps_the_upper_eight(tmp_path):
    seeds = _folder(tmp_path)
    for number, path in enumerate(sorted(tmp_path.rglob("*.png"))):
        Image.fromarray(nets.images(16)[number, ..., 0].astype(np.uint16) * 256 + 17).save(path)
    batch = seeds.read("test", range(8))
    assert seeds.shape() == nets.SHAPE and not batch.failures
    np.testing.assert_array_equal(batch.images, nets.images(16)[:8])
    assert seeds.reading() == {"pixels": pixels.PICTURES}


def test_a_picture_that_no_rule_makes_8_bit_grey_or_colour_is_set_aside(tmp_path):
    seeds = _folder(tmp_path)
    clear, cmyk = tmp_path / "train" / "dark" / "1.png", tmp_path / "train" / "light" / "x.jpg"
    Image.new("LA", (8, 8), (90, 128)).save(clear)
    Image.new("CMYK", (8, 8)).save(cmyk)
    reasons = dict(seeds.read("train", range(9)).failures)
    assert reasons.keys() == {"train/dark/1.png", "train/light/x.jpg"}
    assert reasons["train/dark/1.png"] == pixels.TRANSPARENT and "mode is CMYK" in reasons["train/light/x.jpg"]


def test_other_files_are_no_pictures(tmp_path):
    seeds = _folder(tmp_path)
    (tmp_path / "train" / "dark" / "notes.txt").write_text("none")
    (tmp_path / "train" / "stray.png").write_bytes(b"none")
    assert seeds.count("train") == 8


def test_a_split_that_a_folder_lacks_is_told_in_one_sentence(tmp_path):
    with pytest.raises(InputError, match=r"has no split 'valid'; it has test, train\.$"):
        _folder(tmp_path).count("valid")


def test_a_folder_without_a_readable_picture_is_told_in_one_sentence(tmp_path):
    (tmp_path / "train" / "dark").mkdir(parents=True)
    (tmp_path / "train" / "dark" / "0.png").write_bytes(b"none")
    with pytest.raises(InputError, match="holds no readable picture"):
        FolderSeeds(str(tmp_path)).shape()


def _swap(one, other) -> None:
    aside = one.with_name("aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


@pytest.mark.parametrize(
    ("one", "other"), [("train/dark", "train/light"), ("train/dark/0.png", "train/light/0.png")], ids=["classes", "two"]
)
def test_pictures_that_change_places_are_another_fingerprint_of_their_split_alone(tmp_path, one, other):
    _folder(tmp_path)
    before = FolderSeeds.look_at(str(tmp_path), True, ())
    prints = {split: before.fingerprint(split) for split in ("train", "test")}
    _swap(tmp_path / one, tmp_path / other)
    after = FolderSeeds.look_at(str(tmp_path), True, ())
    assert after.fingerprint("test") == prints["test"] and after.fingerprint("train") != prints["train"]
    _swap(tmp_path / one, tmp_path / other)
    assert FolderSeeds.look_at(str(tmp_path), True, ()).fingerprint("train") == prints["train"]


def test_a_class_that_is_new_in_any_split_or_another_size_is_another_fingerprint(tmp_path):
    _folder(tmp_path)
    prints = [FolderSeeds.look_at(str(tmp_path), True, ()).fingerprint("train")]
    (tmp_path / "test" / "blue").mkdir()
    (tmp_path / "test" / "blue" / "0.png").write_bytes(tiny.png(nets.images(1)[0]))  # labels count on from it
    prints.append(FolderSeeds.look_at(str(tmp_path), True, ()).fingerprint("train"))
    for number in range(20):
        (tmp_path / "test" / "blue" / f"{number}.png").write_bytes(tiny.png(nets.images(1, (9, 9, 1))[0]))
    prints.append(FolderSeeds.look_at(str(tmp_path), True, ("test",)).fingerprint("train"))
    assert len(set(prints)) == 3


def test_a_worker_opens_only_what_it_reads(tmp_path, monkeypatch):
    seeds = _folder(tmp_path)
    (tmp_path / "train" / "light" / "3.png").write_bytes(tiny.png(nets.images(1, (9, 8, 1))[0]))
    sent = pickle.dumps(seeds.for_workers())
    monkeypatch.setattr(folder_files, "_look", lambda path: pytest.fail(f"{path} was looked at"))
    received = pickle.loads(sent)
    assert received.shape() == nets.SHAPE and received.read("train", [0]).ids == ["train/dark/0.png"]
    assert received.read("train", [7]).failures == [("train/light/3.png", "the image is 9x8x1, expected 8x8x1")]


def test_a_worker_that_outlives_a_run_lists_the_changed_folder_anew(tmp_path):
    before = _folder(tmp_path).for_workers()
    assert before.read("train", [0]).ids == ["train/dark/0.png"]
    (tmp_path / "train" / "dark" / "0.png").rename(tmp_path / "train" / "dark" / "9.png")
    other_process = folder_files.ImageFolder(str(tmp_path)).digest("train")
    after = dataclasses.replace(before, content=other_process)
    assert after.read("train", [0]).ids == ["train/dark/1.png"]
    assert FolderSeeds.look_at(str(tmp_path), True, ()).for_workers().content != before.content


def test_pictures_of_another_size_are_known_before_any_is_decoded(tmp_path):
    seeds = _folder(tmp_path)
    assert seeds.unusable("train") == []
    for number in range(2):
        (tmp_path / "train" / "light" / f"{number}.png").write_bytes(tiny.png(nets.images(1, (7, 8, 3))[0]))
    seeds = FolderSeeds.look_at(str(tmp_path), True, ("train",))
    reason = "the image is 7x8x3, expected 8x8x1"
    assert seeds.unusable("train") == [("train/light/0.png", reason), ("train/light/1.png", reason)]
    assert seeds.notes(["train"]) == [
        f"images of {tmp_path}, 8x8x1:",
        "  train: 8 pictures in 2 classes: dark 4, light 4",
        f"  set aside: {reason} (2, such as train/light/0.png)",
    ]
    assert seeds.unusable("train") == seeds.read("train", range(8)).failures


class _OneSplit(tiny.TinySeeds, skip_registration=True):
    """The same dataset with one split of any name."""

    name = "one_split"
    split = ""

    def _split_generators(self, dl_manager):
        return {self.split: self._generate_examples(self.split, 1)}


def _tfds_takes(split: str, data_dir: str) -> bool:
    """Tells whether TFDS writes a split of this name, and reads it by it from the files alone."""
    try:
        _OneSplit.split = split
        builder = _OneSplit(data_dir=data_dir)
        builder.download_and_prepare()
        return len(tfds.builder_from_directory(builder.data_dir).as_dataset(split=split)) == 1
    except (NotImplementedError, RuntimeError, ValueError):
        return False


@pytest.mark.parametrize(
    ("split", "good"),
    [
        *((name, True) for name in ("a-b", "2024-01", "ünï", "all-1")),
        *((name, False) for name in ("fold.1", "my split", "train[0]", "train[:50%]", "a+b", "a/b", "-")),
        *((name, False) for name in ("all", "ALL", "all[:1]")),
    ],
)
def test_a_split_name_is_refused_where_tfds_does_not_write_and_read_it(tmp_path, split, good):
    assert _tfds_takes(split, str(tmp_path)) == good
    if good:
        check_split_name(str(tmp_path), split)
    else:
        with pytest.raises(InputError, match=r"TFDS cannot name a split .*; rename that folder"):
            check_split_name(str(tmp_path), split)


@pytest.mark.parametrize("name", ["a\nb", " a", "a ", " "])
def test_a_class_that_tfds_could_not_name_is_told_in_one_sentence(tmp_path, name):
    (tmp_path / "train" / name).mkdir(parents=True)
    (tmp_path / "train" / name / "0.png").write_bytes(b"a picture")
    with pytest.raises(InputError, match=r"the class .* has a line break, or begins or ends with a space") as caught:
        FolderSeeds(str(tmp_path)).class_names()
    assert "\n" not in str(caught.value)
    assert FolderSeeds(str(tmp_path), labeled=False).class_names() == []

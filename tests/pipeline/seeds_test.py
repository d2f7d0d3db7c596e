from __future__ import annotations

import dataclasses
import io
import pickle

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from models.errors import InputError
from pipeline import image_folder, pixels
from pipeline.seeds import FolderSeeds, SeedBatch, TfdsSeeds, check_split_name, check_usable
from tests.pipeline import nets

TRAIN, TEST, BROKEN, ODD = 23, 5, 6, 3
CLASS_NAMES = ["dark", "light"]


def _png(image: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(stream, "PNG")
    return stream.getvalue()


class TinySeeds(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A dataset of a few images: "train" has a broken one, "odd" one of another size."""

    VERSION = tfds.core.Version("1.2.0")
    name = "tiny_seeds"

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=nets.SHAPE),
            "label": tfds.features.ClassLabel(names=CLASS_NAMES),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        sizes = {"train": TRAIN, "test": TEST, "odd": TEST}
        return {split: self._generate_examples(split, count) for split, count in sizes.items()}

    def _generate_examples(self, split: str, count: int):
        for number, image in enumerate(nets.images(count)):
            data = _png(image[:-1] if (split, number) == ("odd", ODD) else image)
            if (split, number) == ("train", BROKEN):
                data = data[: len(data) // 2]
            yield number, {"image": io.BytesIO(data), "label": number % 2}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory) -> str:
    folder = str(tmp_path_factory.mktemp("tfds"))
    config = tfds.download.DownloadConfig(num_shards=3)
    TinySeeds(data_dir=folder).download_and_prepare(download_config=config)
    return folder


class ManySeeds(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A dataset with several images and labels of each kind.

    The third of the floats is out of range, the fourth has NaN. The fifth of "wide", stored first, is of another size.
    """

    VERSION = tfds.core.Version("1.0.0")
    name = "many_seeds"

    def _info(self) -> tfds.core.DatasetInfo:
        kinds = {"pic": ((8, 8, 1), np.uint8), "mask": ((8, 8, 1), np.uint8), "wide": ((None, None, 3), np.uint16)}
        kinds |= {"unit": ((8, 8, 1), np.float32), "clear": ((8, 8, 4), np.uint8)}
        features = {name: tfds.features.Image(shape=shape, dtype=dtype) for name, (shape, dtype) in kinds.items()}
        features |= {"coarse": tfds.features.ClassLabel(num_classes=2), "kind": tfds.features.ClassLabel(num_classes=3)}
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features), supervised_keys=("pic", "kind")
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for number, image in enumerate(nets.images(TEST)):
            unit = image.astype(np.float32) / 255
            unit[1, 2] = {2: 255, 3: np.nan}.get(number, unit[1, 2])
            clear = np.concatenate([np.repeat(image, 3, -1), np.full_like(image, 254 if number == 1 else 255)], -1)
            wide = np.repeat(image.astype(np.uint16) * 256 + 255, 3, -1)[: 7 if number == 4 else 8]
            images = {"pic": image, "mask": 255 - image, "wide": wide, "unit": unit, "clear": clear}
            yield number, {**images, "coarse": number % 2, "kind": number % 3}


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> str:
    folder = str(tmp_path_factory.mktemp("many"))
    ManySeeds(data_dir=folder).download_and_prepare()
    return folder


def _numbers(batch: SeedBatch, change=lambda image: image) -> list[int]:
    """Returns which of the dataset's images were read; each has to be one of them, changed."""
    originals = {change(image).tobytes(): number for number, image in enumerate(nets.images(TEST))}
    return [originals[image.tobytes()] for image in batch.images]


def test_the_features_are_those_that_the_dataset_names_and_not_the_first(many):
    seeds = TfdsSeeds("many_seeds", many)
    batch = seeds.read("train", range(TEST))
    assert batch.labels.tolist() == [number % 3 for number in _numbers(batch)]
    assert seeds.class_names() == ["0", "1", "2"]
    assert seeds.reading() == {"image_key": "pic", "label_key": "kind", "pixels": "uint8 as it is"}


def test_given_features_are_read(many):
    seeds = TfdsSeeds("many_seeds", many, image_key="mask", label_key="coarse")
    batch = seeds.read("train", range(TEST))
    assert batch.labels.tolist() == [number % 2 for number in _numbers(batch, lambda image: 255 - image)]
    assert seeds.class_names() == ["0", "1"]
    assert seeds.reading() == {"image_key": "mask", "label_key": "coarse", "pixels": "uint8 as it is"}
    assert TfdsSeeds("many_seeds", many, labeled=False).reading()["label_key"] == ""


def _coloured(image: np.ndarray) -> np.ndarray:
    return np.repeat(image, 3, -1)


def test_images_of_sixteen_bits_keep_the_upper_eight(many):
    seeds = TfdsSeeds("many_seeds", many, image_key="wide")
    batch = seeds.read("train", range(TEST))
    assert sorted(_numbers(batch, _coloured)) == [0, 1, 2, 3]
    assert seeds.reading()["pixels"] == "the upper 8 bits of uint16"


def test_a_size_that_is_not_declared_is_that_of_most_images(many):
    seeds = TfdsSeeds("many_seeds", many, image_key="wide")
    batch = seeds.read("train", range(TEST))
    assert seeds.shape() == (8, 8, 3)
    assert [reason for _, reason in batch.failures] == ["the image is 7x8x3, expected 8x8x3"]
    assert 0 not in batch.positions, "so that the first image would have given another size"


def test_floats_from_0_to_1_are_read_and_others_set_aside(many):
    seeds = TfdsSeeds("many_seeds", many, image_key="unit")
    batch = seeds.read("train", range(TEST))
    assert sorted(_numbers(batch)) == [0, 1, 4]
    assert sorted(reason for _, reason in batch.failures) == [pixels.NOT_FINITE, pixels.OUT_OF_RANGE]
    assert seeds.reading()["pixels"] == "float32 from 0 to 1, times 255, rounded"


def test_images_with_alpha_are_read_where_they_are_opaque(many):
    seeds = TfdsSeeds("many_seeds", many, image_key="clear")
    batch = seeds.read("train", range(TEST))
    assert seeds.shape() == (8, 8, 3)
    assert sorted(_numbers(batch, _coloured)) == [0, 2, 3, 4]
    assert [reason for _, reason in batch.failures] == [pixels.TRANSPARENT]


@pytest.fixture(scope="module")
def source(data_dir) -> TfdsSeeds:
    return TfdsSeeds("tiny_seeds", data_dir)


@pytest.fixture(scope="module")
def whole(source) -> SeedBatch:
    return source.read("train", range(TRAIN))


def _row(batch: SeedBatch, position: int) -> tuple:
    row = batch.positions.index(position)
    return batch.ids[row], batch.images[row].tobytes(), int(batch.labels[row])


def test_a_dataset_tells_its_name_size_shape_and_classes(source):
    assert source.name == "tiny_seeds:1.2.0"
    assert (source.count("train"), source.count("test")) == (TRAIN, TEST)
    assert source.shape() == nets.SHAPE and source.class_names() == CLASS_NAMES


def test_a_version_asked_for_gives_the_same_name_and_seeds(source, data_dir, whole):
    pinned = TfdsSeeds("tiny_seeds:1.2.0", data_dir)
    assert pinned.name == source.name and pinned.read("train", range(TRAIN)).ids == whole.ids


def test_parts_of_a_split_do_not_overlap_and_make_the_whole(source):
    first, second = source.part("train[:50%]"), source.part("train[50%:]")
    positions = [position for split, rows in [*first, *second] if split == "train" for position in rows]
    assert positions == list(range(TRAIN)) and abs(len(first[0][1]) - len(second[0][1])) == 1
    assert source.part("train") == [("train", range(TRAIN))]
    assert source.part("train[-3:]+test[:2]") == [("train", range(TRAIN - 3, TRAIN)), ("test", range(2))]


def test_a_part_is_what_tfds_reads_under_its_name(source, data_dir, whole):
    ((split, positions),) = source.part("train[30%:60%]")
    builder = tfds.builder("tiny_seeds", data_dir=data_dir)
    stored = builder.as_dataset(
        split="train[30%:60%]",
        decoders={"image": tfds.decode.SkipDecoding()},
        read_config=tfds.ReadConfig(add_tfds_id=True),
    )
    ids = {example["tfds_id"].decode() for example in tfds.as_numpy(stored)}
    batch = source.read(split, positions)
    assert {*batch.ids, *(seed_id for seed_id, _ in batch.failures)} == ids


@pytest.mark.parametrize("name", ["valid", "valid[:50%]", "train[", "train[:101%]", f"train[:{TRAIN + 1}]", "", "a b"])
def test_a_part_that_is_none_is_told_with_the_splits(source, name):
    with pytest.raises(InputError, match=rf"is no part of tiny_seeds; .*'train' \({TRAIN} images\)"):
        source.part(name)


@pytest.mark.parametrize("name", ["train[:0]", "train[5:5]", "train[:0]+test[:0]"])
def test_an_empty_part_is_told(source, name):
    with pytest.raises(InputError, match="holds no image"):
        source.part(name)


def test_every_readable_image_is_read_once_with_its_label(whole):
    originals = {image.tobytes(): number for number, image in enumerate(nets.images(TRAIN))}
    numbers = [originals[image.tobytes()] for image in whole.images]
    assert sorted(numbers) == [number for number in range(TRAIN) if number != BROKEN]
    assert whole.labels.tolist() == [number % 2 for number in numbers]
    assert whole.images.dtype == np.uint8 and whole.labels.dtype == np.int32


def test_ids_are_unique_and_name_several_files(whole):
    ids = whole.ids + [seed_id for seed_id, _ in whole.failures]
    assert len(set(ids)) == TRAIN
    assert len({seed_id.split("__")[0] for seed_id in ids}) == 3


def test_an_image_that_does_not_decode_is_set_aside(whole):
    assert [reason for _, reason in whole.failures] == ["the image does not decode"]
    assert len(whole.positions) == len(whole.ids) == len(whole.images) == len(whole.labels) == TRAIN - 1
    assert len(set(range(TRAIN)) - set(whole.positions)) == 1 and whole.failures[0][0] not in whole.ids


def test_an_image_of_another_size_is_set_aside(source):
    batch = source.read("odd", range(TEST))
    assert [reason for _, reason in batch.failures] == ["the image does not decode"]
    assert len(batch.images) == TEST - 1


@pytest.mark.parametrize(
    "positions",
    [range(0, 5), range(6, 17), range(22, 23), [0, 22], [1, 4, 9, 16], [7, 8, 9, 20], list(range(0, 23, 2))],
)
def test_an_image_is_the_same_whatever_is_read_with_it(source, whole, positions):
    batch = source.read("train", positions)
    assert batch.split == "train"
    assert batch.positions == [position for position in positions if position in whole.positions]
    for position in batch.positions:
        assert _row(batch, position) == _row(whole, position)


def test_one_at_a_time_gives_what_one_read_gives(source, whole):
    ids, failures = [], []
    for position in range(TRAIN):
        batch = source.read("train", [position])
        ids, failures = ids + batch.ids, failures + batch.failures
    assert ids == whole.ids and failures == whole.failures


def test_unlabeled_seeds_have_no_classes_and_no_labels(data_dir, whole):
    unlabeled = TfdsSeeds("tiny_seeds", data_dir, labeled=False)
    batch = unlabeled.read("train", range(TRAIN))
    assert unlabeled.class_names() == [] and set(batch.labels.tolist()) == {-1}
    np.testing.assert_array_equal(batch.images, whole.images)


def test_an_unknown_split_is_told_in_one_sentence(source):
    with pytest.raises(InputError, match=r"tiny_seeds has no split 'valid'; it has odd, test, train\.$") as told:
        source.count("valid")
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("dataset", ["no_such_seeds", "tiny_seeds:9.9.9", "tiny_seeds/no_such_config"])
def test_an_unknown_dataset_is_told_in_one_sentence(data_dir, dataset):
    with pytest.raises(InputError, match=f"dataset '{dataset}' was not found in ") as told:
        TfdsSeeds(dataset, data_dir).count("train")
    assert "\n" not in str(told.value)


def test_a_dataset_that_is_not_prepared_is_told_in_one_sentence(tmp_path):
    with pytest.raises(InputError, match=r"dataset 'mnist' is not prepared in .*: run `tfds build mnist`") as told:
        TfdsSeeds("mnist", str(tmp_path)).count("train")
    assert "\n" not in str(told.value)


def _folder(root, channels: int = 1, splits: tuple[str, ...] = ("train", "test")) -> FolderSeeds:
    """Four pictures in each of two classes of each split."""
    pictures = iter(nets.images(8 * len(splits), (8, 8, channels)))
    for split in splits:
        for name in CLASS_NAMES:
            (root / split / name).mkdir(parents=True)
            for number in range(4):
                (root / split / name / f"{number}.png").write_bytes(_png(next(pictures)))
    return FolderSeeds(str(root))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_folder_gives_its_pictures_by_class_and_name(tmp_path, channels):
    seeds = _folder(tmp_path, channels)
    batch = seeds.read("train", range(8))
    assert batch.ids == [f"train/{name}/{number}.png" for name in CLASS_NAMES for number in range(4)]
    assert batch.labels.tolist() == [0] * 4 + [1] * 4 and batch.positions == list(range(8))
    np.testing.assert_array_equal(batch.images, nets.images(16, (8, 8, channels))[:8])
    assert batch.failures == [] and seeds.shape() == (8, 8, channels)


def test_a_folder_tells_its_name_sizes_and_classes(tmp_path):
    seeds = _folder(tmp_path / "pictures")
    assert (seeds.name, seeds.count("train"), seeds.count("test")) == ("pictures", 8, 8)
    assert seeds.class_names() == CLASS_NAMES
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
        (tmp_path / split / name / "0.png").write_bytes(_png(nets.images(1)[0]))
    seeds = FolderSeeds(str(tmp_path))
    assert seeds.class_names() == ["b", "c"], "an empty folder is no class"
    assert seeds.read("train", [0]).labels.tolist() == [0]
    assert seeds.read("test", [0, 1]).labels.tolist() == [0, 1]


def test_a_picture_of_a_folder_is_the_same_whatever_is_read_with_it(tmp_path):
    seeds = _folder(tmp_path)
    whole, gaps = seeds.read("train", range(8)), seeds.read("train", [1, 5, 6])
    assert gaps.positions == [1, 5, 6]
    for position in gaps.positions:
        assert _row(gaps, position) == _row(whole, position)


@pytest.mark.parametrize("data", [b"", b"no picture", _png(nets.images(1)[0])[:60]], ids=["empty", "text", "half"])
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
    (tmp_path / "train" / "light" / "3.png").write_bytes(_png(nets.images(1, shape)[0]))
    batch = seeds.read("train", range(8))
    size = "x".join(map(str, shape))
    assert batch.failures == [("train/light/3.png", f"the image is {size}, expected 8x8x1")]
    assert len(batch.images) == 7


def test_a_picture_that_is_far_too_large_is_set_aside(tmp_path, monkeypatch):
    seeds = _folder(tmp_path)
    (tmp_path / "train" / "dark" / "1.png").write_bytes(_png(np.zeros((64, 64, 1), np.uint8)))
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


def test_the_fingerprint_of_a_dataset_tells_versions_splits_features_and_shards_apart(source, data_dir, tmp_path):
    assert TfdsSeeds("tiny_seeds:1.2.0", data_dir).fingerprint("train") == source.fingerprint("train")
    TinySeeds(data_dir=str(tmp_path / "again")).download_and_prepare()  # other shards: other ids
    others = [
        TfdsSeeds("tiny_seeds", str(tmp_path / "again")).fingerprint("train"),
        TfdsSeeds("tiny_seeds", data_dir, labeled=False).fingerprint("train"),
        source.fingerprint("test"),
        source.fingerprint("odd"),
    ]
    assert len({source.fingerprint("train"), *others}) == 5


def test_the_fingerprint_of_a_dataset_is_that_of_every_build(source, tmp_path):
    config = tfds.download.DownloadConfig(num_shards=3)
    TinySeeds(data_dir=str(tmp_path)).download_and_prepare(download_config=config)
    assert TfdsSeeds("tiny_seeds", str(tmp_path)).fingerprint("train") == source.fingerprint("train")


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
    (tmp_path / "test" / "blue" / "0.png").write_bytes(_png(nets.images(1)[0]))  # labels count on from it
    prints.append(FolderSeeds.look_at(str(tmp_path), True, ()).fingerprint("train"))
    for number in range(20):
        (tmp_path / "test" / "blue" / f"{number}.png").write_bytes(_png(nets.images(1, (9, 9, 1))[0]))
    prints.append(FolderSeeds.look_at(str(tmp_path), True, ("test",)).fingerprint("train"))
    assert len(set(prints)) == 3


def test_a_worker_opens_only_what_it_reads(tmp_path, monkeypatch):
    seeds = _folder(tmp_path)
    (tmp_path / "train" / "light" / "3.png").write_bytes(_png(nets.images(1, (9, 8, 1))[0]))
    sent = pickle.dumps(seeds.for_workers())
    monkeypatch.setattr(image_folder, "_look", lambda path: pytest.fail(f"{path} was looked at"))
    received = pickle.loads(sent)
    assert received.shape() == nets.SHAPE and received.read("train", [0]).ids == ["train/dark/0.png"]
    assert received.read("train", [7]).failures == [("train/light/3.png", "the image is 9x8x1, expected 8x8x1")]


def test_a_worker_that_outlives_a_run_lists_the_changed_folder_anew(tmp_path):
    before = _folder(tmp_path).for_workers()
    assert before.read("train", [0]).ids == ["train/dark/0.png"]
    (tmp_path / "train" / "dark" / "0.png").rename(tmp_path / "train" / "dark" / "9.png")
    other_process = image_folder.ImageFolder(str(tmp_path)).digest("train")
    after = dataclasses.replace(before, content=other_process)
    assert after.read("train", [0]).ids == ["train/dark/1.png"]
    assert FolderSeeds.look_at(str(tmp_path), True, ()).for_workers().content != before.content


def test_pictures_of_another_size_are_known_before_any_is_decoded(tmp_path):
    seeds = _folder(tmp_path)
    assert seeds.unusable("train") == []
    for number in range(2):
        (tmp_path / "train" / "light" / f"{number}.png").write_bytes(_png(nets.images(1, (7, 8, 3))[0]))
    seeds = FolderSeeds.look_at(str(tmp_path), True, ("train",))
    reason = "the image is 7x8x3, expected 8x8x1"
    assert seeds.unusable("train") == [("train/light/0.png", reason), ("train/light/1.png", reason)]
    assert seeds.notes(["train"]) == [
        f"images of {tmp_path}, 8x8x1:",
        "  train: 8 pictures in 2 classes: dark 4, light 4",
        f"  set aside: {reason} (2, such as train/light/0.png)",
    ]
    assert seeds.unusable("train") == seeds.read("train", range(8)).failures


def test_as_many_unusable_images_as_may_be_set_aside_are_not_too_many():
    bad = [(f"{number}.png", "the image is 7x8x1, expected 8x8x1") for number in range(2)]
    check_usable("images of photos", bad, 40, 0.05)
    check_usable("images of photos", [], 0, 0.0)
    with pytest.raises(InputError) as told:
        check_usable("images of photos", [*bad, ("2.png", "other")], 40, 0.05)
    assert str(told.value) == (
        "[seeds] 3 of 40 images of photos cannot be used, more than [run] max_set_aside = 0.05: the image is 7x8x1, "
        "expected 8x8x1 (2, such as 0.png); other (1: 2.png); bring all images to one size, mend or remove the others, "
        "or raise max_set_aside."
    )


class _OneSplit(TinySeeds, skip_registration=True):
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

"""Seed images from a TFDS dataset: which features, which pixels, which parts, and what cannot be used."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tensorflow_datasets as tfds

from models.errors import InputError
from pipeline.seeds import pixels
from pipeline.seeds.fitting import Fitting
from pipeline.seeds.folder import FolderSeeds
from pipeline.seeds.source import SeedBatch
from pipeline.seeds.tfds_dataset import TfdsSeeds
from tests.pipeline import nets
from tests.pipeline.seeds import tiny


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory) -> str:
    folder = str(tmp_path_factory.mktemp("tfds"))
    config = tfds.download.DownloadConfig(num_shards=3)
    tiny.TinySeeds(data_dir=folder).download_and_prepare(download_config=config)
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
        for number, image in enumerate(nets.images(tiny.TEST)):
            unit = image.astype(np.float32) / 255
            unit[1, 2] = {2: 255, 3: np.nan}.get(number, unit[1, 2])
            clear = np.concatenate([np.repeat(image, 3, -1), np.full_like(image, 254 if number == 1 else 255)], -1)
            wide = np.repeat(image.astype(np.uint16) * 256 + 255, 3, -1)[: 7 if number == 4 else 8]
            images = {"pic": image, "mask": 255 - image, "wide": wide, "unit": unit, "clear": clear}
            yield number, {**images, "coarse": number % 2, "kind": number % 3}


def _noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(100 * height + width).integers(0, 256, (height, width, 3), np.uint8)


MOST = [_noise(6, 9) if number < 7 else _noise(number, 5) for number in range(10)]
ALL_DIFFERENT = [_noise(4 + number, 12 - number) for number in range(10)]


class MixedSeeds(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Ten colour images, of which seven are 6 x 9; the second does not decode."""

    VERSION = tfds.core.Version("1.0.0")
    name = "mixed_seeds"
    IMAGES = MOST

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "label": tfds.features.ClassLabel(num_classes=2),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for number, image in enumerate(self.IMAGES):
            broken = self.name == "mixed_seeds" and number == 1
            yield number, {"image": io.BytesIO(b"broken" if broken else tiny.png(image)), "label": number % 2}


class DifferentSeeds(MixedSeeds, skip_registration=True):
    """Ten colour images, no two of a size."""

    name = "different_seeds"
    IMAGES = ALL_DIFFERENT


@pytest.fixture(scope="module")
def mixed(tmp_path_factory) -> str:
    folder = str(tmp_path_factory.mktemp("mixed"))
    for builder in (MixedSeeds, DifferentSeeds):
        builder(data_dir=folder).download_and_prepare()
    return folder


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> str:
    folder = str(tmp_path_factory.mktemp("many"))
    ManySeeds(data_dir=folder).download_and_prepare()
    return folder


def _numbers(batch: SeedBatch, change=lambda image: image) -> list[int]:
    """Returns which of the dataset's images were read; each has to be one of them, changed."""
    originals = {change(image).tobytes(): number for number, image in enumerate(nets.images(tiny.TEST))}
    return [originals[image.tobytes()] for image in batch.images]


def test_the_features_are_those_that_the_dataset_names_and_not_the_first(many):
    seeds = TfdsSeeds("many_seeds", many)
    batch = seeds.read("train", range(tiny.TEST))
    assert batch.labels.tolist() == [number % 3 for number in _numbers(batch)]
    assert seeds.class_names() == ["0", "1", "2"]
    assert seeds.reading() == {"image_key": "pic", "label_key": "kind", "pixels": "uint8 as it is"}


def test_given_features_are_read(many):
    seeds = TfdsSeeds("many_seeds", many, image_key="mask", label_key="coarse")
    batch = seeds.read("train", range(tiny.TEST))
    assert batch.labels.tolist() == [number % 2 for number in _numbers(batch, lambda image: 255 - image)]
    assert seeds.class_names() == ["0", "1"]
    assert seeds.reading() == {"image_key": "mask", "label_key": "coarse", "pixels": "uint8 as it is"}
    assert TfdsSeeds("many_seeds", many, labeled=False).reading()["label_key"] == ""


def _coloured(image: np.ndarray) -> np.ndarray:
    return np.repeat(image, 3, -1)


def test_images_of_sixteen_bits_keep_the_upper_eight(many):
    seeds = TfdsSeeds("many_seeds", many, image_key="wide")
    batch = seeds.read("train", range(tiny.TEST))
    assert sorted(_numbers(batch, _coloured)) == [0, 1, 2, 3]
    assert seeds.reading()["pixels"] == "the upper 8 bits of uint16"


def test_a_size_that_is_not_declared_is_that_of_most_images(many):
    seeds = TfdsSeeds("many_seeds", many, image_key="wide")
    batch = seeds.read("train", range(tiny.TEST))
    assert seeds.shape() == (8, 8, 3)
    assert [reason for _, reason in batch.failures] == ["the image is 7x8x3, expected 8x8x3"]
    assert 0 not in batch.positions, "so that the first image would have given another size"


def test_floats_from_0_to_1_are_read_and_others_set_aside(many):
    seeds = TfdsSeeds("many_seeds", many, image_key="unit")
    batch = seeds.read("train", range(tiny.TEST))
    assert sorted(_numbers(batch)) == [0, 1, 4]
    assert sorted(reason for _, reason in batch.failures) == [pixels.NOT_FINITE, pixels.OUT_OF_RANGE]
    assert seeds.reading()["pixels"] == "float32 from 0 to 1, times 255, rounded"


def test_images_with_alpha_are_read_where_they_are_opaque(many):
    seeds = TfdsSeeds("many_seeds", many, image_key="clear")
    batch = seeds.read("train", range(tiny.TEST))
    assert seeds.shape() == (8, 8, 3)
    assert sorted(_numbers(batch, _coloured)) == [0, 2, 3, 4]
    assert [reason for _, reason in batch.failures] == [pixels.TRANSPARENT]


@pytest.fixture(scope="module")
def source(data_dir) -> TfdsSeeds:
    return TfdsSeeds("tiny_seeds", data_dir)


@pytest.fixture(scope="module")
def whole(source) -> SeedBatch:
    return source.read("train", range(tiny.TRAIN))


def test_a_dataset_tells_its_name_size_shape_and_classes(source):
    assert source.name == "tiny_seeds:1.2.0"
    assert (source.count("train"), source.count("test")) == (tiny.TRAIN, tiny.TEST)
    assert source.shape() == nets.SHAPE and source.class_names() == tiny.CLASS_NAMES


def test_a_version_asked_for_gives_the_same_name_and_seeds(source, data_dir, whole):
    pinned = TfdsSeeds("tiny_seeds:1.2.0", data_dir)
    assert pinned.name == source.name and pinned.read("train", range(tiny.TRAIN)).ids == whole.ids


def test_parts_of_a_split_do_not_overlap_and_make_the_whole(source):
    first, second = source.part("train[:50%]"), source.part("train[50%:]")
    positions = [position for split, rows in [*first, *second] if split == "train" for position in rows]
    assert positions == list(range(tiny.TRAIN)) and abs(len(first[0][1]) - len(second[0][1])) == 1
    assert source.part("train") == [("train", range(tiny.TRAIN))]
    assert source.part("train[-3:]+test[:2]") == [("train", range(tiny.TRAIN - 3, tiny.TRAIN)), ("test", range(2))]


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


@pytest.mark.parametrize(
    "name", ["valid", "valid[:50%]", "train[", "train[:101%]", f"train[:{tiny.TRAIN + 1}]", "", "a b"]
)
def test_a_part_that_is_none_is_told_with_the_splits(source, name):
    with pytest.raises(InputError, match=rf"is no part of tiny_seeds; .*'train' \({tiny.TRAIN} images\)"):
        source.part(name)


@pytest.mark.parametrize("name", ["train[:0]", "train[5:5]", "train[:0]+test[:0]"])
def test_an_empty_part_is_told(source, name):
    with pytest.raises(InputError, match="holds no image"):
        source.part(name)


def test_every_readable_image_is_read_once_with_its_label(whole):
    originals = {image.tobytes(): number for number, image in enumerate(nets.images(tiny.TRAIN))}
    numbers = [originals[image.tobytes()] for image in whole.images]
    assert sorted(numbers) == [number for number in range(tiny.TRAIN) if number != tiny.BROKEN]
    assert whole.labels.tolist() == [number % 2 for number in numbers]
    assert whole.images.dtype == np.uint8 and whole.labels.dtype == np.int32


def test_ids_are_unique_and_name_several_files(whole):
    ids = whole.ids + [seed_id for seed_id, _ in whole.failures]
    assert len(set(ids)) == tiny.TRAIN
    assert len({seed_id.split("__")[0] for seed_id in ids}) == 3


def test_an_image_that_does_not_decode_is_set_aside(whole):
    assert [reason for _, reason in whole.failures] == ["the image does not decode"]
    assert len(whole.positions) == len(whole.ids) == len(whole.images) == len(whole.labels) == tiny.TRAIN - 1
    assert len(set(range(tiny.TRAIN)) - set(whole.positions)) == 1 and whole.failures[0][0] not in whole.ids


def test_an_image_of_another_size_is_set_aside(source):
    batch = source.read("odd", range(tiny.TEST))
    assert [reason for _, reason in batch.failures] == ["the image does not decode"]
    assert len(batch.images) == tiny.TEST - 1


@pytest.mark.parametrize(
    "positions",
    [range(0, 5), range(6, 17), range(22, 23), [0, 22], [1, 4, 9, 16], [7, 8, 9, 20], list(range(0, 23, 2))],
)
def test_an_image_is_the_same_whatever_is_read_with_it(source, whole, positions):
    batch = source.read("train", positions)
    assert batch.split == "train"
    assert batch.positions == [position for position in positions if position in whole.positions]
    for position in batch.positions:
        assert tiny.row_of(batch, position) == tiny.row_of(whole, position)


@pytest.mark.slow
def test_one_at_a_time_gives_what_one_read_gives(source, whole):
    ids, failures = [], []
    for position in range(tiny.TRAIN):
        batch = source.read("train", [position])
        ids, failures = ids + batch.ids, failures + batch.failures
    assert ids == whole.ids and failures == whole.failures


def test_unlabeled_seeds_have_no_classes_and_no_labels(data_dir, whole):
    unlabeled = TfdsSeeds("tiny_seeds", data_dir, labeled=False)
    batch = unlabeled.read("train", range(tiny.TRAIN))
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


def test_the_fingerprint_of_a_dataset_tells_versions_splits_features_and_shards_apart(source, data_dir, tmp_path):
    assert TfdsSeeds("tiny_seeds:1.2.0", data_dir).fingerprint("train") == source.fingerprint("train")
    tiny.TinySeeds(data_dir=str(tmp_path / "again")).download_and_prepare()  # other shards: other ids
    others = [
        TfdsSeeds("tiny_seeds", str(tmp_path / "again")).fingerprint("train"),
        TfdsSeeds("tiny_seeds", data_dir, labeled=False).fingerprint("train"),
        source.fingerprint("test"),
        source.fingerprint("odd"),
    ]
    assert len({source.fingerprint("train"), *others}) == 5


def test_the_fingerprint_of_a_dataset_is_that_of_every_build(source, tmp_path):
    config = tfds.download.DownloadConfig(num_shards=3)
    tiny.TinySeeds(data_dir=str(tmp_path)).download_and_prepare(download_config=config)
    assert TfdsSeeds("tiny_seeds", str(tmp_path)).fingerprint("train") == source.fingerprint("train")


def _by_number(batch: SeedBatch) -> dict[int, np.ndarray]:
    return {int(seed_id.rpartition("__")[2]): image for seed_id, image in zip(batch.ids, batch.images, strict=True)}


@pytest.mark.parametrize("resize", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("size", [(), (5, 12), (16, 16)])
def test_images_of_mixed_sizes_become_what_the_same_pictures_of_a_folder_become(mixed, tmp_path, resize, size):
    (tmp_path / "thing").mkdir()
    for number, image in enumerate(ALL_DIFFERENT):
        (tmp_path / "thing" / f"{number}.png").write_bytes(tiny.png(image))
    seeds = TfdsSeeds("different_seeds", mixed, fitting=Fitting(resize, size))
    shape = seeds.shape()
    assert shape == (*(size or (4, 12)), 3)
    folder = FolderSeeds(str(tmp_path), fitting=Fitting(resize, shape[:2]))
    positions = range(len(ALL_DIFFERENT))
    batch, expected = seeds.read("train", positions), folder.read("train", positions)
    assert batch.failures == [] and len(batch.ids) == len(positions)
    found = [image.tobytes() for image in batch.images]
    assert sorted(found) == sorted(image.tobytes() for image in expected.images)


def test_the_size_of_most_is_kept_and_what_does_not_decode_is_set_aside(mixed):
    seeds = TfdsSeeds("mixed_seeds", mixed, fitting=Fitting("crop"))
    batch = seeds.read("train", range(10))
    assert seeds.shape() == (6, 9, 3) and len(batch.images) == 9
    assert [reason for _, reason in batch.failures] == ["the image does not decode"]
    assert sum(image.tobytes() == MOST[0].tobytes() for image in batch.images) == 6
    some = seeds.read("train", [2, 5, 6])
    assert [image.tobytes() for image in some.images] == [
        image.tobytes() for position, image in zip(batch.positions, batch.images) if position in (2, 5, 6)
    ]


def test_without_resize_a_dataset_of_which_no_two_have_a_size_is_refused_in_a_sentence(mixed):
    with pytest.raises(InputError) as refused:
        TfdsSeeds("different_seeds", mixed).read("train", range(10))
    assert str(refused.value) == (
        "[seeds] different_seeds: the first 10 images of split 'train' have 10 sizes, such as 4x12x3 and 5x11x3; bring "
        'them to one with resize = "crop", "pad" or "stretch".'
    )


def test_a_resized_dataset_is_recorded_with_its_rule_and_another_not(mixed):
    told = [TfdsSeeds("mixed_seeds", mixed, fitting=Fitting(*given)).reading() for given in ((), ("pad", (8, 8)))]
    assert told[0] == {"image_key": "image", "label_key": "label", "pixels": "uint8 as it is"}
    assert told[1] == {**told[0], "resize": "pad: black added at both ends of the shorter side; Lanczos"}


def test_images_of_a_declared_size_are_resized_too(source, data_dir):
    seeds = TfdsSeeds("tiny_seeds", data_dir, fitting=Fitting("stretch", (4, 6)))
    assert seeds.shape() == (4, 6, 1) and seeds.read("test", range(tiny.TEST)).images.shape == (tiny.TEST, 4, 6, 1)
    assert seeds.reading() != source.reading()

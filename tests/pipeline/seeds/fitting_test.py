"""Pictures as people have them: turned, resized, put on a background, or told why not."""

import dataclasses
import io
import pickle

import numpy as np
import pytest
from PIL import Image

from pipeline import records
from pipeline.seeds.fitting import AS_IS, Fitting
from pipeline.seeds.folder import FolderSeeds
from pipeline.seeds.folder_files import ImageFolder
from tests.pipeline import nets

RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (9, 7, 3), np.uint8)
GREYS = np.ascontiguousarray(COLOURS[..., 0])
ALPHA = np.dstack([COLOURS, RNG.integers(0, 256, (9, 7), np.uint8)])


def _saved(picture, format="PNG", **options):
    stream = io.BytesIO()
    picture.save(stream, format, **options)
    return stream.getvalue()


def _turned(picture, orientation, format="PNG"):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return _saved(picture, format, exif=exif)


def _animation():
    frames = [Image.fromarray(np.full((9, 7, 3), level, np.uint8)) for level in (10, 200)]
    return _saved(frames[0], "GIF", save_all=True, append_images=frames[1:])


COLOUR = Image.fromarray(COLOURS)
ODD = {
    "colour.png": _saved(COLOUR),
    "grey.png": _saved(Image.fromarray(GREYS)),
    "one_bit.png": _saved(Image.fromarray(GREYS).convert("1")),
    "palette.png": _saved(COLOUR.convert("P", palette=Image.Palette.ADAPTIVE)),
    "palette_clear.png": _saved(COLOUR.convert("P", palette=Image.Palette.ADAPTIVE), transparency=0),
    "alpha.png": _saved(Image.fromarray(ALPHA)),
    "grey_alpha.png": _saved(Image.fromarray(ALPHA).convert("LA")),
    "sixteen_bits.png": _saved(Image.fromarray(GREYS.astype(np.uint16) * 257)),
    "cmyk.jpg": _saved(COLOUR.convert("CMYK"), "JPEG"),
    "held_sideways.jpg": _turned(COLOUR, 6, "JPEG"),
    "animation.gif": _animation(),
    "photo.webp": _saved(COLOUR.resize((300, 200)), "WEBP"),
    "scan.tif": _saved(COLOUR, "TIFF"),
    "a_line.bmp": _saved(Image.fromarray(GREYS[:1]), "BMP"),
}
WITHOUT_BACKGROUND = {"alpha.png", "grey_alpha.png", "palette_clear.png"}


@pytest.fixture
def odd(tmp_path):
    (tmp_path / "thing").mkdir()
    for name, data in ODD.items():
        (tmp_path / "thing" / name).write_bytes(data)
    return tmp_path


def _image(data, fitting, shape=(9, 7, 3)):
    with Image.open(io.BytesIO(data)) as picture:
        image, reason = fitting.image(picture, shape)
    assert reason == ""
    return image


@pytest.mark.parametrize("resize", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("size", [(), (5, 12), (20, 20)])
def test_pictures_of_every_odd_kind_become_images_of_one_shape(odd, resize, size):
    seeds = FolderSeeds(str(odd), fitting=Fitting(resize, size, "white"))
    batch = seeds.read("train", range(len(ODD)))
    assert seeds.unusable("train") == batch.failures == []
    assert seeds.shape() == (*(size or (9, 7)), 3) == batch.images.shape[1:] and len(batch.images) == len(ODD)


def test_without_a_background_transparent_pictures_are_set_aside_and_no_others(odd):
    batch = FolderSeeds(str(odd), fitting=Fitting("crop")).read("train", range(len(ODD)))
    assert {name.partition("/")[2] for name, _ in batch.failures} == WITHOUT_BACKGROUND
    assert {reason for _, reason in batch.failures} == {"the image has transparent pixels"}


def test_without_resizing_pictures_are_taken_as_before(odd):
    batch = FolderSeeds(str(odd)).read("train", range(len(ODD)))
    assert {name.partition("/")[2] for name in batch.ids} >= {"colour.png", "palette.png", "scan.tif"}
    left = {name.partition("/")[2] for name, _ in batch.failures}
    assert left >= {"cmyk.jpg", "grey.png", "photo.webp", "a_line.bmp", *WITHOUT_BACKGROUND}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("resize", ["crop", "pad", "stretch"])
def test_a_picture_is_turned_as_its_camera_was_held(orientation, resize):
    """EXIF: what is stored is the upright picture turned or mirrored so, first row and column named."""
    upright = COLOURS
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: np.rot90(upright.transpose(1, 0, 2), 2),
        8: np.rot90(upright, 3),
    }[orientation]
    data = _turned(Image.fromarray(np.ascontiguousarray(stored)), orientation)
    with Image.open(io.BytesIO(data)) as picture:
        assert Fitting(resize).shape(picture) == ((9, 7, 3), "")
        assert AS_IS.shape(picture)[0][:2] == stored.shape[:2]
    np.testing.assert_array_equal(_image(data, Fitting(resize)), upright)
    np.testing.assert_array_equal(_image(data, AS_IS), stored)


@pytest.mark.parametrize("resize", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_of_the_right_size_stays_as_it_is(resize, channels):
    image = nets.images(1, (9, 7, channels))[0]
    np.testing.assert_array_equal(_image(records.encode_png(image), Fitting(resize), (9, 7, channels)), image)


def _stripes(height, width):
    """Red, green and blue thirds, from left to right; the middle one is the widest."""
    image = np.zeros((height, width, 3), np.uint8)
    fourth = width // 4
    image[:, :fourth, 0] = image[:, fourth : 3 * fourth, 1] = image[:, 3 * fourth :, 2] = 255
    return _saved(Image.fromarray(image))


def test_cropping_keeps_the_middle():
    image = _image(_stripes(20, 40), Fitting("crop"), (20, 20, 3))
    assert (image == [0, 255, 0]).all()


def test_padding_keeps_all_and_adds_black():
    image = _image(_stripes(20, 40), Fitting("pad"), (40, 40, 3))
    assert not image[:10].any() and not image[30:].any()
    np.testing.assert_array_equal(image[10:30], _image(_stripes(20, 40), AS_IS))


def test_stretching_keeps_all_and_fills_all():
    image = _image(_stripes(20, 40), Fitting("stretch"), (20, 20, 3))
    assert (image[:, 0] == [255, 0, 0]).all() and (image[:, -1] == [0, 0, 255]).all()


@pytest.mark.parametrize(("background", "level"), [("black", 0), ("white", 255)])
@pytest.mark.parametrize("resize", ["never", "crop"])
def test_transparent_pixels_show_the_background_and_half_transparent_ones_half_of_it(background, level, resize):
    data = np.array([[[100, 50, 0, 255], [100, 50, 0, 0], [100, 50, 0, 128]]], np.uint8)
    image = _image(_saved(Image.fromarray(data)), Fitting(resize, (), background), (1, 3, 3))
    half = [level * 127 / 255 + value * 128 / 255 for value in (100, 50, 0)]
    np.testing.assert_allclose(image[0], [[100, 50, 0], [level] * 3, half], atol=1)


@pytest.mark.parametrize("background", ["black", "white"])
def test_a_background_changes_no_picture_without_transparent_pixels(background):
    np.testing.assert_array_equal(_image(_saved(COLOUR), Fitting("never", (), background)), COLOURS)
    opaque = np.dstack([COLOURS, np.full((9, 7), 255, np.uint8)])
    np.testing.assert_array_equal(_image(_saved(Image.fromarray(opaque)), Fitting("never", (), background)), COLOURS)


def test_grey_becomes_colour_and_colour_grey_as_most_pictures_are():
    grey = _image(_saved(COLOUR), Fitting("crop"), (9, 7, 1))
    np.testing.assert_allclose(grey[..., 0], COLOURS @ [0.299, 0.587, 0.114], atol=1)
    np.testing.assert_array_equal(_image(_saved(Image.fromarray(GREYS)), Fitting("crop")), np.dstack([GREYS] * 3))


def test_a_picture_is_the_same_whatever_is_read_with_it_and_in_a_worker(odd):
    seeds = FolderSeeds(str(odd), fitting=Fitting("pad", (8, 8), "black"))
    together = seeds.read("train", range(len(ODD))).images
    worker = pickle.loads(pickle.dumps(seeds.for_workers()))
    for place in range(len(ODD)):
        np.testing.assert_array_equal(worker.read("train", [place]).images[0], together[place])


FITTINGS = [
    Fitting(),
    Fitting("crop"),
    Fitting("pad"),
    Fitting("stretch"),
    Fitting("crop", (4, 4)),
    Fitting("crop", (), "white"),
    Fitting("never", (), "black"),
]


def test_every_way_to_read_a_folder_has_a_fingerprint_of_its_own(odd):
    prints = {FolderSeeds(str(odd), fitting=fitting).fingerprint("train") for fitting in FITTINGS}
    assert len(prints) == len(FITTINGS)


def test_every_way_but_the_size_is_told_in_the_record_and_the_usual_one_adds_nothing(odd):
    told = [str(FolderSeeds(str(odd), fitting=fitting).reading()) for fitting in FITTINGS if not fitting.size]
    assert len(set(told)) == len(told)
    usual = FolderSeeds(str(odd))
    assert usual.reading().keys() == {"pixels"}
    found = ImageFolder(str(odd)).digest("train")
    assert usual.fingerprint("train") == records.digest([found, usual.class_names(), usual.shape()])


def test_a_worker_knows_the_fitting_of_its_run(odd):
    seeds = FolderSeeds.look_at(str(odd), True, ("train",), Fitting("crop", (6, 6), "black"))
    assert dataclasses.asdict(seeds.for_workers())["fitting"] == {
        "resize": "crop",
        "size": (6, 6),
        "background": "black",
    }

"""Photos of every odd kind, mined end to end: what is stored is a photo brought to size, and holds."""

import json

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from tests.pipeline import conftest

NAME = "high_value_mistakes/odd"


def _odd(image, number, path):
    """Writes a digit, uint8 `[28, 28]`, as a photo of another kind each time; returns whether it can be used."""
    picture = Image.fromarray(image)
    kinds = [
        lambda: picture.resize((50, 50)).save(path.with_suffix(".png")),
        lambda: picture.convert("RGB").save(path.with_suffix(".jpg"), quality=95),
        lambda: picture.convert("CMYK").save(path.with_suffix(".tif")),
        lambda: _turned(picture).save(path.with_suffix(".png"), exif=_exif(6)),
        lambda: Image.merge("LA", (picture, picture)).save(path.with_suffix(".png")),
        lambda: picture.resize((90, 60)).save(path.with_suffix(".webp")),
        lambda: Image.fromarray(image.astype(np.uint16) << 8).save(path.with_suffix(".png")),
        lambda: picture.convert("P").save(path.with_suffix(".gif")),
        lambda: path.with_suffix(".jpg").write_bytes(b"no picture"),
    ]
    kind = 8 if number % 50 == 49 else number % 8
    kinds[kind]()
    return kind != 8


def _turned(picture):
    return picture.transpose(Image.Transpose.ROTATE_90)


def _exif(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.fixture(scope="module")
def photos(finished, tmp_path_factory):
    """CLASS/PHOTO of the digits' test split, and how many of them can be used."""
    root, usable = tmp_path_factory.mktemp("photos") / "photos", 0
    digits = tfds.as_numpy(tfds.load("digits", data_dir=finished.datasets, split="test"))
    for number, example in enumerate(digits):
        folder = root / f"digit {int(example['label'])}"
        folder.mkdir(parents=True, exist_ok=True)
        usable += _odd(example["image"][..., 0], number, folder / f"{number:04d}")
    return root, usable


@pytest.mark.slow
def test_a_folder_of_odd_photos_is_mined_verified_replayed_and_shown(photos, tmp_path):
    root, usable = photos
    task = tmp_path / "odd.toml"
    task.write_text(
        f'[seeds]\nimage_folder = "{root}"\nresize = "pad"\nsize = [28, 28]\nbackground = "black"\n'
        '[peers]\narchitectures = ["mlp-4", "mlp-8", "mlp-12"]\n[training]\nepochs = 12\nbatch_size = 32\n'
        "[search]\npeer_confidence = 0.0\ntarget_confidence = 0.0\npatience = 30\n"
    )
    work = ("--workdir", tmp_path / "work")
    outcome = conftest.call("run", "--config", task, *work)
    assert outcome.code == 0, outcome
    unused = sum(1 for _ in root.rglob("*.*")) - usable
    assert f"set_aside={unused}" in outcome.out.splitlines()[-1] and unused > 0
    assert f"({unused}, such as digit" in outcome.err
    examples = list(tfds.as_numpy(tfds.load(NAME, data_dir=tmp_path / "work" / "datasets", split="train")))
    assert {example["seed_image"].shape for example in examples} == {(28, 28, 1)} and len(examples) > 10
    builder = tfds.builder(NAME, data_dir=tmp_path / "work" / "datasets")
    (told,) = (builder.data_path / "runs").iterdir()
    assert "turned by EXIF, then pad" in str(json.loads(told.read_text())["reading"])
    assert builder.info.features["label"].names[0] == "digit 0"
    assert conftest.call("verify", NAME, *work).code == 0
    example_id = examples[0]["id"].decode()
    assert "are equal, byte for byte" in conftest.call("replay", NAME, example_id, *work).out
    assert conftest.call("report", NAME, *work).code == 0

"""Runs by moves of photographs, on colour pictures: mined, packaged, verified, replayed and reported."""

from __future__ import annotations

import collections
import pathlib

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from models import training
from pipeline import records
from pipeline.operators.photo import Photo
from tests.pipeline import conftest

OPERATOR = {"rotation_degrees": 15.0, "crop": 0.3, "flip": 0.5, "hue_degrees": 30.0, "temperature_mired": 40.0}
SIDE, EACH = 12, 80
SHAPES = ("bar", "post", "disc")


def _paint(folder: pathlib.Path) -> None:
    """Writes test/SHAPE/NUMBER.png: bars, posts and discs of any place and colour, on any ground."""
    generator = np.random.default_rng(3)
    ys, xs = np.mgrid[:SIDE, :SIDE]
    for shape in SHAPES:
        (folder / "test" / shape).mkdir(parents=True)
        for number in range(EACH):
            down, across = generator.integers(4, SIDE - 4, 2)
            drawn = {
                "bar": abs(ys - down) < 2,
                "post": abs(xs - across) < 2,
                "disc": np.hypot(ys - down, xs - across) < 4,
            }
            ground, ink = generator.integers(0, 90, 3), generator.integers(120, 256, 3)
            noise = generator.integers(-20, 21, (SIDE, SIDE, 3))
            picture = np.clip(np.where(drawn[shape][..., None], ink, ground) + noise, 0, 255).astype(np.uint8)
            Image.fromarray(picture).save(folder / "test" / shape / f"{number:03d}.png")


@pytest.fixture(scope="module")
def mined(tmp_path_factory) -> conftest.Work:
    """A workdir in which photographs were moved until a net was misled. Not to be changed."""
    folder = tmp_path_factory.mktemp("photo")
    _paint(folder / "painted")
    work = conftest.Work(folder / "work")
    task = conftest.write_config(
        folder / "tiny.toml",
        seeds={"image_folder": str(folder / "painted"), "splits": ["test"]},
        training={"epochs": 20, "batch_size": 16},
        search={"patience": 60},
        operator={"name": Photo.name, **OPERATOR},
    )
    outcome = conftest.call("run", "--config", task, "--workdir", work.path, "--run_id", "first")
    assert outcome.code == 0, outcome
    return work


@pytest.mark.slow
def test_what_the_search_finds_is_a_mistake_as_it_is_stored(mined):
    trials = pq.read_table(mined.ledger / "first" / "trials.parquet")["outcome"].to_pylist()
    outcomes = collections.Counter(trials)
    assert outcomes[records.FOUND] > 100 and outcomes[records.DROPPED] <= outcomes[records.FOUND] / 50


@pytest.mark.slow
def test_every_example_holds_and_is_made_again_byte_for_byte(mined):
    outcome = conftest.call("verify", mined.dataset, "--workdir", mined.path)
    assert outcome.code == 0 and " 0 shown of those that fail" in outcome.out, outcome
    operator = Photo(**OPERATOR)
    for example in list(mined.examples().values())[:50]:
        transform, seed_image = example["transform"], example["seed_image"]
        chain = transform["parameters"]
        assert transform["operator"] == b"photo" and chain.shape[1] == len(Photo.parameter_names)
        np.testing.assert_array_equal(operator.render(seed_image[None], [chain])[0], example["image"])
        for name, array in operator.composed([chain], SIDE, SIDE).items():
            np.testing.assert_allclose(transform[name], array[0], atol=1e-9)
    replayed = conftest.call("replay", mined.dataset, next(iter(mined.examples())), "--workdir", mined.path)
    assert replayed.code == 0 and "are equal, byte for byte" in replayed.out, replayed


@pytest.mark.slow
def test_a_report_tells_the_amounts_of_both_parts(mined, tmp_path):
    outcome = conftest.call("report", mined.dataset, "--workdir", mined.path, "--out", tmp_path / "page")
    assert outcome.code == 0, outcome
    page = (tmp_path / "page" / "index.html").read_text()
    for name in ("flip", "rotation_degrees", "brightness", "temperature_mired"):
        assert name in page


def test_grey_images_whose_colour_would_be_changed_are_refused_before_any_net_is_trained(
    peerpressure, config, tmp_path, monkeypatch
):
    monkeypatch.setattr(training, "train", lambda *_: pytest.fail("trained"))
    task = config(operator={"name": "photometric", "hue_degrees": 0.0})
    for command in ("run", "check"):
        outcome = peerpressure(command, "--config", task, "--workdir", tmp_path / "own")
        assert outcome.code == 2 and outcome.err.splitlines()[-1] == (
            "peerpressure: error: [operator] saturation, temperature_mired: only images of 3 channels have a colour to "
            "change, these have 1; set them to 0."
        )

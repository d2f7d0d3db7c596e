"""Pages of experiments: what they say, pictures that stay small, and the index."""

import dataclasses
import io
import json
from typing import ClassVar

import numpy as np
from etils import epath
from PIL import Image

from pipeline.report.page import Picture
from pipeline.report.tables import Table
from pipeline.reproduce import page
from pipeline.reproduce.experiment import Claim, Experiment, Findings

MADE = page.Made("small", "peerpressure reproduce toy --small", "0.1.0, commit abc", 125.0, "/CPU:0")


@dataclasses.dataclass(frozen=True)
class Toy(Experiment):
    trials: int = 3

    name: ClassVar[str] = "toy"
    title: ClassVar[str] = "A toy"
    paper: ClassVar[str] = "Nobody et al"
    takes: ClassVar[str] = "no time"

    def run(self, bench):
        del bench
        claims = [Claim("It holds.", True, "it did."), Claim("It falls | so.", False, "3%."), Claim("?", None, "-")]
        return Findings(
            claims, [Table([["net", "%"], ["a|b", "3"]], "Rates", "of all")], [_picture("noise")], ["Note."]
        )


def _picture(name, side=450):
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3)).astype(np.uint8)  # the worst that PNG can get

    def draw(stream):
        Image.fromarray(pixels).save(stream, "PNG")

    return Picture(name, "Noise", "nothing to see", draw)


def test_a_page_tells_claims_tables_pictures_and_how_it_was_made(tmp_path):
    path = page.write(epath.Path(tmp_path), Toy(), Toy().run(None), MADE)
    text = path.read_text()
    assert text.startswith("# A toy\n\n    peerpressure reproduce toy --small\n\nPaper: Nobody et al.")
    assert "2 minutes on /CPU:0, but for what was in the workdir already; code 0.1.0, commit abc." in text
    assert (
        "| It holds. | held | it did. |\n| It falls \\| so. | did not hold | 3%. |\n| ? | cannot be told | - |" in text
    )
    assert "## Rates\n\n| net | % |\n| --- | ---: |\n| a\\|b | 3 |\n\nof all" in text
    assert "![nothing to see](toy-noise.png)" in text and (tmp_path / "toy-noise.png").exists()
    told = json.loads((tmp_path / "toy.json").read_text())
    assert [claim["held"] for claim in told["claims"]] == [True, False, None] and told["settings"] == {"trials": 3}
    assert told["tables"] == [{"title": "Rates", "note": "of all", "rows": [{"net": "a|b", "%": 3}]}]


def test_the_index_has_every_page_of_the_folder_and_counts_claims_that_held(tmp_path):
    class Other(Toy):
        name = "another"
        title = "Another"

    for experiment in (Toy(), Other()):
        page.write(epath.Path(tmp_path), experiment, experiment.run(None), MADE)
    rows = [line for line in (tmp_path / "README.md").read_text().splitlines() if line.startswith("| [")]
    assert rows == [
        f"| [{one.title}]({one.name}.md) | Nobody et al | small | 2 minutes | 3 | 1 |" for one in (Other, Toy)
    ]


def test_pictures_stay_below_their_budget_whatever_is_in_them():
    small = page.small_png(_picture("noise"))
    assert len(small) <= 100_000
    plain = page.small_png(
        Picture("plain", "", "", lambda stream: Image.new("RGB", (300, 200), "red").save(stream, "PNG"))
    )
    with Image.open(io.BytesIO(plain)) as image:
        assert image.size == (300, 200) and image.convert("RGB").getpixel((5, 5)) == (255, 0, 0)

"""What is written in pictures."""

import numpy as np
import pytest
from PIL import Image

from pipeline import picture
from tests.pipeline import nets

NAME = "a_$b_$"  # no mathematics, though it looks like some
IMAGES = nets.images(2)
DRAWN = {
    "session": lambda path: picture.draw_session(
        IMAGES, np.full((2, 2, 2), 0.5), [NAME, "net"], NAME, [NAME, "b"], 0, path
    ),
    "pairs": lambda path: picture.draw_pairs(IMAGES[:1], IMAGES[1:], [NAME], path),
    "table": lambda path: picture.draw_table(np.eye(2), [NAME, "net"], [NAME, "net"], path),
    "probe": lambda path: picture.draw_probe([NAME], [0.1], [0.1, 0.2], np.full((1, 2, 2), 0.5), path),
    "sheet": lambda path: picture.draw_sheet(IMAGES, [NAME, "b"], path),
}


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)
def test_names_with_dollar_signs_are_drawn_as_they_are(draw, tmp_path):
    path = str(tmp_path / "picture.png")
    draw(path)
    with Image.open(path) as drawn:
        assert drawn.format == "PNG"

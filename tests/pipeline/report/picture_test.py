"""What is written in pictures."""

import matplotlib
import numpy as np
import pytest
from PIL import Image

from pipeline.report import picture
from tests.pipeline import nets

IMAGES = nets.images(2)
DRAWN = {
    "session": lambda name, path: picture.draw_session(
        IMAGES, np.full((2, 2, 2), 0.5), [name, "net"], name, [name, "b"], 0, path
    ),
    "pairs": lambda name, path: picture.draw_pairs(IMAGES[:1], IMAGES[1:], [name], path),
    "table": lambda name, path: picture.draw_table(np.eye(2), [name, "net"], [name, "net"], path),
    "probe": lambda name, path: picture.draw_probe([name], [0.1], [0.1, 0.2], np.full((1, 2, 2), 0.5), path),
    "sheet": lambda name, path: picture.draw_sheet(IMAGES, [name, "b"], path),
}


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)
def test_names_with_dollar_signs_are_drawn_as_they_are(draw, tmp_path):
    def drawn(name):
        path = str(tmp_path / "picture.png")
        draw(name, path)
        with Image.open(path) as opened:
            assert opened.format == "PNG"
            return np.asarray(opened)

    ours = drawn("a$b_c$")
    with matplotlib.rc_context({"text.parse_math": True}):
        escaped, mathematics = drawn(r"a\$b_c\$"), drawn("a$b_c$")
    np.testing.assert_array_equal(ours, escaped)
    assert not np.array_equal(ours, mathematics)


def test_numbers_are_drawn_as_boxes_and_flags_as_the_share_of_ones(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(picture, "_save", lambda figure, to: drawn.append(figure))
    spreads = {
        "flip": {"a": [1.0, 0.0, 0.0, 0.0], "b": [1.0], "none": []},
        "scale": {"a": [0.0, 1.0, 2.0], "b": [1.5], "none": []},
        "off": {"a": [1.0, 1.0], "b": [1.0], "none": []},
    }
    picture.draw_spreads(spreads, str(tmp_path / "picture.png"))
    flip, scale, off = drawn[0].axes[:3]
    assert [bar.get_width() for bar in flip.patches] == [0.25, 1.0, 0.0] and not flip.lines
    assert [label.get_text() for label in flip.get_yticklabels()] == ["a", "b", "none"]
    assert scale.lines and off.lines, "a part that is off has boxes too"

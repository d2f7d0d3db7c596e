from __future__ import annotations

import io

import numpy as np
from PIL import Image

from pipeline.report import front

POINTS = [("nothing", False, [30.0, 32.0], [7.0, 8.0]), ("mined", True, [12.0, 13.0], [90.0, 110.0])]


def _pixels(points) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(front.draw(points, "error", "gain"))).convert("RGB")).astype(int)


def _has(pixels: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((np.abs(pixels - colour).sum(axis=-1) < 12).sum())


def test_points_with_and_without_mined_examples_have_their_colours():
    red, blue = (200, 64, 47), (47, 111, 171)
    both, one = _pixels(POINTS), _pixels(POINTS[:1])
    assert both.shape == (600, 1080, 3)
    assert _has(both, red) > 100 and _has(one, red) == 0
    assert _has(both, blue) > 100


def test_recipes_on_one_spot_have_marks_of_their_own():
    spots = [front.draw([("nothing", False, [1.0], [2.0])] * count, "a", "b") for count in (1, 2, 10, 11, 12)]
    assert len(set(spots)) == len(spots)


def test_a_gain_of_zero_is_drawn_on_a_straight_scale():
    assert _has(_pixels([("nothing", False, [3.0, 4.0], [0.0, 0.0])]), (47, 111, 171)) > 50


def test_equal_points_give_equal_bytes_and_a_name_with_a_dollar_is_drawn():
    assert front.draw(POINTS, "a", "b") == front.draw(POINTS, "a", "b")
    assert _pixels([("a$b_$", *POINTS[0][1:])]).std() > 0

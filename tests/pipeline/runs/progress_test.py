"""What the bar of a run says, and when it looks."""

import io

from tqdm import tqdm

from pipeline.runs import progress


def test_the_bar_never_goes_back():
    bar = tqdm(total=10, file=io.StringIO())
    for place, shown in [(4, 4), (2, 4), (5, 5)]:
        progress._show(bar, place, "")
        assert bar.n == shown


def test_the_longer_a_look_takes_the_longer_it_is_until_the_next():
    assert progress._pause(0.0) == progress._pause(0.01) == 0.5
    assert progress._pause(3.0) == 60.0

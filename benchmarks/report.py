"""How large a report is, and how long a browser takes to open, sort and scroll it, beside a page without examples.

    python -m benchmarks.report --examples 5000

Needs Chromium and its driver (Debian: chromium, chromium-driver).
"""

from __future__ import annotations

import argparse
import functools
import pathlib
import shutil
import tempfile
import time
from collections.abc import Callable

import numpy as np
from selenium import webdriver

from pipeline.report.page import Gallery, Page, Section, files

_REPEATS = 5


def _page(count: int) -> bytes:
    """Returns a page of noisy 28 x 28 blobs with records as long as those of mistakes."""
    rng = np.random.default_rng(0)
    distance = np.hypot(*np.mgrid[-14:14, -14:14])[..., None]
    gallery = Gallery(["confidence", "moves"], ["label", "read as"], {"grade": "high"}, "peerpressure replay x {id}")
    for number in range(count):
        blobs = 255.0 / (1.0 + np.exp(distance - rng.uniform(3, 9, (2, 1, 1, 1)))) * (rng.random((2, 28, 28, 1)) < 0.8)
        row = {
            "target net": f"mlp-{number % 5}",
            "label": str(number % 10),
            "read as": str(rng.integers(10)),
            "confidence": f"{rng.random():.4f}",
            "moves": str(rng.integers(1, 30)),
            "grade": "high" if number % 3 else "low",
        }
        numbers = [(f"numbers {place}", ", ".join(f"{each:.4g}" for each in rng.random(40))) for place in range(3)]
        texts = [(f"feature {place}", "as in all the others") for place in range(20)]
        gallery.add(rng.bytes(16).hex(), row, list(blobs.astype(np.uint8)), [*numbers, *texts])
    return files(Page("dataset/task", f"{count:,} examples", [Section("overview", "Overview", ["..."])], gallery))[
        "index.html"
    ]


def _browser() -> webdriver.Chrome:
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))


def _least(action: Callable[[], object], before: Callable[[], object] = lambda: None) -> float:
    """Returns the least of several times that an action takes, in seconds; what comes before each is not timed."""
    times = []
    for _ in range(_REPEATS):
        before()
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=5000)
    count = parser.parse_args().examples
    browser = _browser()
    with tempfile.TemporaryDirectory() as folder:
        opened = {}
        for each in (0, count):
            path = pathlib.Path(folder) / f"{each}.html"
            path.write_bytes(_page(each))
            address = f"{path.as_uri()}#section=examples"
            opened[each] = _least(functools.partial(browser.get, address), lambda: browser.get("about:blank"))
        size = path.stat().st_size / 1e6
        order = iter(range(10**6))
        sort = _least(
            lambda: browser.execute_script(f"choose({{sort: 'confidence', down: '{next(order) % 2 or ''}'}})")
        )
        frame = browser.execute_script(
            "const start = performance.now();"
            "for (let step = 0; step < 60; step++) { view.scrollTop = step * 400; draw(); }"
            "return (performance.now() - start) / 60;"
        )
    browser.quit()
    print(f"{count:,} examples: {size:.1f} MB")
    print(f"open: {opened[count]:.2f} s, {opened[count] / opened[0]:.1f} times a page without examples")
    print(f"sort all: {1000 * sort:.0f} ms; a frame while scrolling: {frame:.0f} ms")


if __name__ == "__main__":
    main()

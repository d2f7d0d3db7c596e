"""Near-duplicates: what is left out of a run, by kind, by size of the images, and against the runs before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from etils import epath

from pipeline import records
from pipeline.kinds.garbage.kind import GARBAGE
from pipeline.kinds.kind import Kind
from pipeline.kinds.mistakes.kind import MISTAKES
from pipeline.kinds.pairs.kind import PAIRS
from pipeline.versions.near_duplicates import Earlier, Signatures, decided, sketch
from tests.tfds_builders.made_up import MANIFEST

SIZES = [(28, 28, 1), (224, 224, 3)]
SEEDED = [MISTAKES, PAIRS]


@pytest.fixture
def run_of(tmp_path):
    """Makes a run of one unit: (id, seed image's id, target net, wrong class, image), seed images all of one grey."""

    def write(run_id: str, kind: Kind, *finds: tuple[Any, ...], seed_grey: int = 0) -> records.FinishedRun:
        keys = ("id", "seed_id", "target_net", "wrong_class", "image")
        columns = {key: [find[place] for find in finds] for place, key in enumerate(keys)}
        images = [_grey(image) if isinstance(image, int) else image for image in columns["image"]]
        columns["image"] = [records.encode_png(image) for image in images]
        columns["seed_image"] = [records.encode_png(np.full_like(image, seed_grey)) for image in images]
        columns["outcome"] = [records.FOUND] * len(finds)
        path = tmp_path / run_id / "000000.parquet"
        path.parent.mkdir()
        path.write_bytes(records.table_bytes(records.chunk_table(kind.schema(), columns, len(finds))))
        return records.FinishedRun({**MANIFEST, "run_id": run_id}, {"test": [str(path)]})

    return write


def _grey(value: int) -> np.ndarray:
    return np.full((4, 4, 1), value, np.uint8)


def _left_out(kind: Kind, *runs: records.FinishedRun) -> list[set[str]]:
    """Returns the ids that are left out of each run, decided one after the other."""
    told: list[Earlier] = []
    for run in runs:
        (chunks,) = run.chunks.values()
        told.append(Earlier(decided(run, kind, told), chunks))
    return [{name.decode() for name in one.signatures.ids[one.signatures.left_out]} for one in told]


@pytest.mark.parametrize("kind", SEEDED, ids=lambda kind: kind.name)
def test_what_is_near_in_image_net_and_wrong_class_is_left_out_and_nothing_else(run_of, kind):
    first = run_of("first", kind, ("a", "seed", "left", 3, 100), ("b", "other seed", "left", 3, 100))
    second = run_of(
        *("second", kind),
        ("near", "seed", "left", 3, 101),
        ("another class", "seed", "left", 4, 100),
        ("another net", "seed", "right", 3, 100),
        ("far", "seed", "left", 3, 102),
        ("near the far one", "seed", "left", 3, 103),
    )
    assert _left_out(kind, first) == [set()]
    assert _left_out(kind, first, second) == [set(), {"near", "near the far one"}]


def test_what_has_the_id_of_an_earlier_example_is_left_out_though_its_pixels_and_class_differ(run_of):
    first = run_of("first", MISTAKES, ("a", "seed", "left", 3, 0))
    second = run_of("second", MISTAKES, ("a", "seed", "left", 4, 200), ("b", "other seed", "left", 4, 200))
    assert _left_out(MISTAKES, first, second) == [set(), {"a"}]


def test_an_id_that_a_run_has_twice_is_kept_once(run_of):
    run = run_of("first", MISTAKES, ("a", "seed", "left", 3, 0), ("a", "seed", "left", 4, 200))
    signatures = decided(run, MISTAKES, [])
    assert signatures.left_out.tolist() == [False, True]


def test_what_was_left_out_itself_leaves_nothing_out(run_of):
    """Of 100, 101, 102 the second is near the first, and the third near the second alone: it is another find."""
    runs = [run_of(name, MISTAKES, (name, "seed", "left", 3, grey)) for name, grey in zip("abc", (100, 101, 102))]
    assert _left_out(MISTAKES, *runs) == [set(), {"b"}, set()]


def _changed(seed: np.ndarray, rms: float, number: int) -> np.ndarray:
    """Returns an image that differs from uint8 `seed` by random noise of a root mean square, pixels in [0, 1]."""
    noise = np.random.default_rng(number).normal(0.0, 255.0 * rms, seed.shape)
    return np.clip(np.rint(seed + noise), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("shape", SIZES, ids=str)
def test_faint_twins_of_one_image_are_other_pairs_unless_their_noise_is_the_same(run_of, shape):
    """Somewhat fainter than AlexNet's on average (0.0065), their noise drawn apart: nearer to each other than 2/255."""
    seed = np.full(shape, 128, np.uint8)
    twin, other = (_changed(seed, 0.004, number) for number in (1, 2))
    same = twin.copy()
    same[:2, :2] += 1
    assert 0.004 < np.sqrt(np.mean((twin / 255 - other / 255) ** 2)) < 2 / 255
    finds = [("twin", "seed", "left", 3, twin), ("other", "seed", "left", 3, other), ("same", "seed", "left", 3, same)]
    assert _left_out(PAIRS, run_of("first", PAIRS, *finds, seed_grey=128)) == [{"same"}]


@pytest.mark.parametrize("shape", SIZES, ids=str)
def test_mistakes_that_changed_little_are_near_only_by_a_tenth_of_it(run_of, shape):
    ramp = np.broadcast_to(np.linspace(0, 60, shape[1])[None, :, None], shape)  # a smooth photo, moved a little

    def moved(by: float) -> np.ndarray:
        return np.rint(128 + ramp + by).astype(np.uint8)

    finds = [("moved", 4.0), ("as much", 4.0), ("more", 5.0)]
    seed = records.encode_png(moved(0.0))
    run = run_of("first", MISTAKES, *((name, "seed", "left", 3, moved(by)) for name, by in finds))
    (path,) = run.chunks["test"]
    table = records.read_table(path)
    column = table.schema.get_field_index("seed_image")
    table = table.set_column(column, table.schema.field(column), [[seed] * len(table)])
    with open(path, "wb") as file:
        file.write(records.table_bytes(table))
    assert _left_out(MISTAKES, run) == [{"as much"}]


def test_garbage_is_compared_with_what_the_same_net_takes_for_the_same_class(run_of):
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 1), np.uint8)
    near = image.copy()
    near[0, 0] ^= 1
    finds = [("a", "", "left", 3, image), ("near", "", "left", 3, near), ("other class", "", "left", 4, near)]
    assert _left_out(GARBAGE, run_of("first", GARBAGE, *finds)) == [{"near"}]


def _plain(kind: Kind, runs: Sequence[Sequence[tuple[Any, ...]]], seed_grey: int) -> list[set[str]]:
    """Returns the same as `_left_out`, from all images at once and without sketches."""
    kept: list[tuple[Any, ...]] = []
    left_out: list[set[str]] = []
    for finds in runs:
        left_out.append(set())
        for find in finds:
            image = find[-1] / 255.0
            limit = min(2 / 255, kind.near * float(np.sqrt(np.mean((image - seed_grey / 255.0) ** 2))))
            alike = [one for one in kept if one[0][1:4] == find[1:4]]
            far = [float(np.sqrt(np.mean((one[1] - image) ** 2))) for one in alike]
            if any(d == 0 or d < min(limit, one[2]) for d, one in zip(far, alike)):
                left_out[-1].add(find[0])
            else:
                kept.append((find, image, limit))
    return left_out


@pytest.mark.parametrize("kind", SEEDED, ids=lambda kind: kind.name)
@pytest.mark.parametrize("shape", [(3, 2, 1), (28, 28, 1), (32, 32, 3)], ids=str)
def test_what_is_left_out_is_what_comparing_all_images_leaves_out(run_of, kind, shape):
    """Images that change by ever less, in noise or in one corner, so that some are on either side of the limit."""
    random = np.random.default_rng(5)
    seed = np.full(shape, 100, np.uint8)
    bases = [_changed(seed, size, number) for number, size in enumerate((0.3, 0.05, 0.01))]
    runs = []
    for night in range(4):
        finds = []
        for number in range(40):
            image = _changed(bases[number % 3], random.choice([0.0, 0.001, 0.004, 0.007, 0.009, 0.02]), 100 + number)
            if number % 2:
                image[: shape[0] // 2] = bases[number % 3][: shape[0] // 2]
            finds.append((f"{night}-{number}", f"seed {number % 5}", "left", 3, image))
        runs.append(finds)
    left_out = _plain(kind, runs, 100)
    made = [run_of(f"night {night}", kind, *finds, seed_grey=100) for night, finds in enumerate(runs)]
    assert _left_out(kind, *made) == left_out
    assert all(0 < len(of_run) < 40 for of_run in left_out)


def test_signatures_are_read_back_and_equal_ones_give_equal_bytes(run_of, tmp_path):
    finds = [(f"{number}", "seed", "left", 3, 10 * number) for number in range(5)]
    signatures = decided(run_of("first", MISTAKES, *finds), MISTAKES, [])
    (tmp_path / "signatures").write_bytes(signatures.to_bytes())
    read = Signatures.read(epath.Path(tmp_path / "signatures"))
    assert read.to_bytes() == signatures.to_bytes()
    for name in ("ids", "keys", "limits", "sketches", "units", "left_out"):
        np.testing.assert_array_equal(getattr(read, name), getattr(signatures, name))
    none = decided(run_of("none", MISTAKES), MISTAKES, [Earlier(signatures, [])])
    (tmp_path / "empty").write_bytes(none.to_bytes())
    assert len(Signatures.read(epath.Path(tmp_path / "empty"))) == len(none) == 0


def test_sketches_tell_how_far_images_are_apart():
    """The sum of squares is that of the difference, but for what 64 groups leave to chance (std about 18%)."""
    random = np.random.default_rng(1)
    image = random.integers(60, 200, (28, 28, 1), np.uint8)
    for change in (np.ones(image.shape, int), random.integers(-9, 10, image.shape), np.eye(28, dtype=int)[..., None]):
        other = (image + change).astype(np.uint8)
        told = np.sum((sketch(image[None]) - sketch(other[None])).astype(float) ** 2)
        assert 0.4 < told / np.sum(change.astype(float) ** 2) < 1.8
    small = random.integers(0, 256, (4, 4, 3), np.uint8)
    assert np.sum(sketch(small[None]).astype(int) ** 2) == np.sum(small.astype(int) ** 2)

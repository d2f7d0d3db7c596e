"""The table of who else is fooled, for made-up pairs of linear nets."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from pipeline.studies import noise, transfer
from tests.pipeline import nets

COUNT, BATCH = 40, 16
NAMES = ["net-0", "net-1", "net-2"]


def _dark() -> np.ndarray:
    """Images half of whose pixels are black, so that much of what is added is clipped."""
    return np.where(nets.images(80)[40:] > 128, nets.images(40), 0).astype(np.uint8)


def _pairs(net: int = 1, length: float = 0.05) -> list[dict[str, Any]]:
    """Pairs whose second image is a random step away from the first."""
    originals = _dark()
    steps = np.random.default_rng(8).normal(size=originals.shape)
    twins = noise.moved(originals, steps, length * (1 + np.arange(COUNT) / COUNT))
    labels = nets.probabilities(originals)[0].argmax(-1)
    return [
        {
            "seed": {"id": f"seed-{place}".encode()},
            "target_net": NAMES[net].encode(),
            "seed_image": originals[place],
            "image": twins[place],
            "label": labels[place],
        }
        for place in range(COUNT)
    ]


def _stacked(pairs: list[dict[str, Any]], key: str) -> np.ndarray:
    return np.stack([pair[key] for pair in pairs])


def _wrong(images: np.ndarray, pairs: list[dict[str, Any]]) -> np.ndarray:
    return (nets.probabilities(images).argmax(-1) != _stacked(pairs, "label")).mean(axis=1)


def _noisy(pairs: list[dict[str, Any]], sizes: np.ndarray) -> np.ndarray:
    ids = [pair["seed"]["id"].decode() for pair in pairs]
    return noise.moved(_stacked(pairs, "seed_image"), noise.gaussian(ids, nets.SHAPE), sizes)


def test_at_natural_size_twins_are_shown_as_they_are_and_noise_of_each_ones_size():
    pairs = _pairs()
    (row,) = transfer.table(pairs, nets.group(), [], BATCH)
    originals, twins = _stacked(pairs, "seed_image"), _stacked(pairs, "image")
    sizes = noise.distortions(twins, originals)
    assert (row.made_for, row.size, row.twins) == ("net-1", transfer.NATURAL, COUNT)
    np.testing.assert_allclose(row.induced, _wrong(twins, pairs))
    np.testing.assert_allclose(row.noise, _wrong(_noisy(pairs, sizes), pairs))
    assert row.distortion == pytest.approx(sizes.mean()) and row.noise_distortion == pytest.approx(
        sizes.mean(), rel=5e-3
    )


@pytest.mark.parametrize("size", [0.02, 0.2])
def test_rescaled_twins_and_noise_are_shown_with_the_size_asked_for(size):
    pairs = _pairs()
    _, row = transfer.table(pairs, nets.group(), [size], BATCH)
    originals, twins = _stacked(pairs, "seed_image"), _stacked(pairs, "image")
    rescaled = noise.moved(originals, twins.astype(float) - originals, np.full(COUNT, size))
    assert row.size == f"{size:g}"
    assert row.distortion == pytest.approx(size, rel=5e-3) and row.noise_distortion == pytest.approx(size, rel=5e-3)
    np.testing.assert_allclose(row.induced, _wrong(rescaled, pairs))
    np.testing.assert_allclose(row.noise, _wrong(_noisy(pairs, noise.distortions(rescaled, originals)), pairs))


def test_where_a_perturbation_cannot_be_made_so_large_the_table_says_how_large_it_is():
    pairs = _pairs()
    for pair in pairs:
        pair["image"] = pair["seed_image"].copy()
        pair["image"][:2] = 255 - pair["image"][:2]  # a quarter of the pixels
    _, row = transfer.table(pairs, nets.group(), [0.9], BATCH)
    assert row.distortion < 0.5 and row.noise_distortion == pytest.approx(row.distortion, rel=5e-3)
    lines = transfer.formatted([row], NAMES).cells
    assert lines[1][3] == f"{row.distortion:.4f}" and lines[2][3] == f"{row.noise_distortion:.4f}"


def test_rows_are_those_of_the_nets_that_twins_were_made_for_in_the_groups_order():
    rows = transfer.table([*_pairs(2), *_pairs(0)[:5]], nets.group(), [0.1], BATCH)
    assert [(row.made_for, row.size, row.twins) for row in rows] == [
        ("net-0", transfer.NATURAL, 5),
        ("net-0", "0.1", 5),
        ("net-2", transfer.NATURAL, COUNT),
        ("net-2", "0.1", COUNT),
    ]


@pytest.mark.parametrize("batch", [1, 2, 7, 1000])
def test_rows_are_the_same_in_whatever_order_and_parts_twins_are_shown(batch):
    pairs = [*_pairs(2), *_pairs(0), *_pairs(1)]
    expected = transfer.table(pairs, nets.group(), [0.1], BATCH)
    mixed = (pairs[place] for place in np.random.default_rng(3).permutation(len(pairs)))
    for row, wanted in zip(transfer.table(mixed, nets.group(), [0.1], batch), expected, strict=True):
        told, known = dataclasses.asdict(row), dataclasses.asdict(wanted)
        for name in ("distortion", "noise_distortion"):
            assert told.pop(name) == pytest.approx(known.pop(name), rel=1e-12)
        assert told == known


def test_twins_of_other_nets_are_not_shown():
    assert transfer.table([{**pair, "target_net": b"gone"} for pair in _pairs()], nets.group(), [0.1], BATCH) == []


def test_a_line_of_noise_has_the_noises_own_distortion_and_shares():
    row = transfer.Row("net-1", "0.5", 7, 0.5, 0.4321, (0.125, 1.0, 0.5), (0.0, 0.25, 0.75))
    assert transfer.formatted([row], NAMES).cells[1:] == [
        ["net-1", "0.5", "7", "0.5000", "12.5", "100.0", "50.0"],
        ["noise for net-1", "0.5", "7", "0.4321", "0.0", "25.0", "75.0"],
    ]

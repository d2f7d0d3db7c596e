"""Probing around made-up pairs of linear nets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from models.classifier import PeerGroup
from pipeline.studies import noise, probe
from tests.pipeline import nets

SIZES, DRAWS, BATCH, COUNT = [0.02, 0.2], 4, 8, 21  # three batches, the last not full


def _group() -> PeerGroup:
    return nets.group()


def _pairs(net: int) -> list[dict[str, Any]]:
    """Pairs of images that have nothing to do with each other, but that `net` reads otherwise."""
    images = nets.images(80)
    classes = nets.probabilities(images)[net].argmax(-1)
    others = [np.flatnonzero(classes != label)[place % 30] for place, label in enumerate(classes[:COUNT])]
    return [
        {
            "seed": {"id": f"seed-{place}".encode()},
            "target_net": f"net-{net}".encode(),
            "seed_image": images[place],
            "image": images[other],
            "label": classes[place],
            "wrong_class": classes[other],
            "distortion": noise.distortions(images[[place]], images[[other]])[0],
        }
        for place, other in enumerate(others)
    ]


def test_counts_are_those_of_one_probe_after_the_other():
    pairs, net = _pairs(1), PeerGroup((_group().classifiers[1],))
    counts, moved = probe.probe(pairs, net, SIZES, DRAWS, BATCH)
    for place, pair in list(enumerate(pairs))[::5]:
        for row, size in enumerate(SIZES):
            for end, (image, kept) in enumerate((("seed_image", "label"), ("image", "wrong_class"))):
                directions = (noise.gaussian([pair["seed"]["id"].decode()], nets.SHAPE, k) for k in range(DRAWS))
                noisy = [noise.moved(pair[image][None], way, np.array([size]))[0] for way in directions]
                given = nets.probabilities(np.array(noisy))[1].argmax(-1)
                assert counts[row, end, place] == (given == pair[kept]).sum()
                assert end == 0 or counts[row, 2, place] == (given == pair["label"]).sum()
                far = [np.sqrt(np.mean((one / 255 - pair[image] / 255) ** 2)) for one in noisy]
                assert moved[row, end, place] == pytest.approx(np.mean(far))


def test_a_pair_alone_gives_what_it_gives_among_others():
    pairs, net = _pairs(0), PeerGroup((_group().classifiers[0],))
    counts, moved = probe.probe(pairs, net, SIZES, DRAWS, BATCH)
    for place in (0, BATCH, COUNT - 1):
        alone, by = probe.probe(pairs[place : place + 1], net, SIZES, DRAWS, BATCH)
        np.testing.assert_array_equal(alone[..., 0], counts[..., place])
        np.testing.assert_array_equal(by[..., 0], moved[..., place])


def test_rows_are_those_of_the_nets_that_pairs_were_made_for_and_their_own_word():
    pairs = _pairs(2)
    rows = probe.table([*pairs, *_pairs(0)[:5]], _group(), SIZES, DRAWS, BATCH)
    assert [(row.made_for, row.pairs, row.noise) for row in rows] == [
        *(("net-0", 5, size) for size in SIZES),
        *(("net-2", COUNT, size) for size in SIZES),
    ]
    counts, _ = probe.probe(pairs, PeerGroup((_group().classifiers[2],)), SIZES, DRAWS, BATCH)
    shares = counts.sum(axis=-1) / (DRAWS * COUNT)
    np.testing.assert_allclose([(row.original, row.twin, row.back) for row in rows[2:]], shares)
    assert rows[2].distortion == pytest.approx(np.mean([pair["distortion"] for pair in pairs]))


def test_no_noise_to_speak_of_changes_nothing_and_much_of_it_does():
    faint, strong = probe.table(_pairs(1), _group(), [1e-4, 1.0], DRAWS, BATCH)
    assert (faint.original, faint.twin, faint.back, faint.shown) == (1.0, 1.0, 0.0, 0.0)
    assert max(strong.original, strong.twin) < 1.0
    assert 0.4 < strong.shown < strong.noise, "there is no room for so much"


def test_noise_is_shown_with_the_distortion_that_is_asked_for():
    for row in probe.table(_pairs(1), _group(), [0.01, 0.1, 0.3], DRAWS, BATCH):
        assert row.shown == pytest.approx(row.noise, rel=0.01)


def test_the_text_is_a_table():
    lines = probe.formatted(probe.table(_pairs(1), _group(), SIZES, 1, BATCH)).text().splitlines()[1:-1]
    assert lines[0].split() == ["made", "for", "pairs", "distortion", "noise", "shown", "original", "twin", "back"]
    assert len({len(line) for line in lines}) == 1 and lines[1].split()[:2] == ["net-1", str(COUNT)]

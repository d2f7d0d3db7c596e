"""Runs of one net without peers, by pixel swaps: mined, packaged, verified, replayed, rechecked and reported."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf

from pipeline.operators.pixel_swap import PixelSwap
from tests.pipeline import conftest

CHANGES = {
    "peers": {"architectures": ["mlp-8"]},
    "search": {"trials": 40, "max_moves": 200, "patience": 100},
    "operator": {"name": PixelSwap.name},
}


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A workdir in which a run of mlp-8 alone was run, and what it printed. Not to be changed."""
    folder = tmp_path_factory.mktemp("one_net")
    work = conftest.Work(folder / "work")
    task = conftest.write_config(folder / "tiny.toml", **CHANGES)
    outcome = conftest.call("run", "--config", task, "--workdir", work.path, "--run_id", "first")
    assert outcome.code == 0, outcome
    return work, outcome


def test_nearly_every_trial_succeeds_and_every_find_is_of_low_value(alone):
    work, outcome = alone
    found = work.examples()
    assert len(found) >= 36
    for example in found.values():
        assert example["grade"] == b"low" and example["peer_margin"] == -1.0
        assert not len(example["peers"]) and example["probabilities_after"].shape == (1, 10)
        assert example["probabilities_after"][0].argmax() == example["wrong_class"] != example["label"]
    assert "net 'mlp-8' has no peers" in outcome.out
    assert np.sum(work.manifest("first")["passes"]["mlp-8"]["refused"]) > 0


def test_what_is_recorded_are_pixels_that_change_places(alone):
    for example in alone[0].examples().values():
        swaps, image = example["transform"]["parameters"], example["seed_image"].copy()
        assert set(example["transform"]) == {"operator", "compose", "steps", "parameters", "confidences"}
        assert (swaps == swaps.astype(int)).all() and swaps.min() >= 0 and swaps.max() < len(image)
        for top, left, bottom, right in swaps.astype(int):
            kept = image[top, left].copy()
            image[top, left] = image[bottom, right]
            image[bottom, right] = kept
        np.testing.assert_array_equal(image, example["image"])


def test_all_commands_take_it(alone, peerpressure, tmp_path):
    work, _ = alone
    given = (work.dataset, "--workdir", work.path)
    assert peerpressure("verify", *given).code == 0
    session, first = tmp_path / "session.png", next(iter(work.examples()))
    replayed = peerpressure("replay", work.dataset, first, "--workdir", work.path, "--picture", session)
    assert replayed.code == 0 and "are equal, byte for byte" in replayed.out and session.exists()
    rechecked = peerpressure(
        "recheck", *given, "--peers", next((work.path / "nets").glob("*.keras")), "--json", tmp_path / "recheck.json"
    )
    assert rechecked.code == 0 and json.loads((tmp_path / "recheck.json").read_text())
    assert peerpressure("report", *given, "--out", tmp_path / "page").code == 0
    assert "has no peers" in (tmp_path / "page" / "index.html").read_text()


def test_verify_notices_another_swap(alone, peerpressure, tmp_path, tamper):
    work = alone[0].copy(tmp_path / "copied", ran=True)

    def edit(features: dict[str, tf.train.Feature]) -> None:
        stored = features["transform/parameters"].bytes_list.value
        swaps = np.frombuffer(stored[0], np.float64).copy()
        swaps[0] = (swaps[0] + 1) % 8
        stored[0] = swaps.tobytes()

    changed = tamper(work, edit)
    outcome = peerpressure("verify", work.dataset, "--workdir", work.path)
    assert outcome.code == 1 and changed[:8] in outcome.out


def test_a_scan_of_one_net_is_refused_before_any_work(config, peerpressure, tmp_path):
    task = config(peers=CHANGES["peers"], search={"method": "scan"})
    outcome = peerpressure("run", "--config", task, "--workdir", tmp_path / "work")
    assert outcome.code == 2 and "[peers] has 1 net, expected at least 2: a target and its peers." in outcome.err
    assert not (tmp_path / "work").exists()

"""Examples looked at again: verification against the nets, and re-creation from the record."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from pipeline import records

NAME = "high_value_mistakes/tiny"


def _flip_a_pixel(feature):
    image = records.decode_png(feature["image"].bytes_list.value[0]).copy()
    image[3, 4, 0] ^= 128
    feature["image"].bytes_list.value[0] = records.encode_png(image)


def _add_to_the_first(stored, number):
    values = np.frombuffer(stored.bytes_list.value[0], np.float64).copy()
    values[0] += number
    stored.bytes_list.value[0] = values.tobytes()


def _turn_further(feature):
    _add_to_the_first(feature["transform/parameters"], 0.5)


def _stretch_the_matrix(feature):
    _add_to_the_first(feature["transform/composed_matrix"], 0.2)


def _seed_otherwise(feature):
    feature["run/seed"].int64_list.value[0] += 1


def _rename(feature):
    feature["id"].bytes_list.value[0] = b"0" * 32


def _swap_the_label(feature):
    wrong, label = (feature[name].int64_list for name in ("wrong_class", "label"))
    wrong.value[0], label.value[0] = label.value[0], wrong.value[0]


def _shift_a_probability(feature):
    feature["probabilities_after"].float_list.value[0] += 0.01


def _misspell_the_status(feature):
    feature["status"].bytes_list.value[0] = b"heeled"


def test_every_example_of_a_run_passes(finished, peerpressure):
    count = len(finished.examples())
    outcome = peerpressure("verify", NAME, "--workdir", finished.path)
    assert outcome == (0, f"{NAME}: {count:,} examples checked, 0 shown of those that fail\n", "")


def test_a_sample_can_be_checked(finished, peerpressure):
    count = len(finished.examples())
    outcome = peerpressure("verify", NAME, "--workdir", finished.path, "--sample", 20)
    assert outcome == (0, f"{NAME}: 20 of {count:,} examples checked, 0 shown of those that fail\n", "")
    assert (
        f"{NAME}: {count} examples"
        in peerpressure("verify", NAME, "--workdir", finished.path, "--sample", 10 * count).out
    )
    refused = peerpressure("verify", NAME, "--workdir", finished.path, "--sample", 0)
    assert refused == (2, "", "peerpressure: error: --sample is 0, expected a number of examples, at least 1.\n")


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (_flip_a_pixel, "the record renders to other pixels"),
        (_turn_further, "the run seed draws other moves"),
        (_stretch_the_matrix, "the run seed draws other moves"),
        (_seed_otherwise, "the run seed draws other moves"),
        (_rename, "the id does not belong to the record"),
        (_swap_the_label, "a peer does not hold the class on the stored image"),
        (_shift_a_probability, "the nets give other probabilities than stored"),
        (_misspell_the_status, "the status is none that a recheck gives"),
    ],
)
def test_a_tampered_example_is_named_with_the_reason(copied, peerpressure, tamper, edit, reason):
    tampered = tamper(copied, edit)
    outcome = peerpressure("verify", f"{NAME}:1.0.0", "--workdir", copied.path)
    assert outcome.code == 1
    assert f"1 examples: {reason}" in outcome.out
    assert [line for line in outcome.out.splitlines() if line.startswith("failed: ")] == [f"failed: {tampered}"]


def test_replay_recreates_the_stored_image(finished, peerpressure, tmp_path):
    example_id, example = max(finished.examples().items(), key=lambda item: item[1]["moves"])
    out = tmp_path / "again.png"
    outcome = peerpressure("replay", NAME, example_id[:12], "--workdir", finished.path, "--out", out)
    assert outcome.code == 0
    assert outcome.out.startswith(f"{example_id}: {example['moves']} moves of {example['seed']['id'].decode()}\n")
    assert "the re-created image and the stored one are equal, byte for byte" in outcome.out
    np.testing.assert_array_equal(np.asarray(Image.open(out))[..., None], example["image"])


@pytest.mark.parametrize("edit", [_flip_a_pixel, _turn_further])
def test_replay_tells_that_a_tampered_example_differs(copied, peerpressure, tamper, edit):
    tampered = tamper(copied, edit)
    outcome = peerpressure("replay", NAME, tampered, "--workdir", copied.path)
    assert outcome.code == 1 and "the stored one are NOT equal" in outcome.out


def test_replay_draws_the_session(finished, peerpressure, tmp_path):
    picture = tmp_path / "session.png"
    example_id = min(finished.examples())
    outcome = peerpressure("replay", NAME, example_id, "--workdir", finished.path, "--picture", picture)
    assert outcome.code == 0
    with Image.open(picture) as drawn:
        assert drawn.format == "PNG" and drawn.width > 200


def _forget_where_nets_lay(work):
    """Makes the ledger name a folder that is gone, as in a workdir that was moved."""
    manifest = work.manifest("first")
    manifest["net_paths"] = {
        name: f"/no/such/folder/{path.rsplit('/', 1)[-1]}" for name, path in manifest["net_paths"].items()
    }
    (work.ledger / "first" / "manifest.json").write_text(json.dumps(manifest))


def test_a_workdir_that_was_moved_still_has_its_nets(copied, peerpressure):
    _forget_where_nets_lay(copied)
    assert peerpressure("verify", NAME, "--workdir", copied.path).code == 0


def test_nets_are_matched_by_digest(copied, peerpressure, tmp_path):
    _forget_where_nets_lay(copied)
    shutil.move(copied.path / "nets", tmp_path / "elsewhere")
    outcome = peerpressure("verify", NAME, "--workdir", copied.path)
    assert outcome.code == 2 and "net 'mlp-4' of run 'first'" in outcome.err and outcome.err.count("\n") == 1
    elsewhere = sorted((tmp_path / "elsewhere").glob("*.keras"))
    assert peerpressure("verify", NAME, "--workdir", copied.path, "--peers", *elsewhere).code == 0
    outcome = peerpressure("verify", NAME, "--workdir", copied.path, "--peers", *elsewhere[:2])
    assert outcome.code == 2 and "was not found; name its file with --peers" in outcome.err

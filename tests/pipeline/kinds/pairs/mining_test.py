"""What mining makes of a unit: a row for every attack, and twins that are judged as they are stored."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from models.classifier import PeerGroup
from pipeline import records
from pipeline.kinds.chunk import NOT_FINITE
from pipeline.kinds.pairs import mining as pairs
from pipeline.search.attacks.gradient import FastGradientSign, Net, Originals, Twins
from pipeline.seeds.source import SeedBatch
from tests.pipeline import nets


@dataclasses.dataclass(frozen=True)
class _Boasting:
    """Says of every attack that it fooled the net, whether or not it did."""

    truthful: FastGradientSign

    def attack(self, net: Net, run_seed: tf.Tensor, originals: Originals) -> Twins:
        twins = self.truthful.attack(net, run_seed, originals)
        return twins._replace(misread=tf.ones_like(twins.misread))


STEP = FastGradientSign(0.1)
UNIT = 24


def _mine(group: PeerGroup, attack: Any = STEP, images: np.ndarray | None = None) -> list[dict[str, Any]]:
    """Returns the chunk's rows of a unit in which the nets 0 and 1 are attacked."""
    task = pairs.Task(attack, "next", (0, 1), "label", 45, 16, "digest")
    batch = nets.images(UNIT) if images is None else images
    labels = nets.probabilities(batch)[0].argmax(-1).astype(np.int32)
    ids = [f"seed-{place}" for place in range(len(batch))]
    return task.miner(group, None).mine(SeedBatch("test", [*range(len(ids))], ids, batch, labels, [])).to_pylist()


def _misread(rows: list[dict[str, Any]]) -> list[bool]:
    """Tells what each row's stored image is read as by the net that it was made for: the aimed class or not."""
    answers = nets.probabilities(np.stack([records.decode_png(row["image"]) for row in rows])).argmax(-1)
    places = [int(row["target_net"].removeprefix("net-")) for row in rows]
    return [answers[net, place] == row["aimed_class"] for place, (net, row) in enumerate(zip(places, rows))]


def _tried(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if row["outcome"] != records.SKIPPED]


def test_a_twin_is_kept_only_if_the_net_misreads_it_as_it_is_stored():
    rows = _tried(_mine(nets.group(), _Boasting(FastGradientSign(0.02))))
    found = [row["outcome"] == records.FOUND for row in rows]
    assert found == _misread(rows) and 0 < sum(found) < len(found)
    assert {(row["outcome"], row["reason"]) for row in rows} == {
        (records.FOUND, ""),
        (records.DROPPED, pairs.NOT_MISREAD),
    }


def test_the_bytes_that_are_stored_are_judged_and_not_the_image_that_was_made(monkeypatch):
    """With an encoder that spoils images."""
    encode = records.encode_png
    monkeypatch.setattr(records, "encode_png", lambda image: encode(np.roll(image, 2, axis=1)))
    rows = _tried(_mine(nets.group()))
    answers = nets.probabilities(np.stack([records.decode_png(row["image"]) for row in rows]))
    for place, row in enumerate(rows):
        np.testing.assert_allclose(np.reshape(row["probabilities_after"], (3, 3)), answers[:, place], atol=1e-5)
    found = [row["outcome"] == records.FOUND for row in rows]
    misread = _misread(rows)
    assert all(one for one, kept in zip(misread, found) if kept)
    assert any(row["outcome"] == records.DROPPED for row in rows)


def _with_numberless_images(matrix: np.ndarray, place: int) -> Any:
    """A linear net; the last one has no answer to images that begin white."""
    plain = nets.linear(matrix, f"net-{place}")

    def predict(batch: tf.Tensor) -> tf.Tensor:
        return tf.where(batch[:, :1, 0, 0] == 1.0, float("nan"), plain.predict(batch))

    return plain if place < 2 else dataclasses.replace(plain, predict=predict)


def test_a_seed_image_without_an_answer_of_some_net_is_set_aside_once_and_not_attacked():
    images = nets.images(UNIT)
    images[:, 0, 0, 0] = np.minimum(images[:, 0, 0, 0], 200)
    images[[3, 17], 0, 0, 0] = 255
    group = PeerGroup(tuple(_with_numberless_images(matrix, place) for place, matrix in enumerate(nets.weights())))
    rows = _mine(group, images=images)
    aside = [row for row in rows if row["outcome"] == records.SET_ASIDE]
    assert [(row["seed_id"], row["target_net"], row["reason"]) for row in aside] == [
        ("seed-3", "", NOT_FINITE),
        ("seed-17", "", NOT_FINITE),
    ]
    others = [row for row in rows if row["outcome"] != records.SET_ASIDE]
    assert {row["seed_id"] for row in others} == {f"seed-{place}" for place in range(UNIT) if place not in (3, 17)}
    assert len(others) == 2 * (UNIT - 2)

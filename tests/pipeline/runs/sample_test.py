from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from models.classifier import PeerGroup
from models.errors import InputError
from pipeline.runs import sample
from pipeline.seeds.source import SeedBatch
from tests.pipeline import nets

NAMES = ["a", "b", "c"]


@dataclasses.dataclass(frozen=True)
class Source:
    """Seed images in memory, labelled by their positions; every seventh cannot be read."""

    size: int
    labeled: bool = True

    def count(self, split: str) -> int:
        return self.size

    def shape(self) -> tuple[int, int, int]:
        return nets.SHAPE

    def class_names(self) -> list[str]:
        return NAMES if self.labeled else []

    def read(self, split: str, positions) -> SeedBatch:
        good = [position for position in positions if position % 7 != 3]
        images = np.zeros((len(good), *nets.SHAPE), np.uint8) + np.uint8(51)
        labels = np.array([position % 3 if self.labeled else -1 for position in good], np.int32)
        return SeedBatch(split, good, [str(one) for one in good], images, labels, [])


@pytest.mark.parametrize(
    ("size", "taken"), [(0, 0), (1, 1), (5, 5), (128, 128), (359, 128), (512, 128), (513, 128), (60000, 128)]
)
def test_positions_are_ascending_and_from_all_over_the_split(size, taken):
    reads = sample._positions(size)
    positions = [position for read in reads for position in read]
    assert len(positions) == len(set(positions)) == taken and positions == sorted(positions)
    assert all(0 <= position < size for position in positions)
    assert len(reads) <= 8 and np.diff([0, *positions, size]).max(initial=0) <= max(2, size / 7)
    assert size <= 512 or {len(range(read[0], read[-1] + 1)) for read in reads} == {16}, "read through no more"


def test_images_are_read_in_the_nets_range_with_their_labels_without_those_that_cannot_be_read():
    read = sample.read(Source(40), "test")
    assert read.images.shape == (34, *nets.SHAPE) and read.images.dtype == np.float32
    np.testing.assert_allclose(read.images, 0.2, rtol=1e-6)
    assert read.labels.tolist() == [position % 3 for position in range(40) if position % 7 != 3]
    assert read.labeled and not sample.read(Source(40, labeled=False), "test").labeled
    assert len(sample.read(Source(0), "test").images) == 0


def _seeds(count: int = 60) -> sample.Sample:
    """Returns seed images with the labels that the first linear net gives."""
    seeds = nets.seeds(count)
    return sample.Sample("test", seeds.images.astype(np.float32) / 255.0, seeds.labels, NAMES)


def _group(*more) -> PeerGroup:
    return PeerGroup((*nets.group().classifiers, *more))


def test_accuracies_are_printed_and_returned_with_the_judges(capsys):
    seeds, judge = _seeds(), PeerGroup((nets.linear(nets.weights()[2], "judge"),))
    expected = [
        float((one.argmax(-1) == seeds.labels).mean())
        for one in nets.probabilities((seeds.images * 255.0).round().astype(np.uint8))
    ]
    found = sample.examine(seeds, nets.group(), judge, "cpu")
    names = ["net-0", "net-1", "net-2"]
    assert found == {
        "split": "test",
        "images": 60,
        "nets": dict(zip(names, expected, strict=True)),
        "judge": expected[2],
    }
    said = capsys.readouterr()
    told = ", ".join(f"{name} {one:.3f}" for name, one in zip([*names, "judge"], [*expected, expected[2]], strict=True))
    assert said.out == f"accuracy on 60 seed images of split test: {told}\n" and said.err == ""


@pytest.mark.parametrize("as_judge", [False, True])
def test_a_net_that_is_hardly_ever_right_is_warned_of_with_the_cause(capsys, as_judge):
    odd = nets.linear(nets.weights()[0][:, [1, 2, 0]], "odd")
    group, judge = (_group(), PeerGroup((odd,))) if as_judge else (_group(odd), None)
    found = sample.examine(_seeds(), group, judge, "cpu")
    said = capsys.readouterr()
    assert said.err == (
        "peerpressure: warning: net 'odd' gets 0.00 of 60 seed images right, and the best peer 1.00; under other names "
        "for its classes it gets 1.00 right: they are in another order than those of the seed images (a, b, c).\n"
    )
    assert (found["judge"] if as_judge else found["nets"]["odd"]) == 0.0


def _by_company(images: tf.Tensor) -> tf.Tensor:
    return tf.nn.softmax(tf.reduce_mean(images, axis=(1, 2)) + [0.0, 1.0, 2.0] * tf.reduce_mean(images, axis=(0, 1, 2)))


@pytest.mark.parametrize("as_judge", [False, True])
@pytest.mark.parametrize("labeled", [False, True])
def test_each_net_is_checked_with_labels_or_without(as_judge, labeled):
    bad = nets.classifier(_by_company, "bad")
    group, judge = (_group(), PeerGroup((bad,))) if as_judge else (_group(bad), None)
    seeds = _seeds() if labeled else dataclasses.replace(_seeds(), class_names=[])
    with pytest.raises(InputError, match=r"^Net 'bad' does not answer each image by itself"):
        sample.examine(seeds, group, judge, "cpu")


def test_without_labels_or_images_no_accuracy_is_told(capsys):
    unlabeled = dataclasses.replace(_seeds(), class_names=[])
    assert sample.examine(unlabeled, nets.group(), None, "cpu") is None
    assert sample.examine(sample.read(Source(0), "test"), nets.group(), None, "cpu") is None
    assert capsys.readouterr().out == ""

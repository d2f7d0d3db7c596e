from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from models.classifier import PeerGroup
from pipeline.search.moves.unit import SeedArrays, UnitResult, UnitSearch
from tests.pipeline import nets
from tests.pipeline.search.moves import reference

EXACT = ("drawn", "moves", "found", "steps")  # decisions, not sums of floats


@pytest.fixture(scope="module", params=["in graph", "net by net"])
def search(request) -> UnitSearch:
    return {"in graph": reference.SEARCH, "net by net": reference.NET_BY_NET}[request.param]


@pytest.fixture(scope="module")
def result(search) -> UnitResult:
    return reference.searched(search)


def _by_seed(result: UnitResult, targets: int = nets.NETS) -> dict[int, list[tuple[np.ndarray, ...]]]:
    """Row -> the fields of its trials, in the order of the targets."""
    fields = [field.reshape(-1, targets, *field.shape[1:]) for field in result.searched.results]
    return {int(row): list(zip(*(field[place] for field in fields))) for place, row in enumerate(_held(result))}


def _held(result: UnitResult) -> np.ndarray:
    return np.flatnonzero(result.held)


def _assert_equal(one: Any, other: Any) -> None:
    tf.nest.map_structure(np.testing.assert_array_equal, one, other)


def test_what_the_nets_say_of_the_seed_images_is_what_they_say_alone(search, result):
    np.testing.assert_allclose(result.probabilities, nets.probabilities(nets.images(reference.COUNT)), atol=1e-5)
    assert result.finite.all()


def test_an_image_is_held_where_every_net_puts_it_in_its_label(search, result):
    seeds = nets.seeds(reference.COUNT)
    np.testing.assert_array_equal(result.classes, seeds.labels)
    np.testing.assert_array_equal(result.held, (result.probabilities.argmax(-1) == seeds.labels).all(axis=0))
    assert 0 < result.held.sum() < reference.COUNT


def test_images_that_are_not_held_give_no_trial(search, result):
    assert {len(field) for field in result.searched.results} == {result.held.sum() * nets.NETS}
    assert (result.searched.results.drawn > 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("lanes", [4, 32])
def test_the_number_of_lanes_does_not_matter(search, result, lanes):
    other = reference.searched(dataclasses.replace(search, lanes=lanes))
    np.testing.assert_array_equal(other.held, result.held)
    for field in EXACT:
        np.testing.assert_array_equal(getattr(other.searched.results, field), getattr(result.searched.results, field))
    np.testing.assert_allclose(other.searched.results.confidences, result.searched.results.confidences, atol=1e-5)


@pytest.mark.slow
def test_room_for_more_seed_images_does_not_matter_bit_for_bit(search, result):
    _assert_equal(reference.searched(dataclasses.replace(search, unit_size=27)), result)


def test_the_order_of_seed_images_does_not_matter_bit_for_bit(search, result):
    order = np.random.default_rng(6).permutation(reference.COUNT)
    seeds = reference.rows(nets.seeds(reference.COUNT), order)
    moved = search.run(reference.runner(search), seeds)
    np.testing.assert_array_equal(moved.probabilities, result.probabilities[:, order])
    expected = _by_seed(result)
    for row, trials in _by_seed(moved).items():
        _assert_equal(trials, expected[int(order[row])])


def test_a_seed_image_alone_ends_as_in_its_unit_bit_for_bit(search, result):
    seeds, expected = nets.seeds(reference.COUNT), _by_seed(result)
    for row in range(reference.COUNT):
        alone = search.run(reference.runner(search), reference.rows(seeds, [row]))
        np.testing.assert_array_equal(alone.probabilities[:, 0], result.probabilities[:, row])
        _assert_equal(_by_seed(alone).get(0), expected.get(row))


def test_a_second_run_gives_the_same_bit_for_bit(search, result):
    _assert_equal(search.run(reference.runner(search), nets.seeds(reference.COUNT)), result)


def test_fewer_targets_give_the_same_for_each_bit_for_bit(search, result):
    some = reference.searched(dataclasses.replace(search, target_nets=(2, 0)))
    for row, trials in _by_seed(some, targets=2).items():
        _assert_equal(trials, [_by_seed(result)[row][net] for net in (2, 0)])


def test_another_run_seed_draws_other_moves(search, result):
    other = reference.searched(dataclasses.replace(search, run_seed=reference.RUN_SEED + 1))
    np.testing.assert_array_equal(other.held, result.held)
    assert (other.searched.results.drawn != result.searched.results.drawn).any()


def test_no_seed_images_give_no_trial(search):
    empty = search.run(reference.runner(search), reference.rows(nets.seeds(reference.COUNT), slice(0)))
    assert empty.probabilities.shape == (nets.NETS, 0, nets.CLASSES)
    assert {len(field) for field in (*empty.searched.results, empty.held, empty.finite, empty.classes)} == {0}


@pytest.mark.slow
def test_a_consensus_needs_no_labels_and_finds_what_the_labels_find(search, result):
    seeds = nets.seeds(reference.COUNT)._replace(labels=np.full(reference.COUNT, -1, np.int32))
    search = dataclasses.replace(search, class_from="consensus")
    consensus = search.run(search.runner(), seeds)  # the labels are the first net's answers
    np.testing.assert_array_equal(consensus.held, result.held)
    np.testing.assert_array_equal(consensus.classes[consensus.held], result.classes[result.held])
    _assert_equal(consensus.searched.results, result.searched.results)


def _faulty_search(search: UnitSearch) -> tuple[UnitSearch, SeedArrays]:
    """One net gives NaN on white images, of which the unit has two."""

    def predict(batch: tf.Tensor) -> tf.Tensor:
        white = tf.reduce_min(batch, axis=(1, 2, 3))[:, None] == 1.0
        return tf.where(white, np.nan, peers[1].predict(batch))

    peers = list(search.group.classifiers)
    group = PeerGroup((peers[0], nets.classifier(predict, "faulty", kernels=peers[1].kernels), peers[2]))
    seeds = nets.seeds(reference.COUNT)
    seeds.images[[3, 8]] = 255
    return dataclasses.replace(search, group=group), seeds


@pytest.mark.slow
def test_an_image_on_which_a_net_is_not_finite_is_marked_and_harms_no_other(search, result):
    search, seeds = _faulty_search(search)
    faulty = search.run(search.runner(), seeds)
    assert np.flatnonzero(~faulty.finite).tolist() == [3, 8]
    assert not faulty.held[[3, 8]].any()
    trials, expected = _by_seed(faulty), _by_seed(result)
    assert set(trials) == set(expected) - {3, 8}
    for row, fields in trials.items():
        _assert_equal(fields, expected[row])

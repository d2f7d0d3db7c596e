"""Populations of candidates on linear nets: what is found is a mistake, and a trial is a matter of itself alone."""

import dataclasses
import functools

import numpy as np
import pytest
import tensorflow as tf

from pipeline.criteria import PeerPressure
from pipeline.operators.affine import Affine
from pipeline.search.moves import populations
from pipeline.search.moves.lanes import Trials
from pipeline.search.moves.populations import GradientRunner, PopulationRunner, PopulationSearch
from pipeline.search.moves.strategies import PBIL, EvolutionStrategy, Genetic, GradientAscent, SteepestAscent
from pipeline.search.moves.unit import Unit
from tests.pipeline import nets

COUNT, LANES, RUN_SEED = 20, 37, 5
STRATEGIES = {
    "steepest": SteepestAscent(12),
    "genetic": Genetic(12),
    "pbil": PBIL(12),
    "evolution": EvolutionStrategy(12),
    "gradient": GradientAscent(12, climb=8),
}
CRITERION = PeerPressure(0.5, 0.5)


def _search(strategy, **changes):
    return dataclasses.replace(PopulationSearch(strategy, Affine(), CRITERION, moves=3, generations=20), **changes)


@functools.cache
def _runner(search, costly=False):
    group = nets.costly(nets.group()) if costly else nets.group()
    runner = GradientRunner if isinstance(search.strategy, GradientAscent) else PopulationRunner
    return runner(search, group, RUN_SEED, LANES)


@functools.cache
def _searched(search, costly=False):
    unit = Unit(nets.group(), (0, 1, 2), "label", RUN_SEED, LANES, COUNT)
    return unit.run(_runner(search, costly), nets.seeds(COUNT))


def _trials():
    return _searched(_search(STRATEGIES["genetic"])).trials


def _run(search, trials):
    return _runner(search).run(nets.seeds(COUNT).images, trials, lambda done, of: None).results


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
def test_what_is_found_is_a_mistake_by_numpy_alone(strategy):
    search, seeds, trials = _search(strategy), nets.seeds(COUNT), _trials()
    results = _searched(search).searched.results
    found = np.flatnonzero(results.found)
    assert 3 < len(found) < len(results.found)
    for trial in found:
        chain = Affine().parameters(results.numbers[trial, : results.length[trial]].astype(np.float64), 8, 8)
        image = Affine().render(seeds.images[trials.row[trial]][None], [chain])
        answers, label = nets.probabilities(image)[:, 0], trials.target_class[trial]
        target = trials.target_net[trial]
        for net, answer in enumerate(answers):
            others = np.delete(answer, label).max()
            assert others > answer[label] and others >= 0.499 if net == target else answer[label] >= 0.499
        assert results.confidence[trial] == pytest.approx(answers[target, label], abs=0.01)
        assert results.generations[trial] == results.number[trial] // strategy.population + 1


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
def test_what_was_not_found_has_spent_all_generations(strategy):
    results = _searched(_search(strategy)).searched.results
    lost = ~results.found
    assert (results.generations[lost] == 20).all() and (results.length[lost] == 0).all()
    assert (results.confidence <= _trials().confidence + 1e-6).all()


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
def test_a_trial_alone_among_others_and_in_another_order_ends_the_same(strategy):
    search, trials = _search(strategy), _trials()
    whole = _searched(search).searched.results
    order = np.random.default_rng(2).permutation(len(trials.row))
    turned = _run(search, Trials(*(column[order] for column in trials)))
    alone = _run(search, Trials(*(column[4:5] for column in trials)))
    for name in whole._fields:
        np.testing.assert_array_equal(getattr(whole, name)[order], getattr(turned, name), name)
        np.testing.assert_array_equal(getattr(whole, name)[4:5], getattr(alone, name), name)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["evolution", "gradient"])
def test_nets_with_kernels_of_their_own_decide_the_same(strategy):
    search = _search(STRATEGIES[strategy])
    one, other = (_searched(search, costly).searched.results for costly in (False, True))
    for name in one._fields:
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-6, err_msg=name)


def test_more_generations_lose_nothing():
    fewer, more = (_searched(_search(STRATEGIES["pbil"], generations=many)).searched.results for many in (5, 20))
    np.testing.assert_array_equal(more.found & (more.generations <= 5), fewer.found)
    np.testing.assert_array_equal(more.numbers[fewer.found], fewer.numbers[fewer.found])


def test_peers_lack_what_the_furthest_of_them_lacks():
    answers = tf.constant([[[0.9, 0.1]], [[0.45, 0.55]], [[0.6, 0.4]], [[np.nan, 0.4]]], tf.float32)
    classes = np.zeros(1, np.int32)
    lacks = [
        populations.shortfall(PeerPressure(0.7), answers[:3], classes, np.array([net])).numpy()[0] for net in range(3)
    ]
    np.testing.assert_allclose(lacks, [0.25, 0.1, 0.25], atol=1e-6)
    assert populations.shortfall(PeerPressure(0.7), answers, classes, np.array([0])).numpy()[0] == 1.0
    assert populations.shortfall(PeerPressure(0.5), answers[:1], classes, np.array([0])).numpy()[0] == 0.0


def test_what_lies_beyond_the_range_is_brought_to_its_edge():
    numbers = populations.within(tf.constant([-1.0, 0.25, 1.0, 7.0])).numpy()
    assert numbers[0] == 0.0 and numbers[1] == 0.25 and (numbers[2:] < 1.0).all()


def test_a_unit_in_which_nothing_can_be_tried_ends_at_once():
    trials = Trials(*(column[:0] for column in _trials()))
    results = _run(_search(STRATEGIES["pbil"]), trials)
    assert results.found.shape == (0,) and results.numbers.shape == (0, 3, 6)


def test_no_generation_is_spent_on_rows_that_only_fill_up():
    search, trials = _search(STRATEGIES["genetic"]), _trials()
    whole = _searched(search).searched.results
    (soonest,) = np.argsort(np.where(whole.found, whole.generations, 99), kind="stable")[:1]
    assert whole.generations[soonest] <= 8  # between two reports
    told = []
    alone = Trials(*(column[[soonest]] for column in trials))
    _runner(search).run(nets.seeds(COUNT).images, alone, lambda done, of: told.append((done, of)))
    assert told == [(0, 1)]


def _slopes(numbers, criterion):
    """Returns `loss`, and its gradient by the numbers of a move, of linear nets and one image."""
    with tf.GradientTape() as tape:
        tape.watch(numbers)
        pose = Affine().then(Affine().identity(1, _sources()), numbers, _sources())
        images = Affine().apply(_sources(), tf.zeros([1], tf.int32), pose) / 255.0
        total = populations.loss(criterion, nets.group()(images), tf.constant([1]), tf.constant([0]))[0]
    return total.numpy(), tape.gradient(total, numbers).numpy()


def _sources():
    """An image without kinks, for between pixels the slope of a bilinear one is another than at them."""
    ys, xs = np.mgrid[:8, :8] / 3.0
    smooth = 127.5 + 127.0 * np.sin(xs + 0.5) * np.cos(ys)
    return Affine().sources(tf.constant(np.rint(smooth)[None, :, :, None], tf.float32))


def test_the_gradient_of_a_candidate_is_the_slope_of_its_loss():
    numbers, sides = tf.constant([[0.53, 0.44, 0.57, 0.48, 0.52, 0.45]]), 0.05 * np.eye(6, dtype=np.float32)
    gradient = _slopes(numbers, CRITERION)[1][0]
    sloped = [(_slopes(numbers + side, CRITERION)[0] - _slopes(numbers - side, CRITERION)[0]) / 0.1 for side in sides]
    # By finite differences the slope is only about the same: a bilinear image has kinks, and pixels are whole numbers.
    assert gradient @ sloped > 0.95 * np.linalg.norm(gradient) * np.linalg.norm(sloped)
    assert np.linalg.norm(gradient) == pytest.approx(np.linalg.norm(sloped), rel=0.15)


def test_peers_that_hold_with_room_to_spare_lose_nothing():
    answers = tf.constant([[[0.6, 0.4]], [[0.96, 0.04]], [[0.4, 0.6]]], tf.float32)
    classes, target = np.zeros(1, np.int32), np.zeros(1, np.int32)
    told = populations.loss(PeerPressure(0.9), answers[:2], classes, target).numpy()[0]
    assert told == pytest.approx(-np.log(0.4), rel=1e-5)
    told = populations.loss(PeerPressure(0.9), answers, classes, target).numpy()[0]
    assert told == pytest.approx(-np.log(0.4) + np.log(0.95 / 0.4), rel=1e-5)

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from models.classifier import PeerGroup
from pipeline.criteria import PeerPressure
from pipeline.kinds.mistakes import chains
from pipeline.kinds.mistakes.hillclimbing import Hillclimbing
from pipeline.operators.pixel_swap import PixelSwap
from pipeline.search.moves.hillclimb import HillclimbResult
from pipeline.search.moves.lanes import Trials
from pipeline.search.moves.unit import UnitResult, UnitSearch
from tests.pipeline import nets
from tests.pipeline.kinds import toys
from tests.pipeline.search.moves import reference

EDGE = dataclasses.replace(reference.OPERATOR, border="edge")
BY_IMAGE = dataclasses.replace(reference.SEARCHER, operator=EDGE, compose="image")
SWAPS = dataclasses.replace(reference.SEARCHER, operator=PixelSwap(), patience=12, max_moves=12)
SEARCHES = {
    "matrix": reference.SEARCH,
    "image": dataclasses.replace(reference.SEARCH, searcher=BY_IMAGE, target_nets=(0, 2)),
    "matrix, net by net": reference.NET_BY_NET,
    "image, net by net": dataclasses.replace(reference.NET_BY_NET, searcher=BY_IMAGE, target_nets=(0, 2)),
    "swaps": dataclasses.replace(reference.SEARCH, searcher=SWAPS, target_nets=(2,)),
    "swaps, image": dataclasses.replace(
        reference.SEARCH, searcher=dataclasses.replace(SWAPS, compose="image"), target_nets=(2,)
    ),
    "swaps, net by net": dataclasses.replace(reference.NET_BY_NET, searcher=SWAPS, target_nets=(2,)),
}


_TRIAL = [(1, tf.int32), (2, tf.uint32), (1, tf.int32), (1, tf.int32), (1, tf.float32)]  # rank, dtype


def _trials(result: UnitResult, search: UnitSearch) -> list[tuple[int, int, HillclimbResult]]:
    """Lists (seed image's row, target net, what became of it)."""
    places = [(row, net) for row in np.flatnonzero(result.held) for net in search.target_nets]
    return [
        (row, net, HillclimbResult(*(field[trial] for field in result.searched.results)))
        for trial, (row, net) in enumerate(places)
    ]


def _moved(trials: list[tuple[int, int, HillclimbResult]]) -> list[tuple[int, int, HillclimbResult]]:
    return [(row, net, trial) for row, net, trial in trials if trial.moves]


@pytest.fixture(params=SEARCHES)
def search(request) -> UnitSearch:
    return SEARCHES[request.param]


@pytest.fixture
def trials(search) -> list[tuple[int, int, HillclimbResult]]:
    return _trials(reference.searched(search), search)


def _chain(search: UnitSearch, row: int, net: int, trial: HillclimbResult) -> np.ndarray:
    words, steps = nets.seeds(reference.COUNT).words[row], trial.steps[: trial.moves]
    return Hillclimbing(search.searcher, search.class_from).drawn(
        search.run_seed, words[None], np.array([net]), [steps], *nets.SHAPE[:2]
    )[0]


def _assert_those_of_the_plain_search(search: UnitSearch, trials: list[tuple[int, int, HillclimbResult]]) -> None:
    seeds = nets.seeds(reference.COUNT)
    for row, net, trial in trials:
        expected = reference.climb(seeds.images[row], seeds.words[row], net, seeds.labels[row], search.searcher)
        assert (trial.drawn, trial.found, trial.moves) == (expected.drawn, expected.found, len(expected.steps))
        assert trial.steps[: trial.moves].tolist() == expected.steps
        np.testing.assert_allclose(trial.confidences[: trial.moves], expected.confidences, atol=1e-5)


def test_trials_are_those_of_the_plain_sequential_search(search, trials):
    _assert_those_of_the_plain_search(search, trials)


@pytest.mark.parametrize("compose", ["matrix", "image"])
def test_trials_of_an_operator_without_a_matrix_are_those_of_the_plain_search(compose):
    searcher = dataclasses.replace(reference.SEARCHER, operator=toys.Brightness(20.0), compose=compose)
    search = dataclasses.replace(reference.SEARCH, searcher=searcher)
    trials = _trials(reference.searched(search), search)
    assert _moved(trials)
    _assert_those_of_the_plain_search(search, trials)


def test_trials_end_in_every_way(search, trials):
    most = search.searcher.max_moves
    ends = {"found" if trial.found else "moves" if trial.moves == most else "patience" for _, _, trial in trials}
    assert ends == {"found", "moves", "patience"}


def test_an_exhausted_trial_ends_with_as_many_failures_as_its_patience(search, trials):
    for _, _, trial in trials:
        if not trial.found and trial.moves < search.searcher.max_moves:
            last = trial.steps[trial.moves - 1] if trial.moves else -1
            assert trial.drawn - last - 1 == search.searcher.patience


def test_no_move_comes_after_the_patience_is_spent(search, trials):
    for _, _, trial in trials:
        gaps = np.diff(trial.steps[: trial.moves], prepend=-1)
        assert (gaps >= 1).all() and (gaps <= search.searcher.patience).all()


def test_a_trial_that_is_found_or_out_of_moves_ends_with_its_last_move(search, trials):
    for _, _, trial in trials:
        assert trial.moves <= search.searcher.max_moves
        if trial.found or trial.moves == search.searcher.max_moves:
            assert trial.drawn == trial.steps[trial.moves - 1] + 1


def test_confidences_fall_with_every_move(search, trials):
    seeds, before = nets.seeds(reference.COUNT), reference.searched(search).probabilities
    for row, net, trial in trials:
        confidences = [before[net, row, seeds.labels[row]], *trial.confidences[: trial.moves]]
        assert (np.diff(confidences) < 0).all() and trial.confidence == confidences[-1]


def test_nothing_is_written_beyond_the_moves(trials):
    for _, _, trial in trials:
        assert not trial.steps[trial.moves :].any() and not trial.confidences[trial.moves :].any()


@pytest.mark.parametrize(("failures", "ends"), [(15, False), (16, True), (17, True)])
def test_a_trial_ends_when_its_patience_is_spent_and_not_before(failures, ends):
    searcher = reference.SEARCHER
    trials = Trials(*(tf.zeros([1, 2][:rank], kind) for rank, kind in _TRIAL))
    state = searcher.init(trials, tf.zeros([1, 10, 10, 1]))._replace(failures=tf.constant([failures]))
    assert bool(searcher.done(state)[0]) is ends
    assert int(searcher.horizon(state)[0]) == searcher.patience - failures


def test_a_move_that_changes_no_confidence_is_none():
    def alike(batch: tf.Tensor) -> tf.Tensor:
        return tf.tile(tf.constant([[0.5, 0.3, 0.2]]), [batch.shape[0], 1])

    group = PeerGroup(tuple(nets.classifier(alike, f"net-{place}") for place in range(2)))
    search = dataclasses.replace(reference.SEARCH, group=group, target_nets=(0,))
    seeds = nets.seeds(reference.COUNT)
    result = search.run(search.runner(), seeds._replace(labels=np.zeros_like(seeds.labels)))
    assert result.held.all() and (result.searched.results.drawn == search.searcher.patience).all()
    assert not result.searched.results.moves.any()


@pytest.mark.parametrize("whole", [reference.SEARCH, reference.NET_BY_NET], ids=["in graph", "net by net"])
@pytest.mark.parametrize("searcher", [reference.SEARCHER, SWAPS], ids=["affine", "swaps"])
def test_without_peers_whatever_lowers_the_targets_confidence_is_a_move(whole, searcher, monkeypatch):
    group = PeerGroup(whole.group.classifiers[:1])
    search = dataclasses.replace(whole, searcher=searcher, group=group, target_nets=(0,))
    trials = _trials(search.run(search.runner(), nets.seeds(reference.COUNT)), search)
    assert len(trials) == reference.COUNT > reference.searched().held.sum(), "it alone has to be right"
    monkeypatch.setattr(reference, "_peers_hold", lambda *given: True)
    _assert_those_of_the_plain_search(search, trials)
    assert any(trial.found for _, _, trial in trials)


def test_what_is_found_renders_to_a_mistake(search, trials):
    found = [(row, net, _chain(search, row, net, trial)) for row, net, trial in trials if trial.found]
    rows, targets, moves = zip(*found)
    seeds, searcher = nets.seeds(reference.COUNT), search.searcher
    images = chains.render_final(searcher.operator, seeds.images[list(rows)], moves, searcher.compose)
    probabilities = nets.probabilities(images).astype(np.float32)
    judgement = chains.judge(searcher.criterion, probabilities, seeds.labels[list(rows)], np.array(targets))
    assert chains.failures(judgement) == [""] * len(found)


def test_every_state_renders_to_the_confidence_of_its_move(search, trials):
    seeds, searcher = nets.seeds(reference.COUNT), search.searcher
    for row, net, trial in _moved(trials):
        chain = _chain(search, row, net, trial)
        states = chains.render_states(searcher.operator, seeds.images[row], chain, searcher.compose)
        answers = nets.probabilities(states)[net, :, seeds.labels[row]]
        np.testing.assert_allclose(trial.confidences[: trial.moves], answers, atol=0.01)


def _nan_in_the_dark(name: str, place: int) -> nets.Classifier:
    sound = nets.linear(nets.weights()[place], name)

    def predict(batch: tf.Tensor) -> tf.Tensor:
        dark = tf.reduce_min(batch, axis=(1, 2, 3))[:, None] < 0.1
        return tf.where(dark, np.nan, sound.predict(batch))

    return nets.classifier(predict, name)


@pytest.mark.parametrize("faulty", [0, 1])
def test_a_candidate_on_which_a_net_gives_nan_is_no_move(faulty):
    peers = [nets.linear(matrix, f"net-{place}") for place, matrix in enumerate(nets.weights())]
    peers[faulty] = _nan_in_the_dark(f"net-{faulty}", faulty)
    searcher = dataclasses.replace(reference.SEARCHER, criterion=PeerPressure())
    search = dataclasses.replace(reference.SEARCH, searcher=searcher, group=PeerGroup(tuple(peers)), target_nets=(0,))
    seeds = nets.seeds(reference.COUNT)
    seeds = seeds._replace(images=np.maximum(seeds.images, 60))
    trials = _trials(search.run(search.runner(), seeds), search)
    assert _moved(trials)
    for row, net, trial in _moved(trials):
        chain = _chain(search, row, net, trial)
        states = chains.render_states(searcher.operator, seeds.images[row], chain, "matrix")
        assert (states.min(axis=(1, 2, 3)) >= 25).all()

"""The hillclimb told again in plain NumPy, one candidate after the other, and the compiled one to compare it with."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

import numpy as np

from pipeline import seeding
from pipeline.criteria import PeerPressure
from pipeline.operators.affine import Affine
from pipeline.operators.operator import Operator
from pipeline.search.moves.hillclimb import Hillclimb
from pipeline.search.moves.lanes import Runner
from pipeline.search.moves.unit import SeedArrays, UnitResult, UnitSearch
from tests.pipeline import nets

COUNT = 20
RUN_SEED = 2024
OPERATOR = Affine(rotation_degrees=8.0, translation_pixels=0.4, scale=0.08, stretch=0.08, shear_degrees=8.0)
CRITERION = PeerPressure(peer_confidence=0.4, target_confidence=0.45)
SEARCHER = Hillclimb(OPERATOR, CRITERION, patience=16, max_moves=5)
SEARCH = UnitSearch(nets.group(), (0, 1, 2), "label", RUN_SEED, 8, COUNT, SEARCHER)
NET_BY_NET = dataclasses.replace(SEARCH, group=nets.costly(nets.group()))


class Trial(NamedTuple):
    """A trial's end, in the words of `HillclimbResult`, and the last image."""

    drawn: int
    found: bool
    steps: list[int]
    confidences: list[float]
    image: np.ndarray


def climb(image: np.ndarray, words: np.ndarray, net: int, label: int, searcher: Hillclimb = SEARCHER) -> Trial:
    """Runs one trial."""
    chain, state = np.zeros((0, len(searcher.operator.parameter_names))), image
    best = nets.probabilities(image[None])[net, 0, label]
    drawn, failures, steps, confidences, found = 0, 0, [], [], False
    while not found and failures < searcher.patience and len(steps) < searcher.max_moves:
        move = _draw(searcher.operator, words, net, drawn)
        drawn, failures = drawn + 1, failures + 1
        proposed = np.concatenate([chain, move])
        start, moves = (image, proposed) if searcher.compose == "matrix" else (state, move)
        candidate = searcher.operator.render(start[None], [moves])[0]
        answer = nets.probabilities(candidate[None])[:, 0]
        if answer[net, label] < best and _peers_hold(answer, net, label, searcher.criterion.peer_confidence):
            best, failures, chain, state = answer[net, label], 0, proposed, candidate
            steps, confidences = [*steps, drawn - 1], [*confidences, best]
            wrong = max(np.delete(answer[net], label))
            found = bool(wrong > best and wrong >= searcher.criterion.target_confidence)
    return Trial(drawn, found, steps, confidences, state)


def _draw(operator: Operator, words: np.ndarray, net: int, step: int) -> np.ndarray:
    parameters = len(operator.parameter_names)
    numbers = seeding.draws(RUN_SEED, words[None], np.array([net]), np.array([step]), parameters)
    return operator.parameters(numbers, *nets.SHAPE[:2])


def _peers_hold(answer: np.ndarray, net: int, label: int, confidence: float) -> bool:
    peers = np.delete(answer, net, axis=0)
    return all(peer[label] >= confidence and peer[label] > max(np.delete(peer, label)) for peer in peers)


@functools.cache
def searched(search: UnitSearch = SEARCH) -> UnitResult:
    """Runs the compiled search on the test's seed images, once for all tests."""
    return search.run(runner(search), nets.seeds(COUNT))


@functools.cache
def runner(search: UnitSearch = SEARCH) -> Runner:
    """Compiles a search, once for all tests."""
    return search.runner()


def rows(seeds: SeedArrays, order: Any) -> SeedArrays:
    """Returns some of the seed images, in an order."""
    return SeedArrays(*(array[order] for array in seeds))

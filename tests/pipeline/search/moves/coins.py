"""A search as simple as can be, whose candidates are numbers, and its trials told one candidate after the other."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from pipeline import seeding
from pipeline.search.moves.lanes import Answer, Trials

RUN_SEED, QUEUE, PATIENCE, MOST_MOVES, NETS = 7, 40, 11, 4, 3


def ask(images: tf.Tensor) -> tf.Tensor:
    """What every net says of candidates that are numbers, `[L, 1]`."""
    return images[:, :, 0, 0]


class State(NamedTuple):
    drawn: tf.Tensor
    failures: tf.Tensor
    moves: tf.Tensor
    last: tf.Tensor
    found: tf.Tensor


class Candidate(NamedTuple):
    images: tf.Tensor


@dataclasses.dataclass(frozen=True)
class Coins:
    """A search as simple as can be: a candidate is a number, accepted below the trial's `confidence`, and the goal
    below 0.05 too."""

    patience: int = PATIENCE
    most_moves: int = MOST_MOVES

    def init(self, trials: Trials, sources: tf.Tensor) -> State:
        zeros = tf.zeros_like(trials.row)
        return State(zeros, zeros, zeros, tf.zeros_like(trials.confidence), tf.zeros_like(trials.row, tf.bool))

    def horizon(self, state: State) -> tf.Tensor:
        return self.patience - state.failures

    def propose(self, run_seed: Any, trials: Trials, state: State, ahead: tf.Tensor, sources: tf.Tensor) -> Candidate:
        numbers = seeding.draws_tf(run_seed, trials.seed_words, trials.target_net, state.drawn + ahead, 1)
        return Candidate(numbers[:, :, None, None])

    def sources(self, images: tf.Tensor) -> tf.Tensor:
        return images

    def answer(self, trials: Trials, state: State, probabilities: tf.Tensor, is_target: tf.Tensor) -> Answer:
        number = probabilities[:, 0]
        least = tf.where(is_target, trials.confidence, trials.confidence + 0.2)  # peers refuse less
        return Answer(number < least, number, number < 0.05)

    def move(self, candidate: Candidate, answer: Answer) -> Candidate:
        return Candidate(answer.confidence)

    def advance(self, state: State, drawn: tf.Tensor, won: tf.Tensor, winner: Any) -> State:
        number = winner.images
        return State(
            drawn=state.drawn + drawn,
            failures=tf.where(won, 0, state.failures + drawn),
            moves=state.moves + tf.cast(won, tf.int32),
            last=tf.where(won, number, state.last),
            found=won & (number < 0.05),
        )

    def done(self, state: State) -> tf.Tensor:
        return state.found | (state.failures >= self.patience) | (state.moves >= self.most_moves)

    def result(self, state: State) -> State:
        return state


PLAIN = Coins()


class Punctual(Coins):
    """Accepts of each trial one candidate, whose number is the trial's `target_class`."""

    def answer(self, trials: Trials, state: State, probabilities: tf.Tensor, is_target: tf.Tensor) -> Answer:
        number = probabilities[:, 0]
        wanted = number == tf.cast(trials.target_class, tf.float32)
        return Answer(wanted, number, wanted)

    def propose(self, run_seed: Any, trials: Trials, state: State, ahead: tf.Tensor, sources: tf.Tensor) -> Candidate:
        return Candidate(tf.cast(state.drawn + ahead, tf.float32)[:, None, None, None])


class Given(NamedTuple):
    """Seed words, target nets, classes and chances `[Q]`."""

    words: np.ndarray
    nets: np.ndarray
    classes: np.ndarray
    chances: np.ndarray


def queue(seed: int = 8, power: int = 3) -> Given:
    """Trials that never move, that move at once, and all between; the higher the power, the more that seldom move."""
    numbers = np.random.default_rng(seed)
    words = numbers.integers(0, 2**32, (QUEUE, 2), np.uint32)
    chances = np.float32([0.0, 1.0, *numbers.random(QUEUE - 2) ** power])
    return Given(words, (np.arange(QUEUE) % 3).astype(np.int32), np.zeros(QUEUE, np.int32), chances)


def alone(words: np.ndarray, net: int, _: int, chance: float, searcher: Coins = PLAIN) -> tuple[Any, ...]:
    """One trial, one candidate after the other."""
    drawn = failures = moves = 0
    last, found = 0.0, False
    while not found and failures < searcher.patience and moves < searcher.most_moves:
        number = seeding.draws(RUN_SEED, words[None], np.array([net]), np.array([drawn]), 1)[0, 0]
        drawn, failures = drawn + 1, failures + 1
        if number < chance:
            failures, moves, last, found = 0, moves + 1, number, bool(number < np.float32(0.05))
    return drawn, failures, moves, last, found

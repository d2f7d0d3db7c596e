"""Searches by many candidates at a time, beside the lanes' hillclimb: how a population looks for the same mistakes.

A candidate is a chain of moves, drawn by numbers in [0, 1), as the operator draws them: `[M, P]` for M moves. A
strategy proposes B chains for each trial, all nets see them, and it learns how good each was; with a `GradientRunner`
it learns which way each gets better. What the record keeps is the chain, as of any other search.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from models import kernels
from models.classifier import PeerGroup
from pipeline import seeding
from pipeline.criteria import PeerPressure, class_and_rival
from pipeline.operators.operator import Operator
from pipeline.search.moves.lanes import Report, Searched, Trials, pad_rows, select

_BLOCK = 8  # generations between two reports
_TRIALS = 16  # so many trials go together, or a multiple: the last rows of others can have other last bits
_BELOW_ONE = 1.0 - 2.0**-24  # the largest number that moves are drawn by
_LEAST = 1e-30  # probabilities of 0 have a logarithm, too
_BROKEN = 1.0  # what a candidate that no peer holds loses, beside how far the peers are from holding it


class Proposals(NamedTuple):
    """Candidates of one generation.

    Attributes:
      numbers: float32 `[L, B, M, P]` in [0, 1), by which the operator draws moves.
      lengths: int32 `[L, B]`, how many of the M moves are made, 1 to M.
    """

    numbers: tf.Tensor
    lengths: tf.Tensor


class Strategy(Protocol):
    """A frozen dataclass whose fields are its configuration; made of operations that XLA compiles.

    Every field of a state has one row a trial, and a trial's row depends on nothing but its own.
    """

    @property
    def population(self) -> int:
        """B, candidates of a generation."""

    def draws(self, moves: int, parameters: int) -> int:
        """Returns how many random numbers each candidate takes."""

    def begin(self, trials: Trials, moves: int, parameters: int) -> Any:
        """Returns the state of L trials before the first generation."""

    def propose(self, state: Any, uniform: tf.Tensor) -> Proposals:
        """Returns a generation, by random numbers float32 `[L, B, draws]` in [0, 1)."""

    def learn(self, state: Any, proposals: Proposals, fitness: tf.Tensor, uniform: tf.Tensor) -> Any:
        """Returns the state after a generation.

        Args:
          state: the one that it was proposed by.
          proposals: its candidates.
          fitness: float32 `[L, B]`, the higher the better; of a `GradientRunner` the slopes, `[L, B, M, P]`.
          uniform: the random numbers that it was proposed by.
        """


class Outcome(NamedTuple):
    """What became of trials; every field has one row a trial.

    Attributes:
      found: bool.
      generations: int32, of how many the nets saw the candidates until one was found, or all of them.
      number: int32, the place of the find among all candidates; 0 without one.
      numbers: float32 `[L, M, P]`, the find's.
      length: int32, its moves.
      confidence: float32, the target net's lowest probability of the class on a candidate that all peers hold; of the
        find, where there is one; the seed image's, where peers held none.
    """

    found: tf.Tensor
    generations: tf.Tensor
    number: tf.Tensor
    numbers: tf.Tensor
    length: tf.Tensor
    confidence: tf.Tensor


@dataclasses.dataclass(frozen=True)
class PopulationSearch:
    """A search by populations.

    Attributes:
      strategy: what proposes, and learns.
      operator: draws the moves.
      criterion: when the peers hold and when the goal is reached.
      moves: M, of each chain at most.
      generations: at most.
    """

    strategy: Strategy
    operator: Operator
    criterion: PeerPressure
    moves: int
    generations: int


class PopulationRunner:
    """Runs queues of trials, some at a time; see `lanes.Runner`. Its `Searched` has `Outcome` rows.

    Args:
      search: the search.
      group: the nets.
      run_seed: uint32.
      lanes: candidates that the nets see at a time, rounded down to 16 whole populations or a multiple, at least 16.
    """

    def __init__(self, search: PopulationSearch, group: PeerGroup, run_seed: int, lanes: int):
        self._search, self._group, self._run_seed = search, group, run_seed
        self._trials = _TRIALS * max(1, lanes // (_TRIALS * search.strategy.population))
        self._begin = kernels.cluster(self._begun)
        self._advance = self._compiled(self._advanced)
        self._sources = kernels.cluster(search.operator.sources)
        self._propose = kernels.cluster(self._proposed)
        self._pose, self._show = kernels.cluster(self._posed), kernels.cluster(self._shown)
        self._judge, self._learn = kernels.cluster(self._judged), kernels.cluster(search.strategy.learn)

    def _compiled(self, function: Callable[..., Any]) -> Any:
        return kernels.compiled(function, *self._group.kernels)

    def run(self, images: np.ndarray, trials: Trials, report: Report) -> Searched:
        """See `lanes.Runner`; every net sees every candidate."""
        many, sources = len(trials.row), self._sources(images)
        results = []
        for start in range(0, max(many, 1), self._trials):
            part = [column[start : start + self._trials] for column in trials]
            padded = Trials(*(tf.constant(pad_rows(column, self._trials)) for column in part))
            count = len(part[0])
            outcome = self._one_batch(sources, padded, count, functools.partial(report, start, many))
            results.append([rows.numpy()[:count] for rows in outcome])
        merged = Outcome(*(np.concatenate(fields) for fields in zip(*results, strict=True)))
        asked = np.repeat((merged.generations * self._search.strategy.population)[:, None], len(self._group.names), 1)
        return Searched(merged, asked.astype(np.int32), np.zeros_like(asked, np.int32))

    def _one_batch(self, sources: tf.Tensor, trials: Trials, count: int, report: Callable[[], None]) -> Outcome:
        """Runs so many trials; the rows behind them fill up."""
        state, outcome = self._begin(trials, tf.constant(count))
        generation = 0
        while generation < self._search.generations and not outcome.found.numpy().all():
            report()
            last = min(generation + _BLOCK, self._search.generations)
            state, outcome = self._advance(sources, trials, state, outcome, tf.constant(generation), tf.constant(last))
            generation = last
        return outcome

    def _begun(self, trials: Trials, many: tf.Tensor) -> tuple[Any, Outcome]:
        search, count = self._search, trials.row.shape[0]
        parameters = len(search.operator.parameter_names)
        none = tf.zeros([count], tf.int32)
        nothing = tf.zeros([count, search.moves, parameters])
        outcome = Outcome(tf.range(count) >= many, none, none, nothing, none, trials.confidence)
        return search.strategy.begin(trials, search.moves, parameters), outcome

    def _advanced(
        self, sources: tf.Tensor, trials: Trials, state: Any, outcome: Outcome, first: tf.Tensor, last: tf.Tensor
    ) -> tuple[Any, Outcome]:
        def body(generation: tf.Tensor, state: Any, outcome: Outcome) -> tuple[tf.Tensor, Any, Outcome]:
            return generation + 1, *self._generation(sources, trials, state, outcome, generation)

        _, state, outcome = tf.while_loop(
            lambda generation, state, outcome: (generation < last) & ~tf.reduce_all(outcome.found),
            body,
            (first, state, outcome),
        )
        return state, outcome

    def _generation(
        self, sources: tf.Tensor, trials: Trials, state: Any, outcome: Outcome, generation: tf.Tensor
    ) -> tuple[Any, Outcome]:
        uniform, proposals = self._propose(trials, state, generation)
        answers = self._answers(self._show(sources, trials, self._pose(sources, proposals)))
        fitness, after = self._judge(trials, outcome, generation, proposals, answers)
        return self._learn(state, proposals, fitness, uniform), after

    def _answers(self, images: tf.Tensor) -> tf.Tensor:
        return tf.stack([net.predict(images) for net in self._group.classifiers])

    def _proposed(self, trials: Trials, state: Any, generation: tf.Tensor) -> tuple[tf.Tensor, Proposals]:
        """Returns random numbers, and the candidates that the strategy makes of them."""
        strategy, count = self._search.strategy, trials.row.shape[0]
        population, parameters = strategy.population, len(self._search.operator.parameter_names)
        numbers = tf.tile(generation * population + tf.range(population), [count])
        seed = tf.constant(self._run_seed, tf.uint32)
        wanted = strategy.draws(self._search.moves, parameters)
        words, nets = (tf.repeat(column, population, axis=0) for column in (trials.seed_words, trials.target_net))
        drawn = seeding.draws_tf(seed, words, nets, numbers, wanted)
        uniform = tf.reshape(drawn, [count, population, wanted])
        return uniform, strategy.propose(state, uniform)

    def _posed(self, sources: tf.Tensor, proposals: Proposals) -> Any:
        """Returns all moves of each candidate in one."""
        operator, (count, population, most, parameters) = self._search.operator, proposals.numbers.shape
        moves = tf.reshape(proposals.numbers, [count * population, most, parameters])
        lengths = tf.reshape(proposals.lengths, [-1])
        pose = operator.identity(count * population, sources)
        for move in range(most):
            pose = select(move < lengths, operator.then(pose, moves[:, move], sources), pose)
        return pose

    def _shown(self, sources: tf.Tensor, trials: Trials, pose: Any) -> tf.Tensor:
        """Returns the candidates' images, float32 `[L * B, H, W, C]` in [0, 1]."""
        rows = tf.repeat(trials.row, self._search.strategy.population)
        return self._search.operator.apply(sources, rows, pose) / 255.0

    def _judged(
        self, trials: Trials, outcome: Outcome, generation: tf.Tensor, proposals: Proposals, answers: tf.Tensor
    ) -> tuple[tf.Tensor, Outcome]:
        """Returns the candidates' fitness, `[L, B]`, and what became of the trials with them."""
        search, shape = self._search, proposals.lengths.shape
        classes, nets = (tf.repeat(column, shape[1]) for column in (trials.target_class, trials.target_net))
        judged = search.criterion.judge(answers, classes, nets)
        held = tf.reshape(judged.peers_hold, shape)
        sure = tf.reshape(judged.class_confidence, shape)
        sure = tf.where(tf.math.is_finite(sure), sure, 1.0)
        short = tf.reshape(shortfall(search.criterion, answers, classes, nets), shape)
        fitness = tf.where(held, -sure, -1.0 - _BROKEN * short)
        hits = tf.reshape(judged.mistake, shape)
        place = tf.argmax(hits, axis=1, output_type=tf.int32)  # the first
        new = ~outcome.found & tf.reduce_any(hits, axis=1)
        lowest = tf.minimum(outcome.confidence, tf.reduce_min(tf.where(held, sure, 1.0), axis=1))
        return fitness, Outcome(
            outcome.found | new,
            tf.where(outcome.found, outcome.generations, generation + 1),
            tf.where(new, generation * shape[1] + place, outcome.number),
            select(new, tf.gather(proposals.numbers, place, batch_dims=1), outcome.numbers),
            tf.where(new, tf.gather(proposals.lengths, place, batch_dims=1), outcome.length),
            tf.where(
                new,
                tf.gather(sure, place, batch_dims=1),
                tf.where(outcome.found, outcome.confidence, lowest),
            ),
        )


class GradientRunner(PopulationRunner):
    """A `PopulationRunner` whose strategy learns slopes: the gradient of `loss` by the numbers that moves are drawn by.

    The gradient leads through the nets and the operator's `apply`, so that the operator has to have one.
    """

    def _compiled(self, function: Callable[..., Any]) -> Any:
        # As a whole, XLA would work out all moves of a chain anew for the gradient at every pixel: 4 times as slow.
        return kernels.compiled(function, kernels.TENSORFLOW)

    def _answers(self, images: tf.Tensor) -> tf.Tensor:
        return tf.stack([predict(images) for predict in self._group.clusters])

    @functools.cached_property
    def _loss(self) -> Any:
        criterion = self._search.criterion
        return kernels.cluster(lambda *answers: tf.reduce_sum(loss(criterion, *answers)))

    def _generation(
        self, sources: tf.Tensor, trials: Trials, state: Any, outcome: Outcome, generation: tf.Tensor
    ) -> tuple[Any, Outcome]:
        uniform, proposals = self._propose(trials, state, generation)
        classes, nets = (
            tf.repeat(column, proposals.lengths.shape[1]) for column in (trials.target_class, trials.target_net)
        )
        with tf.GradientTape() as tape:
            tape.watch(proposals.numbers)
            answers = self._answers(self._show(sources, trials, self._pose(sources, proposals)))
            total = self._loss(answers, classes, nets)
        slopes = tape.gradient(total, proposals.numbers)
        _, after = self._judge(trials, outcome, generation, proposals, answers)
        slopes = tf.where(tf.math.is_finite(slopes), slopes, 0.0)
        return self._learn(state, proposals, slopes, uniform), after


def loss(criterion: PeerPressure, answers: tf.Tensor, classes: tf.Tensor, target_nets: tf.Tensor) -> tf.Tensor:
    """Returns what falls as candidates come nearer to a mistake, float32 `[R]`.

    Of the target net -log(1 - p(class)), whose slope does not vanish where it is sure; of each peer the logarithm of
    the factor by which its p(class) is below what is wanted, half-way from `peer_confidence` to 1. Arguments as for
    `shortfall`.
    """
    is_class = tf.one_hot(classes, answers.shape[-1], on_value=True, off_value=False, dtype=tf.bool)
    own = tf.reduce_sum(tf.where(is_class, answers, 0.0), axis=-1)
    others = tf.reduce_sum(tf.where(is_class, 0.0, answers), axis=-1)
    wanted = math.log((1.0 + criterion.peer_confidence) / 2.0)
    lacking = tf.maximum(wanted - tf.math.log(own + _LEAST), 0.0)
    is_target = tf.range(answers.shape[0])[:, None] == target_nets[None]
    return tf.reduce_sum(tf.where(is_target, -tf.math.log(others + _LEAST), lacking), axis=0)


def shortfall(criterion: PeerPressure, answers: tf.Tensor, classes: tf.Tensor, target_nets: tf.Tensor) -> tf.Tensor:
    """Returns how far peers are from holding candidates, float32 `[R]` in [0, 1]: of all peers the most.

    A peer lacks what its probability of the class is below the confidence wanted, or below the likeliest other class.

    Args:
      criterion: what a peer has to give.
      answers: `[N, R, K]`.
      classes: int32 `[R]`.
      target_nets: int32 `[R]`.
    """
    own, rival = class_and_rival(answers, classes)
    lacking = tf.maximum(tf.maximum(rival, criterion.peer_confidence) - own, 0.0)
    lacking = tf.where(tf.math.is_finite(lacking), lacking, 1.0)
    is_target = tf.range(answers.shape[0])[:, None] == target_nets[None]
    return tf.reduce_max(tf.where(is_target, 0.0, lacking), axis=0)


def within(numbers: tf.Tensor) -> tf.Tensor:
    """Returns numbers brought into [0, 1), where moves are drawn."""
    return tf.clip_by_value(numbers, 0.0, _BELOW_ONE)

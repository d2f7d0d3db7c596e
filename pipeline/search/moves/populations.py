"""Searches by many candidates at a time, beside the lanes' hillclimb: how a population looks for the same mistakes.

A candidate is a chain of moves, drawn by numbers in [0, 1), as the operator draws them: `[M, P]` for M moves. A
strategy proposes B chains for each trial, all nets see them, and it learns how good each was. What the record keeps is
the chain, as of any other search.
"""

from __future__ import annotations

import dataclasses
import functools
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
        """Returns the state after a generation, from its fitness float32 `[L, B]`, the higher the better.

        `uniform` are the numbers that it was proposed by.
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
        self._advance = kernels.compiled(self._advanced, *group.kernels)
        self._sources = kernels.cluster(search.operator.sources)

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
        propose, judge = kernels.cluster(self._propose), kernels.cluster(self._judge)

        def body(generation: tf.Tensor, state: Any, outcome: Outcome) -> tuple[tf.Tensor, Any, Outcome]:
            uniform, proposals, images = propose(sources, trials, state, generation)
            answers = tf.stack([net.predict(images) for net in self._group.classifiers])
            learned, after = judge(trials, state, outcome, generation, uniform, proposals, answers)
            return generation + 1, learned, after

        _, state, outcome = tf.while_loop(
            lambda generation, state, outcome: (generation < last) & ~tf.reduce_all(outcome.found),
            body,
            (first, state, outcome),
        )
        return state, outcome

    def _propose(
        self, sources: tf.Tensor, trials: Trials, state: Any, generation: tf.Tensor
    ) -> tuple[tf.Tensor, Proposals, tf.Tensor]:
        """Returns random numbers, candidates, and their images, float32 `[L * B, H, W, C]` in [0, 1]."""
        search, count = self._search, trials.row.shape[0]
        strategy, operator = search.strategy, search.operator
        population, parameters = strategy.population, len(operator.parameter_names)

        def each(column: tf.Tensor) -> tf.Tensor:
            return tf.repeat(column, population, axis=0)

        numbers = tf.tile(generation * population + tf.range(population), [count])
        seed = tf.constant(self._run_seed, tf.uint32)
        wanted = strategy.draws(search.moves, parameters)
        drawn = seeding.draws_tf(seed, each(trials.seed_words), each(trials.target_net), numbers, wanted)
        uniform = tf.reshape(drawn, [count, population, wanted])
        proposals = strategy.propose(state, uniform)
        moves = tf.reshape(proposals.numbers, [count * population, search.moves, parameters])
        lengths = tf.reshape(proposals.lengths, [-1])
        pose = operator.identity(count * population, sources)
        for move in range(search.moves):
            pose = select(move < lengths, operator.then(pose, moves[:, move], sources), pose)
        return uniform, proposals, operator.apply(sources, each(trials.row), pose) / 255.0

    def _judge(
        self,
        trials: Trials,
        state: Any,
        outcome: Outcome,
        generation: tf.Tensor,
        uniform: tf.Tensor,
        proposals: Proposals,
        answers: tf.Tensor,
    ) -> tuple[Any, Outcome]:
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
        after = Outcome(
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
        return search.strategy.learn(state, proposals, fitness, uniform), after


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

"""How populations look for mistakes: steepest ascent, a genetic algorithm, PBIL, and an evolution strategy."""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pipeline.search.moves.lanes import Trials
from pipeline.search.moves.populations import Proposals, within

_WORST = -4.0  # below every fitness
_LEAST = 1e-6  # of variances and step sizes


def _whole(numbers: tf.Tensor) -> tf.Tensor:
    """Returns the lengths of chains that make all their moves, int32 `[L, B]`, for numbers `[L, B, M, P]`."""
    return tf.fill(numbers.shape[:2], numbers.shape[2])


class Climbed(NamedTuple):
    """A chain that grows: its moves so far `[L, M, P]`, how many int32 `[L]`, and its fitness `[L]`."""

    numbers: tf.Tensor
    moves: tf.Tensor
    fitness: tf.Tensor


@dataclasses.dataclass(frozen=True)
class SteepestAscent:
    """Of B random moves from where it stands, the best is made, if it is better; the hillclimb makes the first.

    Attributes:
      population: B.
    """

    population: int = 50

    def draws(self, moves: int, parameters: int) -> int:
        """See `populations.Strategy`."""
        return parameters

    def begin(self, trials: Trials, moves: int, parameters: int) -> Climbed:
        """Starts at the seed image."""
        count = trials.row.shape[0]
        return Climbed(tf.zeros([count, moves, parameters]), tf.zeros([count], tf.int32), -trials.confidence)

    def propose(self, state: Climbed, uniform: tf.Tensor) -> Proposals:
        """Adds one move to the chain; a full chain gets another last one."""
        most = state.numbers.shape[1]
        place = tf.minimum(state.moves, most - 1)
        here = (tf.range(most)[None] == place[:, None])[:, None, :, None]
        numbers = tf.where(here, uniform[:, :, None, :], state.numbers[:, None])
        return Proposals(numbers, tf.repeat(place[:, None] + 1, self.population, axis=1))

    def learn(self, state: Climbed, proposals: Proposals, fitness: tf.Tensor, uniform: tf.Tensor) -> Climbed:
        """Takes over the best candidate, if it is better than where it stands."""
        del uniform
        best = tf.argmax(fitness, axis=1, output_type=tf.int32)
        reached = tf.reduce_max(fitness, axis=1)
        better = reached > state.fitness
        numbers = tf.gather(proposals.numbers, best, batch_dims=1)
        return Climbed(
            tf.where(better[:, None, None], numbers, state.numbers),
            tf.where(better, proposals.lengths[:, 0], state.moves),
            tf.maximum(reached, state.fitness),
        )


class Bred(NamedTuple):
    """A genetic algorithm's parents, `[L, B, M, P]`, and their fitness `[L, B]`."""

    numbers: tf.Tensor
    fitness: tf.Tensor


@dataclasses.dataclass(frozen=True)
class Genetic:
    """A genetic algorithm: tournaments of two, uniform crossover, genes that are drawn anew, the best one kept.

    Source: Goldberg, "Genetic Algorithms in Search, Optimization and Machine Learning" (1989); uniform crossover after
    Syswerda (1989).

    Attributes:
      population: B.
      crossover_rate: share of the children with two parents.
      mutation_rate: share of the genes, numbers of moves, that are drawn anew.
    """

    population: int = 50
    crossover_rate: float = 0.8
    mutation_rate: float = 0.05

    def draws(self, moves: int, parameters: int) -> int:
        """See `populations.Strategy`: four for tournaments, one for crossing, three for each gene."""
        return 5 + 3 * moves * parameters

    def begin(self, trials: Trials, moves: int, parameters: int) -> Bred:
        """Starts with parents that nobody has judged."""
        shape = [trials.row.shape[0], self.population]
        return Bred(tf.zeros([*shape, moves, parameters]), tf.fill(shape, _WORST))

    def propose(self, state: Bred, uniform: tf.Tensor) -> Proposals:
        """Breeds children; the first generation, and mutated genes, are drawn at random."""
        shape = state.numbers.shape
        tournaments = tf.cast(uniform[:, :, :4] * self.population, tf.int32)
        contest = tf.gather(state.fitness, tournaments, batch_dims=1)
        winners = [
            tf.where(contest[:, :, at] >= contest[:, :, at + 1], tournaments[:, :, at], tournaments[:, :, at + 1])
            for at in (0, 2)
        ]
        one, other = (tf.gather(state.numbers, winner, batch_dims=1) for winner in winners)
        crossing, mutating, fresh = (tf.reshape(part, shape) for part in tf.split(uniform[:, :, 5:], 3, axis=2))
        crossed = (uniform[:, :, 4] < self.crossover_rate)[:, :, None, None] & (crossing < 0.5)
        children = tf.where(crossed, other, one)
        nobody = (state.fitness[:, :1] == _WORST)[:, :, None, None]
        numbers = tf.where((mutating < self.mutation_rate) | nobody, fresh, children)
        best = tf.gather(state.numbers, tf.argmax(state.fitness, axis=1), batch_dims=1)
        kept = tf.where(nobody[:, 0], numbers[:, 0], best)
        numbers = tf.concat([kept[:, None], numbers[:, 1:]], axis=1)
        return Proposals(numbers, _whole(numbers))

    def learn(self, state: Bred, proposals: Proposals, fitness: tf.Tensor, uniform: tf.Tensor) -> Bred:
        """Children take their parents' place."""
        del state, uniform
        return Bred(proposals.numbers, fitness)


@dataclasses.dataclass(frozen=True)
class PBIL:
    """Population-based incremental learning: a vector of probabilities of bits learns from each generation's best.

    Numbers are whole, `bits` bits each. Source: Baluja, "Population-Based Incremental Learning" (CMU-CS-94-163).

    Attributes:
      population: B.
      learning_rate: how far probabilities go toward the best candidate's bits.
      mutation_rate: share of the probabilities that are shifted at random.
      mutation_shift: how far.
      bits: of each number.
    """

    population: int = 50
    learning_rate: float = 0.1
    mutation_rate: float = 0.02
    mutation_shift: float = 0.05
    bits: int = 8

    def draws(self, moves: int, parameters: int) -> int:
        """See `populations.Strategy`: one for each bit, and two for what becomes of its probability."""
        return 3 * moves * parameters * self.bits

    def begin(self, trials: Trials, moves: int, parameters: int) -> tf.Tensor:
        """Starts with every bit as likely as not: probabilities `[L, M, P, bits]`."""
        return tf.fill([trials.row.shape[0], moves, parameters, self.bits], 0.5)

    def propose(self, state: tf.Tensor, uniform: tf.Tensor) -> Proposals:
        """Draws bits by their probabilities; a number is the middle of the part of [0, 1) that they name."""
        drawn = self._parts(state, uniform)[0] < state[:, None]
        weights = tf.constant(0.5 ** np.arange(1, self.bits + 1), tf.float32)
        numbers = tf.reduce_sum(tf.where(drawn, weights, 0.0), axis=-1) + 0.5 ** (self.bits + 1)
        return Proposals(numbers, _whole(numbers))

    def learn(self, state: tf.Tensor, proposals: Proposals, fitness: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
        """Moves probabilities toward the best candidate's bits, then shifts some of them at random."""
        best = tf.gather(proposals.numbers, tf.argmax(fitness, axis=1), batch_dims=1)
        learned = state * (1.0 - self.learning_rate) + self._bits(best) * self.learning_rate
        chance, way = (part[:, 0] for part in self._parts(state, uniform)[1:])
        toward = tf.where(way < 0.5, 0.0, 1.0)
        shifted = learned * (1.0 - self.mutation_shift) + toward * self.mutation_shift
        return tf.where(chance < self.mutation_rate, shifted, learned)

    def _parts(self, state: tf.Tensor, uniform: tf.Tensor) -> list[tf.Tensor]:
        """Returns the three kinds of numbers, `[L, B, M, P, bits]` each."""
        shape = [*uniform.shape[:2], *state.shape[1:]]
        return [tf.reshape(part, shape) for part in tf.split(uniform, 3, axis=2)]

    def _bits(self, numbers: tf.Tensor) -> tf.Tensor:
        """Returns the bits, 0.0 or 1.0, `[..., bits]`, of numbers in [0, 1)."""
        scaled = numbers[..., None] * tf.constant(2.0 ** np.arange(1, self.bits + 1), tf.float32)
        return tf.math.floormod(tf.floor(scaled), 2.0)


class Spread(NamedTuple):
    """Where an evolution strategy looks: mean, variances and both paths `[L, M, P]`; step and generations `[L]`."""

    mean: tf.Tensor
    variances: tf.Tensor
    path: tf.Tensor
    step_path: tf.Tensor
    step: tf.Tensor
    generations: tf.Tensor


@dataclasses.dataclass(frozen=True)
class EvolutionStrategy:
    """CMA-ES with a diagonal covariance matrix: the step size and each number's variance adapt.

    Source: Ros and Hansen, "A Simple Modification in CMA-ES Achieving Linear Time and Space Complexity" (PPSN 2008):
    constants of CMA-ES (Hansen, arXiv 1604.00772), the learning rates of the variances (n + 2) / 3 times as high.
    Numbers beyond [0, 1) are brought to its edge.

    Attributes:
      population: B, at least 4.
      step: the first step size, in parts of each number's range.
    """

    population: int = 50
    step: float = 0.3

    def draws(self, moves: int, parameters: int) -> int:
        """See `populations.Strategy`: two for each normal number."""
        return 2 * moves * parameters

    def begin(self, trials: Trials, moves: int, parameters: int) -> Spread:
        """Starts in the middle of all ranges."""
        count = trials.row.shape[0]
        zeros = tf.zeros([count, moves, parameters])
        return Spread(zeros + 0.5, zeros + 1.0, zeros, zeros, tf.fill([count], self.step), tf.zeros([count]))

    def propose(self, state: Spread, uniform: tf.Tensor) -> Proposals:
        """Draws normal numbers about the mean (Box-Muller)."""
        shape = [*uniform.shape[:2], *state.mean.shape[1:]]
        first, second = (tf.reshape(part, shape) for part in tf.split(uniform, 2, axis=2))
        normal = tf.sqrt(-2.0 * tf.math.log1p(-first)) * tf.cos(2.0 * math.pi * second)
        spread = _wide(state.step) * tf.sqrt(state.variances)
        numbers = within(state.mean[:, None] + spread[:, None] * normal)
        return Proposals(numbers, _whole(numbers))

    def learn(self, state: Spread, proposals: Proposals, fitness: tf.Tensor, uniform: tf.Tensor) -> Spread:
        """Moves mean, paths, variances and step size toward the better half."""
        del uniform
        size = math.prod(state.mean.shape[1:])
        weights = np.log(self.population // 2 + 0.5) - np.log(np.arange(1, self.population // 2 + 1))
        weights /= weights.sum()
        rates = _Rates.of(size, float(1.0 / np.sum(weights**2)))
        best = tf.gather(proposals.numbers, tf.math.top_k(fitness, len(weights)).indices, batch_dims=1)
        steps = (best - state.mean[:, None]) / _wide(state.step)[:, None]
        shares = tf.constant(weights, tf.float32)[:, None, None]
        mean_step, mean_square = (tf.reduce_sum(shares * each, axis=1) for each in (steps, steps**2))
        generations = state.generations + 1.0
        step_path = (1.0 - rates.step) * state.step_path
        step_path += math.sqrt(rates.step * (2.0 - rates.step) * rates.mass) * mean_step / tf.sqrt(state.variances)
        length = tf.sqrt(tf.reduce_sum(step_path**2, axis=[1, 2]))
        settled = length / tf.sqrt(1.0 - (1.0 - rates.step) ** (2.0 * generations))
        calm = _wide(tf.cast(settled < (1.4 + 2.0 / (size + 1.0)) * rates.expected, tf.float32))
        path = (1.0 - rates.path) * state.path
        path += calm * math.sqrt(rates.path * (2.0 - rates.path) * rates.mass) * mean_step
        kept = 1.0 - rates.one - rates.many + (1.0 - calm) * rates.one * rates.path * (2.0 - rates.path)
        variances = kept * state.variances + rates.one * path**2 + rates.many * mean_square
        grown = state.step * tf.exp(rates.step / rates.damping * (length / rates.expected - 1.0))
        return Spread(
            within(state.mean + _wide(state.step) * mean_step),
            tf.maximum(variances, _LEAST),
            path,
            step_path,
            tf.clip_by_value(grown, _LEAST, 1.0),
            generations,
        )


class Ascended(NamedTuple):
    """Where gradient ascent stands: numbers and Adam's two moments, `[L, B, M, P]`; steps of this start, `[L]`."""

    numbers: tf.Tensor
    mean: tf.Tensor
    square: tf.Tensor
    steps: tf.Tensor


@dataclasses.dataclass(frozen=True)
class GradientAscent:
    """Gradient ascent from many random chains at a time, by Adam; for a `populations.GradientRunner`.

    Source: "The Virtues of Peer Pressure" names derivatives through the transformation as open. Adam: Kingma and Ba
    (arXiv 1412.6980), with its published constants.

    Attributes:
      population: B chains, each climbing for itself.
      step: Adam's step size, in parts of each number's range.
      climb: steps after which all begin anew, from other random chains.
    """

    population: int = 8
    step: float = 0.05
    climb: int = 25

    def draws(self, moves: int, parameters: int) -> int:
        """See `populations.Strategy`: one for each number."""
        return moves * parameters

    def begin(self, trials: Trials, moves: int, parameters: int) -> Ascended:
        """Starts with no chain; the first ones are drawn."""
        count = trials.row.shape[0]
        nothing = tf.zeros([count, self.population, moves, parameters])
        return Ascended(nothing, nothing, nothing, tf.zeros([count]))

    def propose(self, state: Ascended, uniform: tf.Tensor) -> Proposals:
        """Shows where the chains stand, or random ones at the foot of a climb."""
        drawn = tf.reshape(uniform, state.numbers.shape)
        numbers = tf.where((state.steps == 0.0)[:, None, None, None], drawn, state.numbers)
        return Proposals(numbers, _whole(numbers))

    def learn(self, state: Ascended, proposals: Proposals, fitness: tf.Tensor, uniform: tf.Tensor) -> Ascended:
        """Takes a step against the slopes, `fitness` `[L, B, M, P]`."""
        del uniform
        steps = state.steps + 1.0
        mean = 0.9 * state.mean + 0.1 * fitness
        square = 0.999 * state.square + 0.001 * fitness**2
        made = steps[:, None, None, None]
        slope = mean / (1.0 - 0.9**made) / (tf.sqrt(square / (1.0 - 0.999**made)) + 1e-8)
        ends = made == float(self.climb)
        return Ascended(
            within(proposals.numbers - self.step * slope),
            tf.where(ends, 0.0, mean),
            tf.where(ends, 0.0, square),
            tf.where(steps == float(self.climb), 0.0, steps),
        )


class _Rates(NamedTuple):
    """CMA-ES's constants for n numbers: of step size, its damping, path, rank one and rank mu; mu_eff; E|N(0, I)|."""

    step: float
    damping: float
    path: float
    one: float
    many: float
    mass: float
    expected: float

    @classmethod
    def of(cls, size: int, mass: float) -> _Rates:
        step = (mass + 2.0) / (size + mass + 5.0)
        damping = 1.0 + 2.0 * max(0.0, math.sqrt((mass - 1.0) / (size + 1.0)) - 1.0) + step
        path = (4.0 + mass / size) / (size + 4.0 + 2.0 * mass / size)
        faster = (size + 2.0) / 3.0
        one = min(0.5, faster * 2.0 / ((size + 1.3) ** 2 + mass))
        many = min(1.0 - one, faster * 2.0 * (mass - 2.0 + 1.0 / mass) / ((size + 2.0) ** 2 + mass))
        expected = math.sqrt(size) * (1.0 - 1.0 / (4.0 * size) + 1.0 / (21.0 * size**2))
        return cls(step, damping, path, one, many, mass, expected)


def _wide(column: tf.Tensor) -> tf.Tensor:
    """Returns `[L]` as `[L, 1, 1]`."""
    return column[:, None, None]

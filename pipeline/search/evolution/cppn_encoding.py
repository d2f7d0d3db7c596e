"""The CPPN encoding of Nguyen, Yosinski and Clune (arXiv 1412.1897): networks that mutate, rendered all at once.

What the paper leaves open is done as in the authors' code (github.com/Evolving-AI-Lab/fooling, with sferes2's nn2): a
first genome connects every input with every output, weights uniform; outputs have activations that are drawn and mutate
as those of hidden nodes; a channel is an output's absolute value, here rounded to the nearest of 256 levels; a new
neuron takes a connection's place, and both its connections have the weight of the old one. Weights mutate first, then
activations; then a connection comes, one goes, a neuron comes, one goes.

There are three departures. The authors' code gives x and y in pixels and the distance alone in units of half an image;
here all are, so that a genome is an image of any size. Their neurons may be connected in any way without a cycle, and
twice; here neurons are in a row, a connection goes from an earlier to a later one, and there is one of a pair at most.
Their genomes have no bound; here a full genome does not grow.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from models.errors import InputError
from pipeline.search.evolution import cppn
from pipeline.search.evolution.cppn import ACTIVATIONS, INPUTS, LARGEST_WEIGHT, MOST_HIDDEN, Genomes
from pipeline.search.evolution.direct import middles, polynomial_step
from pipeline.search.evolution.elites import Draws

_STEPS = 4096  # by which a weight may change
_PI_HIGH = 3.140625  # exact in 9 bits: a multiple up to 2^15 of it is exact in float32


@dataclasses.dataclass(frozen=True)
class CPPN:
    """Networks as genomes, without crossover, as the paper's; see the module and `map_elites.Encoding`.

    Attributes:
      shape: (H, W, C), C 1 or 3.
      max_hidden: most hidden nodes, 1 to 1000. With room for 64, MNIST champions of 1,000 generations had 7 to 23.
      add_connection: share of the children that gain a connection, in [0, 1], where two nodes are left to connect.
      delete_connection: share that lose one, where there is one.
      add_neuron: share in which a neuron takes a connection's place, where there is one and the genome is not full.
      delete_neuron: share that lose a neuron and its connections, where there is one.
      weight_rate: share of the weights that mutate.
      weight_eta: index of polynomial mutation; the larger, the smaller the steps.
      activation_rate: share of the activations that are drawn again.
    """

    shape: tuple[int, int, int]
    max_hidden: int = 24
    add_connection: float = 0.5
    delete_connection: float = 0.3
    add_neuron: float = 0.5
    delete_neuron: float = 0.2
    weight_rate: float = 0.1
    weight_eta: float = 15.0
    activation_rate: float = 0.1

    def __post_init__(self) -> None:
        """Raises InputError: images are neither grey nor in colour, or the genomes' size is out of range."""
        if self._outputs not in (1, 3):
            raise InputError(f"The CPPN encoding makes images of 1 or 3 channels; these have {self._outputs}.")
        if not 1 <= self.max_hidden <= MOST_HIDDEN:
            raise InputError(f"max_hidden is {self.max_hidden}; set it from 1 to {MOST_HIDDEN}.")

    @property
    def _outputs(self) -> int:
        return self.shape[-1]

    @property
    def _targets(self) -> int:
        return self._outputs + self.max_hidden

    @property
    def _sources(self) -> int:
        return len(INPUTS) + self.max_hidden

    def first(self, draws: Draws) -> Genomes:
        """Returns networks without hidden nodes, wholly connected; see `Encoding`."""
        sizes, rest = [self._outputs * len(INPUTS), self._outputs], [[0, 0], [0, self.max_hidden]]
        weights, activations = tf.split(draws.uniform(sum(sizes)), sizes, axis=1)
        rows = weights.shape[0]
        weights = tf.reshape(_weight(weights), [rows, self._outputs, len(INPUTS)])
        return Genomes(
            tf.zeros([rows], tf.int32),
            tf.pad(_activation(activations), rest),
            tf.pad(weights, [*rest, rest[1]]),
        )

    def child(self, one: Genomes, other: Genomes, draws: Draws) -> tuple[Genomes, tf.Tensor]:
        """Mutates; see `Encoding`."""
        sizes = [self._targets * self._sources, self._targets, 2, 1, 2, 1]
        weights, activations, *changes = tf.split(draws.uniform(sum(sizes)), sizes, axis=1)
        genomes = self._mutate_weights(one, tf.reshape(weights, one.weights.shape))
        genomes = self._mutate_activations(genomes, activations)
        genomes = self._add_connection(genomes, changes[0])
        genomes = self._delete_connection(genomes, changes[1])
        genomes = self._add_neuron(genomes, changes[2])
        return self._delete_neuron(genomes, changes[3]), tf.zeros([weights.shape[0]], tf.bool)

    def _mutate_weights(self, genomes: Genomes, uniform: tf.Tensor) -> Genomes:
        mutated, uniform = _event(uniform, self.weight_rate)
        table = 2.0 * LARGEST_WEIGHT * polynomial_step(middles(_STEPS), self.weight_eta)
        steps = tf.gather(tf.constant(table, tf.float32), tf.cast(uniform * _STEPS, tf.int32))
        weights = tf.clip_by_value(genomes.weights + steps, -LARGEST_WEIGHT, LARGEST_WEIGHT)
        return genomes._replace(weights=tf.where(mutated & (genomes.weights != 0.0), weights, genomes.weights))

    def _mutate_activations(self, genomes: Genomes, uniform: tf.Tensor) -> Genomes:
        mutated, uniform = _event(uniform, self.activation_rate)
        mutated &= tf.range(self._targets) < (self._outputs + genomes.hidden)[:, None]
        return genomes._replace(activations=tf.where(mutated, _activation(uniform), genomes.activations))

    def _add_connection(self, genomes: Genomes, uniform: tf.Tensor) -> Genomes:
        added, which = _event(uniform[:, 0], self.add_connection)
        new = _pairs(*_draw(self._possible(genomes.hidden) & (genomes.weights == 0.0) & _each(added), which))
        return genomes._replace(weights=tf.where(new, _each(_weight(uniform[:, 1])), genomes.weights))

    def _possible(self, hidden: tf.Tensor) -> tf.Tensor:
        """Returns bool `[B, C + M, 4 + M]`: connections between nodes that are there, from earlier to later ones."""
        target = tf.range(self._targets)[:, None] - self._outputs
        source = tf.range(self._sources)[None, :] - len(INPUTS)
        return ((target < 0) | (source < target)) & (target < _each(hidden)) & (source < _each(hidden))

    def _delete_connection(self, genomes: Genomes, uniform: tf.Tensor) -> Genomes:
        deleted, which = _event(uniform[:, 0], self.delete_connection)
        gone = _pairs(*_draw((genomes.weights != 0.0) & _each(deleted), which))
        return genomes._replace(weights=tf.where(gone, 0.0, genomes.weights))

    def _add_neuron(self, genomes: Genomes, uniform: tf.Tensor) -> Genomes:
        """A neuron takes a connection's place: right before its target or, before an output, after all others."""
        added, which = _event(uniform[:, 0], self.add_neuron)
        added &= genomes.hidden < self.max_hidden
        target, source = _draw((genomes.weights != 0.0) & _each(added), which)
        added, old = tf.reduce_any(target, axis=1), _pairs(target, source)
        weight = tf.reduce_sum(tf.where(old, genomes.weights, 0.0), axis=[1, 2])
        before = tf.argmax(target, axis=1, output_type=tf.int32) - self._outputs
        place = tf.where(added, tf.where(before < 0, genomes.hidden, before), self.max_hidden)
        moved = self._move(genomes._replace(weights=tf.where(old, 0.0, genomes.weights)), place, 1)
        is_target = tf.range(self._targets) == (place + self._outputs)[:, None]
        is_source = tf.range(self._sources) == (place + len(INPUTS))[:, None]
        new = _pairs(is_target, source) | _pairs(_shift(target, 1, place + self._outputs, 1), is_source)
        return Genomes(
            moved.hidden + tf.cast(added, tf.int32),
            tf.where(is_target, _activation(uniform[:, 1:]), moved.activations),
            tf.where(new, _each(weight), moved.weights),
        )

    def _delete_neuron(self, genomes: Genomes, uniform: tf.Tensor) -> Genomes:
        deleted, which = _event(uniform[:, 0], self.delete_neuron)
        deleted &= genomes.hidden > 0
        place = tf.where(deleted, _whole(which, genomes.hidden), self.max_hidden)
        moved = self._move(genomes, place, -1)
        return moved._replace(hidden=moved.hidden - tf.cast(deleted, tf.int32))

    def _move(self, genomes: Genomes, place: tf.Tensor, step: int) -> Genomes:
        """Makes room for a hidden node at place int32 `[B]` (step 1), or closes up over the one there (step -1).

        Nothing moves where the place is `max_hidden`.
        """
        target, source = place + self._outputs, place + len(INPUTS)
        return Genomes(
            genomes.hidden,
            _shift(genomes.activations, 1, target, step),
            _shift(_shift(genomes.weights, 1, target, step), 2, source, step),
        )

    def render(self, genomes: Genomes) -> tf.Tensor:
        """See `Encoding`."""
        together = _together(genomes.hidden.shape[0])
        groups = tf.nest.map_structure(lambda field: tf.reshape(field, [-1, together, *field.shape[1:]]), genomes)
        values = tf.map_fn(self._values, groups, fn_output_signature=tf.float32, parallel_iterations=1)
        height, width, outputs = self.shape
        return cppn.on_grid(tf, cppn.colours(tf, tf.reshape(values, [-1, height, width, outputs]))) / 255.0

    def _values(self, genomes: Genomes) -> tf.Tensor:
        """Returns the outputs' absolute values at every pixel, float32 `[B, H W, C]`, node by node for all genomes."""
        weights, activations = tf.transpose(genomes.weights, [1, 2, 0]), tf.transpose(genomes.activations)
        rows, pixels = genomes.hidden.shape[0], self.shape[0] * self.shape[1]

        def value(target: Any, values: tf.Tensor) -> tf.Tensor:
            # Not a matrix product, which on some devices is not of float32 precision.
            potential = tf.reduce_sum(weights[target][:, :, None] * values, axis=0)
            return _activate(activations[target][:, None], potential)

        def body(node: tf.Tensor, values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            new = value(self._outputs + node, values)
            return node + 1, tf.tensor_scatter_nd_update(values, [[len(INPUTS) + node]], new[None])

        most = tf.reduce_max(genomes.hidden)
        inputs = cppn.inputs_at(*self.shape[:2], 0, self.shape[0]).reshape([len(INPUTS), 1, pixels])
        values = tf.pad(tf.tile(tf.constant(inputs, tf.float32), [1, rows, 1]), [[0, self.max_hidden], [0, 0], [0, 0]])
        _, values = tf.while_loop(lambda node, values: node < most, body, (tf.constant(0), values))
        return tf.abs(tf.stack([value(output, values) for output in range(self._outputs)], axis=-1))

    def image(self, genome: Genomes) -> np.ndarray:
        """See `Encoding`."""
        return cppn.render_at(genome, *self.shape[:2])

    def text(self, genome: Genomes) -> str:
        """See `Encoding`; `cppn.text`."""
        return cppn.text(genome)


def _together(rows: int) -> int:
    """Returns how many genomes are rendered at a time.

    One on a CPU: no more nodes than that one has, and all values in the cache. All elsewhere, where every turn of a
    loop costs.
    """
    kinds = {device.device_type for device in tf.config.list_physical_devices()}
    return 1 if kinds == {"CPU"} else rows


def _activate(activation: tf.Tensor, potential: tf.Tensor) -> tf.Tensor:
    """The activations in a graph, with one exponential: int32 and float32 `[P]` -> `[P]`."""
    sine, sigmoid, gaussian = (activation == place for place in range(3))
    power = tf.exp(tf.where(gaussian, -tf.square(potential), -potential))
    linear = tf.clip_by_value(potential, -3.0, 3.0) / 3.0
    bell_or_line = tf.where(gaussian, power, linear)
    return tf.where(sine, _sine(potential), tf.where(sigmoid, 2.0 / (1.0 + power) - 1.0, bell_or_line))


def _sine(angle: tf.Tensor) -> tf.Tensor:
    """Returns the sine within 1e-6 of angles up to 10,000, several times as fast as the function for any angle.

    To the nearest multiple of pi, then its Taylor polynomial of degree 11, whose error is below 6e-8 up to pi / 2.
    """
    half_turns = tf.round(angle * (1.0 / np.pi))
    rest = (angle - half_turns * _PI_HIGH) - half_turns * (np.pi - _PI_HIGH)
    square, series = tf.square(rest), 0.0
    for degree in range(11, 1, -2):
        series = (1.0 + series) * square * (-1.0 / (degree * (degree - 1)))
    odd = half_turns - 2.0 * tf.floor(half_turns * 0.5)
    return (rest + rest * series) * (1.0 - 2.0 * odd)


def _event(uniform: tf.Tensor, rate: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns whether numbers are below a rate, and, where they are, how far: again a number in [0, 1)."""
    return uniform < rate, tf.minimum(uniform / max(rate, 1e-9), 1.0 - 2.0**-24)


def _whole(uniform: tf.Tensor, count: Any) -> tf.Tensor:
    """Returns integers from 0 to below an int32 count, equally likely; -1 where the count is 0."""
    return tf.minimum(tf.cast(uniform * tf.cast(count, tf.float32), tf.int32), count - 1)


def _weight(uniform: tf.Tensor) -> tf.Tensor:
    return (2.0 * uniform - 1.0) * LARGEST_WEIGHT


def _activation(uniform: tf.Tensor) -> tf.Tensor:
    return _whole(uniform, tf.constant(len(ACTIVATIONS)))


def _each(row: tf.Tensor) -> tf.Tensor:
    return row[:, None, None]


def _draw(pairs: tf.Tensor, uniform: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Draws one of the pairs of each row, bool `[B, T, S]`, with a number in [0, 1).

    Returns:
      Its target, bool `[B, T]`, and source, bool `[B, S]`: one of each is true, or none where there is no pair.
    """
    of_target = tf.reduce_sum(tf.cast(pairs, tf.int32), axis=2)
    target, rest = _locate(of_target, _whole(uniform, tf.reduce_sum(of_target, axis=1)))
    of_source = tf.cast(tf.reduce_any(pairs & target[:, :, None], axis=1), tf.int32)
    return target, _locate(of_source, rest)[0]


def _pairs(target: tf.Tensor, source: tf.Tensor) -> tf.Tensor:
    return target[:, :, None] & source[:, None, :]


def _locate(counts: tf.Tensor, place: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Finds the item that a place is in, of items that take up int32 `[B, N]` places one after the other.

    Returns:
      Bool `[B, N]`, true for that item and for none where the place, int32 `[B]`, is negative; and the place within it.
    """
    ends = tf.cumsum(counts, axis=1)
    starts = ends - counts
    here = (starts <= place[:, None]) & (place[:, None] < ends)
    return here, place - tf.reduce_sum(tf.where(here, starts, 0), axis=1)


def _shift(field: tf.Tensor, axis: int, first: tf.Tensor, step: int) -> tf.Tensor:
    """Moves what lies from places int32 `[B]` on by one along an axis, onwards (1) or back over the first (-1).

    What becomes free is 0 or False. There is nothing to lose at the end of the axis where the step is onwards.
    """
    others = [1] * (len(field.shape) - 1)
    index = tf.reshape(tf.range(field.shape[axis]), [*others[:axis], -1, *others[axis:]])
    first = tf.reshape(first, [-1, *others])
    free = first if step == 1 else field.shape[axis] - 1
    moved = tf.where(index == free, tf.zeros([], field.dtype), tf.roll(field, step, axis))
    return tf.where(index < first, field, moved)

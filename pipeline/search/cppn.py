"""The CPPN encoding of Nguyen, Yosinski and Clune (arXiv 1412.1897): a small network says of each pixel what it is.

A compositional pattern producing network (Stanley, "Compositional pattern producing networks", 2007) maps a pixel's x
and y, its distance to the centre, and a bias of 1 to its grey level, or to its hue, lightness and saturation. Every
node has an activation of its own, and mutation changes what is connected. Activations, all within [-1, 1], are those of
sferes2, with which the authors worked:

    sine sin(p), sigmoid 2 / (1 + exp(-p)) - 1, gaussian exp(-p^2), linear p cut to [-3, 3], over 3.

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
import json
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from models.errors import InputError
from pipeline.search.direct import polynomial_step

INPUTS = ("x", "y", "distance", "bias")
ACTIVATIONS = ("sine", "sigmoid", "gaussian", "linear")
VERSION = 1
LARGEST_SIDE = 16384
_MOST_HIDDEN = 1000
_WEIGHT = 10.0  # weights are within [-10, 10]
_STRIP = 2**21  # values held at a time where a large image is rendered
_PI_HIGH = 3.140625  # exact in 9 bits: a multiple up to 2^15 of it is exact in float32


class Genomes(NamedTuple):
    """B networks of at most M hidden nodes and C outputs; one network in NumPy has no axis B.

    Targets of connections are the C outputs, then the hidden nodes; sources are the 4 inputs, then the hidden nodes. A
    hidden node's sources are the inputs and the hidden nodes before it. What is not there is 0; a connection whose
    weight becomes 0 is not there.

    Attributes:
      hidden: int32 `[B]`, how many hidden nodes there are; they are the first ones.
      activations: int32 `[B, C + M]`, places in `ACTIVATIONS`.
      weights: float32 `[B, C + M, 4 + M]`, within [-10, 10].
    """

    hidden: Any
    activations: Any
    weights: Any


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
        if not 1 <= self.max_hidden <= _MOST_HIDDEN:
            raise InputError(f"max_hidden is {self.max_hidden}; set it from 1 to {_MOST_HIDDEN}.")

    @property
    def _outputs(self) -> int:
        return self.shape[-1]

    @property
    def _targets(self) -> int:
        return self._outputs + self.max_hidden

    @property
    def _sources(self) -> int:
        return len(INPUTS) + self.max_hidden

    @property
    def first_draws(self) -> int:
        """One number a weight, one an activation."""
        return self._outputs * (len(INPUTS) + 1)

    @property
    def child_draws(self) -> int:
        """One number a possible weight, one a possible activation, and six for what comes and goes."""
        return self._targets * (self._sources + 1) + 6

    def first(self, uniform: tf.Tensor) -> Genomes:
        """Returns networks without hidden nodes, wholly connected; see `Encoding`."""
        rows, rest = uniform.shape[0], [[0, 0], [0, self.max_hidden]]
        weights, activations = tf.split(uniform, [self._outputs * len(INPUTS), self._outputs], axis=1)
        weights = tf.reshape(_weight(weights), [rows, self._outputs, len(INPUTS)])
        return Genomes(
            tf.zeros([rows], tf.int32),
            tf.pad(_activation(activations), rest),
            tf.pad(weights, [*rest, rest[1]]),
        )

    def child(self, one: Genomes, other: Genomes, uniform: tf.Tensor) -> tuple[Genomes, tf.Tensor]:
        """Mutates; see `Encoding`."""
        sizes = [self._targets * self._sources, self._targets, 2, 1, 2, 1]
        weights, activations, *changes = tf.split(uniform, sizes, axis=1)
        genomes = self._mutate_weights(one, tf.reshape(weights, one.weights.shape))
        genomes = self._mutate_activations(genomes, activations)
        genomes = self._add_connection(genomes, changes[0])
        genomes = self._delete_connection(genomes, changes[1])
        genomes = self._add_neuron(genomes, changes[2])
        return self._delete_neuron(genomes, changes[3]), tf.zeros([uniform.shape[0]], tf.bool)

    def _mutate_weights(self, genomes: Genomes, uniform: tf.Tensor) -> Genomes:
        mutated, uniform = _event(uniform, self.weight_rate)
        steps = 2.0 * _WEIGHT * polynomial_step(uniform, self.weight_eta)
        weights = tf.clip_by_value(genomes.weights + steps, -_WEIGHT, _WEIGHT)
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
        return _on_grid(tf, _colours(tf, tf.reshape(values, [-1, height, width, outputs]))) / 255.0

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
        inputs = _inputs(*self.shape[:2], 0, self.shape[0]).reshape([len(INPUTS), 1, pixels])
        values = tf.pad(tf.tile(tf.constant(inputs, tf.float32), [1, rows, 1]), [[0, self.max_hidden], [0, 0], [0, 0]])
        _, values = tf.while_loop(lambda node, values: node < most, body, (tf.constant(0), values))
        return tf.abs(tf.stack([value(output, values) for output in range(self._outputs)], axis=-1))

    def image(self, genome: Genomes) -> np.ndarray:
        """See `Encoding`."""
        return render_at(genome, *self.shape[:2])

    def text(self, genome: Genomes) -> str:
        """Returns one genome in NumPy as JSON.

        Nodes are numbered from 0: the inputs, the hidden nodes, the outputs. A connection is (source, target, weight).
        """
        inputs, outputs = len(INPUTS), self._outputs
        hidden = int(genome.hidden)
        names = [ACTIVATIONS[place] for place in genome.activations[: outputs + hidden]]
        numbers = [*range(inputs + hidden, inputs + hidden + outputs), *range(inputs, inputs + hidden)]
        connections = [
            [source, numbers[target], float(genome.weights[target, source])]
            for target, source in np.argwhere(genome.weights).tolist()
        ]
        fields = {"inputs": INPUTS, "hidden": names[outputs:], "outputs": names[:outputs], "connections": connections}
        return json.dumps({"version": VERSION, "encoding": "cppn"} | fields)


def parse(text: str) -> Genomes:
    """Returns the genome that `CPPN.text` wrote, one in NumPy with no room for more hidden nodes.

    Raises:
      InputError: it is no such genome, or of another version.
    """
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError("CPPN genome: not JSON; give the text that is stored with the image.") from None
    if not isinstance(fields, dict) or fields.get("encoding") != "cppn":
        raise InputError('CPPN genome: no JSON object with encoding "cppn"; give the text stored with the image.')
    for key, expected in {"version": VERSION, "inputs": list(INPUTS)}.items():
        if fields.get(key) != expected:
            raise InputError(f"CPPN genome: {key} is {fields.get(key)!r:.80}, expected {expected!r}.")
    hidden, outputs = _activations(fields, "hidden"), _activations(fields, "outputs")
    if len(hidden) > _MOST_HIDDEN:
        raise InputError(f"CPPN genome: {len(hidden)} hidden nodes, expected at most {_MOST_HIDDEN}.")
    if len(outputs) not in (1, 3):
        raise InputError(f"CPPN genome: {len(outputs)} outputs, expected 1 (grey) or 3 (hue, lightness, saturation).")
    weights = _weights(fields.get("connections"), len(hidden), len(outputs))
    return Genomes(np.int32(len(hidden)), np.array(outputs + hidden, np.int32), weights)


def _activations(fields: dict[str, Any], key: str) -> list[int]:
    names = fields.get(key)
    if not isinstance(names, list) or not all(name in ACTIVATIONS for name in names):
        raise InputError(f"CPPN genome: {key} is to be a list of {', '.join(ACTIVATIONS)}.")
    return [ACTIVATIONS.index(name) for name in names]


def _weights(given: Any, hidden: int, outputs: int) -> np.ndarray:
    """Returns the connections' weights as in `Genomes`."""
    if not isinstance(given, list):
        raise InputError("CPPN genome: connections is to be a list of [source, target, weight].")
    before = len(INPUTS) + hidden  # how many nodes come before the outputs
    weights = np.zeros([outputs + hidden, before], np.float32)
    for place, connection in enumerate(given):
        source, target, weight = _connection(place, connection, before, outputs)
        row = target - before if target >= before else outputs + target - len(INPUTS)
        if weights[row, source]:
            raise InputError(f"CPPN genome: connection {place}, from node {source} to node {target}, is there twice.")
        weights[row, source] = weight
    return weights


def _connection(place: int, given: Any, before: int, outputs: int) -> tuple[int, int, float]:
    what = f"CPPN genome: connection {place}"
    match given:
        case [int(source), int(target), int() | float() as weight] if not any(isinstance(x, bool) for x in given):
            pass
        case _:
            raise InputError(f"{what} is {given!r:.80}, expected [source, target, weight].")
    if not (0 <= source < min(target, before) and len(INPUTS) <= target < before + outputs):
        raise InputError(
            f"{what} goes from node {source} to node {target}; expected a source from 0 to {before - 1} and after it a "
            f"target from {len(INPUTS)} to {before + outputs - 1}."
        )
    if not -_WEIGHT <= weight <= _WEIGHT or not np.float32(weight):  # nor is NaN
        raise InputError(f"{what} has weight {weight!r:.80}, expected one within [-10, 10] and not 0.")
    return source, target, weight


def render_at(genome: str | Genomes, height: int, width: int) -> np.ndarray:
    """Renders one genome at any size, in float64.

    Args:
      genome: in NumPy, or as text.
      height: from 1 to `LARGEST_SIDE`.
      width: likewise.

    Returns:
      uint8 `[H, W, C]`. Corner pixels are at -1 and 1 whatever the size; one row or column alone is at 0.

    Raises:
      InputError: no such size, or as `parse`.
    """
    if not (1 <= height <= LARGEST_SIDE and 1 <= width <= LARGEST_SIDE):
        raise InputError(
            f"An image of {height} x {width} pixels cannot be made; each side is from 1 to {LARGEST_SIDE}."
        )
    genome = parse(genome) if isinstance(genome, str) else genome
    nodes = sum(genome.weights.shape)
    rows = max(1, _STRIP // (nodes * width))
    image = np.empty([height, width, _outputs(genome)], np.uint8)
    for top in range(0, height, rows):
        image[top : top + rows] = _strip(genome, height, width, top, min(top + rows, height))
    return image


def _outputs(genome: Genomes) -> int:
    targets, sources = genome.weights.shape
    return targets - (sources - len(INPUTS))


def _strip(genome: Genomes, height: int, width: int, top: int, bottom: int) -> np.ndarray:
    """Returns the rows from `top` to before `bottom`, uint8 `[bottom - top, W, C]`."""
    values = list(_inputs(height, width, top, bottom))
    outputs = _outputs(genome)

    def value(target: int) -> np.ndarray:
        potential = np.zeros(values[0].shape)
        for source in np.flatnonzero(genome.weights[target]):
            potential += float(genome.weights[target, source]) * values[source]
        return _FUNCTIONS[ACTIVATIONS[genome.activations[target]]](potential)

    for node in range(int(genome.hidden)):
        values.append(value(outputs + node))
    channels = np.abs(np.stack([value(output) for output in range(outputs)], axis=-1))
    return _on_grid(np, _colours(np, channels)).astype(np.uint8)


_FUNCTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "sine": np.sin,
    "sigmoid": lambda potential: np.tanh(potential / 2.0),
    "gaussian": lambda potential: np.exp(-np.square(potential)),
    "linear": lambda potential: np.clip(potential, -3.0, 3.0) / 3.0,
}


def _together(rows: int) -> int:
    """Returns how many genomes are rendered at a time.

    One on a CPU: no more nodes than that one has, and all values in the cache. All elsewhere, where every turn of a
    loop costs.
    """
    kinds = {device.device_type for device in tf.config.list_physical_devices()}
    return 1 if kinds == {"CPU"} else rows


def _activate(activation: tf.Tensor, potential: tf.Tensor) -> tf.Tensor:
    """`_FUNCTIONS` in a graph, with one exponential: int32 and float32 `[P]` -> `[P]`."""
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


def _inputs(height: int, width: int, top: int, bottom: int) -> np.ndarray:
    """Returns `INPUTS` of the pixels from row `top` to before row `bottom`, float64 `[4, bottom - top, W]`."""
    y, x = np.meshgrid(_axis(height)[top:bottom], _axis(width), indexing="ij")
    return np.stack([x, y, np.sqrt(np.square(x) + np.square(y)), np.ones(x.shape)])


def _axis(size: int) -> np.ndarray:
    """Returns coordinates from -1 to 1, exactly symmetric."""
    return (2.0 * np.arange(size) - (size - 1)) / max(size - 1, 1)


def _colours(library: Any, channels: Any) -> Any:
    """Returns grey as it is, and hue, lightness and saturation in [0, 1] as red, green and blue.

    Args:
      library: `np` or `tf`, as the channels are.
      channels: `[..., C]`.
    """
    if channels.shape[-1] == 1:
        return channels
    hue, lightness, saturation = channels[..., 0], channels[..., 1], channels[..., 2]
    reach = saturation * library.minimum(lightness, 1.0 - lightness)

    def channel(offset: float) -> Any:
        around = offset + 12.0 * hue
        around = library.where(around < 12.0, around, around - 12.0)
        rise = library.minimum(around - 3.0, 9.0 - around)
        return lightness - reach * library.maximum(library.minimum(rise, 1.0), -1.0)

    return library.stack([channel(offset) for offset in (0.0, 8.0, 4.0)], axis=-1)


def _on_grid(library: Any, channels: Any) -> Any:
    """Returns the nearest grey levels, 0 to 255, of channels in [0, 1]."""
    return library.floor(channels * 255.0 + 0.5)


def _event(uniform: tf.Tensor, rate: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns whether numbers are below a rate, and, where they are, how far: again a number in [0, 1)."""
    return uniform < rate, tf.minimum(uniform / max(rate, 1e-9), 1.0 - 2.0**-24)


def _whole(uniform: tf.Tensor, count: Any) -> tf.Tensor:
    """Returns integers from 0 to below an int32 count, equally likely; -1 where the count is 0."""
    return tf.minimum(tf.cast(uniform * tf.cast(count, tf.float32), tf.int32), count - 1)


def _weight(uniform: tf.Tensor) -> tf.Tensor:
    return (2.0 * uniform - 1.0) * _WEIGHT


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

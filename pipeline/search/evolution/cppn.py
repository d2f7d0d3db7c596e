"""Compositional pattern producing networks: a small network says of each pixel what it is, at any size of the image.

Such a network (Stanley, "Compositional pattern producing networks", 2007) maps a pixel's x and y, its distance to the
centre, and a bias of 1 to its grey level, or to its hue, lightness and saturation; here each is an output's absolute
value, the channels rounded to the nearest of 256 levels. Every node has an activation of its own. Activations, all
within [-1, 1], are those of sferes2:

    sine sin(p), sigmoid 2 / (1 + exp(-p)) - 1, gaussian exp(-p^2), linear p cut to [-3, 3], over 3.

One network is stored as JSON and rendered in NumPy; `cppn_encoding` has what evolution does to many.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from models.errors import InputError

INPUTS = ("x", "y", "distance", "bias")
ACTIVATIONS = ("sine", "sigmoid", "gaussian", "linear")
VERSION = 1
LARGEST_SIDE = 16384
MOST_HIDDEN = 1000
LARGEST_WEIGHT = 10.0  # weights are within [-10, 10]
_STRIP = 2**21  # values held at a time where a large image is rendered


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


def text(genome: Genomes) -> str:
    """Returns one genome in NumPy as JSON.

    Nodes are numbered from 0: the inputs, the hidden nodes, the outputs. A connection is (source, target, weight).
    """
    inputs, outputs = len(INPUTS), _outputs(genome)
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
    """Returns the genome that `text` wrote, one in NumPy with no room for more hidden nodes.

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
    if len(hidden) > MOST_HIDDEN:
        raise InputError(f"CPPN genome: {len(hidden)} hidden nodes, expected at most {MOST_HIDDEN}.")
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
    if not -LARGEST_WEIGHT <= weight <= LARGEST_WEIGHT or not np.float32(weight):  # nor is NaN
        raise InputError(f"{what} has weight {weight!r:.80}, expected one within [-10, 10] and not 0.")
    return source, target, weight


def check_size(height: int, width: int) -> None:
    """Raises InputError if no image of this size can be made."""
    if not (1 <= height <= LARGEST_SIDE and 1 <= width <= LARGEST_SIDE):
        raise InputError(
            f"An image of {height} x {width} pixels cannot be made; each side is from 1 to {LARGEST_SIDE}."
        )


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
    check_size(height, width)
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
    values = list(inputs_at(height, width, top, bottom))
    outputs = _outputs(genome)

    def value(target: int) -> np.ndarray:
        potential = np.zeros(values[0].shape)
        for source in np.flatnonzero(genome.weights[target]):
            potential += float(genome.weights[target, source]) * values[source]
        return _FUNCTIONS[ACTIVATIONS[genome.activations[target]]](potential)

    for node in range(int(genome.hidden)):
        values.append(value(outputs + node))
    channels = np.abs(np.stack([value(output) for output in range(outputs)], axis=-1))
    return on_grid(np, colours(np, channels)).astype(np.uint8)


_FUNCTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "sine": np.sin,
    "sigmoid": lambda potential: np.tanh(potential / 2.0),
    "gaussian": lambda potential: np.exp(-np.square(potential)),
    "linear": lambda potential: np.clip(potential, -3.0, 3.0) / 3.0,
}


def inputs_at(height: int, width: int, top: int, bottom: int) -> np.ndarray:
    """Returns `INPUTS` of the pixels from row `top` to before row `bottom`, float64 `[4, bottom - top, W]`."""
    y, x = np.meshgrid(_axis(height)[top:bottom], _axis(width), indexing="ij")
    return np.stack([x, y, np.sqrt(np.square(x) + np.square(y)), np.ones(x.shape)])


def _axis(size: int) -> np.ndarray:
    """Returns coordinates from -1 to 1, exactly symmetric."""
    return (2.0 * np.arange(size) - (size - 1)) / max(size - 1, 1)


def colours(library: Any, channels: Any) -> Any:
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


def on_grid(library: Any, channels: Any) -> Any:
    """Returns the nearest grey levels, 0 to 255, of channels in [0, 1]."""
    return library.floor(channels * 255.0 + 0.5)

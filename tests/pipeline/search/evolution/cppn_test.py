from __future__ import annotations

import colorsys
import dataclasses
import functools
import json
import math
from typing import Any, NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from models.errors import InputError
from pipeline.search.evolution import cppn, cppn_encoding
from pipeline.search.evolution.cppn import ACTIVATIONS, INPUTS, Genomes
from pipeline.search.evolution.cppn_encoding import CPPN
from pipeline.search.evolution.elites import Draws, Key

ROWS = 64
GREY = CPPN((28, 28, 1))
COLOUR = CPPN((16, 20, 3), max_hidden=5)
STILL = CPPN(
    (9, 9, 1),
    max_hidden=4,
    add_connection=0.0,
    delete_connection=0.0,
    add_neuron=0.0,
    delete_neuron=0.0,
    weight_rate=0.0,
    activation_rate=0.0,
)
FIELDS = {
    "version": 1,
    "encoding": "cppn",
    "inputs": ["x", "y", "distance", "bias"],
    "hidden": ["sine", "gaussian"],
    "outputs": ["sigmoid"],
    "connections": [[0, 4, 2.5], [3, 4, -1.0], [4, 5, 0.75], [2, 6, -10.0], [4, 6, 3.0], [5, 6, 10.0]],
}


def _draws(generation: int, images: Any = range(ROWS)) -> Draws:
    key = Key(tf.constant(7, tf.uint32), tf.constant([1, 2], tf.uint32))
    return Draws(key, tf.constant(images, tf.int32), tf.constant(generation))


@functools.cache
def _compiled(method: Any) -> Any:
    return tf.function(method, jit_compile=True, autograph=False)


def _grown(encoding: CPPN, generations: int) -> Genomes:
    genomes = encoding.first(_draws(0))
    child = _compiled(encoding.child)
    for generation in range(generations):
        genomes, _ = child(genomes, genomes, _draws(1 + generation))
    return _numpy(genomes)


def _numpy(genomes: Genomes) -> Genomes:
    return Genomes(*(field.numpy() for field in genomes))


def _rows(genomes: Genomes, rows: Any) -> Genomes:
    return Genomes(*(np.asarray(field)[rows] for field in genomes))


@pytest.fixture(scope="module", params=["grey", "colour"])
def grown(request) -> tuple[CPPN, Genomes]:
    """Genomes after 200 generations of mutation without selection: in colour most are full."""
    encoding = GREY if request.param == "grey" else COLOUR
    return encoding, _grown(encoding, 200)


class Graph(NamedTuple):
    """A genome in plain Python: activations' names, and weights by (source, target), numbered as in the text."""

    hidden: list[str]
    outputs: list[str]
    weights: dict[tuple[int, int], float]


def _graph(genome: Genomes, encoding: CPPN = STILL) -> Graph:
    fields = json.loads(encoding.text(genome))
    connections = {(source, target): weight for source, target, weight in fields["connections"]}
    return Graph(fields["hidden"], fields["outputs"], connections)


PARENT = _graph(cppn.parse(json.dumps(FIELDS)))


def _padded(text: str, encoding: CPPN) -> Genomes:
    """A genome of `ROWS` equal rows, padded to the encoding's size."""
    genome = cppn.parse(text)
    room = [0, encoding.max_hidden - int(genome.hidden)]
    padded = Genomes(
        genome.hidden, np.pad(genome.activations, [room]), np.pad(genome.weights, [room, room]).astype(np.float32)
    )
    return Genomes(*(tf.constant(np.repeat(np.asarray(field)[None], ROWS, axis=0)) for field in padded))


def _children(encoding: CPPN, fields: dict[str, Any] = FIELDS) -> list[Graph]:
    parents = _padded(json.dumps(fields), encoding)
    children, crossed = encoding.child(parents, parents, _draws(99))
    assert not crossed.numpy().any()
    return [_graph(_rows(_numpy(children), row)) for row in range(ROWS)]


def _value(graph: Graph, node: int, x: float, y: float) -> float:
    """What a node says of a point, in plain Python."""
    if node < len(INPUTS):
        return (x, y, math.hypot(x, y), 1.0)[node]
    potential = sum(
        weight * _value(graph, source, x, y) for (source, target), weight in graph.weights.items() if target == node
    )
    return {
        "sine": math.sin(potential),
        "sigmoid": 2.0 / (1.0 + math.exp(-potential)) - 1.0,
        "gaussian": math.exp(-(potential**2)),
        "linear": max(-3.0, min(3.0, potential)) / 3.0,
    }[[*graph.hidden, *graph.outputs][node - len(INPUTS)]]


def test_a_first_genome_has_no_hidden_node_and_every_connection():
    genomes = _grown(COLOUR, 0)
    assert not genomes.hidden.any() and not genomes.activations[:, 3:].any()
    assert (genomes.weights[:, :3, :4] != 0).all() and not genomes.weights[:, 3:].any()
    assert not genomes.weights[:, :, 4:].any()
    assert np.abs(genomes.weights).max() <= 10
    np.testing.assert_allclose(genomes.weights[:, :3, :4].std(), 10 / math.sqrt(3), rtol=0.1)
    assert set(genomes.activations[:, :3].ravel()) == set(range(len(ACTIVATIONS)))


def test_mutation_keeps_genomes_whole(grown):
    encoding, genomes = grown
    outputs, hidden = encoding.shape[-1], genomes.hidden[:, None, None]
    assert genomes.hidden.min() >= 0 and genomes.hidden.max() == encoding.max_hidden
    target = np.arange(genomes.weights.shape[1])[:, None] - outputs
    source = np.arange(genomes.weights.shape[2]) - len(INPUTS)
    possible = (source < hidden) & (target < hidden) & ((target < 0) | (source < target))
    assert not genomes.weights[~possible].any()
    assert np.abs(genomes.weights).max() <= 10
    assert genomes.activations.min() == 0 and genomes.activations.max() == len(ACTIVATIONS) - 1
    assert not genomes.activations[(np.arange(genomes.activations.shape[1]) - outputs) >= genomes.hidden[:, None]].any()


def test_the_compiled_image_is_the_reference_s(grown):
    encoding, genomes = grown
    compiled = _compiled(encoding.render)(Genomes(*map(tf.constant, genomes))).numpy()
    assert compiled.dtype == np.float32 and compiled.shape == (ROWS, *encoding.shape)
    levels = np.round(compiled * 255).astype(int)
    np.testing.assert_allclose(compiled, levels / 255, atol=1e-7)
    images = np.stack([encoding.image(_rows(genomes, row)) for row in range(ROWS)])
    assert images.dtype == np.uint8 and len({image.tobytes() for image in images}) > ROWS // 2
    assert np.abs(levels - images).max() <= 1
    assert (levels != images).mean() < 1e-3


def test_a_row_does_not_depend_on_the_others(grown):
    encoding, genomes = grown
    order = np.random.default_rng(0).permutation(ROWS)

    def made(rows: Any) -> list[np.ndarray]:
        some = Genomes(*map(tf.constant, _rows(genomes, rows)))
        children, _ = _compiled(encoding.child)(some, some, _draws(999, rows))
        return [field.numpy() for field in (*children, _compiled(encoding.render)(children))]

    together, permuted, alone = made(np.arange(ROWS)), made(order), made([17])
    for one, other, single in zip(together, permuted, alone):
        np.testing.assert_array_equal(one[order], other)
        np.testing.assert_array_equal(one[[17]], single)


def test_images_are_the_same_where_all_genomes_are_rendered_together(grown, monkeypatch):
    encoding, genomes = grown
    some = Genomes(*map(tf.constant, genomes))
    one_by_one = _compiled(encoding.render)(some).numpy()
    devices = [tf.config.PhysicalDevice(f"/{kind}:0", kind) for kind in ("CPU", "GPU")]
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda: devices)
    together = tf.function(encoding.render, jit_compile=True, autograph=False)
    np.testing.assert_allclose(together(some).numpy(), one_by_one, atol=1.01 / 255)


def test_without_rates_a_child_is_its_parent():
    assert all(child == PARENT for child in _children(STILL))


def test_weights_mutate_at_their_rate_and_stay_in_range():
    children = _children(dataclasses.replace(STILL, weight_rate=0.25))
    assert all(child.weights.keys() == PARENT.weights.keys() and child.hidden == FIELDS["hidden"] for child in children)
    steps = np.array([[child.weights[key] - weight for key, weight in PARENT.weights.items()] for child in children])
    assert 0.15 < (steps != 0).mean() < 0.3  # a weight at its bound mutates half of the time in vain
    assert 0.1 < np.abs(steps[steps != 0]).mean() < 2.0  # about 20 / (eta + 2)
    assert max(abs(weight) for child in children for weight in child.weights.values()) == 10.0


def test_activations_mutate_at_their_rate():
    children = _children(dataclasses.replace(STILL, activation_rate=0.4))
    kept = np.mean([child.hidden[0] == "sine" for child in children])
    assert 0.55 < kept < 0.85  # 0.7: a quarter of those that are drawn again stay
    assert {child.outputs[0] for child in children} == set(ACTIVATIONS)
    assert all(child.weights == PARENT.weights for child in children)


def test_a_connection_that_is_added_is_one_that_was_missing():
    missing = {(s, t) for t in (4, 5, 6) for s in range(t)} - PARENT.weights.keys()
    added = set()
    for child in _children(dataclasses.replace(STILL, add_connection=1.0)):
        (new,) = child.weights.keys() - PARENT.weights.keys()
        assert child == PARENT._replace(weights={**PARENT.weights, new: child.weights[new]})
        added.add(new)
    assert added == missing


def test_a_connection_that_is_deleted_was_there():
    deleted = set()
    for child in _children(dataclasses.replace(STILL, delete_connection=1.0)):
        (gone,) = PARENT.weights.keys() - child.weights.keys()
        assert child._replace(weights={**child.weights, gone: PARENT.weights[gone]}) == PARENT
        deleted.add(gone)
    assert deleted == PARENT.weights.keys()


def _split(graph: Graph, connection: tuple[int, int], activation: str) -> Graph:
    """What a neuron in a connection's place makes of a graph."""
    source, target = connection
    outputs_from = len(INPUTS) + len(graph.hidden)
    new = min(target, outputs_from)
    number = {node: node + (node >= new) for node in range(outputs_from + len(graph.outputs))}
    weights = {(number[s], number[t]): w for (s, t), w in graph.weights.items() if (s, t) != connection}
    weights |= dict.fromkeys([(number[source], new), (new, number[target])], graph.weights[connection])
    place = new - len(INPUTS)
    return Graph([*graph.hidden[:place], activation, *graph.hidden[place:]], graph.outputs, weights)


def test_a_neuron_takes_a_connection_s_place():
    expected = {(c, a): _split(PARENT, c, a) for c in PARENT.weights for a in ACTIVATIONS}
    drawn = [
        [key for key, graph in expected.items() if graph == child]
        for child in _children(dataclasses.replace(STILL, add_neuron=1.0))
    ]
    assert all(len(keys) == 1 for keys in drawn)
    assert {connection for ((connection, _),) in drawn} == PARENT.weights.keys()
    assert {activation for ((_, activation),) in drawn} == set(ACTIVATIONS)


def _without_node(graph: Graph, place: int) -> Graph:
    node = len(INPUTS) + place
    weights = {(s - (s > node), t - (t > node)): w for (s, t), w in graph.weights.items() if node not in (s, t)}
    return Graph([*graph.hidden[:place], *graph.hidden[place + 1 :]], graph.outputs, weights)


def test_a_neuron_that_is_deleted_takes_its_connections_along():
    expected = [_without_node(PARENT, place) for place in range(2)]
    children = _children(dataclasses.replace(STILL, delete_neuron=1.0))
    assert all(child in expected for child in children) and all(graph in children for graph in expected)


def test_a_full_genome_does_not_grow():
    full = dataclasses.replace(STILL, max_hidden=2, add_neuron=1.0)
    assert all(child == PARENT for child in _children(full))


def test_there_is_nothing_to_lose_in_an_empty_genome_and_nowhere_to_add_a_neuron():
    empty = FIELDS | {"hidden": [], "connections": []}
    changing = dataclasses.replace(STILL, delete_connection=1.0, add_neuron=1.0, delete_neuron=1.0)
    assert all(child == Graph([], ["sigmoid"], {}) for child in _children(changing, empty))


def test_there_is_no_connection_to_add_where_all_are_there():
    whole = FIELDS | {"connections": [[s, t, 1.0] for t in (4, 5, 6) for s in range(t)]}
    assert all(len(child.weights) == 15 for child in _children(dataclasses.replace(STILL, add_connection=1.0), whole))


def test_an_image_is_what_its_graph_says():
    axis = [-1.0, -0.5, 0.0, 0.5, 1.0]
    expected = [[[math.floor(abs(_value(PARENT, 6, x, y)) * 255 + 0.5)] for x in axis] for y in axis]
    np.testing.assert_array_equal(cppn.render_at(json.dumps(FIELDS), 5, 5), expected)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_are_within_one_and_the_same_in_a_graph(activation):
    potentials = np.concatenate([np.linspace(-6, 6, 1001), np.linspace(-300, 300, 1001)]).astype(np.float32)
    reference = cppn._FUNCTIONS[activation](potentials.astype(np.float64))
    assert np.abs(reference).max() <= 1
    compiled = _compiled(cppn_encoding._activate)(tf.constant(ACTIVATIONS.index(activation)), tf.constant(potentials))
    np.testing.assert_allclose(compiled, reference, atol=1e-6)


def test_sines_of_large_angles():
    angles = np.random.default_rng(0).uniform(-10_000, 10_000, 100_000).astype(np.float32)
    sines = _compiled(cppn_encoding._sine)(tf.constant(angles))
    np.testing.assert_allclose(sines, np.sin(angles.astype(np.float64)), atol=1e-6)


def test_colours_are_those_of_colorsys():
    hls = np.concatenate([np.random.default_rng(0).random((200, 3)), np.eye(3), np.ones((1, 3)), np.zeros((1, 3))])
    expected = [colorsys.hls_to_rgb(*row) for row in hls]
    np.testing.assert_allclose(cppn.colours(np, hls), expected, atol=1e-12)
    np.testing.assert_allclose(cppn.colours(tf, tf.constant(hls)), expected, atol=1e-12)


def test_what_knows_the_distance_alone_is_symmetric():
    image = cppn.render_at(json.dumps(FIELDS | {"connections": [[2, 4, 9.5], [4, 5, 3.3], [5, 6, 2.0]]}), 32, 32)
    assert len(np.unique(image)) > 20
    for other in (image[::-1], image[:, ::-1], image.transpose(1, 0, 2)):
        np.testing.assert_array_equal(image, other)


def test_a_text_gives_the_same_genome_and_the_same_image(grown):
    encoding, genomes = grown
    for row in range(0, ROWS, 4):
        genome = _rows(genomes, row)
        text = encoding.text(genome)
        assert json.loads(text)["version"] == 1 and json.loads(text)["encoding"] == "cppn"
        read, hidden = cppn.parse(text), int(genome.hidden)
        targets = encoding.shape[-1] + hidden
        np.testing.assert_array_equal(read.activations, genome.activations[:targets])
        np.testing.assert_array_equal(read.weights, genome.weights[:targets, : len(INPUTS) + hidden])
        assert encoding.text(read) == text
        np.testing.assert_array_equal(cppn.render_at(text, *encoding.shape[:2]), encoding.image(genome))


def test_a_point_has_one_colour_at_every_size(grown, monkeypatch):
    genome = _rows(grown[1], 3)
    small = cppn.render_at(genome, 12, 15)
    large = cppn.render_at(genome, 23, 29)
    np.testing.assert_array_equal(large[::2, ::2], small)
    np.testing.assert_array_equal(cppn.render_at(genome, 1, 29), large[11:12])
    monkeypatch.setattr(cppn, "_STRIP", 1)  # a row at a time
    np.testing.assert_array_equal(cppn.render_at(genome, 23, 29), large)


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (16385, 5), (5, 16385)])
def test_no_image_is_made_of_a_size_out_of_range(size):
    with pytest.raises(InputError, match=rf"{size[0]} x {size[1]} pixels cannot be made; each side is from 1 to 16384"):
        cppn.render_at(json.dumps(FIELDS), *size)


def test_images_of_two_channels_cannot_be_encoded():
    with pytest.raises(InputError, match="1 or 3 channels; these have 2"):
        CPPN((28, 28, 2))


@pytest.mark.parametrize("max_hidden", [0, 1001])
def test_genomes_of_no_size_or_an_absurd_one_are_refused(max_hidden):
    with pytest.raises(InputError, match=f"max_hidden is {max_hidden}; set it from 1 to 1000"):
        CPPN((28, 28, 1), max_hidden)


def _connected(*connection: Any) -> dict[str, Any]:
    return {"connections": [connection]}


@pytest.mark.parametrize(
    "change, expected",
    [
        ("no JSON", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", 'no JSON object with encoding "cppn"'),
        ({"encoding": "direct"}, 'no JSON object with encoding "cppn"'),
        ({"version": 2}, "version is 2, expected 1"),
        ({"inputs": ["x", "y"]}, "inputs is .*, expected .*distance"),
        ({"hidden": ["tanh"]}, "hidden is to be a list of sine, sigmoid, gaussian, linear"),
        ({"hidden": [["sine"]]}, "hidden is to be a list"),
        ({"outputs": None}, "outputs is to be a list"),
        ({"outputs": []}, "0 outputs, expected 1"),
        ({"outputs": ["sine", "sine"]}, "2 outputs, expected 1"),
        ({"hidden": ["sine"] * 1001}, "1001 hidden nodes, expected at most 1000"),
        ({"connections": {}}, "connections is to be a list"),
        (_connected(0, 4), r"connection 0 is \[0, 4\], expected \[source, target, weight\]"),
        (_connected(0, 4, "1"), r"expected \[source, target, weight\]"),
        (_connected(False, 4, 1.0), r"expected \[source, target, weight\]"),
        (
            _connected(5, 4, 1.0),
            "from node 5 to node 4; expected a source from 0 to 5 and after it a target from 4 to 6",
        ),
        (_connected(4, 4, 1.0), "from node 4 to node 4"),
        (_connected(6, 6, 1.0), "from node 6 to node 6"),
        (_connected(0, 7, 1.0), "from node 0 to node 7"),
        (_connected(0, 3, 1.0), "from node 0 to node 3"),
        (_connected(-1, 4, 1.0), "from node -1 to node 4"),
        (_connected(0, 4, 10.5), r"weight 10.5, expected one within \[-10, 10\] and not 0"),
        (_connected(0, 4, float("nan")), "weight nan, expected"),
        (_connected(0, 4, float("inf")), "weight inf, expected"),
        (_connected(0, 4, 10**400), "weight 1000"),
        (_connected(0, 4, 0), "weight 0, expected"),
        ({"connections": [[0, 4, 1.0], [0, 4, 2.0]]}, "connection 1, from node 0 to node 4, is there twice"),
    ],
)
def test_a_bad_genome_is_one_sentence(change, expected):
    text = change if isinstance(change, str) else json.dumps(FIELDS | change)
    with pytest.raises(InputError, match=expected) as raised:
        cppn.parse(text)
    message = str(raised.value)
    assert message.startswith("CPPN genome: ") and message.endswith(".") and "\n" not in message
    assert len(message) < 200

"""What every operator owes to searches and to records; a new one is tested by its line in the table."""

from __future__ import annotations

import dataclasses
import functools
import pickle
import typing
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from models import settings
from models.errors import InputError
from pipeline.kinds.mistakes.methods import MovedGrading
from pipeline.operators.geometric import Geometric
from pipeline.operators.operator import Operator
from pipeline.operators.photo import Photo
from pipeline.operators.photometric import Photometric
from pipeline.operators.registry import OPERATORS
from tests.pipeline import nets
from tests.pipeline.kinds import toys
from tests.pipeline.operators.moves import NO_COLOUR

IMAGES, LANES, MOST_MOVES = 5, 32, 4
SHAPES = [(8, 8, 1), (7, 16, 3)]


def _choices(cls: type[Any]) -> Iterator[Any]:
    """An operator as it is by default, and with each of its other choices."""
    yield cls()
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        if typing.get_origin(hints[field.name]) is typing.Literal:
            others = [choice for choice in typing.get_args(hints[field.name]) if choice != field.default]
            yield from (cls(**{field.name: choice}) for choice in others)


def _takes(operator: Any, shape: tuple[int, ...]) -> bool:
    try:
        operator.sources(tf.zeros([1, *shape], tf.uint8))
    except InputError:
        return False
    return True


ALL = [
    *(operator for cls in (*OPERATORS, toys.Brightness) for operator in _choices(cls)),
    *(Geometric(flip=0.5), Photometric(**NO_COLOUR), Photo(**NO_COLOUR), Photo(flip=0.5)),
]
CASES = [(operator, shape) for operator in ALL for shape in SHAPES if _takes(operator, shape)]


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0].name}-{case[1]}")
def case(request) -> tuple[Operator, tuple[int, ...]]:
    return request.param


@pytest.fixture
def operator(case) -> Operator:
    return case[0]


@pytest.fixture
def images(case) -> np.ndarray:
    return nets.images(IMAGES, case[1])


def _rows() -> np.ndarray:
    return (np.arange(LANES) * 3 % IMAGES).astype(np.int32)


def _uniform(operator: Operator, moves: int) -> np.ndarray:
    """Numbers for some moves of every lane, float32 `[L, M, P]`; the first lanes' are at both ends."""
    parameters = len(operator.parameter_names)
    numbers = np.random.default_rng(17).random((LANES, MOST_MOVES, parameters), np.float32)
    numbers[:2] = np.array([0.0, np.nextafter(np.float32(1), np.float32(0))])[:, None, None]
    return numbers[:, :moves]


def _chains(operator: Operator, uniform: np.ndarray, images: np.ndarray) -> list[np.ndarray]:
    return [operator.parameters(numbers, *images.shape[1:3]) for numbers in uniform.astype(np.float64)]


@functools.cache
def _compiled(operator: Operator) -> Any:
    @tf.function(jit_compile=True, autograph=False)
    def run(images: tf.Tensor, rows: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
        sources = operator.sources(images)
        pose = operator.identity(rows.shape[0], sources)
        for move in range(uniform.shape[1]):
            pose = operator.then(pose, uniform[:, move], sources)
        return operator.apply(sources, rows, pose)

    return run


def _applied(operator: Operator, images: np.ndarray, rows: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """What a search sees after the moves, all lanes at once."""
    return _compiled(operator)(*(tf.constant(array) for array in (images, rows, uniform))).numpy()


def _assert_within_a_grey_level(applied: np.ndarray, rendered: np.ndarray) -> None:
    assert applied.shape == rendered.shape
    assert np.abs(applied - rendered.astype(np.float32)).max() <= 1


@pytest.mark.parametrize("moves", [1, MOST_MOVES])
def test_a_search_sees_what_is_rendered_within_a_grey_level(operator, images, moves):
    uniform = _uniform(operator, moves)
    applied = _applied(operator, images, _rows(), uniform)
    rendered = operator.render(images[_rows()], _chains(operator, uniform, images))
    _assert_within_a_grey_level(applied, rendered)
    assert applied.dtype == np.float32 and rendered.dtype == np.uint8
    np.testing.assert_array_equal(applied, applied.astype(np.uint8))
    assert (rendered != images[_rows()]).any(), "it moves something"


def test_then_of_the_identity_is_a_single_move(operator, images):
    sources, uniform = operator.sources(tf.constant(images)), _uniform(operator, 1)
    pose = operator.then(operator.identity(LANES, sources), tf.constant(uniform[:, 0]), sources)
    rendered = operator.render(images[_rows()], _chains(operator, uniform, images))
    _assert_within_a_grey_level(operator.apply(sources, tf.constant(_rows()), pose).numpy(), rendered)


def test_one_move_more_does_not_change_what_a_pose_is(operator, images):
    sources = operator.sources(tf.constant(images))
    identity = operator.identity(LANES, sources)
    pose = operator.then(identity, tf.constant(_uniform(operator, 1)[:, 0]), sources)
    tf.nest.assert_same_structure(identity, pose)
    for before, after in zip(tf.nest.flatten(identity), tf.nest.flatten(pose), strict=True):
        assert before.shape[0] == LANES and (before.shape, before.dtype) == (after.shape, after.dtype)


def test_no_moves_leave_images_as_they_are(operator, images):
    none = np.zeros((0, len(operator.parameter_names)))
    np.testing.assert_array_equal(operator.render(images, [none] * IMAGES), images)
    np.testing.assert_array_equal(_applied(operator, images, _rows(), _uniform(operator, 0)), images[_rows()])


def test_images_of_a_search_are_sources_as_uint8_images_are(operator, images):
    grey = tf.constant(images)
    np.testing.assert_array_equal(operator.sources(tf.cast(grey, tf.float32)), operator.sources(grey))


def test_a_lane_is_the_same_whatever_the_others_are_and_wherever_it_stands(operator, images):
    rows, uniform = _rows(), _uniform(operator, MOST_MOVES)
    together = _applied(operator, images, rows, uniform)
    order = np.random.default_rng(3).permutation(LANES)
    np.testing.assert_array_equal(_applied(operator, images, rows[order], uniform[order]), together[order])
    for lane in (0, 1, LANES - 1):
        alike = np.full(LANES, lane)
        np.testing.assert_array_equal(_applied(operator, images, rows[alike], uniform[alike]), together[alike])


def test_an_image_renders_to_the_same_bytes_alone_in_a_batch_and_in_any_order(operator, images):
    originals, chains = images[_rows()], _chains(operator, _uniform(operator, MOST_MOVES), images)
    chains = [chain[: place % (MOST_MOVES + 1)] for place, chain in enumerate(chains)]  # of all lengths
    together = operator.render(originals, chains)
    order = np.random.default_rng(3).permutation(LANES)
    permuted = operator.render(originals[order], [chains[place] for place in order])
    np.testing.assert_array_equal(permuted, together[order])
    for place, chain in enumerate(chains):
        alone = operator.render(originals[place : place + 1], [chain])
        assert alone.tobytes() == together[place].tobytes()


def test_no_images_render_to_none(operator, images):
    assert operator.render(images[:0], []).shape == (0, *images.shape[1:])


def test_a_move_is_recorded_by_its_parameters_whatever_comes_before(operator):
    chain = operator.parameters(_uniform(operator, MOST_MOVES)[5].astype(np.float64), *SHAPES[1][:2])
    assert chain.shape == (MOST_MOVES, len(operator.parameter_names)) and chain.dtype == np.float64
    assert np.isfinite(chain).all() and len(set(operator.parameter_names)) == len(operator.parameter_names)
    last = operator.parameters(_uniform(operator, MOST_MOVES)[5, -1:].astype(np.float64), *SHAPES[1][:2])
    np.testing.assert_array_equal(last, chain[-1:])


@pytest.mark.parametrize("moves", [0, 1, MOST_MOVES])
def test_what_is_recorded_of_a_chain_has_the_shapes_that_are_declared(operator, images, moves):
    chains = _chains(operator, _uniform(operator, moves), images)[:3]
    composed = operator.composed(chains, *images.shape[1:3])
    assert {name: array.shape for name, array in composed.items()} == {
        name: (3, *shape) for name, shape in operator.composed_shapes.items()
    }
    assert all(array.dtype == np.float64 and np.isfinite(array).all() for array in composed.values())


def test_it_says_of_every_chain_whether_it_is_realistic(operator, images):
    for chain in _chains(operator, _uniform(operator, MOST_MOVES), images):
        assert isinstance(operator.realistic(chain, *images.shape[1:3], MovedGrading()), bool)


def test_its_ranges_are_settings_and_it_travels_to_workers(operator):
    assert all(settings.about(field).meaning for field in dataclasses.fields(operator))
    assert pickle.loads(pickle.dumps(operator)) == operator


def test_every_operator_takes_colour_images_and_as_it_is_or_with_other_ranges_grey_ones():
    for cls in OPERATORS:
        assert {shape for operator, shape in CASES if type(operator) is cls} == set(SHAPES)
        assert _takes(cls(), SHAPES[1])


def test_operators_have_names_of_their_own():
    assert len({cls.name for cls in OPERATORS}) == len(OPERATORS)


def test_an_operator_that_says_so_has_a_gradient_and_it_is_finite(operator, images):
    images = images.copy()
    images[:, :2] = 0  # black has a slope, too
    parameters = len(operator.parameter_names)
    numbers = tf.fill([1, parameters], 0.4)
    sources = operator.sources(tf.constant(images))

    @tf.function(jit_compile=True, autograph=False)
    def sloped(numbers):
        with tf.GradientTape() as tape:
            tape.watch(numbers)
            pose = operator.then(operator.identity(1, sources), numbers, sources)
            weights = tf.reshape(tf.range(images[0].size, dtype=tf.float32), [1, *images[0].shape])
            total = tf.reduce_sum(weights * operator.apply(sources, tf.zeros([1], tf.int32), pose))
        return tape.gradient(total, numbers, unconnected_gradients="zero")

    slopes = sloped(numbers).numpy()[0]
    assert np.isfinite(slopes).all()
    assert slopes.any() == operator.has_gradient, slopes

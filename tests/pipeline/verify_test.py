from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from pipeline import records, seeding, transforms, verify
from pipeline.criteria import Judgement, PeerPressure
from pipeline.verify import Grading
from tests.pipeline import nets

RUN_SEED = 99
OPERATOR = transforms.Affine(rotation_degrees=9.0, translation_pixels=0.6)
STEPS = [np.array(steps, np.int32) for steps in ([0], [2, 3, 17], [5, 6, 1000])]


def _chains(operator: transforms.Affine = OPERATOR) -> list[verify.Chain]:
    words = nets.seeds(len(STEPS)).words
    return [
        verify.chain_from_steps(operator, RUN_SEED, words[row], 1, steps, nets.SHAPE) for row, steps in enumerate(STEPS)
    ]


@tf.function(jit_compile=True)
def _walk(image: tf.Tensor, words: tf.Tensor, steps: tf.Tensor) -> tf.Tensor:
    """Draws, composes and applies moves as the search does; all states of one trial, `[M, H, W, C]`."""
    count = steps.shape[0]
    numbers = seeding.draws_tf(tf.constant(RUN_SEED, tf.uint32), words, tf.ones([count], tf.int32), steps, 6)
    moves, matrix, states = OPERATOR.draw_tf(numbers, *nets.SHAPE[:2]), None, []
    source = transforms.pad_tf(image, OPERATOR.border)
    for move in range(count):
        row = [entry[move : move + 1] for entry in moves]
        matrix = row if matrix is None else transforms.compose_tf(matrix, row)
        states.append(transforms.warp_tf(source, tf.constant([0]), matrix)[0])
    return tf.stack(states)


def test_a_chain_redraws_what_the_search_draws():
    seeds = nets.seeds(len(STEPS))
    for row, (steps, chain) in enumerate(zip(STEPS, _chains())):
        words = np.repeat(seeds.words[row : row + 1], len(steps), axis=0)
        walked = _walk(*(tf.constant(array) for array in (seeds.images[row : row + 1], words, steps))).numpy()
        rendered = verify.render_states(seeds.images[row], chain, "matrix", "constant")
        assert rendered.dtype == np.uint8 and rendered.shape == walked.shape
        assert np.abs(rendered.astype(int) - walked).max() <= 1


def test_a_chain_from_its_own_parameters_is_the_same_chain():
    for chain in _chains():
        again = verify.chain_from_parameters(OPERATOR, chain.parameters, nets.SHAPE)
        for one, other in zip(again, chain):
            np.testing.assert_array_equal(one, other)


def test_a_move_depends_on_its_own_step_number_only():
    words = nets.seeds(1).words[0]
    many = verify.chain_from_steps(OPERATOR, RUN_SEED, words, 0, np.array([3, 8, 9]), nets.SHAPE)
    one = verify.chain_from_steps(OPERATOR, RUN_SEED, words, 0, np.array([8]), nets.SHAPE)
    np.testing.assert_array_equal(one.parameters[0], many.parameters[1])


def test_no_steps_are_a_chain_without_moves():
    chain = verify.chain_from_steps(OPERATOR, RUN_SEED, nets.seeds(1).words[0], 0, np.zeros(0, np.int32), nets.SHAPE)
    assert chain.parameters.shape == (0, 6) and chain.matrices.shape == (0, 2, 3)
    np.testing.assert_array_equal(chain.composed, transforms.IDENTITY)


@pytest.mark.parametrize("compose", ["matrix", "image"])
def test_a_chain_without_moves_renders_to_the_seed_image(compose):
    chain = verify.chain_from_parameters(OPERATOR, np.zeros((0, 6)), nets.SHAPE)
    image = nets.images(1)
    np.testing.assert_array_equal(verify.render_final(image, [chain], compose, "constant"), image)
    assert verify.render_states(image[0], chain, compose, "constant").shape == (0, *nets.SHAPE)


@pytest.mark.parametrize("border", ["constant", "edge"])
@pytest.mark.parametrize("compose", ["matrix", "image"])
def test_a_final_image_is_the_last_state_alone_or_in_a_batch(compose, border):
    images, chains = nets.images(len(STEPS)), _chains()
    together = verify.render_final(images, chains, compose, border)
    for row, chain in enumerate(chains):
        alone = verify.render_final(images[row : row + 1], [chain], compose, border)[0]
        assert alone.tobytes() == together[row].tobytes()
        last = verify.render_states(images[row], chain, compose, border)[-1]
        assert last.tobytes() == alone.tobytes()


def test_composing_images_resamples_move_by_move():
    image, chain = nets.images(2)[1], _chains()[1]
    state = image
    for matrix, rendered in zip(chain.matrices, verify.render_states(image, chain, "image", "constant")):
        state = transforms.render(state[None], matrix[None])[0]
        np.testing.assert_array_equal(rendered, state)


def test_both_ways_of_composing_agree_on_one_move_and_differ_on_more():
    image = nets.images(2)[1]
    by_matrix, by_image = (
        verify.render_states(image, _chains()[1], compose, "constant") for compose in ("matrix", "image")
    )
    np.testing.assert_array_equal(by_matrix[0], by_image[0])
    assert (by_matrix[2] != by_image[2]).any()


def test_nothing_found_renders_to_nothing():
    for compose in ("matrix", "image"):
        assert verify.render_final(nets.images(0), [], compose, "constant").shape == (0, *nets.SHAPE)


def test_failures_say_whether_a_peer_or_the_target_was_at_fault():
    right, wrong, unsure = (0.9, 0.1), (0.2, 0.8), (0.45, 0.55)
    rows = [(right, wrong), (wrong, wrong), (right, right), (right, unsure), (wrong, right)]
    probabilities = np.array(rows, np.float32).transpose(1, 0, 2)
    judgement = verify.judge(PeerPressure(0.5, 0.6), probabilities, np.zeros(5, int), np.ones(5, int))
    peer, target = verify.PEER_LOST, verify.TARGET_RIGHT
    assert verify.failures(judgement) == ["", peer, target, target, peer]
    assert all(type(reason) is str for reason in verify.failures(judgement))


def test_a_judgement_is_in_numpy_and_of_nothing_where_nothing_is_judged():
    judgement = verify.judge(PeerPressure(), np.zeros((2, 0, 3), np.float32), np.zeros(0, int), np.zeros(0, int))
    assert isinstance(judgement, Judgement) and all(isinstance(field, np.ndarray) for field in judgement)
    assert verify.failures(judgement) == []


WIDE, LEAST = (20, 40, 1), np.array([0, 0, 0, 1, 1, 0], np.float64)  # a shape; the parameters of no move
LIMITS = Grading(rotation_degrees=30, translation=0.1, scale=0.25, stretch=0.15, shear_degrees=16)
MOST = [  # parameter, the largest and the least value within the limits
    ("rotation_degrees", 30, -30),
    ("translate_x", 4, -4),
    ("translate_y", 2, -2),
    ("scale", 1.25, 1 / 1.25),
    ("stretch", 1.15, 1 / 1.15),
    ("shear_degrees", 16, -16),
]


def _moved(*moves: dict[str, float]) -> verify.Chain:
    names = OPERATOR.parameter_names
    parameters = [[move.get(name, still) for name, still in zip(names, LEAST)] for move in moves]
    return verify.chain_from_parameters(OPERATOR, np.array(parameters), WIDE)


@pytest.mark.parametrize(("part", "most", "least"), MOST)
def test_a_move_is_realistic_up_to_its_limit_either_way_and_no_further(part, most, least):
    middle = 1 if part in ("scale", "stretch") else 0
    for end in (most, least):
        assert LIMITS.realistic(_moved({part: end}).composed, WIDE)
        assert not LIMITS.realistic(_moved({part: middle + (end - middle) * 1.001}).composed, WIDE)


@pytest.mark.parametrize(("part", "most", "least"), MOST)
def test_what_counts_is_what_the_moves_do_together(part, most, least):
    assert not LIMITS.realistic(_moved({part: most}, {part: most}).composed, WIDE)
    assert LIMITS.realistic(_moved({part: most}, {part: most}, {part: least}).composed, WIDE)


def test_upside_down_is_not_realistic_and_a_full_turn_is():
    turns = [{"rotation_degrees": 30.0}] * 12
    assert not Grading().realistic(_moved(*turns[:6]).composed, WIDE)
    assert Grading().realistic(_moved(*turns).composed, WIDE)


def test_no_moves_are_realistic_whatever_the_limits():
    assert Grading(0, 0, 0, 0, 0, 0).realistic(transforms.IDENTITY, WIDE)


@pytest.mark.parametrize("matrix", [[[-1, 0, 39], [0, 1, 0]], [[1, 0, 0], [0, -1, 19]], [[0, 1, 0], [1, 0, 0]]])
def test_a_mirrored_image_is_not_realistic_however_wide_the_limits(matrix):
    wide = Grading(0, 180, 1000, 1000, 1000, 90)
    assert not wide.realistic(np.array(matrix), WIDE)
    assert wide.realistic(np.array(matrix) * [[-1], [1]], WIDE), "mirrored once more"


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_a_matrix_without_inverse_is_not_realistic(value):
    assert not Grading().realistic(np.full((2, 3), value), WIDE)


@pytest.mark.parametrize(
    ("changes", "grade"),
    [
        ({}, records.HIGH),
        ({"judge_class": -1}, records.HIGH),
        ({"peer_margin": 0.25}, records.HIGH),
        ({"peer_margin": 0.2499}, records.LOW),
        ({"judge_class": 5}, records.LOW),
        ({"realistic": False}, records.LOW),
    ],
)
def test_a_mistake_is_of_high_value_if_realistic_agreed_and_clear_to_the_peers(changes, grade):
    arguments = {"realistic": True, "peer_margin": 0.5, "judge_class": 3, "label": 3, **changes}
    assert dataclasses.replace(Grading(), peer_margin=0.25).grade(**arguments) == grade

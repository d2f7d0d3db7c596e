from __future__ import annotations

import numpy as np
import pytest

from pipeline import records
from pipeline.criteria import Judgement, PeerPressure
from pipeline.kinds.mistakes import chains
from pipeline.operators import warp
from pipeline.operators.affine import Affine
from tests.pipeline import nets
from tests.pipeline.kinds.toys import Brightness

OPERATOR = Affine(rotation_degrees=9.0, translation_pixels=0.6)
OPERATORS = [OPERATOR, Affine(rotation_degrees=9.0, translation_pixels=0.6, border="edge"), Brightness()]
NAMES = ["constant", "edge", "brightness"]


def _chains(operator=OPERATOR) -> list[np.ndarray]:
    """Returns chains of one and of three moves."""
    uniform = np.random.default_rng(3).random((7, len(operator.parameter_names)))
    return [operator.parameters(uniform[first:last], *nets.SHAPE[:2]) for first, last in ((0, 1), (1, 4), (4, 7))]


@pytest.mark.parametrize("compose", ["matrix", "image"])
@pytest.mark.parametrize("operator", OPERATORS, ids=NAMES)
def test_a_chain_without_moves_renders_to_the_seed_image(operator, compose):
    chain = np.zeros((0, len(operator.parameter_names)))
    image = nets.images(1)
    np.testing.assert_array_equal(chains.render_final(operator, image, [chain], compose), image)
    assert chains.render_states(operator, image[0], chain, compose).shape == (0, *nets.SHAPE)


@pytest.mark.parametrize("compose", ["matrix", "image"])
@pytest.mark.parametrize("operator", OPERATORS, ids=NAMES)
def test_a_final_image_is_the_last_state_alone_or_in_a_batch(operator, compose):
    found = _chains(operator)
    images = nets.images(len(found))
    together = chains.render_final(operator, images, found, compose)
    assert together.dtype == np.uint8
    for row, chain in enumerate(found):
        alone = chains.render_final(operator, images[row : row + 1], [chain], compose)[0]
        assert alone.tobytes() == together[row].tobytes()
        states = chains.render_states(operator, images[row], chain, compose)
        assert states.dtype == np.uint8 and states.shape == (len(chain), *nets.SHAPE)
        assert states[-1].tobytes() == alone.tobytes()


def test_composing_matrices_resamples_once():
    image, chain = nets.images(2)[1], _chains()[1]
    matrices = OPERATOR.matrices(chain, *nets.SHAPE[:2])
    for move, rendered in enumerate(chains.render_states(OPERATOR, image, chain, "matrix")):
        total = warp.compose(matrices[: move + 1])
        np.testing.assert_array_equal(rendered, warp.render(image[None], total[None])[0])


def test_composing_images_resamples_move_by_move():
    image, chain = nets.images(2)[1], _chains()[1]
    matrices = OPERATOR.matrices(chain, *nets.SHAPE[:2])
    state = image
    for matrix, rendered in zip(matrices, chains.render_states(OPERATOR, image, chain, "image"), strict=True):
        state = warp.render(state[None], matrix[None])[0]
        np.testing.assert_array_equal(rendered, state)


def test_both_ways_of_composing_agree_on_one_move_and_differ_on_more():
    image = nets.images(2)[1]
    by_matrix, by_image = (
        chains.render_states(OPERATOR, image, _chains()[1], compose) for compose in ("matrix", "image")
    )
    np.testing.assert_array_equal(by_matrix[0], by_image[0])
    assert (by_matrix[2] != by_image[2]).any()


def test_nothing_found_renders_to_nothing():
    for compose in ("matrix", "image"):
        assert chains.render_final(OPERATOR, nets.images(0), [], compose).shape == (0, *nets.SHAPE)


class _Twofold(Brightness):
    """Records two things of a chain."""

    composed_shapes = {"total": (), "both": (2, 1)}

    def composed(self, chains, height, width):
        both = np.array([[[height], [width]]] * len(chains), np.float64)
        return {"both": both, **super().composed(chains, height, width)}


class _Nothing(Brightness):
    """Records nothing of a chain."""

    composed_shapes = {}

    def composed(self, chains, height, width):
        return {}


def test_what_is_recorded_of_a_chain_as_a_whole_is_sorted_by_name_as_manifests_are():
    chain = np.array([[3.0], [-1.0]])
    np.testing.assert_array_equal(chains.flat_composed(_Twofold(), chain, 8, 9), [8.0, 9.0, 2.0])
    assert chains.flat_composed(_Nothing(), chain, 8, 9).shape == (0,)


def test_the_matrix_of_a_chain_is_recorded_row_by_row():
    for chain in [*_chains(), np.zeros((0, 6))]:
        flat = chains.flat_composed(OPERATOR, chain, 8, 9)
        assert flat.dtype == np.float64
        np.testing.assert_array_equal(flat.reshape(2, 3), warp.compose(OPERATOR.matrices(chain, 8, 9)))
    np.testing.assert_array_equal(flat, np.ravel(warp.IDENTITY))


def test_failures_say_whether_a_peer_or_the_target_was_at_fault():
    right, wrong, unsure = (0.9, 0.1), (0.2, 0.8), (0.45, 0.55)
    rows = [(right, wrong), (wrong, wrong), (right, right), (right, unsure), (wrong, right)]
    probabilities = np.array(rows, np.float32).transpose(1, 0, 2)
    judgement = chains.judge(PeerPressure(0.5, 0.6), probabilities, np.zeros(5, int), np.ones(5, int))
    peer, target = chains.PEER_LOST, chains.TARGET_RIGHT
    assert chains.failures(judgement) == ["", peer, target, target, peer]
    assert all(type(reason) is str for reason in chains.failures(judgement))


def test_a_judgement_is_in_numpy_and_of_nothing_where_nothing_is_judged():
    judgement = chains.judge(PeerPressure(), np.zeros((2, 0, 3), np.float32), np.zeros(0, int), np.zeros(0, int))
    assert isinstance(judgement, Judgement) and all(isinstance(field, np.ndarray) for field in judgement)
    assert chains.failures(judgement) == []


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
    assert chains.grade(least_margin=0.25, **arguments) == grade

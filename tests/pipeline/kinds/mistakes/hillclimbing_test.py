from __future__ import annotations

import numpy as np
import tensorflow as tf

from pipeline import seeding
from pipeline.criteria import PeerPressure
from pipeline.kinds.mistakes import chains
from pipeline.kinds.mistakes.hillclimbing import Hillclimbing
from pipeline.operators import warp
from pipeline.operators.affine import Affine
from pipeline.search.moves.hillclimb import Hillclimb
from tests.pipeline import nets

RUN_SEED = 99
OPERATOR = Affine(rotation_degrees=9.0, translation_pixels=0.6)
FINDER = Hillclimbing(Hillclimb(OPERATOR, PeerPressure()), "label")
STEPS = [np.array(steps, np.int32) for steps in ([0], [2, 3, 17], [5, 6, 1000])]


def _drawn(run_seed: int, words: np.ndarray, target_net: int, steps: np.ndarray) -> np.ndarray:
    return FINDER.drawn(run_seed, words[None], np.array([target_net]), [steps], *nets.SHAPE[:2])[0]


@tf.function(jit_compile=True)
def _walk(image: tf.Tensor, words: tf.Tensor, steps: tf.Tensor) -> tf.Tensor:
    """Draws, composes and applies moves as the search does; all states of one trial, `[M, H, W, C]`."""
    count = steps.shape[0]
    numbers = seeding.draws_tf(tf.constant(RUN_SEED, tf.uint32), words, tf.ones([count], tf.int32), steps, 6)
    sources, states = OPERATOR.sources(image), []
    pose = OPERATOR.identity(1, sources)
    for move in range(count):
        pose = OPERATOR.then(pose, numbers[move : move + 1], sources)
        states.append(OPERATOR.apply(sources, tf.constant([0]), pose)[0])
    return tf.stack(states)


def test_a_chain_redraws_what_the_search_draws():
    seeds = nets.seeds(len(STEPS))
    for row, steps in enumerate(STEPS):
        chain = _drawn(RUN_SEED, seeds.words[row], 1, steps)
        words = np.repeat(seeds.words[row : row + 1], len(steps), axis=0)
        walked = _walk(*(tf.constant(array) for array in (seeds.images[row : row + 1], words, steps))).numpy()
        rendered = chains.render_states(OPERATOR, seeds.images[row], chain, "matrix")
        assert chain.dtype == np.float64 and rendered.shape == walked.shape
        assert np.abs(rendered.astype(int) - walked).max() <= 1


def test_a_move_depends_on_its_own_step_number_only():
    words = nets.seeds(1).words[0]
    many = _drawn(RUN_SEED, words, 0, np.array([3, 8, 9]))
    one = _drawn(RUN_SEED, words, 0, np.array([8]))
    np.testing.assert_array_equal(one[0], many[1])


def test_a_move_depends_on_run_seed_seed_image_and_target_net():
    words = nets.seeds(2).words
    trials = [(RUN_SEED, words[0], 0), (RUN_SEED + 1, words[0], 0), (RUN_SEED, words[1], 0), (RUN_SEED, words[0], 1)]
    moves = [_drawn(*trial, np.array([3])) for trial in trials]
    assert len({move.tobytes() for move in moves}) == len(trials)
    assert moves[0].tobytes() == _drawn(*trials[0], np.array([3])).tobytes()


def test_no_steps_are_a_chain_without_moves():
    chain = _drawn(RUN_SEED, nets.seeds(1).words[0], 0, np.zeros(0, np.int32))
    assert chain.shape == (0, 6)
    np.testing.assert_array_equal(OPERATOR.composed([chain], *nets.SHAPE[:2])["composed_matrix"][0], warp.IDENTITY)


def test_the_trials_that_are_drawn_together_make_no_difference():
    words, nets_asked = nets.seeds(4).words, np.array([1, 0, 2, 1])
    steps = [*STEPS[:2], np.zeros(0, np.int32), STEPS[2]]
    together = FINDER.drawn(RUN_SEED, words, nets_asked, steps, *nets.SHAPE[:2])
    alone = [_drawn(RUN_SEED, *trial) for trial in zip(words, nets_asked, steps, strict=True)]
    assert [chain.tobytes() for chain in together] == [chain.tobytes() for chain in alone]
    assert FINDER.drawn(RUN_SEED, words[:0], nets_asked[:0], [], *nets.SHAPE[:2]) == []

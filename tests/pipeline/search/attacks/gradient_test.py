"""What every attack owes, L-BFGS included, and what one gradient step and many do on their own."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest
import tensorflow as tf

from pipeline.search.attacks import gradient
from pipeline.search.attacks.gradient import (
    UNTARGETED,
    Attack,
    FastGradientSign,
    Net,
    Originals,
    ProjectedGradient,
    Twins,
)
from pipeline.search.attacks.lbfgs import LBFGS
from tests.pipeline.search.attacks import subjects

COUNT, EPS, GREY = 9, 0.2, 1 / 255 + 1e-6
BOUNDS = {0.1: 25, 8 / 255: 8, 0.2: 51, 0.0999: 25, 0.012: 3}  # eps: the grey levels that a pixel may change by
ATTACKS: dict[str, Attack] = {
    "sign": FastGradientSign(EPS),
    "linf": ProjectedGradient("linf", EPS),
    "l2": ProjectedGradient("l2", EPS, step_size=0.02),
    "lbfgs": LBFGS(memory=3),
}
SHORT: dict[str, Attack] = {  # run step by step, without a compiler
    "sign": FastGradientSign(EPS),
    "linf": ProjectedGradient("linf", EPS, step_size=0.1, steps=4),
    "l2": ProjectedGradient("l2", EPS, step_size=0.1, steps=4),
    "lbfgs": LBFGS(iterations=6, memory=2, brackets=3, bisections=2),
}
ALONE = 3  # a row of the batch


@functools.cache
def _compiled(attack: Attack, net: Net) -> tf.types.experimental.PolymorphicFunction:
    return tf.function(lambda run_seed, *parts: attack.attack(net, run_seed, Originals(*parts)), jit_compile=True)


def _attacked(attack: Attack, net: Net, start: Originals, run_seed: int = 5) -> Twins:
    return Twins(*(field.numpy() for field in _compiled(attack, net)(tf.constant(run_seed, tf.uint32), *start)))


def _in_steps(attack: Attack, net: Net, start: Originals) -> Twins:
    return Twins(*(field.numpy() for field in attack.attack(net, tf.constant(5, tf.uint32), start)))


def _grey(images: np.ndarray) -> np.ndarray:
    return np.round(images * 255).astype(np.int64)


def _rows(start: Originals, rows: list[int] | np.ndarray) -> Originals:
    return Originals(*(tf.gather(field, rows) for field in start))


def _assert_same(twins: Twins, others: Twins) -> None:
    for field, other in zip(twins, others):
        np.testing.assert_array_equal(field, other)


def _distortions(twins: Twins, start: Originals) -> np.ndarray:
    change = twins.images.astype(np.float64) - start.images.numpy()
    return np.sqrt((change**2).mean(axis=(1, 2, 3)))


@pytest.fixture(params=ATTACKS)
def attack(request) -> Attack:
    return ATTACKS[request.param]


@pytest.fixture(params=[True, False], ids=["targeted", "untargeted"])
def start(request) -> Originals:
    return subjects.originals(_model(), COUNT, request.param)


def _model() -> tf.keras.Model:
    return subjects.net(20)


# Every attack.


def test_twins_are_on_the_grid(attack, start):
    images = _attacked(attack, _model(), start).images
    assert images.dtype == np.float32 and images.min() >= 0 and images.max() <= 1
    # XLA multiplies by 1 / 255 where the code divides by 255: the last bit may differ.
    np.testing.assert_allclose(images, _grey(images) / 255, rtol=2e-7, atol=0)


def test_misread_is_what_the_net_says_of_the_stored_twin(attack, start):
    twins = _attacked(attack, _model(), start)
    given, aims, labels = _model()(twins.images).numpy().argmax(-1), start.aimed_classes.numpy(), start.labels.numpy()
    mistakes = np.where(aims == UNTARGETED, given != labels, given == aims)
    np.testing.assert_array_equal(twins.misread, mistakes)
    assert twins.misread.any()
    changed = (_grey(twins.images) != _grey(start.images.numpy())).any(axis=(1, 2, 3))
    assert changed[twins.misread].all() and not twins.flat.any()


@pytest.mark.parametrize("name", ["sign", "linf", "l2"])
def test_rounding_costs_a_grey_level_at_most(name, start):
    twins = _attacked(ATTACKS[name], _model(), start)
    both = twins.misread & np.isfinite(twins.unrounded_distortion)
    assert both.any()
    assert (abs(twins.unrounded_distortion - _distortions(twins, start))[both] <= GREY).all()


def test_permuted_rows_give_the_permuted_twins_to_the_bit(attack, start):
    order = np.random.default_rng(11).permutation(COUNT)
    twins = _attacked(attack, _model(), start)
    permuted = _attacked(attack, _model(), _rows(start, order))
    _assert_same(Twins(*(field[order] for field in twins)), permuted)


def test_a_row_does_not_depend_on_the_others_to_the_bit(attack, start):
    rows = np.where(np.arange(COUNT) == ALONE, ALONE, ALONE + 1)
    twins, alone = _attacked(attack, _model(), start), _attacked(attack, _model(), _rows(start, rows))
    _assert_same(Twins(*(field[ALONE] for field in twins)), Twins(*(field[ALONE] for field in alone)))


def _deaf_net(images: tf.Tensor) -> tf.Tensor:
    """Says the same of every image; its gradient is a tensor of zeros."""
    return tf.constant([[0.5, 0.3, 0.2]]) + 0.0 * tf.reduce_sum(images, axis=(1, 2, 3))[:, None]


@pytest.mark.parametrize("name", SHORT)
def test_a_net_without_a_gradient_is_flat_and_misreads_nothing(name):
    start = subjects.originals(_model(), COUNT)
    aims = np.where(np.arange(COUNT) % 2, 1, UNTARGETED).astype(np.int32)
    start = start._replace(labels=tf.zeros([COUNT], tf.int32), aimed_classes=tf.constant(aims))
    twins = _in_steps(SHORT[name], _deaf_net, start)
    assert twins.flat.all() and not twins.misread.any()
    assert np.isnan(twins.unrounded_distortion).all() and not twins.c.any() and np.isfinite(twins.images).all()


def _timid_net(images: tf.Tensor) -> tf.Tensor:
    """Has one class more, which never gets more than a ninth of what another class gets."""
    probabilities = _model()(images)
    return tf.concat([0.9 * probabilities, 0.1 * probabilities[:, :1]], axis=-1)


@pytest.mark.parametrize("name", SHORT)
def test_a_class_out_of_reach_is_not_found_and_the_search_ends(name):
    start = subjects.originals(_model(), COUNT)._replace(aimed_classes=tf.fill([COUNT], subjects.CLASSES))
    twins = _in_steps(SHORT[name], _timid_net, start)
    assert not twins.misread.any() and not twins.flat.any()
    assert np.isnan(twins.unrounded_distortion).all() and not twins.c.any()


@pytest.mark.parametrize("name", SHORT)
def test_evaluations_are_counted(name):
    model, asked = _model(), []

    def net(images: tf.Tensor) -> tf.Tensor:
        asked.append(images)
        return model(images)

    twins = _in_steps(SHORT[name], net, subjects.originals(model, 1))
    assert twins.evaluations.tolist() == [len(asked)]


# Rounding.


def _between_greys_net(images: tf.Tensor) -> tf.Tensor:
    """Reads class 1 where the first pixel is above 0.1, but above 0.3 if it is a grey level that uint8 can hold."""
    first = images[:, 0, 0, 0]
    whole = tf.abs(first * 255.0 - tf.round(first * 255.0)) < 0.01
    logit = 20.0 * (first - tf.where(whole, 0.3, 0.1))
    return tf.stack([tf.sigmoid(-logit), tf.sigmoid(logit)], axis=-1)


def _black_images() -> Originals:
    words = tf.zeros([2, 2], tf.uint32)
    return Originals(tf.zeros([2, 2, 2, 1]), tf.zeros([2], tf.int32), tf.constant([1, UNTARGETED]), words)


def test_a_step_that_rounding_breaks_is_told_and_gives_no_twin():
    twins = _in_steps(FastGradientSign(0.21), _between_greys_net, _black_images())
    assert twins.broken_by_rounding.all() and not twins.misread.any()
    np.testing.assert_allclose(twins.unrounded_distortion, 0.21 / 2, rtol=1e-6)


def test_a_minimum_that_rounding_breaks_is_told_and_another_twin_is_found():
    start = _black_images()
    twins = _attacked(ATTACKS["lbfgs"], _between_greys_net, start)
    assert twins.broken_by_rounding.all() and twins.misread.all()
    assert (twins.unrounded_distortion < 0.3 / 2).all() and (_distortions(twins, start) > 0.3 / 2).all()


def test_descent_that_is_judged_on_the_grid_is_never_broken_by_rounding():
    start = _black_images()
    twins = _in_steps(ProjectedGradient("linf", 0.5, step_size=0.1, steps=4), _between_greys_net, start)
    assert twins.misread.all() and not twins.broken_by_rounding.any()
    np.testing.assert_allclose(twins.unrounded_distortion, _distortions(twins, start), rtol=1e-6)


def test_a_step_is_broken_by_rounding_where_it_misleads_only_before(start):
    twins = _attacked(ATTACKS["sign"], _model(), start)
    np.testing.assert_array_equal(twins.broken_by_rounding, np.isfinite(twins.unrounded_distortion) & ~twins.misread)


# Derivatives that are not numbers.


def _steep_net(images: tf.Tensor) -> tf.Tensor:
    """Reads class 1 where the first pixel is bright; the last pixel's derivative is 0 times infinity."""
    logit = 20.0 * (images[:, 0, 0, 0] - 0.1) + 0.0 * tf.sqrt(0.0 * images[:, 1, 1, 0])
    return tf.stack([tf.sigmoid(-logit), tf.sigmoid(logit)], axis=-1)


def _numberless_net(images: tf.Tensor) -> tf.Tensor:
    """Says the same of every image; no pixel has a derivative."""
    return tf.constant([[0.6, 0.4]]) + 0.0 * tf.reduce_sum(tf.sqrt(0.0 * images), axis=(1, 2, 3))[:, None]


@pytest.mark.parametrize("name", SHORT)
def test_a_pixel_without_a_derivative_stays_and_the_others_are_climbed(name):
    twins = _attacked(SHORT[name], _steep_net, _black_images())  # XLA alone gives NaN here
    assert np.isfinite(twins.images).all() and twins.misread.all() and not twins.flat.any()


@pytest.mark.parametrize("name", SHORT)
def test_without_any_derivative_the_last_try_is_an_image(name):
    twins = _attacked(SHORT[name], _numberless_net, _black_images())
    assert twins.flat.all() and not twins.misread.any()
    assert twins.images.min() >= 0 and twins.images.max() <= 1


def _scaled_net(factor: float) -> Net:
    """The model, with slopes whose squares float32 cannot hold."""
    scaled = tf.custom_gradient(lambda pixels: (tf.identity(pixels), lambda upstream: factor * upstream))
    return lambda images: _model()(scaled(images))


@pytest.mark.parametrize("factor", [1e25, 1e-25])
def test_how_steep_a_net_is_does_not_change_a_step_of_a_given_length(factor):
    start = subjects.originals(_model(), COUNT)
    plain, scaled = (_in_steps(SHORT["l2"], net, start).images for net in (_model(), _scaled_net(factor)))
    np.testing.assert_allclose(scaled, plain, atol=1.5 / 255)


# The loss.


def _loss(image: np.ndarray, weights: np.ndarray, bias: np.ndarray, label: int, aim: int) -> float:
    logits = image @ weights + bias
    wanted = np.arange(len(bias)) != label if aim == UNTARGETED else np.arange(len(bias)) == aim
    return np.logaddexp.reduce(logits) - np.logaddexp.reduce(logits[wanted])


def _slope(image: np.ndarray, *rest: np.ndarray) -> np.ndarray:
    """Central differences in float64."""
    shifts = 1e-5 * np.eye(len(image))
    return np.array([_loss(image + shift, *rest) - _loss(image - shift, *rest) for shift in shifts]) / 2e-5


@pytest.mark.parametrize("targeted", [True, False])
def test_the_loss_and_its_gradient_are_those_of_a_softmax_regression(targeted):
    """To 1e-4 of the loss, and to 1e-4 of the gradient's largest entry."""
    model = subjects.net()
    start = subjects.originals(model, COUNT, targeted)
    answer = gradient.evaluate(model, start.images, start)
    weights, bias = (part.astype(np.float64) for part in model.get_weights())
    images = start.images.numpy().reshape(COUNT, -1).astype(np.float64)
    for row, (label, aim) in enumerate(zip(start.labels.numpy(), start.aimed_classes.numpy())):
        slope = _slope(images[row], weights, bias, label, aim)
        np.testing.assert_allclose(answer.loss[row], _loss(images[row], weights, bias, label, aim), rtol=1e-4)
        np.testing.assert_allclose(answer.gradient[row].numpy().ravel(), slope, rtol=0, atol=1e-4 * abs(slope).max())


# The fast gradient sign, and projected gradient descent.


@pytest.mark.parametrize("eps", BOUNDS)
@pytest.mark.parametrize("name", ["sign", "linf"])
def test_no_stored_pixel_changes_by_more_than_the_whole_grey_levels_of_eps(name, eps, start):
    twins = _in_steps(dataclasses.replace(SHORT[name], eps=eps), _model(), start)
    assert abs(_grey(twins.images) - _grey(start.images.numpy())).max() == BOUNDS[eps]


@pytest.mark.parametrize("eps", [*BOUNDS, 0.07, 0.003])
@pytest.mark.parametrize("random_start", [True, False])
def test_the_distortion_of_what_is_stored_is_at_most_eps_and_close_to_it_where_nothing_is_found(eps, random_start):
    """With a class that is out of reach, the last try is shown."""
    attack = ProjectedGradient("l2", eps, step_size=eps / 2, steps=4, random_start=random_start)
    start = subjects.originals(_model(), COUNT)
    tried = _in_steps(attack, _timid_net, start._replace(aimed_classes=tf.fill([COUNT], subjects.CLASSES)))
    assert not tried.misread.any()
    change = _grey(tried.images) - _grey(start.images.numpy())
    far = np.sqrt((change**2).mean(axis=(1, 2, 3))) / 255
    assert (far <= eps).all() and far.max() >= 0.95 * eps


def test_the_compiled_descent_stays_in_its_ball_too(start):
    assert (_distortions(_attacked(ATTACKS["l2"], _model(), start), start) <= EPS * (1 + 1e-6)).all()
    change = _grey(_attacked(ATTACKS["linf"], _model(), start).images) - _grey(start.images.numpy())
    assert abs(change).max() == BOUNDS[EPS]


def _started(norm: str, eps: float) -> np.ndarray:
    """Returns the changes, in grey levels, that descent starts with on grey images, where no box is in the way."""
    words = tf.constant(np.random.default_rng(3).integers(0, 2**32, [200, 2], np.uint32))
    grey = Originals(tf.fill([200, 4, 4, 1], 128 / 255), tf.zeros([200], tf.int32), tf.ones([200], tf.int32), words)
    tried = _in_steps(ProjectedGradient(norm, eps, steps=1), _numberless_net, grey)
    assert tried.flat.all()
    return _grey(tried.images) - 128


def test_the_random_start_moves_every_pixel_by_anything_up_to_eps():
    change = _started("linf", 0.1)
    assert change.min() == -25 and change.max() == 25
    assert abs(abs(change).mean() - 12.5) < 0.5 and abs(change.mean()) < 0.5


def test_the_random_start_is_as_far_in_the_ball_of_the_distortion():
    change = _started("l2", 0.1)
    far = np.sqrt((change**2).mean(axis=(1, 2, 3))) / 255
    assert far.max() <= 0.1 and abs(change).max() == 25
    assert abs(far.mean() - 0.1 / np.sqrt(3)) < 0.002


def _from_the_original(steps: int) -> Attack:
    return ProjectedGradient("linf", EPS, steps=steps, random_start=False)


def test_of_all_steps_the_nearest_is_kept(start):
    found, nearest = np.zeros(COUNT, bool), np.full(COUNT, np.inf)
    for steps in (6, 12, 40):
        twins = _attacked(_from_the_original(steps), _model(), start)
        far = _distortions(twins, start)
        assert twins.misread[found].all() and (far[found] <= nearest[found]).all()
        before, found, nearest = found, twins.misread, far
    assert before.any()


@pytest.mark.parametrize("name", ["linf", "l2"])
def test_the_random_start_is_drawn_from_the_run_seed_and_the_seed_words(name, start):
    twins = _attacked(ATTACKS[name], _model(), start).images
    other_seed = _attacked(ATTACKS[name], _model(), start, run_seed=6).images
    other_words = _attacked(ATTACKS[name], _model(), start._replace(seed_words=start.seed_words + 1)).images
    for others in (other_seed, other_words):
        assert (twins != others).any(axis=(1, 2, 3)).all()
    np.testing.assert_array_equal(twins, _attacked(ATTACKS[name], _model(), start).images)


def test_without_a_random_start_nothing_is_drawn(start):
    attack = _from_the_original(40)
    _assert_same(_attacked(attack, _model(), start), _attacked(attack, _model(), start, run_seed=6))

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from models import kernels
from pipeline.kinds.mistakes.mined import Mined
from pipeline.operators.affine import Affine
from pipeline.retrain.mistakes import recipes
from pipeline.retrain.mistakes.recipes import Consistency, Hardest, Mistakes, Plain, Proposals
from pipeline.retrain.recipe import Moment, Recipe

STILL = Affine(rotation_degrees=0.0, translation_pixels=0.0, scale=0.0, stretch=0.0, shear_degrees=0.0)
MOVING = Affine(rotation_degrees=30.0, translation_pixels=2.0)
SIDE, CLASSES, SIZE = 7, 4, 12
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (SIZE, SIDE, SIDE, 1), np.uint8)
LABELS = RNG.integers(0, CLASSES, SIZE).astype(np.int32)
WEIGHTS = RNG.normal(size=(SIDE * SIDE, CLASSES)).astype(np.float32)
MINED = Mined(
    images=IMAGES[:5],
    seed_images=IMAGES[5:10],
    labels=LABELS[:5],
    high=np.array([True, False, True, False, False]),
    peer_margins=np.array([0.1, 0.2, 0.3, 0.4, 0.5], np.float32),
    numbers=RNG.random((5, 3, 6)).astype(np.float32),
    lengths=np.array([1, 2, 3, 1, 2], np.int32),
)
EACH = [
    Plain(),
    Proposals(),
    Proposals(candidates=4, kl=2.0),
    Proposals(candidates=5, mined=0.4, pick="by_loss", rise=0.5),
    Proposals(mined=1.0),
    Mistakes(),
    Mistakes(weight="grade", seeds=True),
    Hardest(),
    Consistency(),
    Consistency(mined=False),
]


def _net(weights: Any = WEIGHTS) -> Any:
    return lambda images: tf.nn.softmax(tf.reshape(images, [images.shape[0], -1]) @ weights)


def _loss(recipe: Recipe, net: Any = None, operator: Affine = MOVING, done: float = 1.0, seed: int = 0) -> float:
    return float(_value(recipe, net or _net(), operator, done, seed))


def _value(recipe: Recipe, net: Any, operator: Affine, done: float, seed: int) -> tf.Tensor:
    stream = recipe.stream(MINED, SIZE, 7)
    extra = next(iter(stream)) if stream is not None else None
    batch = {"image": tf.constant(IMAGES), "label": tf.constant(LABELS)}
    return recipe.loss(net, batch, extra, {"operator": operator}, Moment(tf.constant(done), tf.constant([seed, 0])))


def _plain(images: np.ndarray = IMAGES, labels: np.ndarray = LABELS) -> np.ndarray:
    """Returns the cross-entropy of each image, in NumPy."""
    logits = (images.reshape(len(images), -1) / 255.0) @ WEIGHTS
    logits = logits - logits.max(axis=1, keepdims=True)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return -np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-7))


@pytest.mark.parametrize("recipe", EACH, ids=str)
def test_every_loss_is_finite_repeatable_and_gives_every_weight_a_gradient(recipe):
    weights = tf.Variable(WEIGHTS)

    def step() -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            loss = _value(recipe, _net(weights), MOVING, 0.7, 3)
        return loss, tape.gradient(loss, weights)

    stream = recipe.stream(MINED, SIZE, 7)
    assert (stream is not None) == recipe.needs_mined()
    (loss, gradient), (again, _) = step(), step()
    assert np.isfinite(loss) and loss == again
    assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0


@pytest.mark.slow
@pytest.mark.parametrize("recipe", EACH, ids=str)
def test_a_loss_is_the_same_where_xla_compiles_it(recipe):
    stream = recipe.stream(MINED, SIZE, 7)
    extra = next(iter(stream)) if stream is not None else None
    batch = {"image": tf.constant(IMAGES), "label": tf.constant(LABELS)}
    moment = Moment(tf.constant(0.7), tf.constant([3, 0]))
    compiled = kernels.cluster(lambda *given: recipe.loss(_net(), *given[:2], {"operator": MOVING}, given[2]))
    np.testing.assert_allclose(compiled(batch, extra, moment), _loss(recipe, done=0.7, seed=3), rtol=1e-4)


def test_the_plain_loss_is_the_mean_cross_entropy():
    np.testing.assert_allclose(_loss(Plain()), _plain().mean(), rtol=1e-5)


def test_changes_that_change_nothing_repeat_the_image_and_cost_no_divergence():
    share = SIZE // 3
    expected = np.append(_plain(), _plain()[:share]).mean()
    for recipe in (Proposals(share=1 / 3), Proposals(share=1 / 3, candidates=4, kl=100.0)):
        np.testing.assert_allclose(_loss(recipe, operator=STILL), expected, rtol=1e-4)


@pytest.mark.slow
def test_of_more_candidates_the_worst_is_worse_and_one_is_drawn_between():
    kinds = (Proposals(share=1.0, candidates=1), Proposals(share=1.0, candidates=8, pick="by_loss"))
    one, drawn = (np.mean([_loss(recipe, seed=seed) for seed in range(5)]) for recipe in kinds)
    worst = np.mean([_loss(Proposals(share=1.0, candidates=8), seed=seed) for seed in range(5)])
    assert one < drawn < worst


def test_the_worst_is_a_misread_one_though_another_has_a_larger_loss():
    """Candidate 0 is read rightly at 0.3 of 4 classes, candidate 1 wrongly with 0.4 for the class."""
    answers = tf.constant([[0.3, 0.25, 0.25, 0.2], [0.4, 0.6, 0.0, 0.0]])
    candidates = tf.reshape(tf.constant([0.0, 1.0]), [1, 2, 1, 1, 1])
    moment = Moment(tf.constant(1.0), tf.constant([0, 0]))
    chosen = Proposals(candidates=2)._chosen(lambda images: answers, candidates, tf.constant([0]), moment)
    assert chosen.numpy().item() == 1.0


def test_drawn_by_loss_each_comes_as_often_as_its_share_of_the_loss():
    probabilities = np.array([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]], np.float32)
    count = 4000
    answers = tf.constant(np.tile(probabilities, (count, 1)))
    candidates = tf.reshape(tf.constant(np.tile([0.0, 1.0, 2.0], count), tf.float32), [count, 3, 1, 1, 1])
    recipe, labels = Proposals(candidates=3, pick="by_loss"), tf.zeros([count], tf.int32)
    chosen = recipe._chosen(lambda _: answers, candidates, labels, Moment(tf.constant(1.0), tf.constant([0, 0])))
    shares = np.bincount(chosen.numpy().astype(int).ravel(), minlength=3) / count
    losses = -np.log(probabilities[:, 0])
    np.testing.assert_allclose(shares, losses / losses.sum(), atol=0.03)


def test_while_the_schedule_rises_the_first_candidate_alone_is_open_at_first():
    rising, one = Proposals(candidates=6, kl=3.0, rise=0.5), Proposals(candidates=6, kl=3.0)
    assert _loss(rising, done=0.0) < _loss(rising, done=0.25) < _loss(rising, done=0.5)
    assert _loss(rising, done=0.5) == _loss(rising, done=1.0) == _loss(one, done=0.0)


@pytest.mark.parametrize(
    ("candidates", "mined", "count"), [(10, 0.4, 4), (10, 0.0, 0), (3, 1.0, 3), (1, 0.5, 0), (5, 0.5, 2)]
)
def test_mined_chains_have_their_share_of_the_candidates(candidates, mined, count):
    assert sum(Proposals(candidates=candidates, mined=mined)._places()) == count


def test_mistakes_weigh_by_grade_and_their_mean_weight_is_one():
    weights = Mistakes(weight="grade")._weights(MINED)
    np.testing.assert_allclose(weights.mean(), 1.0, rtol=1e-6)
    np.testing.assert_allclose(weights / weights[0], [1, 0.1, 1, 0.1, 0.1], rtol=1e-6)


def test_the_power_mean_goes_from_the_mean_to_the_largest():
    operator, recipe = MOVING, Hardest(share=1.0, candidates=6, power=200.0)
    mean, largest = _loss(recipe, operator=operator, done=0.0), _loss(recipe, operator=operator, done=1.0)
    same = _loss(dataclasses.replace(recipe, power=1.0), operator=operator)
    np.testing.assert_allclose(mean, same, rtol=1e-5)
    assert largest > mean * 1.05


def test_views_that_are_alike_cost_nothing_and_others_do():
    weighed, light = Consistency(share=1.0, weight=50.0, mined=False), Consistency(share=1.0, weight=0.0, mined=False)
    np.testing.assert_allclose(_loss(weighed, operator=STILL), _loss(light, operator=STILL), rtol=1e-5)
    assert _loss(weighed) > _loss(light) + 0.1


@pytest.mark.parametrize("recipe", EACH, ids=str)
def test_what_a_step_costs_is_what_the_net_is_asked(recipe):
    asked = []

    def net(images: tf.Tensor) -> tf.Tensor:
        asked.append(images.shape[0])
        return _net()(images)

    _value(recipe, net, MOVING, 1.0, 0)
    assert sum(asked) == sum(recipe.cost(SIZE))


def test_there_is_a_case_of_every_kind():
    assert {type(recipe) for recipe in EACH} == set(recipes.RECIPES)

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from models import devices, zoo
from models.errors import InputError
from pipeline.kinds.garbage.methods import AscentGarbage, CPPNGarbage, DirectGarbage
from pipeline.retrain import lessons
from pipeline.retrain.garbage import encodings, recipes
from pipeline.retrain.garbage.recipes import GarbageClass, Uniform
from pipeline.retrain.plain import Plain
from pipeline.retrain.recipe import Cost, Moment, Start
from pipeline.retrain.settings import Retraining
from pipeline.seeds.source import SeedBatch

SHAPE, CLASSES, SIZE = (8, 8, 1), 3, 12
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (SIZE, *SHAPE), np.uint8)
LABELS = RNG.integers(0, CLASSES, SIZE).astype(np.int32)
LEARNED = SeedBatch("train", [], [str(row) for row in range(SIZE)], IMAGES, LABELS, [])
MINED = RNG.integers(0, 256, (5, *SHAPE), np.uint8)
SECTIONS = {"garbage": DirectGarbage(population=20, confidence=0.999)}
NOT_EVOLVED = {"every": 0, "mined": True}
MOMENT = Moment(tf.constant(0.0), tf.constant([3, 0]))
BATCH = {"image": tf.constant(IMAGES), "label": tf.constant(LABELS)}


def _model(seed: int = 0) -> tf.keras.Model:
    tf.keras.utils.set_random_seed(seed)
    return zoo.build("mlp-6", SHAPE, CLASSES)


def _lesson(recipe: Any, model: tf.keras.Model | None = None, *, epochs: int = 3, sections: Any = SECTIONS) -> Any:
    model = recipe.net(model or _model())
    mined = MINED if recipe.needs_mined() else None
    return recipe.lesson(Start(model, LEARNED, mined, sections, 4, 3 * epochs, 0)), model


def _loss(recipe: Any, net: Any) -> float:
    lesson, _ = _lesson(recipe)
    return float(lesson.loss(net, BATCH, None, MOMENT))


def test_the_cross_entropy_from_uniform_is_the_mean_surprise_of_the_classes():
    given = tf.constant([[0.5, 0.25, 0.25], [1 / 3, 1 / 3, 1 / 3], [1.0, 0.0, 0.0]])
    by_hand = [(np.log(2.0) + 2 * np.log(4.0)) / 3, np.log(3.0), 2 * np.log(1e30) / 3]
    np.testing.assert_allclose(recipes.to_uniform(given), by_hand, rtol=1e-6)


def test_a_net_that_is_all_but_certain_still_learns_from_garbage():
    """The gradient of the cross-entropy by logits is p less its target, however small p is."""
    logits = tf.constant([[40.0, 0.0, 0.0]])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(logits)
        probabilities = tf.nn.softmax(logits)
        losses = recipes.to_uniform(probabilities), recipes.surprise(probabilities[:, 2])
    targets = [[1 / 3, 1 / 3, 1 / 3], [0.0, 0.0, 1.0]]
    for loss, target in zip(losses, targets, strict=True):
        np.testing.assert_allclose(tape.gradient(loss, logits)[0], [1.0, 0.0, 0.0] - np.array(target), atol=1e-5)


def test_garbage_is_learned_as_the_last_class_and_every_image_weighs_alike():
    answer = np.array([0.1, 0.2, 0.3, 0.4], np.float32)
    loss = _loss(GarbageClass(share=0.5, **NOT_EVOLVED), lambda images: tf.tile(answer[None], [images.shape[0], 1]))
    by_hand = np.concatenate([-np.log(answer[LABELS]), np.full(6, -np.log(0.4))]).mean()
    assert loss == pytest.approx(by_hand, rel=1e-6)


def _by_brightness(images: tf.Tensor) -> tf.Tensor:
    """Answers by the first pixel: a net that tells one image from another."""
    first = images[:, 0, 0, 0]
    return tf.nn.softmax(tf.stack([3.0 * first, 1.0 - first, 0.0 * first], axis=1))


def _values(images: np.ndarray) -> np.ndarray:
    return _by_brightness(tf.constant(images, tf.float32)).numpy()


def test_outliers_add_their_weighed_cross_entropy_from_uniform():
    recipe = Uniform(weight=0.7, share=2.0, evolved=0.25, **NOT_EVOLVED)
    lesson, _ = _lesson(recipe)
    outliers = lesson.outliers(tf.constant(IMAGES / np.float32(255.0)), MOMENT).numpy()
    assert len(outliers) == 24
    known = -np.log(_values(IMAGES / 255.0)[np.arange(SIZE), LABELS]).mean()
    by_hand = known + 0.7 * -np.log(_values(outliers)).mean()
    assert float(lesson.loss(_by_brightness, BATCH, None, MOMENT)) == pytest.approx(by_hand, rel=1e-5)
    in_pool = [any(np.allclose(image, each / 255.0) for each in MINED) for image in outliers]
    assert in_pool == [True] * 6 + [False] * 18


def test_outliers_without_weight_are_plain_training():
    assert _loss(Uniform(weight=0.0, evolved=0.0), _by_brightness) == pytest.approx(
        float(Plain().loss(_by_brightness, BATCH, None, SECTIONS, MOMENT)), rel=1e-6
    )


def test_noise_is_static_or_the_originals_with_their_pixels_in_random_order():
    images = tf.constant(IMAGES / np.float32(255.0))
    made = {}
    for noise in ("static", "permuted"):
        lesson, _ = _lesson(Uniform(share=1.5, evolved=0.0, noise=noise))
        made[noise] = np.sort(lesson.outliers(images, MOMENT).numpy().reshape(18, -1), axis=1)
    originals = np.sort(images.numpy().reshape(SIZE, -1), axis=1)
    np.testing.assert_array_equal(made["permuted"], np.concatenate([originals, originals[:6]]))
    assert not np.isin(made["static"][:6], originals).all()


def test_only_what_uses_mined_garbage_needs_it():
    assert GarbageClass(mined=True).needs_mined() and Uniform(mined=True).needs_mined()
    assert not GarbageClass().needs_mined() and not Uniform(mined=True, evolved=0.0).needs_mined()


def test_mined_garbage_alone_takes_no_evolution():
    lesson, _ = _lesson(Uniform(evolved=1.0, **NOT_EVOLVED))
    np.testing.assert_allclose(lesson.pool.images, MINED / 255.0, rtol=1e-6)
    lesson.after_epoch(1)
    assert len(lesson.pool) == 5 and lesson.asked == 0 and lesson.notes() == {"rounds": []}


@pytest.mark.parametrize("cls", [GarbageClass, Uniform])
def test_a_pool_that_would_stay_empty_is_one_sentence(cls):
    with pytest.raises(InputError, match="every is 0 and mined is false"):
        cls(every=0)


def test_what_a_step_costs():
    assert GarbageClass(share=0.25).cost(12) == Cost(15, 0)
    assert Uniform(share=2.0).cost(12) == Cost(36, 0)


def test_the_other_encoding_has_what_all_methods_have_of_the_mined_tasks_settings():
    mined = DirectGarbage(population=33, mutation_rate=0.7, confidence=0.9)
    direct, cppn = (encodings.settings(method, {"garbage": mined}, generations=5) for method in encodings.EVOLVED)
    assert direct == dataclasses.replace(mined, generations=5)
    assert cppn == CPPNGarbage(population=33, confidence=0.9, generations=5)
    for section in (DirectGarbage(), CPPNGarbage(), AscentGarbage()):
        assert encodings.own({"garbage": section}).choices("garbage")[0] is type(section)


@pytest.mark.slow
def test_every_round_the_pool_grows_by_what_was_evolved_against_the_net_as_it_is():
    recipe = GarbageClass(every=2, generations=6, islands=2, mined=True)
    lesson, model = _lesson(recipe, epochs=6)
    assert len(lesson.pool) == 5 + 2 * CLASSES and len(lesson.notes()["rounds"]) == 1
    for epoch, size in ((1, 11), (2, 17), (3, 17)):
        lesson.after_epoch(epoch)
        assert len(lesson.pool) == size
    before = [3.0 * weights for weights in model.get_weights()]
    model.set_weights([*before[:-1], np.float32([3, 3, 3, -3])])  # another net, without garbage
    lesson.after_epoch(4)
    lesson.after_epoch(6)  # after the last epoch there is nothing to learn any more
    assert len(lesson.pool) == 23 and lesson.asked == 3 * 2 * 7 * 20
    garbage = lesson.pool.images[17:].reshape(2, CLASSES, *SHAPE)
    told = lesson.notes()["rounds"]
    confidences = [model(island).numpy()[range(CLASSES), range(CLASSES)] for island in garbage]
    assert told[2]["confidence"] == pytest.approx(100.0 * np.median(confidences, axis=1).mean(), abs=1e-3)


@pytest.mark.slow
def test_every_round_has_random_numbers_of_its_own():
    lesson, _ = _lesson(GarbageClass(generations=1), sections={"garbage": AscentGarbage(population=20)})
    lesson.after_epoch(1)  # the net has not changed
    first, second = lesson.pool.images.reshape(2, CLASSES, -1)
    assert np.abs(np.corrcoef(first, second)[:CLASSES, CLASSES:]).max() < 0.5


@pytest.mark.slow
@pytest.mark.parametrize(
    "section",
    [CPPNGarbage(population=20, max_hidden=4), AscentGarbage(population=20)],
    ids=["cppn", "ascent"],
)
def test_garbage_is_made_the_mined_tasks_own_way(section):
    lesson, model = _lesson(Uniform(generations=4), sections={"garbage": section}, epochs=1)
    (told,) = lesson.notes()["rounds"]
    answers = model(lesson.pool.images).numpy()[range(CLASSES), range(CLASSES)]
    assert told["confidence"] == pytest.approx(100.0 * np.median(answers), abs=1e-3)


def _taught(recipe: Any, seed: int, epochs: int = 3) -> tuple[tf.keras.Model, Any]:
    how = Retraining(epochs=epochs, batch_size=4, learning_rate=0.01)
    strategy = devices.strategy("cpu")
    with strategy.scope():
        model = recipe.net(_model())
    mined = MINED if recipe.needs_mined() else None
    return model, lessons.teach(model, recipe, how, LEARNED, mined, SECTIONS, seed, strategy)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [GarbageClass(generations=5, mined=True), Uniform(generations=5)])
def test_equal_arguments_give_equal_weights_and_another_seed_others(recipe):
    (first, lesson), (again, repeated), (other, _) = (_taught(recipe, seed) for seed in (0, 0, 1))
    for one, two, three in zip(first.get_weights(), again.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
        assert not np.array_equal(one, three)
    assert lesson.notes() == repeated.notes() and len(lesson.notes()["rounds"]) == 3


def _answers(recipe: Any) -> tuple[np.ndarray, np.ndarray]:
    """Returns what a net that was taught long answers to the garbage and the images that it learned from."""
    model, _ = _taught(recipe, 0, epochs=60)
    return model(MINED / np.float32(255.0)).numpy(), model(IMAGES / np.float32(255.0)).numpy()


@pytest.mark.slow
def test_with_a_garbage_class_a_net_tells_garbage_from_images():
    garbage, clean = _answers(GarbageClass(share=1.0, **NOT_EVOLVED))
    assert garbage[:, -1].min() > clean[:, -1].max() + 0.2


@pytest.mark.slow
def test_with_uniform_targets_a_net_is_sure_of_images_alone():
    garbage, clean = _answers(Uniform(evolved=1.0, **NOT_EVOLVED))
    assert garbage.max() < clean[np.arange(SIZE), LABELS].min() - 0.2

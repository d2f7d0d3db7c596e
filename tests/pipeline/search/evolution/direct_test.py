"""The direct encoding: published operators, and rows that do not depend on each other."""

import numpy as np
import pytest
import tensorflow as tf

from pipeline.search.evolution.direct import Direct, middles, polynomial_step, sbx_spread
from pipeline.search.evolution.elites import Draws, Key

SHAPE = (6, 5, 1)  # not a multiple of the four pixels of a word
NUMBERS = np.random.default_rng(0)


def _draws(images, generation=7):
    key = Key(tf.constant(3, tf.uint32), tf.constant([1, 2], tf.uint32))
    return Draws(key, tf.constant(images, tf.int32), tf.constant(generation))


def _genomes(count):
    """Random genomes, as words."""
    return NUMBERS.integers(0, 2**32, (count, 8), dtype=np.uint32)


def _pixels(direct, genomes):
    """Grey levels, int `[B, H, W, C]`."""
    return np.stack([direct.image(genome) for genome in np.asarray(genomes)]).astype(int)


def _words(direct, count=40):
    """Returns genomes and their children as words, and who was crossed."""
    one, other = _genomes(count), _genomes(count)
    child = tf.function(direct.child, jit_compile=True)
    children, crossed = child(tf.constant(one), tf.constant(other), _draws(range(count)))
    return one, other, children.numpy(), crossed.numpy()


def _children(direct, count=40):
    """The same in grey levels."""
    *genomes, crossed = _words(direct, count)
    return *(_pixels(direct, words) for words in genomes), crossed


def test_polynomial_step_is_the_published_formula():
    uniform = np.linspace(0, 1, 1001, endpoint=False)
    exponent = 1 / 16
    expected = np.where(uniform < 0.5, (2 * uniform) ** exponent - 1, 1 - (2 * (1 - uniform)) ** exponent)
    np.testing.assert_allclose(polynomial_step(uniform, 15.0), expected, rtol=1e-12, atol=1e-12)


def test_sbx_spread_is_the_published_formula():
    uniform = np.linspace(0, 1, 1001, endpoint=False)
    exponent = 1 / 11
    expected = np.where(uniform <= 0.5, (2 * uniform) ** exponent, (1 / (2 * (1 - uniform))) ** exponent)
    np.testing.assert_allclose(sbx_spread(uniform, 10.0), expected, rtol=1e-12)


def test_first_genomes_have_every_grey_level_equally_often():
    direct = Direct(SHAPE)
    levels = np.bincount(_pixels(direct, direct.first(_draws(range(2000)))).ravel(), minlength=256)
    assert len(levels) == 256 and np.abs(levels - levels.mean()).max() < 6 * np.sqrt(levels.mean())


def test_a_net_sees_the_image_that_is_stored():
    direct, genomes = Direct(SHAPE), _genomes(5)
    for render in (direct.render, tf.function(direct.render, jit_compile=True)):
        np.testing.assert_allclose(render(tf.constant(genomes)) * 255.0, _pixels(direct, genomes), atol=1e-4)
    image = direct.image(genomes[0])
    assert image.dtype == np.uint8 and image.shape == SHAPE and direct.text(genomes[0]) == ""


def test_children_reach_the_ends_of_the_grid_and_stay_on_it():
    *_, children, _ = _children(Direct(SHAPE, mutation_rate=1.0, mutation_eta=1.0, crossover_eta=0.0))
    assert children.min() == 0 and children.max() == 255


def test_without_mutation_and_crossover_a_child_is_its_first_parent():
    one, _, children, crossed = _words(Direct(SHAPE, mutation_rate=0.0, crossover_rate=0.0))
    np.testing.assert_array_equal(_pixels(Direct(SHAPE), children), _pixels(Direct(SHAPE), one))
    assert not crossed.any()


@pytest.mark.parametrize("rate", [0.1, 0.5, 1.0])
def test_mutation_changes_the_share_of_pixels_it_is_to(rate):
    one, _, children, _ = _children(Direct(SHAPE, rate, crossover_rate=0.0), 2000)
    changed = (children != one).mean()
    assert 0.85 * rate < changed < rate  # less those that rounding or the range's end leaves as they were


def test_the_smallest_rate_mutates_something():
    assert len(Direct(SHAPE, mutation_rate=1e-9)._steps()) == 2 and len(Direct(SHAPE, mutation_rate=0.0)._steps()) == 1


def test_mutation_takes_the_published_steps():
    direct = Direct(SHAPE, mutation_rate=1.0, crossover_rate=0.0)
    one, _, children, _ = _children(direct, 3000)
    middle = np.abs(one - 127.5) < 30  # where no step leads beyond the range, nearly
    expected = 255.0 * polynomial_step(middles(2**16), 15.0)
    for share in (0.05, 0.25, 0.5, 0.75, 0.95):
        step = np.quantile((children - one)[middle], share)
        assert abs(step - np.quantile(expected, share)) <= 1.0, share


def test_a_crossed_pixel_lies_between_or_beyond_its_parents_symmetrically():
    one, other, children, crossed = _children(Direct(SHAPE, mutation_rate=0.0, crossover_rate=1.0), 2000)
    apart = np.abs(one - other) > 20
    along = ((children - one) / np.where(apart, other - one, 1))[apart]  # 0: the first parent, 1: the other
    assert crossed.all()
    moved = along[np.abs(along) > 0.25]
    assert 0.2 < len(moved) / len(along) < 0.3  # a quarter takes the child near the other parent
    assert abs(np.median(moved) - 1.0) < 0.02


def test_as_many_children_have_two_parents_as_the_rate_says():
    *_, crossed = _words(Direct(SHAPE, crossover_rate=0.3), 4000)
    assert abs(crossed.mean() - 0.3) < 0.03


@pytest.mark.parametrize("order", [slice(None, None, -1), slice(3, 4), slice(1, 30, 2)])
def test_a_child_does_not_depend_on_the_others(order):
    direct = Direct(SHAPE)
    one, other, children, crossed = _words(direct)
    some = tf.constant(one[order]), tf.constant(other[order]), _draws(range(40)[order])
    again, crossed_again = tf.function(direct.child, jit_compile=True)(*some)
    np.testing.assert_array_equal(again, children[order])
    np.testing.assert_array_equal(crossed_again, crossed[order])

"""The direct encoding: published operators, and rows that do not depend on each other."""

import numpy as np
import pytest
import tensorflow as tf

from pipeline.search.direct import Direct, polynomial_step, sbx_spread

SHAPE = (6, 5, 1)
NUMBERS = np.random.default_rng(0)


def _children(direct, count=40):
    one, other = (tf.constant(NUMBERS.integers(0, 256, (count, *SHAPE)).astype(np.float32)) for _ in range(2))
    uniform = tf.constant(NUMBERS.random((count, direct.child_draws)).astype(np.float32))
    child = tf.function(direct.child, jit_compile=True)
    return one.numpy(), other.numpy(), uniform.numpy(), *(part.numpy() for part in child(one, other, uniform))


def test_polynomial_step_is_the_published_formula():
    uniform = np.linspace(0, 1, 1001, endpoint=False)
    exponent = 1 / 16
    expected = np.where(uniform < 0.5, (2 * uniform) ** exponent - 1, 1 - (2 * (1 - uniform)) ** exponent)
    np.testing.assert_allclose(polynomial_step(tf.constant(uniform, tf.float32), 15.0), expected, atol=1e-5)


def test_sbx_spread_is_the_published_formula():
    uniform = np.linspace(0, 1, 1001, endpoint=False)
    exponent = 1 / 11
    expected = np.where(uniform <= 0.5, (2 * uniform) ** exponent, (1 / (2 * (1 - uniform))) ** exponent)
    np.testing.assert_allclose(sbx_spread(tf.constant(uniform, tf.float32), 10.0), expected, rtol=1e-5)


def test_first_genomes_have_every_grey_level_equally_often():
    direct = Direct(SHAPE)
    genomes = direct.first(tf.constant(NUMBERS.random((2000, direct.first_draws)).astype(np.float32))).numpy()
    levels = np.bincount(genomes.astype(int).ravel(), minlength=256)
    assert len(levels) == 256 and np.abs(levels - levels.mean()).max() < 6 * np.sqrt(levels.mean())
    np.testing.assert_array_equal(direct.render(tf.constant(genomes)).numpy() * 255.0, genomes)


def test_children_stay_on_the_grid():
    *_, children, _ = _children(Direct(SHAPE, mutation_rate=1.0, mutation_eta=1.0, crossover_eta=0.0))
    assert children.min() >= 0 and children.max() <= 255 and np.array_equal(children, np.round(children))


def test_without_mutation_and_crossover_a_child_is_its_first_parent():
    one, _, _, children, crossed = _children(Direct(SHAPE, mutation_rate=0.0, crossover_rate=0.0))
    np.testing.assert_array_equal(children, one)
    assert not crossed.any()


def test_mutation_changes_the_share_of_pixels_it_is_to():
    one, _, _, children, _ = _children(Direct(SHAPE, mutation_rate=0.1, crossover_rate=0.0), 2000)
    changed = (children != one).mean()
    assert 0.085 < changed < 0.1  # a tenth, less those that rounding or the range's end leaves as they were


def test_a_crossed_pixel_lies_between_or_beyond_its_parents_symmetrically():
    one, other, _, children, crossed = _children(Direct(SHAPE, mutation_rate=0.0, crossover_rate=1.0), 2000)
    apart = np.abs(one - other) > 20
    along = ((children - one) / np.where(apart, other - one, 1))[apart]  # 0: the first parent, 1: the other
    assert crossed.all()
    moved = along[np.abs(along) > 0.25]
    assert 0.2 < len(moved) / len(along) < 0.3  # a quarter takes the child near the other parent
    assert abs(np.median(moved) - 1.0) < 0.02


@pytest.mark.parametrize("order", [slice(None, None, -1), slice(3, 4), slice(1, 30, 2)])
def test_a_child_does_not_depend_on_the_others(order):
    direct = Direct(SHAPE)
    one, other, uniform, children, crossed = _children(direct)
    again, crossed_again = direct.child(*(tf.constant(part[order]) for part in (one, other, uniform)))
    np.testing.assert_array_equal(again, children[order])
    np.testing.assert_array_equal(crossed_again, crossed[order])


def test_the_image_is_the_genome():
    genome = NUMBERS.integers(0, 256, SHAPE).astype(np.float32)
    image = Direct(SHAPE).image(genome)
    assert image.dtype == np.uint8 and np.array_equal(image, genome) and Direct(SHAPE).text(genome) == ""

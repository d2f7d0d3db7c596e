"""Images that stand for units and directions: which they are, how pure, how near to each other."""

import io

import numpy as np
import pytest
import tensorflow as tf

from models.errors import InputError
from pipeline.reproduce import nets, papers, szegedy_units
from pipeline.reproduce.bench import Bench
from pipeline.reproduce.registry import EXPERIMENTS
from pipeline.workdir.ledger import Workdir


def _net(*units):
    layers = [tf.keras.layers.Dense(count, name=f"dense_of_{count}") for count in units]
    return tf.keras.Sequential([tf.keras.Input((2, 2, 1)), tf.keras.layers.Flatten(name="flat"), *layers])


def test_a_layer_whose_units_are_classes_is_pure():
    labels = np.random.default_rng(0).integers(0, 5, 200)
    rows = szegedy_units.top(np.eye(5)[labels], 8)
    assert szegedy_units.purity(labels[rows]).tolist() == [1.0] * 5
    assert [set(labels[row]) for row in rows] == [{0}, {1}, {2}, {3}, {4}]


def test_purity_is_the_share_of_the_commonest_class():
    assert szegedy_units.purity(np.array([[1, 1, 2, 3], [4, 5, 4, 5]])).tolist() == [0.5, 0.5]


def test_the_top_images_are_those_with_the_highest_values_highest_first():
    values = np.array([[0.1, 5.0], [0.9, 4.0], [0.5, 6.0]])
    assert szegedy_units.top(values, 2).tolist() == [[1, 2], [2, 0]]


def test_distances_are_those_of_every_two_images():
    images = np.random.default_rng(1).integers(0, 256, (2, 3, 4, 5, 1), np.uint8)
    for row, found in zip(images / 255.0, szegedy_units.distances(images), strict=True):
        pairs = [(0, 1), (0, 2), (1, 2)]
        assert found == pytest.approx(np.mean([np.sqrt(np.mean((row[a] - row[b]) ** 2)) for a, b in pairs]))


def test_random_directions_have_length_one_and_no_axis_of_their_own():
    directions = szegedy_units.along_random(np.eye(300, dtype=np.float32), 0)
    assert np.linalg.norm(directions, axis=0) == pytest.approx(np.ones(300), abs=1e-5)
    assert np.abs(directions).max() < 0.5
    assert np.abs(directions.T @ directions - np.eye(300)).max() < 0.5


def test_units_that_are_the_same_on_all_images_are_left_out():
    values = np.array([[0.0, 1.0, 2.0], [0.0, 3.0, 2.0]])
    assert szegedy_units.lively(values).tolist() == [[1.0], [3.0]]


def test_activities_are_those_of_the_layer_on_pixels_from_0_to_1():
    net = _net(3, 4)
    images = np.random.default_rng(2).integers(0, 256, (7, 2, 2, 1), np.uint8)
    kernel, bias = net.layers[1].get_weights()
    found = szegedy_units.activities(net, nets.layer(net, "1"), images)
    assert found == pytest.approx(images.reshape(7, 4) / 255.0 @ kernel + bias, abs=1e-5)


def test_a_layer_has_a_name_and_a_place():
    net = _net(3, 4)
    assert nets.layer(net, "2") is nets.layer(net, "dense_of_4") is net.layers[2]


def test_a_layer_that_is_not_there_is_told_with_those_that_are():
    with pytest.raises(
        InputError, match=r"^there is no layer '3'; the net has 0 \(flat\), 1 \(dense_of_3\), 2 \(dense_of_4\)\.$"
    ):
        nets.layer(_net(3, 4), "3")


def test_what_is_as_good_within_the_margin_counts_as_equal():
    exact, wide = np.full(20, 0.02), np.tile([-1.0, 1.0], 10)
    assert szegedy_units.no_worse(exact, 0.05) is True
    assert szegedy_units.no_worse(exact, 0.01) is False
    assert szegedy_units.no_worse(wide, 0.05) is None


@pytest.mark.slow
def test_the_small_form_draws_units_and_directions(tmp_path):
    experiment = papers.load(EXPERIMENTS, "szegedy-units", papers.SMALL)
    findings = experiment.run(Bench(Workdir.at(str(tmp_path)), None, "cpu"))
    assert [row[0] for row in findings.tables[0].cells[1:]] == [
        szegedy_units.UNITS,
        szegedy_units.DIRECTIONS,
        szegedy_units.CHANCE,
    ]
    findings.pictures[0].draw(io.BytesIO())

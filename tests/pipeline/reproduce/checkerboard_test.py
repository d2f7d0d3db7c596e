"""The checkerboard: which points are found, how far boundaries are, and that nets side by side learn as alone."""

import numpy as np
import pytest
import tensorflow as tf

from models.errors import InputError
from pipeline.reproduce import checkerboard
from pipeline.reproduce.bench import Bench
from pipeline.reproduce.checkerboard import Checkerboard, Lesson
from pipeline.workdir.ledger import Workdir


def test_the_board_has_two_squares_of_either_class():
    corners = np.array([[0.1, 0.1], [0.9, 0.1], [0.1, 0.9], [0.9, 0.9]], np.float32)
    assert checkerboard.truth(corners).tolist() == [0, 1, 1, 0]
    assert checkerboard.truth(checkerboard.cells(10)).mean() == 0.5


def test_training_points_are_of_both_classes_and_of_their_seed():
    points = checkerboard.drawn(3, 200)
    assert points.shape == (200, 2) and checkerboard.truth(points).sum() == 100
    assert np.array_equal(points, checkerboard.drawn(3, 200))
    assert not np.array_equal(points, checkerboard.drawn(4, 200))


def test_the_mistakes_are_those_where_one_net_says_otherwise_than_all_others():
    first = np.random.default_rng(0).random((2, 4, 300), dtype=np.float32)
    found = checkerboard.scan(np.stack([first, 1 - first], axis=-1))
    said = first < 0.5  # bool: class 1
    for seed, net, point in np.ndindex(2, 4, 300):
        others = {bool(said[seed, other, point]) for other in range(4) if other != net}
        alone = others == {not said[seed, net, point]}
        assert found.mistakes[seed, net, point] == alone
        if alone:
            assert found.peer_labels[seed, net, point] == (not said[seed, net, point])
    assert 0 < found.mistakes.sum() < found.mistakes.size


def test_distances_to_a_boundary_are_those_of_brute_force():
    classes = (np.random.default_rng(1).random((9, 9)) < 0.2).astype(int)
    places = np.argwhere(np.ones_like(classes))
    expected = [
        min(np.hypot(*(place - other)) for other in places if classes[tuple(other)] != classes[tuple(place)])
        for place in places
    ]
    assert checkerboard.boundary_distances(classes).ravel() == pytest.approx((np.array(expected) - 0.5) / 9)
    assert np.isinf(checkerboard.boundary_distances(np.ones((4, 4)))).all()


def test_nets_side_by_side_are_those_alone():
    model = checkerboard.build(range(3), 4)
    points = np.random.default_rng(2).random((7, 2), dtype=np.float32)
    answers = checkerboard.asked(model, points)
    for seed in range(3):
        kernels = checkerboard.first_weights(seed, 4)
        hidden = np.tanh(np.tanh(points @ kernels[0] + kernels[1]) @ kernels[2] + kernels[3])
        alone = tf.nn.softmax(hidden @ kernels[4] + kernels[5]).numpy()
        assert answers[seed] == pytest.approx(alone, abs=1e-6)


def _lesson(points, labels):
    return Lesson(points, labels, np.full(labels.shape, 1 / labels.shape[1], np.float32))


def test_what_one_seed_is_taught_changes_no_other_seeds_net():
    points = np.stack([checkerboard.drawn(seed, 20) for seed in range(2)])
    lesson = _lesson(points, checkerboard.truth(points))
    more = checkerboard.with_points(
        lesson, [np.zeros((0, 2)), np.full((5, 2), 0.2)], [np.zeros(0, int), np.ones(5, int)]
    )
    square = checkerboard.cells(6)
    nets = [checkerboard.trained(range(2), 4, each, 60, "cpu") for each in (lesson, more)]
    before, after = (checkerboard.asked(each, square) for each in nets)
    assert after[0] == pytest.approx(before[0], abs=1e-4)
    assert np.abs(after[1] - before[1]).max() > 0.05


def test_new_points_weigh_as_much_as_old_ones():
    points = np.stack([checkerboard.drawn(seed, 4) for seed in range(2)])
    more = checkerboard.with_points(
        _lesson(points, checkerboard.truth(points)), [np.ones((1, 2)), np.ones((4, 2))], [np.ones(1), np.ones(4)]
    )
    assert more.weights[0] == pytest.approx([0.2] * 5 + [0] * 3)
    assert more.weights[1] == pytest.approx([0.125] * 8)


def test_two_nets_are_too_few(tmp_path):
    with pytest.raises(InputError, match="at least 3"):
        Checkerboard(widths=(3, 4)).run(Bench(Workdir.at(str(tmp_path)), None, "cpu"))


@pytest.mark.slow
def test_findings_tell_of_every_net_and_draw_them(tmp_path):
    experiment = Checkerboard(seeds=2, points=40, widths=(3, 4, 5), steps=40, grid=20, added=5)
    findings = experiment.run(Bench(Workdir.at(str(tmp_path)), None, "cpu"))
    assert [claim.held for claim in findings.claims[:1]] != [None]
    assert [row[0] for row in findings.tables[0].cells[1:]] == ["2-3-3-2", "2-4-4-2", "2-5-5-2"]
    for shown in findings.pictures:
        shown.draw(str(tmp_path / "drawn.png"))

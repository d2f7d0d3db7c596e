from __future__ import annotations

import numpy as np
import pytest

from pipeline.search.moves.book import Book
from pipeline.search.moves.lanes import Answer


def _book(nets: int, lanes: int, horizon: int) -> Book:
    """One slot, whose target net is the first."""
    book = Book(nets, lanes, nets * lanes, np.array([horizon], np.int32), np.array([0], np.int32))
    book.deal()
    return book


def _answer(book: Book, lanes: list[int], passes: bool) -> Answer:
    confidences = np.linspace(0.1, 0.9, len(book.ahead), dtype=np.float32)[lanes]
    return Answer(np.full(len(lanes), passes), confidences, np.full(len(lanes), passes))


def _hear(book: Book, net: int, lanes: list[int], passes: bool) -> None:
    book.show(np.array(lanes))
    book.hear(net, np.array(lanes), _answer(book, lanes, passes))


def test_a_candidate_that_is_accepted_waits_for_those_that_come_before_it():
    for passes, winner in ((True, 0), (False, 1)):
        book = _book(nets=2, lanes=2, horizon=4)
        np.testing.assert_array_equal(book.ahead, [0, 1, 2, 3])
        _hear(book, 0, [0, 1, 2, 3], True)
        _hear(book, 1, [1], True)
        assert not len(book.decided())
        _hear(book, 1, [0], passes)
        slots = book.decided()
        ended = book.resolve(slots)
        assert (slots.tolist(), ended.won.tolist(), ended.ahead.tolist()) == ([0], [True], [winner])
        assert ended.drawn.tolist() == [winner + 1]
        assert ended.answer.confidence == np.linspace(0.1, 0.9, 4, dtype=np.float32)[winner]  # the target net's answer
        assert not book.waits()


def test_the_net_that_refused_a_trials_last_candidate_sees_the_next_one_first():
    book = _book(nets=3, lanes=1, horizon=9)
    assert book.choose()[0] == 0  # the target net, before any has refused
    _hear(book, 0, [0, 1, 2], True)
    _hear(book, 1, [0], False)
    book.deal()
    _hear(book, 1, [1, 2], True)
    _hear(book, 2, [1, 2], False)
    net, lanes = book.choose()
    assert (net, lanes.tolist(), book.ahead[lanes].tolist()) == (1, [0], [3])


def test_nets_are_asked_in_the_order_in_which_they_refused_last():
    book = Book(4, 1, 4, np.array([9], np.int32), np.array([3], np.int32))
    book.deal()
    _hear(book, 3, [0, 1], True)
    _hear(book, 2, [0], False)
    _hear(book, 0, [1], False)
    book.deal()
    asked = []
    for _ in range(4):
        asked.append(int(book._net[0]))
        _hear(book, asked[-1], [0], True)
    assert book.ahead[0] == 4 and asked == [0, 2, 3, 1]


def test_after_the_target_net_the_others_are_asked_in_turn_and_none_twice():
    book = Book(3, 1, 3, np.array([1], np.int32), np.array([1], np.int32))
    book.deal()
    asked = []
    while book.waits():
        net, lanes = book.choose()
        asked.append(net)
        _hear(book, net, lanes.tolist(), True)
    assert asked == [1, 0, 2]


def test_a_trial_without_candidates_left_is_decided_without_a_winner():
    book = _book(nets=2, lanes=2, horizon=3)
    assert book.choose()[1].tolist() == [0, 1]  # three candidates wait, two fit
    _hear(book, 0, [0, 1, 2], False)
    book.deal()
    assert not book.waits()
    ended = book.resolve(book.decided())
    assert (ended.won.tolist(), ended.drawn.tolist()) == ([False], [3])


def test_a_candidate_that_is_being_shown_is_not_chosen_again():
    book = _book(nets=2, lanes=2, horizon=4)
    _, lanes = book.choose()
    book.show(lanes)
    assert lanes.tolist() == [0, 1] and book.choose()[1].tolist() == [2, 3]
    book.show(np.array([2, 3]))
    assert not book.waits()


def test_a_candidate_that_is_being_shown_holds_back_those_that_come_after_it():
    book = _book(nets=1, lanes=2, horizon=2)
    book.show(np.array([0]))
    _hear(book, 0, [1], True)
    assert not len(book.decided())
    book.hear(0, np.array([0]), _answer(book, [0], False))
    assert book.resolve(book.decided()).ahead.tolist() == [1]


@pytest.mark.parametrize("passes", [True, False])
@pytest.mark.parametrize("moves", [1, 2])
def test_an_answer_that_comes_after_its_slot_went_on_changes_nothing(passes, moves):
    book = _book(nets=2, lanes=2, horizon=9)
    _hear(book, 0, [1], True)
    book.show(np.array([1]))  # to the second net
    for _ in range(moves):
        _hear(book, 0, [0], True)
        _hear(book, 1, [0], True)
        ended = book.resolve(book.decided())
        assert ended.ahead.tolist() == [0]
        book.go_on(ended.slots, np.array([9], np.int32))
        book.deal()
        assert book.ahead[[0, 2, 3]].tolist() == [0, 1, 2]  # its place is not free yet
    book.hear(1, np.array([1]), _answer(book, [1], passes))
    assert not len(book.decided())
    book.deal()
    assert book.ahead.tolist() == [0, 3, 1, 2]  # now it is
    seen: list[list[int]] = [[], [], [], []]
    while book.waits():
        net, lanes = book.choose()
        for lane in lanes:
            seen[lane].append(net)
        _hear(book, net, lanes.tolist(), True)
    assert seen == [[0, 1]] * 4  # all see the target net first, and none was passed before

"""Who waits where: the bookkeeping of candidates that are shown to one net after another (`net_by_net`), in NumPy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pipeline.search.moves.lanes import Answer

_NONE = np.iinfo(np.int32).max  # in place of a candidate's number
_TURN = 2**32  # more than there are turns
_REFUSED = 0.98  # about so many of a trial's candidates are, and the one that comes next is not in vain
_FREE, _WAITS, _SHOWN, _ACCEPTED, _VAIN = range(5)  # a place's status; in vain: shown, but its slot went on


class Ended(NamedTuple):
    """Slots in which the candidates under way came to something, `[E]` rows.

    Attributes:
      slots: int.
      won: bool, a candidate was accepted; else the trial may draw no more.
      drawn: int32, candidates since the last move, the winner the last of them.
      ahead: int32, the winner's number; any where there is none.
      answer: what the target net said of the winner.
    """

    slots: np.ndarray
    won: np.ndarray
    drawn: np.ndarray
    ahead: np.ndarray
    answer: Answer


class Book:
    """Who waits where: S slots with a trial each, and places for candidates of theirs.

    Candidates of a slot are numbered from its trial's last move on (`ahead`). A place is free, or its candidate waits
    for a net, is being shown to one, was accepted by all, or is in vain: its slot went on while it was being shown, so
    that the answer changes nothing but that the place is free again.

    Args:
      nets: N.
      lanes: candidates that a net sees at a time.
      places: for how many candidates there is room.
      horizon: int32 `[S]`, how many candidates each trial may draw.
      targets: int32 `[S]`, each trial's target net.
    """

    def __init__(self, nets: int, lanes: int, places: int, horizon: np.ndarray, targets: np.ndarray):
        self._nets, self._lanes, self._turn = nets, lanes, 0
        slots, candidates = len(horizon), places
        self.busy = np.ones(slots, bool)
        self._horizon, self._dealt, self._target = (np.zeros(slots, np.int32) for _ in range(3))
        self._refused = np.zeros([slots, nets], np.int64)  # the turn in which each net refused a candidate of a slot
        self.start(np.arange(slots), targets, horizon)
        self.slot, self.ahead = np.zeros(candidates, np.int32), np.zeros(candidates, np.int32)
        self._net, self._since = np.zeros(candidates, np.int32), np.zeros(candidates, np.int64)
        self._status = np.full(candidates, _FREE, np.int8)
        self._asked = np.zeros([candidates, nets], bool)
        self._answer = Answer(np.zeros(candidates, bool), np.zeros(candidates, np.float32), np.zeros(candidates, bool))

    def start(self, slots: np.ndarray, targets: np.ndarray, horizon: np.ndarray) -> None:
        """Gives slots new trials with these target nets."""
        self._target[slots], self._refused[slots] = targets, 0
        self._refused[slots, targets] = 1  # before there is a refusal, the target net comes first
        self.go_on(slots, horizon)

    def go_on(self, slots: np.ndarray, horizon: np.ndarray) -> None:
        """Gives slots, none of whose candidates counts any more, so many more to draw."""
        self._horizon[slots], self._dealt[slots] = horizon, 0

    def deal(self) -> None:
        """Gives the places that are free to the busy slots, first to those with the fewest candidates under way."""
        under_way = self._open() | (self._status == _ACCEPTED)
        free = np.flatnonzero(self._status == _FREE)
        load = np.bincount(self.slot[under_way], minlength=len(self.busy))
        share = -(-len(self.slot) // int(self.busy.sum()))
        want = np.clip(np.minimum(self._horizon - self._dealt, share - load), 0, None)
        want[~self.busy | self._stopped()] = 0
        order = np.flatnonzero(want)
        order = order[np.argsort(load[order], kind="stable")]
        reached = np.minimum(np.cumsum(want[order]), len(free))
        given = np.diff(reached, prepend=0)
        slots = np.repeat(order, given)
        lanes = free[: len(slots)]
        self.slot[lanes] = slots
        self.ahead[lanes] = self._dealt[slots] + np.arange(len(slots)) - np.repeat(reached - given, given)
        self._dealt[order] += given.astype(np.int32)
        self._asked[lanes], self._status[lanes] = False, _WAITS
        self._net[lanes], self._since[lanes] = self._next(lanes), self._turn

    def _open(self) -> np.ndarray:
        """Tells, bool `[C]`, which candidates have yet to be decided."""
        return (self._status == _WAITS) | (self._status == _SHOWN)

    def _lowest(self, among: np.ndarray) -> np.ndarray:
        """Returns int32 `[S]`, the lowest number among some candidates of each slot."""
        lowest = np.full(len(self.busy), _NONE, np.int32)
        np.minimum.at(lowest, self.slot[among], self.ahead[among])
        return lowest

    def choose(self) -> tuple[int, np.ndarray]:
        """Returns the net that has most to do, and what it is to be shown.

        Candidates come first before which the fewest are under way in their slot, for those that come after an accepted
        one are in vain; of these, those that have waited longest.
        """
        waits = np.flatnonzero(self._status == _WAITS)
        depth = self.ahead[waits] - self._lowest(self._open())[self.slot[waits]]
        weight = np.bincount(self._net[waits], _REFUSED**depth, minlength=self._nets)
        net = int(weight.argmax())
        here = self._net[waits] == net
        lanes, order = waits[here], depth[here].astype(np.int64) * _TURN + self._since[waits[here]]
        return net, np.sort(lanes[np.argsort(order, kind="stable")[: self._lanes]])

    def show(self, lanes: np.ndarray) -> None:
        """Takes down that candidates are being shown to the net at which they wait; `hear` has to follow."""
        self._status[lanes] = _SHOWN

    def hear(self, net: int, lanes: np.ndarray, answer: Answer) -> None:
        """Sends the candidates on that a net was shown: to the next net, or out of the way."""
        self._turn += 1
        counts = self._status[lanes] == _SHOWN
        self._status[lanes[~counts]] = _FREE
        lanes, answer = lanes[counts], Answer(*(field[counts] for field in answer))
        of_target = self._target[self.slot[lanes]] == net
        for kept, said in zip(self._answer, answer, strict=True):
            kept[lanes[of_target]] = said[of_target]
        refused, passed = lanes[~answer.passes], lanes[answer.passes]
        self._refused[self.slot[refused], net] = self._turn + 1
        self._status[refused] = _FREE
        self._asked[passed, net] = True
        self._net[passed], self._since[passed] = self._next(passed), self._turn
        self._status[passed] = np.where(self._asked[passed].all(axis=1), _ACCEPTED, _WAITS)

    def _next(self, lanes: np.ndarray) -> np.ndarray:
        """Returns the net to ask next: of those not asked yet the one that refused a candidate of the trial last."""
        return np.where(self._asked[lanes], -1, self._refused[self.slot[lanes]]).argmax(axis=1)

    def waits(self) -> bool:
        """Tells whether a candidate waits for a net."""
        return bool((self._status == _WAITS).any())

    def _stopped(self) -> np.ndarray:
        """Tells, bool `[S]`, where a candidate was accepted: whatever comes after it is in vain."""
        stopped = np.zeros(len(self.busy), bool)
        stopped[self.slot[self._status == _ACCEPTED]] = True
        return stopped

    def decided(self) -> np.ndarray:
        """Returns the slots in which the first accepted candidate is known, or that there is none."""
        open_, best = self._lowest(self._open()), self._lowest(self._status == _ACCEPTED)
        spent = self.busy & (open_ == _NONE) & (best == _NONE) & (self._dealt >= self._horizon)
        return np.flatnonzero((best < open_) | spent)

    def resolve(self, slots: np.ndarray) -> Ended:
        """Takes the candidates of decided slots out of the way, and returns what came of them."""
        accepted = self._status == _ACCEPTED
        best = self._lowest(accepted)
        lanes = np.flatnonzero(accepted & (self.ahead == best[self.slot]))
        winner = np.zeros(len(self.busy), np.int64)
        winner[self.slot[lanes]] = lanes
        gone = np.isin(self.slot, slots)
        self._status[gone] = np.where(np.isin(self._status[gone], (_SHOWN, _VAIN)), _VAIN, _FREE)
        lanes, won = winner[slots], best[slots] != _NONE
        drawn = np.where(won, best[slots] + 1, self._horizon[slots]).astype(np.int32)
        return Ended(slots, won, drawn, self.ahead[lanes], Answer(*(field[lanes] for field in self._answer)))

"""The net that will say no, asked first: candidates are shown to one net after another until one refuses.

A candidate falls as soon as one net says no, and a walk soon stands where one peer is only just still sure and refuses
nearly everything. So a trial shows its next candidate first to the net that refused its last one, then to the one that
refused before that, and so on; at the start, to the target net. Of five nets, one and a half are asked. What is decided
is the same as if all were asked.

Every candidate under way waits at one net. Each turn takes the net that has most to do, and shows it `lanes` of them: a
batch of one fixed shape, for another one can change a net's last bits. Two nets are asked at a time, in threads of
their own. There are N + 2 times `lanes` candidates under way: two batches are being shown, and of those that wait some
net has a full batch. Where there are fewer trials than that, a trial has several candidates under way, numbered as they
would come one after the other; the first accepted one wins, and it has to wait until those before it are refused. Then
those after it are in vain, and so is what a net is still to say of them. What a trial finds is what it would find
alone.

The bookkeeping is NumPy's, on the host: a turn takes the nets milliseconds, and what they are shown is made, judged and
settled by compiled functions of rows. While nets are shown batches, the answers to earlier ones are entered and the
next one is made ready; answers are entered in the order in which their nets were asked, so that what is counted is the
same each time. Nets that take microseconds are better asked all at once (`in_graph`).
"""

from __future__ import annotations

import collections
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from models import devices, kernels
from models.classifier import Classifier, PeerGroup
from pipeline.search.moves.book import Book, Ended
from pipeline.search.moves.lanes import Answer, Report, Searched, Searcher, Trials, pad_rows
from pipeline.search.moves.packing import Packed, Packing

_SECONDS = 2.0  # between two reports
_THREADS = 2  # nets that are asked at a time; one alone leaves cores idle
_SETTLED = 64  # trials that are settled in one call
_SHARE = 32  # of the trials under way one part in so many is settled, should that be fewer


class _Entry(NamedTuple):
    """What the host keeps of a slot: its trial, the searcher's state, and what comes of it."""

    trial: Trials
    state: Any
    horizon: Any
    done: Any
    result: Any


class NetByNet:
    """Runs queues of trials, net by net; compiled once. `packing` is that of an `_Entry`, known once a queue begins.

    Args:
      searcher: the search.
      group: the nets.
      run_seed: uint32.
      lanes: candidates that a net sees at a time.
    """

    def __init__(self, searcher: Searcher, group: PeerGroup, run_seed: int, lanes: int):
        self._searcher, self._run_seed = searcher, run_seed
        self.packing: Packing
        self.lanes, self.nets = lanes, len(group.classifiers)
        self._device = devices.current()
        self.sources = kernels.cluster(searcher.sources)
        self._begin = kernels.cluster(self._begun)
        self._settle = kernels.cluster(self._settled)
        self._ask = [self._question(place, net) for place, net in enumerate(group.classifiers)]

    def _entry(self, trials: Trials, state: Any) -> Packed:
        searcher = self._searcher
        entry = _Entry(trials, state, searcher.horizon(state), searcher.done(state), searcher.result(state))
        self.packing = Packing(entry)
        return self.packing.pack(entry)

    def _begun(self, trials: Trials, sources: tf.Tensor) -> Packed:
        return self._entry(trials, self._searcher.init(trials, sources))

    def _propose(self, entry: _Entry, ahead: tf.Tensor, sources: tf.Tensor) -> Any:
        seed = tf.constant(self._run_seed, tf.uint32)
        return self._searcher.propose(seed, entry.trial, entry.state, ahead, sources)

    def _settled(
        self, sources: tf.Tensor, entries: Packed, ahead: tf.Tensor, drawn: tf.Tensor, won: tf.Tensor, answer: Answer
    ) -> Packed:
        entry = self.packing.unpack(entries)
        winner = self._searcher.move(self._propose(entry, ahead, sources), answer)
        return self._entry(entry.trial, self._searcher.advance(entry.state, drawn, won, winner))

    def _question(self, place: int, net: Classifier) -> Any:
        def candidates(sources: tf.Tensor, entries: Packed, ahead: tf.Tensor) -> tf.Tensor:
            return self._propose(self.packing.unpack(entries), ahead, sources).images

        def judge(entries: Packed, probabilities: tf.Tensor) -> Answer:
            entry = self.packing.unpack(entries)
            return self._searcher.answer(entry.trial, entry.state, probabilities, entry.trial.target_net == place)

        show, hear = kernels.cluster(candidates), kernels.cluster(judge)

        def ask(sources: tf.Tensor, entries: Packed, ahead: tf.Tensor) -> Answer:
            return hear(entries, net.predict(show(sources, entries, ahead)))

        return kernels.compiled(ask, net.kernels)

    def run(self, images: np.ndarray, trials: Trials, report: Report) -> Searched:
        """Runs trials until all have ended; see `lanes.Runner`."""
        queue = _Queue(self, self.sources(images), trials)
        reported = time.perf_counter()
        with ThreadPoolExecutor(_THREADS, "net") as executor:
            while queue.book.busy.any():
                queue.turn(executor)
                if time.perf_counter() - reported > _SECONDS:
                    reported = time.perf_counter()
                    report(queue.ended, len(trials.row))
        return queue.searched()

    def begin(self, trials: Trials, sources: tf.Tensor) -> Packed:
        """Returns the entries of trials of any number at their start."""
        return _in_rows(lambda rows: self._begin(rows, sources), trials)

    def settle(self, sources: tf.Tensor, *rows: Any) -> Packed:
        """Returns the entries of trials of any number after a move, or at their end; the arguments of `_settled`."""
        return _in_rows(lambda given: self._settle(sources, *given), rows)

    def ask(self, net: int, sources: tf.Tensor, entries: Packed, ahead: np.ndarray) -> Answer:
        """Returns what a net says of at most `lanes` candidates."""
        given = tf.nest.map_structure(lambda field: pad_rows(field, self.lanes), (entries, ahead))
        with tf.device(self._device):  # threads begin outside of the caller's
            return Answer(*(field.numpy()[: len(ahead)] for field in self._ask[net](sources, *given)))


def _in_rows(call: Callable[[Any], Packed], rows: Any) -> Packed:
    """Calls a function of `_SETTLED` rows for any number of them; all in NumPy."""
    count = len(tf.nest.flatten(rows)[0])
    parts = []
    for start in range(0, max(count, 1), _SETTLED):
        chunk = tf.nest.map_structure(lambda field, at=start: pad_rows(field[at : at + _SETTLED], _SETTLED), rows)
        parts.append({name: matrix.numpy() for name, matrix in call(chunk).items()})
    return {name: np.concatenate([part[name] for part in parts])[:count] for name in parts[0]}


class _Shown(NamedTuple):
    """A batch on its way: the net, the candidates' places and trials, and what the net will say."""

    net: int
    lanes: np.ndarray
    trials: np.ndarray
    answer: Future[Answer]


class _Queue:
    """A queue of R trials under way in S slots.

    Attributes:
      book: who waits where.
    """

    def __init__(self, runner: NetByNet, sources: tf.Tensor, trials: Trials):
        self._runner, self._sources, self._trials = runner, sources, trials
        count = len(trials.row)
        self._trial = np.arange(min(runner.nets * runner.lanes, count))  # each slot's
        self._next = len(self._trial)
        self._asked, self._refused = (np.zeros([count, runner.nets], np.int32) for _ in range(2))
        self._entries = runner.begin(self._of(trials, self._trial), sources)
        self._packing = runner.packing
        self._ended = self._packing.zeros(count)
        places = (runner.nets + _THREADS) * runner.lanes
        horizon = self._seen(self._entries).horizon
        self.book = Book(runner.nets, runner.lanes, places, horizon, trials.target_net[: self._next])
        self._shown: collections.deque[_Shown] = collections.deque()

    @staticmethod
    def _of(trials: Trials, index: np.ndarray) -> Trials:
        return Trials(*(column[index] for column in trials))

    def _seen(self, entries: Packed) -> _Entry:
        return self._packing.unpack(entries)

    @property
    def ended(self) -> int:
        """How many trials have ended."""
        return self._next - int(self.book.busy.sum())

    def searched(self) -> Searched:
        """Returns what became of the trials."""
        return Searched(self._seen(self._ended).result, self._asked, self._refused)

    def turn(self, executor: Executor) -> None:
        """Has a net shown a batch, hears the oldest under way, settles trials that are decided if there are enough."""
        self.book.deal()
        waits = self.book.waits()
        if waits:
            self._shown.append(self._show(executor))
        if len(self._shown) > _THREADS or (self._shown and not waits):
            self._hear(self._shown.popleft())
        slots = self.book.decided()
        if len(slots) >= min(_SETTLED, self.book.busy.sum() // _SHARE + 1) or not (waits or self._shown):
            self._settle(self.book.resolve(slots))

    def _show(self, executor: Executor) -> _Shown:
        net, lanes = self.book.choose()
        self.book.show(lanes)
        slots = self.book.slot[lanes]
        candidates = _pick(self._entries, slots), self.book.ahead[lanes]
        trials = self._trial[slots]
        np.add.at(self._asked[:, net], trials, 1)
        answer = executor.submit(self._runner.ask, net, self._sources, *candidates)
        return _Shown(net, lanes, trials, answer)

    def _hear(self, shown: _Shown) -> None:
        answer = shown.answer.result()
        np.add.at(self._refused[:, shown.net], shown.trials[~answer.passes], 1)
        self.book.hear(shown.net, shown.lanes, answer)

    def _settle(self, ended: Ended) -> None:
        slots, picked = ended.slots, _pick(self._entries, ended.slots)
        settled = self._runner.settle(self._sources, picked, ended.ahead, ended.drawn, ended.won, ended.answer)
        seen = self._seen(settled)
        _put(self._entries, slots, settled)
        self.book.go_on(slots, seen.horizon)
        if seen.done.any():
            done = slots[seen.done]
            _put(self._ended, self._trial[done], _pick(settled, seen.done))
            self._refill(done)

    def _refill(self, slots: np.ndarray) -> None:
        """Gives slots whose trials ended the next trials; those for which there are none are idle from now on."""
        coming = min(len(slots), len(self._trials.row) - self._next)
        slots, idle = slots[:coming], slots[coming:]
        self.book.busy[idle] = False
        self._trial[slots] = np.arange(self._next, self._next + coming)
        self._next += coming
        trials = self._of(self._trials, self._trial[slots])
        begun = self._runner.begin(trials, self._sources)
        _put(self._entries, slots, begun)
        self.book.start(slots, trials.target_net, self._seen(begun).horizon)


def _pick(packed: Packed, index: np.ndarray) -> Packed:
    return {name: matrix[index] for name, matrix in packed.items()}


def _put(packed: Packed, index: np.ndarray, rows: Packed) -> None:
    for name, matrix in packed.items():
        matrix[index] = rows[name]

"""The lane runner: many searches at once in one XLA-compiled loop, with no lane ever idle.

`slots` trials are under way at a time; each step, every one of the L lanes draws one candidate of a trial in a slot. A
slot whose trial ends takes the next trial of the queue inside the graph. When the queue is empty and trials run out,
the spare lanes look *ahead*: they draw the candidates that the remaining trials would come to next if those before are
rejected. Most are, so the tail of a unit costs little, and what a trial finds is exactly what it would find alone: the
candidates are numbered, their random numbers depend on that number only, and the first accepted one wins. The nets
always see the same batch shape, because another one can change a net's last bits.

The loop runs in blocks of steps, so that whoever calls hears of its progress and can end it. How long the blocks are
changes no result: `begin` gives the `Loop` before the first step, `advance` the one some steps on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
import tensorflow as tf

Nets = Callable[[tf.Tensor], tf.Tensor]
Report = Callable[[int, int], None]


class Trials(NamedTuple):
    """Where trials start; every field has one row a trial.

    Attributes:
      row: int32, the seed image's row in the unit.
      seed_words: uint32 `[..., 2]`, the seed image's words in keys and counters.
      target_net: int32, the place in the group of the net to mislead.
      target_class: int32, the class that the peers must hold.
      confidence: float32, the target net's probability of that class on the seed image.
    """

    row: tf.Tensor
    seed_words: tf.Tensor
    target_net: tf.Tensor
    target_class: tf.Tensor
    confidence: tf.Tensor


class Answer(NamedTuple):
    """What one net says of candidates `[L]`.

    Attributes:
      passes: bool, it does not refuse: a peer holds the class, the target net is less sure of it than before.
      confidence: float32, its probability of the class.
      misled: bool, it gives another class, as confidently as is asked for.
    """

    passes: Any
    confidence: Any
    misled: Any


class Searched(NamedTuple):
    """What became of R trials, in NumPy.

    Attributes:
      results: the searcher's, `[R]` rows.
      asked: int32 `[R, N]`, how many candidates were shown to each net, those in vain included.
      refused: int32 `[R, N]`, how many of them fell by each net's answer. Of several nets that refuse, it is the one
        that refused the trial's last candidate, else the target net, else the first; where nets are asked one by one,
        the one that refused a candidate of the trial last.
    """

    results: Any
    asked: np.ndarray
    refused: np.ndarray


class Runner(Protocol):
    """What runs queues of trials."""

    def run(self, images: np.ndarray, trials: Trials, report: Report) -> Searched:
        """Runs trials until all have ended.

        Args:
          images: a unit's seed images, uint8 `[U, H, W, C]`; U is the same in every call.
          trials: NumPy, `[R]` rows, at least one.
          report: called every few seconds with the number of trials that have ended, and of all; an error that it
            raises ends the search.
        """


class Searcher(Protocol):
    """A search as pure functions over a NamedTuple state of `[L, ...]` tensors, one row a trial."""

    def sources(self, images: tf.Tensor) -> tf.Tensor:
        """Returns what candidates are made of, `[U, ...]`, of a unit's seed images, uint8 `[U, H, W, C]`."""

    def init(self, trials: Trials, sources: tf.Tensor) -> Any:
        """Returns the state in which trials start."""

    def horizon(self, state: Any) -> tf.Tensor:
        """Returns int32 `[L]`: how many more candidates a trial may draw if none of them is accepted."""

    def propose(self, run_seed: tf.Tensor, trials: Trials, state: Any, ahead: tf.Tensor, sources: tf.Tensor) -> Any:
        """Returns the candidate `ahead` steps on, `[L, ...]` tensors with a field `images` in [0, 1]."""

    def answer(self, trials: Trials, state: Any, probabilities: tf.Tensor, is_target: tf.Tensor) -> Answer:
        """Returns what one net's probabilities `[L, K]` mean; bool `[L]`, for which trials it is the target net.

        A candidate that every net passes is accepted.
        """

    def move(self, candidate: Any, answer: Answer) -> Any:
        """Returns what `advance` needs of accepted candidates, of which the target net said `answer`."""

    def advance(self, state: Any, drawn: tf.Tensor, won: tf.Tensor, winner: Any) -> Any:
        """Returns the state after `drawn` candidates, of which the last, `winner`, was accepted where `won`."""

    def done(self, state: Any) -> tf.Tensor:
        """Tells, bool `[L]`, which trials have ended."""

    def result(self, state: Any) -> Any:
        """Returns what is kept of a trial, a NamedTuple of `[L, ...]` tensors."""


class Queue(NamedTuple):
    """What is to be run.

    Attributes:
      trials: `[Q]`.
      count: int32 scalar, how many of them, from the first; the others fill up the shape.
      sources: what the searcher makes candidates of, `[U, ...]`: the operator's of the unit's seed images.
    """

    trials: Trials
    count: tf.Tensor
    sources: tf.Tensor


class Counts(NamedTuple):
    """What the nets had to do with a trial so far; see `Searched`.

    Attributes:
      asked: int32 `[S]`, the same for every net.
      refused: int32 `[S, N]`.
      refuser: int32 `[S]`, the net that refused the last candidate; before there is one, the target net.
    """

    asked: tf.Tensor
    refused: tf.Tensor
    refuser: tf.Tensor


class Loop(NamedTuple):
    """A queue under way, S slots (as many as lanes) and Q trials.

    Attributes:
      trial: int32 `[S]`, each slot's trial in the queue.
      busy: bool `[S]`, the slot's trial is under way; when no slot is busy, all trials have ended.
      state: the searcher's, one row a slot.
      counts: of each slot's trial.
      next_trial: int32 scalar, the first trial that no slot has taken yet.
      results: the searcher's and the counts, one row a trial; zeros of those that have not ended.
      steps: int32 scalar, steps of L candidates that the last call of `advance` took.
    """

    trial: tf.Tensor
    busy: tf.Tensor
    state: Any
    counts: Counts
    next_trial: tf.Tensor
    results: tuple[Any, Counts]
    steps: tf.Tensor


def begin(searcher: Searcher, nets: int, lanes: int, queue: Queue) -> Loop:
    """Returns the loop before its first step, with as many slots as lanes, for so many nets."""
    slots = tf.range(lanes)
    trials = _pick(queue, slots)
    state, counts = searcher.init(trials, queue.sources), _no_counts(trials, nets)
    length = queue.trials.row.shape[0]
    results = tf.nest.map_structure(
        lambda rows: tf.zeros([length, *rows.shape[1:]], rows.dtype), (searcher.result(state), counts)
    )
    return Loop(slots, slots < queue.count, state, counts, tf.minimum(lanes, queue.count), results, tf.constant(0))


def _no_counts(trials: Trials, nets: int) -> Counts:
    zeros = tf.zeros_like(trials.row)
    return Counts(zeros, tf.tile(zeros[:, None], [1, nets]), trials.target_net)


def advance(searcher: Searcher, nets: Nets, run_seed: tf.Tensor, queue: Queue, loop: Loop, most: tf.Tensor) -> Loop:
    """Goes on for some steps, or until all trials have ended. To be called inside a compiled function.

    Args:
      searcher: the search.
      nets: float32 `[L, H, W, C]` in [0, 1] -> probabilities `[N, L, K]`.
      run_seed: uint32 scalar.
      queue: what `begin` was given.
      loop: what `begin`, or the last call, gave.
      most: int32 scalar, the most steps to take; it changes no result.
    """

    def body(loop: Loop) -> tuple[Loop]:
        return (_step(searcher, nets, run_seed, queue, loop),)

    start = loop._replace(steps=tf.constant(0))
    return tf.while_loop(lambda loop: tf.reduce_any(loop.busy) & (loop.steps < most), body, (start,))[0]


def _step(searcher: Searcher, nets: Nets, run_seed: tf.Tensor, queue: Queue, loop: Loop) -> Loop:
    lanes = loop.busy.shape[0]
    deal = _deal_lanes(loop.busy, lanes)
    lane_trials, lane_state = _pick(queue, tf.gather(loop.trial, deal.slot)), _rows(loop.state, deal.slot)
    candidate = searcher.propose(run_seed, lane_trials, lane_state, deal.ahead, queue.sources)
    said = _answers(searcher, lane_trials, lane_state, nets(candidate.images))
    accepted = tf.reduce_all(said.passes, axis=0) & (deal.ahead < searcher.horizon(lane_state))
    winner, won = _first_accepted(deal, accepted, lanes)
    given = (lanes - 1 - deal.rank) // deal.busy_slots + 1
    drawn = tf.where(won, tf.gather(deal.ahead, winner) + 1, tf.minimum(given, searcher.horizon(loop.state)))
    drawn, won = tf.where(loop.busy, drawn, 0), won & loop.busy
    outcome = searcher.move(candidate, _of_target(said, lane_trials.target_net))
    state = searcher.advance(loop.state, drawn, won, _rows(outcome, winner))
    counts = _count(loop, deal, lane_trials, said.passes, drawn, won, tf.where(loop.busy, given, 0))
    return _retire(searcher, loop._replace(state=state, counts=counts), queue)


def _answers(searcher: Searcher, trials: Trials, state: Any, probabilities: tf.Tensor) -> Answer:
    """Returns all nets' answers, `[N, L]`, of their probabilities `[N, L, K]`."""
    said = [
        searcher.answer(trials, state, probabilities[net], trials.target_net == net)
        for net in range(probabilities.shape[0])
    ]
    return Answer(*(tf.stack(fields) for fields in zip(*said, strict=True)))


def _of_target(said: Answer, target_nets: tf.Tensor) -> Answer:
    """Returns each trial's target net's answers, `[L]`, of all nets' `[N, L]`."""
    is_target = tf.range(said.passes.shape[0])[:, None] == target_nets[None]

    def pick(field: tf.Tensor) -> tf.Tensor:
        if field.dtype == tf.bool:
            return tf.reduce_any(field & is_target, axis=0)
        return tf.reduce_sum(tf.where(is_target, field, 0), axis=0)

    return Answer(*(pick(field) for field in said))


def _count(
    loop: Loop, deal: _Deal, trials: Trials, passes: tf.Tensor, drawn: tf.Tensor, won: tf.Tensor, given: tf.Tensor
) -> Counts:
    """Counts what the nets were asked and refused in a step.

    Args:
      loop, deal: before the step.
      trials: `[L]`, of the lanes.
      passes: bool `[N, L]`, whose candidate is not refused.
      drawn, won: `[S]`, what was decided.
      given: int32 `[S]`, how many lanes each slot has.
    """
    nets, lanes = passes.shape
    net, old = tf.range(nets)[:, None], loop.counts
    order = tf.where(net == trials.target_net[None], -1, net)
    order = tf.where(net == tf.gather(old.refuser, deal.slot)[None], -2, order)
    refuser = tf.argmin(tf.where(passes, nets, order), axis=0, output_type=tf.int32)
    fell = tf.cast(~tf.reduce_all(passes, axis=0), tf.int32)
    refused = tf.tensor_scatter_nd_add(old.refused, tf.stack([deal.slot, refuser], axis=-1), fell)
    last = drawn - 1 - tf.cast(won, tf.int32)
    lane = tf.clip_by_value(deal.rank + last * deal.busy_slots, 0, lanes - 1)
    return Counts(old.asked + given, refused, tf.where(last >= 0, tf.gather(refuser, lane), old.refuser))


def _pick(queue: Queue, index: tf.Tensor) -> Trials:
    return _rows(queue.trials, tf.minimum(index, queue.trials.row.shape[0] - 1))


def _rows(structure: Any, index: tf.Tensor) -> Any:
    return tf.nest.map_structure(lambda rows: tf.gather(rows, index), structure)


def pad_rows(array: np.ndarray, rows: int) -> np.ndarray:
    """Returns an array with rows of zeros at its end, so that it has so many."""
    if len(array) == rows:
        return array
    return np.pad(array, [(0, rows - len(array))] + [(0, 0)] * (array.ndim - 1))


def select(condition: tf.Tensor, yes: Any, no: Any) -> Any:
    """Returns row by row one of two structures of `[L, ...]` tensors, by bool `[L]`."""

    def where(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
        return tf.where(tf.reshape(condition, [-1] + [1] * (len(a.shape) - 1)), a, b)

    return tf.nest.map_structure(where, yes, no)


class _Deal(NamedTuple):
    """How the lanes are dealt out to the busy slots, round by round; int32 `[L]` each but for `busy_slots`."""

    slot: tf.Tensor  # each lane's slot
    ahead: tf.Tensor  # how many candidates ahead the lane is
    rank: tf.Tensor  # each slot's place among the busy ones, also the first lane that it holds
    busy_slots: tf.Tensor  # int32 []


def _deal_lanes(busy: tf.Tensor, lanes: int) -> _Deal:
    lane, reached = tf.range(lanes), tf.cumsum(tf.cast(busy, tf.int32))
    busy_slots = reached[-1]

    def spread() -> tf.Tensor:
        turn, slot = lane % busy_slots, tf.zeros([lanes], tf.int32)
        for stride in _strides(lanes):  # binary search for the slot at which `reached` exceeds `turn`
            probe = tf.minimum(slot + stride, lanes)
            slot = tf.where(tf.gather(reached, probe - 1) <= turn, probe, slot)
        return slot

    slot = tf.cond(busy_slots == lanes, lambda: lane, spread)
    return _Deal(slot, lane // busy_slots, reached - 1, busy_slots)


def _strides(lanes: int) -> list[int]:
    return [1 << bit for bit in reversed(range(lanes.bit_length()))]


def _first_accepted(deal: _Deal, accepted: tf.Tensor, lanes: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Each busy slot's first accepted candidate: its lane, and whether there is one."""
    lane = tf.range(lanes)
    nearest = tf.where(accepted, lane, lanes)

    def double(stride: tf.Tensor, nearest: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        further = tf.where(lane + stride < lanes, tf.gather(nearest, tf.minimum(lane + stride, lanes - 1)), lanes)
        return stride * 2, tf.minimum(nearest, further)

    # A slot's lanes are `busy_slots` apart, so that doubling the stride covers them all.
    nearest = tf.while_loop(lambda stride, _: stride < lanes, double, (deal.busy_slots, nearest))[1]
    winner = tf.gather(nearest, tf.maximum(deal.rank, 0))
    return tf.minimum(winner, lanes - 1), winner < lanes


def _retire(searcher: Searcher, loop: Loop, queue: Queue) -> Loop:
    """Writes the results of the trials that ended, and gives their slots the next trials."""
    ended = searcher.done(loop.state) & loop.busy
    place = tf.cumsum(tf.cast(ended, tf.int32))
    incoming = loop.next_trial + place - 1
    refilled = ended & (incoming < queue.count)
    trial = tf.where(refilled, incoming, loop.trial)
    trials = _pick(queue, trial)
    return Loop(
        trial=trial,
        busy=loop.busy & (~ended | refilled),
        state=select(refilled, searcher.init(trials, queue.sources), loop.state),
        counts=select(refilled, _no_counts(trials, loop.counts.refused.shape[1]), loop.counts),
        next_trial=tf.minimum(loop.next_trial + place[-1], queue.count),
        results=_write(loop.results, (searcher.result(loop.state), loop.counts), loop.trial, place),
        steps=loop.steps + 1,
    )


def _write(results: Any, rows: Any, trial: tf.Tensor, place: tf.Tensor) -> Any:
    """Copies the rows of ended trials to their places, one by one: in most steps there are none or one."""

    def write(number: tf.Tensor, results: Any) -> tuple[tf.Tensor, Any]:
        slot = tf.reduce_sum(tf.cast(place <= number, tf.int32))
        to = tf.gather(trial, slot)[None, None]

        def put(whole: tf.Tensor, row: tf.Tensor) -> tf.Tensor:
            return tf.tensor_scatter_nd_update(whole, to, tf.gather(row, slot)[None])

        return number + 1, tf.nest.map_structure(put, results, rows)

    return tf.while_loop(lambda number, _: number < place[-1], write, (tf.constant(0), results))[1]

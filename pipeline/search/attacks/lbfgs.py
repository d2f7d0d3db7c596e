"""Box-constrained L-BFGS toward the smallest adversarial change, many images at once in one compiled loop.

Szegedy et al., "Intriguing properties of neural networks" (arXiv 1312.6199): minimise c |r|^2 + loss(x + r) with
x + r in [0, 1], and find the largest c whose minimum the net still misreads. Every lane has its own c, its own stage of
the bracketing and bisection, its own line search and its own curvature pairs; a loop's step asks the net once about
every lane's image.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import tensorflow as tf

from pipeline.search.attacks.gradient import Net, Originals, Twins, distortion, evaluate, is_flat, to_grid

_START, _LINE, _CHECK, _DONE = range(4)  # a lane asks the net about: its start, a step, its rounded minimum, nothing
_ARMIJO = 1e-4
_SHORTEST = 1e-6  # a line search that has come down to this share of its step is over
_C_FACTOR = 10.0  # bracketing


class _Pairs(NamedTuple):
    """The last M moves `[M, L, D]` and what the gradient changed by; `used` bool `[M, L]`."""

    moves: tf.Tensor
    changes: tf.Tensor
    used: tf.Tensor


class _Minimum(NamedTuple):
    """Where a lane is on the way to the minimum that belongs to its c.

    Attributes:
      position: `[L, D]` in [0, 1].
      loss: `[L]` at `position`.
      slope: `[L, D]`, the gradient of the loss there.
      misread: bool `[L]`, the net misreads `position` as it was to.
      direction: `[L, D]`.
      step: `[L]`, the share of `direction` to try.
      moves: int32 `[L]`.
    """

    position: tf.Tensor
    loss: tf.Tensor
    slope: tf.Tensor
    misread: tf.Tensor
    direction: tf.Tensor
    step: tf.Tensor
    moves: tf.Tensor


class _Weight(NamedTuple):
    """The search for the largest c that succeeds.

    Attributes:
      c: `[L]`, the one that is tried.
      good: `[L]`, the largest that succeeded; 0 while none has.
      bad: `[L]`, the smallest that failed; infinity while none has.
      tries: int32 `[L]`, bracketing steps and bisections done.
      start: `[L, D]`, where the next minimisation starts: at the last success.
      best: `[L, D]`, on the grid: the twin of `good`, or the last try.
      unrounded: `[L]`, the least distortion of a misread minimum; infinity while there is none.
      broken: bool `[L]`, the minimum of `unrounded` is not misread on the grid.
    """

    c: tf.Tensor
    good: tf.Tensor
    bad: tf.Tensor
    tries: tf.Tensor
    start: tf.Tensor
    best: tf.Tensor
    unrounded: tf.Tensor
    broken: tf.Tensor


class _Loop(NamedTuple):
    count: tf.Tensor  # int32 []
    stage: tf.Tensor  # int32 [L]
    minimum: _Minimum
    pairs: _Pairs
    weight: _Weight
    evaluations: tf.Tensor  # int32 [L]
    flat: tf.Tensor  # bool [L], no gradient so far


@dataclasses.dataclass(frozen=True)
class LBFGS:
    """The attack of Szegedy et al.; see `pipeline.search.attacks.gradient.Attack`.

    Attributes:
      iterations: most moves toward the minimum of one c.
      memory: M, curvature pairs kept.
      first_c: where the bracketing starts; c weighs the squared change, summed over pixels in [0, 1].
      brackets: most times that c is raised or lowered tenfold before some c has succeeded and another failed.
      bisections: halvings, on the logarithm of c, of the bracket.
      tolerance: a minimum is reached where a move lowers the objective by less than this share of it, or where no
        pixel's projected gradient exceeds it.
    """

    iterations: int = 150
    memory: int = 10
    first_c: float = 0.01
    brackets: int = 8
    bisections: int = 7
    tolerance: float = 1e-5

    def attack(self, net: Net, run_seed: tf.Tensor, originals: Originals) -> Twins:
        """See `Attack`."""
        del run_seed  # nothing is drawn
        shape = originals.images.shape
        flat = tf.reshape(originals.images, [shape[0], -1])

        def body(loop: _Loop) -> tuple[_Loop]:
            asked = self._asked(loop)
            answer = evaluate(net, tf.reshape(asked, shape), originals)
            slope = tf.reshape(answer.gradient, flat.shape)
            return (self._advance(loop, flat, asked, answer.loss, slope, answer.misread),)

        loop = tf.while_loop(lambda loop: tf.reduce_any(loop.stage != _DONE), body, (self._start(flat),))[0]
        weight = loop.weight
        before = tf.where(tf.math.is_finite(weight.unrounded), weight.unrounded, float("nan"))
        best, found = tf.reshape(weight.best, shape), weight.good > 0
        return Twins(best, found, before, weight.broken, loop.evaluations, weight.good, loop.flat)

    def _start(self, flat: tf.Tensor) -> _Loop:
        lanes, pixels = flat.shape
        zeros, count = tf.zeros([lanes]), tf.zeros([lanes], tf.int32)
        none, blank = tf.zeros([lanes], tf.bool), tf.zeros([lanes, pixels])
        pairs = tf.zeros([self.memory, lanes, pixels])
        return _Loop(
            tf.constant(0),
            tf.fill([lanes], _START),
            _Minimum(flat, zeros, blank, none, blank, zeros + 1.0, count),
            _Pairs(pairs, pairs, tf.zeros([self.memory, lanes], tf.bool)),
            _Weight(zeros + self.first_c, zeros, zeros + float("inf"), count, flat, flat, zeros + float("inf"), none),
            count,
            tf.ones([lanes], tf.bool),
        )

    def _asked(self, loop: _Loop) -> tf.Tensor:
        """What each lane asks the net about next, `[L, D]`."""
        minimum = loop.minimum
        ahead = tf.clip_by_value(minimum.position + minimum.step[:, None] * minimum.direction, 0.0, 1.0)
        stage = loop.stage[:, None]
        asked = tf.where(stage == _LINE, ahead, minimum.position)
        return tf.where(stage == _CHECK, to_grid(minimum.position), asked)

    def _advance(
        self, loop: _Loop, flat: tf.Tensor, asked: tf.Tensor, loss: tf.Tensor, slope: tf.Tensor, misread: tf.Tensor
    ) -> _Loop:
        """Takes the net's answer in: a move, a shorter step, or a minimum to be checked; then the next c."""
        old, line, c = loop.minimum, loop.stage == _LINE, loop.weight.c
        steep, value = _objective(old.position, old.loss, old.slope, flat, c)
        new_steep, new_value = _objective(asked, loss, slope, flat, c)
        down = _dot(steep, asked - old.position)
        lower = line & (down < 0) & (new_value <= value + _ARMIJO * down)
        moved = lower | (loop.stage == _START)
        pairs = _remember(loop.pairs, loop.count % self.memory, lower, asked - old.position, new_steep - steep)
        minimum = _Minimum(
            position=tf.where(moved[:, None], asked, old.position),
            loss=tf.where(moved, loss, old.loss),
            slope=tf.where(moved[:, None], slope, old.slope),
            misread=tf.where(moved, misread, old.misread),
            direction=old.direction,
            step=tf.where(moved, 1.0, tf.where(line, old.step * 0.5, old.step)),
            moves=tf.where(lower, old.moves + 1, old.moves),
        )
        steep = tf.where(moved[:, None], new_steep, steep)
        ended = lower & (value - new_value <= self.tolerance * tf.maximum(tf.abs(value), tf.abs(new_value)))
        ended |= line & ((minimum.moves >= self.iterations) | (minimum.step < _SHORTEST))
        ended |= moved & (_projected(minimum.position, steep) <= self.tolerance)
        turned = _direction(pairs, loop.count % self.memory, minimum.position, steep)
        minimum = minimum._replace(direction=tf.where(moved[:, None], turned, old.direction))
        stage = tf.where(ended, _CHECK, tf.where(moved, _LINE, loop.stage))
        evaluations = loop.evaluations + tf.cast(loop.stage != _DONE, tf.int32)
        flat_so_far = loop.flat & is_flat(slope)
        following = _Loop(loop.count + 1, stage, minimum, pairs, loop.weight, evaluations, flat_so_far)
        return self._next_weight(following, flat, asked, misread, loop.stage == _CHECK)

    def _next_weight(
        self, loop: _Loop, flat: tf.Tensor, asked: tf.Tensor, misread: tf.Tensor, checked: tf.Tensor
    ) -> _Loop:
        """Where a rounded minimum was `checked`: narrows the bracket of c and starts from the last success."""
        old, minimum = loop.weight, loop.minimum
        success, failure = checked & misread, checked & ~misread
        kept = success | (failure & (old.good == 0))
        distance = distortion(minimum.position, flat)
        nearest = checked & minimum.misread & (distance < old.unrounded)
        weight = old._replace(
            good=tf.where(success, old.c, old.good),
            bad=tf.where(failure, old.c, old.bad),
            tries=old.tries + tf.cast(checked, tf.int32),
            start=tf.where(success[:, None], minimum.position, old.start),
            best=tf.where(kept[:, None], asked, old.best),
            unrounded=tf.where(nearest, distance, old.unrounded),
            broken=tf.where(nearest, failure, old.broken),
        )
        bracketed = (weight.good > 0) & tf.math.is_finite(weight.bad)
        first = checked & bracketed & ~((old.good > 0) & tf.math.is_finite(old.bad))
        # Once bracketed, only bisections count.
        weight = weight._replace(tries=tf.where(first, 0, weight.tries))
        most = tf.where(bracketed, self.bisections, self.brackets)
        open_end = tf.where(weight.good > 0, weight.good * _C_FACTOR, weight.bad / _C_FACTOR)
        following = tf.where(bracketed, tf.sqrt(weight.good * weight.bad), open_end)
        weight = weight._replace(c=tf.where(checked, following, old.c))
        stage = tf.where(checked, tf.where(weight.tries >= most, _DONE, _START), loop.stage)
        minimum = minimum._replace(
            position=tf.where(checked[:, None], weight.start, minimum.position),
            step=tf.where(checked, 1.0, minimum.step),
            moves=tf.where(checked, 0, minimum.moves),
        )
        pairs = loop.pairs._replace(used=loop.pairs.used & ~checked[None])
        return loop._replace(stage=stage, minimum=minimum, pairs=pairs, weight=weight)


def _dot(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(a * b, axis=-1)


def _objective(
    position: tf.Tensor, loss: tf.Tensor, slope: tf.Tensor, flat: tf.Tensor, c: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the gradient `[L, D]` and value `[L]` of c |r|^2 + loss."""
    change = position - flat
    return slope + 2.0 * c[:, None] * change, loss + c * _dot(change, change)


def _free(position: tf.Tensor, steep: tf.Tensor) -> tf.Tensor:
    """1 where a pixel may move against the gradient, 0 where the box holds it."""
    held = ((position <= 0.0) & (steep > 0.0)) | ((position >= 1.0) & (steep < 0.0))
    return tf.cast(~held, tf.float32)


def _projected(position: tf.Tensor, steep: tf.Tensor) -> tf.Tensor:
    """The largest change of a pixel that one step along the gradient would make, box respected, `[L]`."""
    return tf.reduce_max(tf.abs(tf.clip_by_value(position - steep, 0.0, 1.0) - position), axis=-1)


def _remember(pairs: _Pairs, slot: tf.Tensor, lower: tf.Tensor, move: tf.Tensor, change: tf.Tensor) -> _Pairs:
    """Writes one pair a lane into a slot that all lanes share, so that XLA writes it in place.

    A lane that did not move leaves its slot unused: it loses its oldest pair.
    """
    curved = lower & (_dot(move, change) > 1e-7 * _dot(change, change))
    at = tf.reshape(slot, [1, 1])
    return _Pairs(
        tf.tensor_scatter_nd_update(pairs.moves, at, move[None]),
        tf.tensor_scatter_nd_update(pairs.changes, at, change[None]),
        tf.tensor_scatter_nd_update(pairs.used, at, curved[None]),
    )


def _direction(pairs: _Pairs, newest: tf.Tensor, position: tf.Tensor, steep: tf.Tensor) -> tf.Tensor:
    """Returns the L-BFGS direction in the subspace of the free pixels (Nocedal's two loops), `[L, D]`.

    Every inner product leaves out the pixels that the box holds, so that the curvature is that of the face.
    """
    free, memory = _free(position, steep), pairs.moves.shape[0]
    ages = [(newest - age) % memory for age in range(memory)]
    recalled = []
    rest = steep * free
    scale = tf.zeros_like(steep[:, 0])
    for place in ages:
        move, change = pairs.moves[place], pairs.changes[place] * free
        bend, size = _dot(move, change), _dot(change, change)
        used = pairs.used[place] & (bend > 1e-7 * size)
        curvature = tf.where(used, 1.0 / tf.where(used, bend, 1.0), 0.0)
        share = curvature * _dot(move * free, rest)
        rest -= share[:, None] * change
        scale = tf.where(used & (scale == 0), bend / tf.where(used, size, 1.0), scale)
        recalled.append((move * free, change, curvature, share))
    # Without a pair: a step no longer than 1, as SciPy's first.
    scale = tf.where(scale > 0, scale, tf.minimum(1.0, tf.math.rsqrt(_dot(rest, rest) + 1e-30)))
    rest *= scale[:, None]
    for move, change, curvature, share in reversed(recalled):
        rest += (share - curvature * _dot(change, rest))[:, None] * move
    downhill = _dot(rest, steep * free) > 0
    return -tf.where(downhill[:, None], rest, steep * free)

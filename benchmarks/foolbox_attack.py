"""Our attacks beside those of Foolbox 3: `python -m benchmarks.foolbox_attack`.

The nets, MNIST test digits and aimed classes are those of `benchmarks.attack`; ours and Foolbox's see the same images,
equally many at a time, in turns. Foolbox is given the nets' logits, in a function that XLA compiles, and steps eagerly
around it, as it is made to. Its parameters are its defaults; our projected descent is set like Foolbox's. Printed for
each attack, ours first:

  pairs/s              images attacked a second, whether or not the net was fooled; compilation is left out of both
  CPU                  the ratio by processor time, of all cores: what counts where other work takes turns on them
  before rounding      share of images with a misread twin, off the grid of grey levels
  as stored            share that is still misread in uint8 (our projected descent is judged on the grid alone, so that
                       its two shares are equal)
  distortion           mean sqrt(mean((x' - x)^2)): before rounding, of all that are misread so; as stored, of those
                       images that both attacks fool the net with, as stored

Every figure is from this run and this machine; compare ratios, not rates.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import foolbox
import numpy as np
import tensorflow as tf
from foolbox import attacks, criteria

from benchmarks import attack
from pipeline.search.attacks import gradient
from pipeline.search.attacks.gradient import Originals, ProjectedGradient
from pipeline.search.attacks.lbfgs import LBFGS

_LEAST_SECONDS = 5.0  # turns are taken until Foolbox has had so many
_LINF_EPS, _L2_EPS = 0.1, 0.07  # about what half of the images need; l2: as a distortion
_COLUMNS = (
    "attacks",
    "pairs/s",
    "ratio",
    "CPU",
    "before rounding",
    "as stored",
    "distortion before",
    "as stored (of both)",
)

if not hasattr(np, "find_common_type"):  # EagerPy 0.30, under Foolbox, calls what NumPy 2 has no more
    np.find_common_type = lambda types, _: np.result_type(*types)


@dataclasses.dataclass(frozen=True)
class _Match:
    """An attack of Foolbox's, and the one of ours that it is compared with.

    Attributes:
      name: what to print.
      theirs: the attack.
      ours: the attack.
      epsilon: the largest distance allowed, in Foolbox's norm; None for attacks that make it as small as they can.
      aimed: at the aimed class; else at any but the label.
      started: from an image of the aimed class.
    """

    name: str
    theirs: Any
    ours: gradient.Attack
    epsilon: float | None = None
    aimed: bool = True
    started: bool = False


class _Made(NamedTuple):
    """What was made of images `[L]`: misread `before` rounding and as `stored`, and how distorted both are."""

    before: np.ndarray
    stored: np.ndarray
    unrounded: np.ndarray
    distortion: np.ndarray


def _matches(pixels: int) -> list[_Match]:
    lbfgs = LBFGS()
    linf = ProjectedGradient("linf", _LINF_EPS, _LINF_EPS * 0.01 / 0.3, steps=40)
    l2 = ProjectedGradient("l2", _L2_EPS, _L2_EPS * 0.025, steps=50)
    return [
        _Match("L-BFGS, DDN", attacks.DDNAttack(), lbfgs),
        _Match("L-BFGS, FMN", attacks.L2FMNAttack(), lbfgs),
        _Match("L-BFGS, Brendel-Bethge", attacks.L2BrendelBethgeAttack(), lbfgs, started=True),
        _Match("L-BFGS, DeepFool (untargeted)", attacks.L2DeepFoolAttack(), lbfgs, aimed=False),
        _Match(f"PGD, linf {_LINF_EPS}", attacks.LinfPGD(), linf, _LINF_EPS),
        _Match(f"PGD, l2 {_L2_EPS}", attacks.L2PGD(), l2, _L2_EPS * math.sqrt(pixels)),
        _Match("L-BFGS, Carlini-Wagner", attacks.L2CarliniWagnerAttack(), lbfgs),
    ]


def _logits(net: tf.keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns a net of the zoo without its softmax, compiled."""
    bare = tf.keras.models.clone_model(net)
    bare.set_weights(net.get_weights())
    bare.layers[-1].activation = tf.keras.activations.linear
    return tf.function(bare, jit_compile=True)


def _ours(match: _Match, net: tf.keras.Model, start: Originals) -> Callable[[], _Made]:
    run = attack.compiled(match.ours, net)

    def make() -> _Made:
        twins = run(start)
        distortion = gradient.distortion(tf.constant(twins.images), start.images).numpy()
        return _Made(np.isfinite(twins.unrounded_distortion), twins.misread, twins.unrounded_distortion, distortion)

    make()
    return make


def _theirs(match: _Match, net: tf.keras.Model, start: Originals) -> Callable[[], _Made]:
    model = foolbox.TensorFlowModel(_logits(net), bounds=(0, 1), device="/CPU:0")
    aimed = criteria.TargetedMisclassification(start.aimed_classes)
    criterion = aimed if match.aimed else criteria.Misclassification(start.labels)
    options = {"starting_points": _of_aimed_class(start)} if match.started else {}

    def make(theirs: Any = match.theirs) -> _Made:
        _, made, _ = theirs(model, start.images, criterion, epsilons=match.epsilon, **options)
        stored = gradient.to_grid(made)
        misread = [gradient.misread(net(images), start).numpy() for images in (made, stored)]
        return _Made(*misread, *(gradient.distortion(images, start.images).numpy() for images in (made, stored)))

    short = copy.copy(match.theirs)
    short.steps = 1
    make(short)  # compiles the net, its gradient, and what Numba compiles
    return make


def _of_aimed_class(start: Originals) -> tf.Tensor:
    """Returns for each image another one that the net takes for the aimed class, rightly."""
    labels = start.labels.numpy()
    return tf.gather(start.images, [np.flatnonzero(labels == aim)[0] for aim in start.aimed_classes.numpy()])


def _measure(match: _Match, net: tf.keras.Model, start: Originals) -> str:
    """Returns a line of the table."""
    start = start if match.aimed else start._replace(aimed_classes=tf.fill(start.labels.shape, gradient.UNTARGETED))
    makers, turns = (_ours(match, net, start), _theirs(match, net, start)), 0
    spent = np.zeros([2, 2])  # seconds by the clock and of processors, ours and theirs
    made: list[_Made] = []
    while spent[1, 0] < _LEAST_SECONDS:
        turns, made = turns + 1, []
        for side, make in enumerate(makers):
            began = time.perf_counter(), time.process_time()
            made.append(make())
            spent[side] += time.perf_counter() - began[0], time.process_time() - began[1]
    both = made[0].stored & made[1].stored
    columns = [
        "{:.3g} / {:.3g}".format(*turns * len(both) / spent[:, 0]),
        f"{spent[1, 0] / spent[0, 0]:.3g}",
        f"{spent[1, 1] / spent[0, 1]:.3g}",
        "{:.3f} / {:.3f}".format(*(one.before.mean() for one in made)),
        "{:.3f} / {:.3f}".format(*(one.stored.mean() for one in made)),
        "{:.4f} / {:.4f}".format(*(one.unrounded[one.before].mean() for one in made)),
        "{:.4f} / {:.4f} ({})".format(*(one.distortion[both].mean() for one in made), both.sum()),
    ]
    return f"| {match.name} | {' | '.join(columns)} |"


def main() -> None:
    """Prints a table for each net."""
    arguments = attack.command_line(__doc__).parse_args()
    warnings.filterwarnings("ignore", message="At the first initialisation", module="foolbox")
    for architecture, net, start in attack.subjects(arguments.workdir, arguments.images):
        tf.random.set_seed(0)
        print(f"\n{architecture}, {arguments.images} images at a time, ours / Foolbox {foolbox.__version__}\n")
        print(f"| {' | '.join(_COLUMNS)} |\n|{' --- |' * len(_COLUMNS)}")
        for match in _matches(math.prod(start.images.shape[1:])):
            print(_measure(match, net, start), flush=True)


if __name__ == "__main__":
    main()

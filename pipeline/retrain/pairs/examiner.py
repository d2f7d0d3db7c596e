"""Measures nets that were retrained on pairs: by what they had, and by attacks made anew on each of them.

That a net reads the twins of its parent rightly says little: an adversary makes others. So every net is attacked as it
is, by L-BFGS for the least distortion and by projected gradient descent, and of both the nearest twin counts.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from models.classifier import Classifier, PeerGroup
from pipeline import seeding
from pipeline.kinds.pairs import mining
from pipeline.retrain import experiment, lessons, live
from pipeline.retrain.pairs import paired
from pipeline.retrain.pairs.measuring import Measuring
from pipeline.retrain.pairs.paired import Split
from pipeline.retrain.recipe import Start
from pipeline.retrain.subject import Material
from pipeline.search.attacks.gradient import UNTARGETED, Attack, ProjectedGradient
from pipeline.search.attacks.lbfgs import LBFGS
from pipeline.seeds.source import SeedBatch
from pipeline.studies import noise

_LANES = 256  # images that are attacked at a time
_NONE = 1.0  # the distortion of an image that no attack has misread: every pixel from one end to the other
_REACH = 2.5  # times eps, all steps of projected descent together


class Measured(NamedTuple):
    """Errors in percent, but for `distortion`.

    Attributes:
      clean_error: on the images as they are.
      distortion: the median, over attacked images, of the least distortion (root mean square of a pixel's change, of 1)
        at which an image is misread: 0 of one that is misread as it is, 1 of one for which no twin was found.
      attacked_error: misread as they are, or by projected gradient descent within [measure] eps.
      noise_error: misread under Gaussian noise of the same distortion.
      twin_error: of the parent's twins whose original is measured, and so was learned from by no net; and of those of
        `group_error`.
      group_error: of the parent's twins of which one of each perturbation group is held out.
      held_in_error: of the parent's twins that recipes learn from.
      original_error: on the originals of all these pairs.
    """

    clean_error: float
    distortion: float
    attacked_error: float
    noise_error: float
    twin_error: float
    group_error: float
    held_in_error: float
    original_error: float


class Examiner:
    """See `pipeline.retrain.subject.Examiner`; also finds out whether each recipe can train the net."""

    def __init__(self, material: Material):
        plan = material.plan
        measured = {image.tobytes() for image in material.measured.images}
        dataset = material.dataset or experiment.mined_dataset(plan, material.job)
        self._dataset = f"{dataset.name}:{dataset.version}"
        split = paired.split(
            dataset.examples(), material.parent.digest, lambda image: image.tobytes() in measured, plan.measuring.group
        )
        _try_recipes(material)
        like = tf.keras.models.load_model(material.parent.source, compile=False)
        self._nets = Nets(like, material.parent, material.measured, split, plan.measuring)

    def determined_by(self) -> dict[str, Any]:
        """The mined dataset: its pairs are measured on."""
        return {"pairs": self._dataset}

    def measure(self, model: tf.keras.Model) -> dict[str, float]:
        """See `Measured`."""
        return self._nets.measure(model)._asdict()


def _try_recipes(material: Material) -> None:
    """Raises InputError if a recipe cannot train the net, before the first net is trained."""
    how, learned = material.plan.retraining, material.learned
    size, count = lessons.steps(learned, how)
    for recipe in material.plan.recipes.values():
        model = recipe.net(tf.keras.models.load_model(material.parent.source, compile=False))
        sections = material.plan.mined.sections
        recipe.lesson(Start(model, learned, material.mined, sections, size, count * how.epochs, 0))


class Nets:
    """Measures nets of one architecture; everything is compiled once.

    Args:
      model: a net of the architecture, whose weights are those under examination.
      like: the classifier that the nets come from.
      seeds: the images, which no net has learned from.
      split: the parent's pairs.
      measuring: how much is measured.
    """

    def __init__(self, model: tf.keras.Model, like: Classifier, seeds: SeedBatch, split: Split, measuring: Measuring):
        self._model, self._seeds, self._split, self._measuring = model, seeds, split, measuring
        self._group = PeerGroup((live.classifier(model, like.name, like.input_shape),))
        step = _REACH * measuring.eps / measuring.steps
        self._descent = self._miner(ProjectedGradient("l2", measuring.eps, step, measuring.steps, True))
        self._least = self._miner(LBFGS(iterations=measuring.iterations))

    def _miner(self, attack: Attack) -> mining.PairMiner:
        lanes = min(_LANES, self._measuring.attacked_images, len(self._seeds.images))
        task = mining.Task(attack, "untargeted", (0,), "label", self._measuring.seed, lanes, "")
        return task.miner(self._group, None)

    def measure(self, model: tf.keras.Model) -> Measured:
        """Returns how good a net of the same architecture is."""
        self._model.set_weights(model.get_weights())
        labels, draws, split = self._seeds.labels, self._measuring.noise_draws, self._split
        read_right = self._answers(self._seeds.images) == labels
        noisy = self._answers(self._noisy) != np.tile(labels, draws)
        descended, least = (self._distortions(miner, read_right) for miner in (self._descent, self._least))
        pairs = paired.together(*split)
        return Measured(
            _percent(~read_right),
            float(np.median(np.minimum(descended, least))),
            _percent(descended < _NONE),
            _percent(noisy),
            self._twin_error(paired.together(split.measured, split.of_groups)),
            self._twin_error(split.of_groups),
            self._twin_error(split.learned),
            _percent(self._answers(pairs.originals) != pairs.labels),
        )

    def _twin_error(self, pairs: paired.Paired) -> float:
        return _percent(self._answers(pairs.twins) != pairs.labels)

    def _answers(self, images: np.ndarray) -> np.ndarray:
        return self._group.probabilities(images, self._group.batch)[0].argmax(axis=1)

    @functools.cached_property
    def _noisy(self) -> np.ndarray:
        """The images with noise, uint8 `[draws * B, H, W, C]`."""
        images, ids = self._seeds.images, self._seeds.ids
        sizes = np.full(len(images), self._measuring.eps)
        drawn = [noise.gaussian(ids, images.shape[1:], draw) for draw in range(self._measuring.noise_draws)]
        return np.concatenate([noise.moved(images, directions, sizes) for directions in drawn])

    def _distortions(self, miner: mining.PairMiner, read_right: np.ndarray) -> np.ndarray:
        """Returns the distortion of each attacked image's twin: 0 if it is misread as it is, 1 if there is none."""
        count = self._measuring.attacked_images
        images, labels = self._seeds.images[:count], self._seeds.labels[:count].astype(np.int32)
        words = np.array([seeding.seed_key(seed_id) for seed_id in self._seeds.ids[:count]], np.uint32)
        twins = miner.attack(0, images, labels, np.full(len(images), UNTARGETED, np.int32), words)
        found = np.where(twins.misread, noise.distortions(twins.images, images), _NONE)
        return np.where(read_right[:count], found, 0.0)


def _percent(which: np.ndarray) -> float:
    return 100.0 * float(np.mean(which))

"""How easily a net is fooled: garbage evolved anew against it, and garbage of the net before told from clean images.

Of nets with a garbage class, confidence is the probability of one of the others.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import tensorflow as tf

from models.classifier import Classifier, PeerGroup
from pipeline.config.method import Method, Sections
from pipeline.retrain import live
from pipeline.retrain.garbage import encodings
from pipeline.retrain.garbage.breeding import FOOLED, Breeder, mean
from pipeline.retrain.garbage.measuring import Measuring, named
from pipeline.seeds.source import SeedBatch

_CERTAIN = 0.9999  # an island of which all classes are there ends


class Examiner:
    """Measures nets, see `pipeline.retrain.subject.Examiner`; each architecture is compiled once.

    Args:
      parent: the net before.
      seeds: the images, which no net has learned from.
      sections: of the mined task.
      measuring: how much is measured.
    """

    def __init__(self, parent: Classifier, seeds: SeedBatch, sections: Sections, measuring: Measuring):
        self._parent, self._seeds, self._sections, self._measuring = parent, seeds, sections, measuring
        self._nets: dict[str, _Net] = {}

    def determined_by(self) -> dict[str, Any]:
        """Returns nothing: the mined task and [measure] hold all."""
        return {}

    def measure(self, model: tf.keras.Model) -> dict[str, float]:
        """Returns the measures by name: shares and confidences in %, AUROC too, `evaluations` in images."""
        classes, net = self._parent.num_classes, self._net(model)
        clean = net.probabilities(self._seeds.images)
        answers, surest = clean.argmax(axis=1), clean[:, :classes].max(axis=1)
        measured = {
            "clean_error": _percent(answers != self._seeds.labels),
            "clean_certain": _percent(surest >= FOOLED),
            "clean_garbage": _percent(answers >= classes),
        }
        for method in encodings.EVOLVED:
            of_garbage = net.probabilities(self.held_out[method.name])[:, :classes].max(axis=1)
            told = net.fooled(method.name, self._measuring.islands)
            told |= {"auroc": auroc(surest, of_garbage), "fpr95": fpr95(surest, of_garbage)}
            measured |= {named(method.name, measure): value for measure, value in told.items()}
        return measured

    @functools.cached_property
    def held_out(self) -> dict[str, np.ndarray]:
        """Garbage evolved against the net before, uint8 `[B, H, W, C]`, by encoding; no net learns from it."""
        found = {}
        for method in encodings.EVOLVED:
            breeder = self._breeder(self._parent, "held out", method)
            islands = [breeder.breed(island) for island in range(self._measuring.held_out)]
            found[method.name] = np.concatenate([island.images for island in islands])
        return found

    def _net(self, model: tf.keras.Model) -> _Net:
        architecture = model.to_json()
        if architecture not in self._nets:
            like = tf.keras.models.clone_model(model)
            net = live.classifier(like, "measured", self._parent.input_shape)
            breeders = {method.name: self._breeder(net, "measured", method) for method in encodings.EVOLVED}
            self._nets[architecture] = _Net(like, net, breeders)
        self._nets[architecture].model.set_weights(model.get_weights())
        return self._nets[architecture]

    def _breeder(self, net: Classifier, purpose: str, method: Method) -> Breeder:
        """Returns what evolves against a net; random numbers hang on the purpose, and are the same for every net."""
        kept = {"generations": self._measuring.generations, "confidence": _CERTAIN}
        garbage = encodings.settings(method, self._sections, **kept)
        return Breeder(net, purpose, self._parent.num_classes, method, garbage, self._measuring.seed)


class _Net:
    """A model whose weights are those of the net under examination, and what is compiled for it."""

    def __init__(self, model: tf.keras.Model, net: Classifier, breeders: dict[str, Breeder]):
        self.model, self._breeders = model, breeders
        self._group = PeerGroup((net,))

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        return self._group.probabilities(images, self._group.batch)[0]

    def fooled(self, encoding: str, islands: int) -> dict[str, float]:
        return mean([self._breeders[encoding].breed(island) for island in range(islands)])


def _percent(which: np.ndarray) -> float:
    return 100.0 * float(np.mean(which))


def auroc(clean: np.ndarray, garbage: np.ndarray) -> float:
    """Returns how often, in %, a net is surer of a clean image than of garbage; equally sure counts half.

    Args:
      clean: confidences `[B]`.
      garbage: likewise, `[G]`.
    """
    ordered = np.sort(clean)
    below, up_to = (np.searchsorted(ordered, garbage, side) for side in ("left", "right"))
    return 100.0 * (1.0 - float(np.mean(below + up_to)) / (2 * len(clean)))


def fpr95(clean: np.ndarray, garbage: np.ndarray) -> float:
    """Returns how many clean images, in %, are taken for garbage where 95% of the garbage is (Hendrycks et al.).

    An image is taken for garbage if the net is at most as sure of it as of the garbage at that place.

    Args:
      clean: confidences `[B]`.
      garbage: likewise, `[G]`.
    """
    return _percent(clean <= np.quantile(garbage, 0.95, method="higher"))

"""Measures nets that were retrained on mistakes, with a strong net that vouches for labels; trains that net first."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import tensorflow as tf

from models import devices, loading, training, zoo
from models.classifier import Classifier
from models.settings import determining
from pipeline import progress, records
from pipeline.retrain import lessons
from pipeline.retrain.mistakes import corruptions, measures
from pipeline.retrain.mistakes.recipes import Proposals
from pipeline.retrain.subject import Material


class Examiner:
    """See `pipeline.retrain.subject.Examiner`; what measures is compiled for the first net that is measured."""

    def __init__(self, material: Material):
        self._material, self._strong = material, _strong(material)
        self._compiled: measures.Examiner | None = None

    def determined_by(self) -> dict[str, Any]:
        """The strong net, and what measures are made of that no key says."""
        more = {"patience": measures.PATIENCE, "restarts": measures.RESTARTS}
        return {"strong": self._strong.digest, "corruptions": corruptions.STRENGTHS, "more": more}

    def measure(self, model: tf.keras.Model) -> dict[str, float]:
        """See `measures.Measured`."""
        if self._compiled is None:
            material, plan = self._material, self._material.plan
            like = tf.keras.models.load_model(material.parent.source, compile=False)
            climb = plan.mined.method.build(plan.mined.sections).search
            nets = material.group, material.target, self._strong
            self._compiled = measures.Examiner(like, material.measured, climb, *nets, plan.measuring)
        return self._compiled.measure(model)._asdict()


def _strong(material: Material) -> Classifier:
    """Trains the net that vouches for labels, on moved images, or finds it in the workdir."""
    plan, job, learned = material.plan, material.job, material.learned
    measuring, sections = plan.measuring, plan.mined.sections
    moved = Proposals(share=1.0, moves=measuring.moves)
    how = dataclasses.replace(plan.retraining, epochs=measuring.judge_epochs)
    operator = sections["operator"]
    moves = {"operator": operator.name, **determining(operator), "recipe": determining(moved)}
    made_of = [measuring.judge, determining(how), moves, lessons.digest(learned)]
    path = job.workdir.nets / f"strong-{measuring.judge}-{records.digest(made_of)[:12]}.keras"
    bars = functools.partial(progress.training("loss"), "strong")

    def trained() -> tf.keras.Model:
        tf.keras.utils.set_random_seed(0)
        strategy = devices.strategy(job.device)
        with strategy.scope():
            model = zoo.build(measuring.judge, job.source.shape(), len(job.source.class_names()))
        lessons.teach(model, moved, how, learned, None, sections, 0, strategy, bars)
        return model

    training.cached(path, trained)
    return loading.load(str(path), name="strong", expected_shape=job.source.shape())

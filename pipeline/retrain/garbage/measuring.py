"""The keys of [measure] where nets are retrained on garbage images, and the names of the measures."""

from __future__ import annotations

import dataclasses

from models.settings import setting
from pipeline.retrain import subject
from pipeline.retrain.garbage.encodings import EVOLVED

SHOWN = {"clean_error": "clean", "clean_certain": "certain", "clean_garbage": "as garbage"}
OF_ENCODING = {"confidence": "conf.", "fooled": "fooled", "evaluations": "eval.", "auroc": "AUROC", "fpr95": "FPR95"}


def named(encoding: str, measure: str) -> str:
    """Returns what a measure of an encoding is called."""
    return f"{encoding}_{measure}"


def heads(encoding: str) -> dict[str, str]:
    """Returns the measures of an encoding, with the heads of their columns."""
    return {named(encoding, measure): f"{encoding} {head}" for measure, head in OF_ENCODING.items()}


ENCODINGS = tuple(method.name for method in EVOLVED)
NAMES = (*SHOWN, *(name for encoding in ENCODINGS for name in heads(encoding)))
DIGITS = {"clean_error": 2, "clean_garbage": 2} | {
    named(encoding, measure): digits
    for encoding in ENCODINGS
    for measure, digits in (("confidence", 2), ("evaluations", 0))
}


@dataclasses.dataclass(frozen=True)
class Measuring(subject.Measuring):
    """[measure]: how easily nets are fooled afterwards; garbage is evolved with the settings of the mined task."""

    generations: int = setting(
        200, "most generations of evolution against a net, of every encoding", low=1, high=10_000_000
    )
    islands: int = setting(1, "independent islands of each encoding, whose measures are averaged", low=1, high=1000)
    held_out: int = setting(
        10, "islands of each encoding against the net before; their images are told from clean ones", low=1, high=1000
    )

"""The subjects of retraining that there are, by the mined task's kind."""

from __future__ import annotations

from models.errors import InputError
from pipeline.config.config import Config
from pipeline.kinds import registry
from pipeline.retrain.garbage.subject import GARBAGE
from pipeline.retrain.mistakes.subject import MISTAKES
from pipeline.retrain.pairs.subject import PAIRS
from pipeline.retrain.subject import Subject

SUBJECTS: tuple[Subject, ...] = (MISTAKES, PAIRS, GARBAGE)


def of(mined: Config) -> Subject:
    """Returns what nets of a mined task are retrained on; raises InputError if there is no way for its kind."""
    name = registry.of(mined).name
    for subject in SUBJECTS:
        if subject.kind == name:
            return subject
    kinds = " or ".join(subject.kind for subject in SUBJECTS)
    raise InputError(f"mined has [search] method '{mined.method.name}', which makes {name}; expected {kinds}.")

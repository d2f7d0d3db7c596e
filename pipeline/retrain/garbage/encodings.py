"""How garbage is evolved: the mined task's own way, and all ways that there are; loads no library."""

from __future__ import annotations

import dataclasses
from typing import Any

from pipeline.config.method import Method, Sections
from pipeline.kinds.garbage.methods import METHODS, Garbage

EVOLVED = tuple(method for method in METHODS if method.choices("garbage")[0].has_ancestors)  # type: ignore[attr-defined]


def own(sections: Sections) -> Method:
    """Returns the method of a mined task with these sections."""
    return next(method for method in METHODS if isinstance(sections["garbage"], method.choices("garbage")))


def settings(method: Method, sections: Sections, **changes: Any) -> Garbage:
    """Returns [garbage] of a method: the mined task's where it is its own, else with what all methods have of it."""
    mined: Garbage = sections["garbage"]
    cls: type[Garbage] = method.choices("garbage")[0]
    if isinstance(mined, cls):
        return dataclasses.replace(mined, **changes)
    common = {field.name: getattr(mined, field.name) for field in dataclasses.fields(Garbage)}
    return cls(**{**common, **changes})

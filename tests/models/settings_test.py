"""What a section says of a result: its own keys that are not at their defaults, and nothing else."""

from __future__ import annotations

import dataclasses

from models import settings
from models.settings import setting


@dataclasses.dataclass(frozen=True)
class _Section:
    """A section."""

    width: float = setting(0.5, "share of the whole", low=0, high=1)
    names: tuple[str, ...] = setting((), "of those that count")
    pieces: int = setting(4, "how the work is cut", low=1, determines=False)


@dataclasses.dataclass(frozen=True)
class _Later(_Section):
    """The section with a key that came later."""

    blur: float = setting(0.0, "in pixels")


def test_a_key_at_its_default_adds_nothing():
    assert settings.determining(_Section()) == settings.determining(_Section(0.5, (), 4)) == {}
    assert settings.determining(_Section(0.25, ("a",))) == {"width": 0.25, "names": ("a",)}


def test_how_the_work_is_cut_adds_nothing():
    assert settings.determining(_Section(pieces=9)) == {}


def test_a_key_that_came_later_leaves_what_was_as_it_is():
    assert settings.determining(_Later(0.25)) == settings.determining(_Section(0.25))
    assert settings.determining(_Later(0.25, blur=2.0)) == {"width": 0.25, "blur": 2.0}


def test_a_field_tells_its_meaning_and_its_range():
    fields = {field.name: settings.about(field) for field in dataclasses.fields(_Section)}
    assert fields["width"] == settings.About("share of the whole", 0, 1, True)
    assert fields["pieces"] == settings.About("how the work is cut", 1, None, False)

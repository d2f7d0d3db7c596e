"""A method: one way of making one kind of dataset, and the sections of a configuration that it reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

Sections = Mapping[str, Any]  # name of a section -> an instance of its dataclass


def _nothing_to_check(sections: Sections) -> None:
    del sections


def _one_net(sections: Sections) -> int:
    del sections
    return 1


def _few_images(sections: Sections) -> int:
    del sections
    return 4  # the seed image, the one that is rendered, the one that is shown, and one on its way


@dataclasses.dataclass(frozen=True)
class Method:
    """All that names one method; a new one is a line in its kind's `methods`.

    Attributes:
      name: what [search] method says.
      sections: the sections that it reads, "search" among them: a dataclass of `models.settings.setting` fields, or,
        where the section chooses by its key `name`, the dataclasses to choose from, the default first.
      build: makes the search of the checked sections; what else it takes is up to the kind.
      run_keys: keys of [run], besides run_seed, that can change what a trial gives.
      least_nets: how many nets a group needs.
      gradient: whether it follows gradients through nets.
      images: how many float32 images it keeps for each of [run] lanes.
      check: raises InputError, without the file's name, for what no single key can tell.
    """

    name: str
    sections: Mapping[str, type | tuple[type, ...]]
    build: Callable[..., Any]
    run_keys: tuple[str, ...] = ("lanes",)
    least_nets: Callable[[Sections], int] = _one_net
    gradient: bool = False
    images: Callable[[Sections], int] = _few_images
    check: Callable[[Sections], None] = _nothing_to_check

    def choices(self, section: str) -> tuple[type, ...]:
        """Returns the dataclasses that a section of this name can be, the default first; none if it is not read."""
        found = self.sections.get(section, ())
        return found if isinstance(found, tuple) else (found,)

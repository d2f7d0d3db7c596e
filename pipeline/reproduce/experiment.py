"""What every reproduced experiment has: its paper, its settings, and what it finds beside what was published."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pipeline.report.page import Picture
from pipeline.report.tables import Table

if TYPE_CHECKING:
    from pipeline.reproduce.bench import Bench

BALUJA = 'Baluja, Covell and Sukthankar, "The Virtues of Peer Pressure"'
SZEGEDY = 'Szegedy et al., "Intriguing properties of neural networks" (arXiv 1312.6199)'
NGUYEN = 'Nguyen, Yosinski and Clune, "Deep neural networks are easily fooled" (arXiv 1412.1897)'
HINTHORN = "Hinthorn, on volatile units and selective dropout"


@dataclasses.dataclass(frozen=True)
class Claim:
    """What a paper says, and whether it was so here.

    Attributes:
      text: the paper's claim, a sentence.
      held: whether it held; None where this run cannot tell.
      found: what was found, a sentence with its figures.
    """

    text: str
    held: bool | None
    found: str


@dataclasses.dataclass(frozen=True)
class Findings:
    """What an experiment gave.

    Attributes:
      claims: of the paper, at least one.
      tables: the paper's figures beside ours.
      pictures: drawn.
      notes: sentences on how it was done, and what is another way than the paper's.
    """

    claims: Sequence[Claim]
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    notes: Sequence[str] = ()


class Experiment(abc.ABC):
    """A published experiment: a frozen dataclass whose fields are its settings, made by `models.settings.setting`.

    `configs/papers/NAME.toml` gives the settings of its full form, and those of a small one.

    Attributes:
      name: on the command line.
      title: what is shown, in a few words.
      paper: where it was published.
      takes: how long the full form takes, in words, on two CPU cores.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    paper: ClassVar[str]
    takes: ClassVar[str]

    @abc.abstractmethod
    def run(self, bench: Bench) -> Findings:
        """Carries it out; what is in the workdir already is not made again.

        Raises:
          InputError: the seed images are not there, or a task of its settings is not what it takes.
        """

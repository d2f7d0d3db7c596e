"""What retraining varies by: the kind of dataset that nets are retrained on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from models.errors import InputError
from models.settings import setting
from pipeline.config.config import Config

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

    from models.classifier import Classifier, PeerGroup
    from pipeline.report.tables import Table
    from pipeline.retrain.recipe import Recipe
    from pipeline.retrain.settings import Plan
    from pipeline.runs.job import Job
    from pipeline.seeds.source import SeedBatch
    from pipeline.versions.published import Published


@dataclasses.dataclass(frozen=True)
class Measuring:
    """[measure]: how good a net is afterwards; the base of what subjects have."""

    images: str = setting(
        "test", 'the images, in TFDS\'s split syntax ("test[:2000]", "train[50000:]" to choose by)', determines=False
    )
    seed: int = setting(0, "of what is random in measuring, the same for every net", low=0, high=2**31 - 1)


class Front(NamedTuple):
    """What recipes are set beside each other by, at equal error.

    Attributes:
      error: the measure that nets trade for another, lower is better.
      gain: the measure that is compared as a ratio, higher is better.
      others: measures that are compared as differences.
      labels: the axes of the picture, for `error` and `gain`.
    """

    error: str
    gain: str
    others: tuple[str, ...]
    labels: tuple[str, str]


class Columns(NamedTuple):
    """A further table of measures.

    Attributes:
      title: what they are measured on.
      shown: those in the table, with the head of their column, unlike any other table's.
      note: what stands below the table.
      same_order: measures by which recipes should stand in one order, the first one's.
    """

    title: str
    shown: Mapping[str, str]
    note: str
    same_order: tuple[str, ...] = ()


Results = Mapping[str, Sequence[Mapping[str, Any]]]  # recipe -> one record a training seed, in their order


def _no_tables(results: Results) -> list[Table]:
    return []


class Measures(NamedTuple):
    """The measures of a subject.

    Attributes:
      names: of all, as a record has them.
      shown: those in the table, with the head of their column.
      note: what stands below the table.
      digits: behind the point, of those shown with other than one.
      front: None if there is nothing that nets trade.
      further: tables beside the first.
      tables: makes what stands below the tables that all subjects have.
    """

    names: tuple[str, ...]
    shown: Mapping[str, str]
    note: str
    digits: Mapping[str, int]
    front: Front | None
    further: tuple[Columns, ...] = ()
    tables: Callable[[Results], list[Table]] = _no_tables

    @property
    def main(self) -> tuple[str, ...]:
        """Those whose differences are tested: of the front, none without one."""
        return (self.front.error, self.front.gain, *self.front.others) if self.front else ()


def require_labels(mined: Config) -> None:
    """Raises InputError if a mined task's images have no labels."""
    if not mined.seeds.labeled:
        raise InputError("mined has [seeds] labeled = false, and nets cannot be retrained without labels.")


@dataclasses.dataclass(frozen=True)
class Material:
    """What all recipes have in common.

    Attributes:
      plan: the retraining file.
      job: the mined task.
      group: its nets.
      target: the place of the net to retrain.
      learned: the images to learn from.
      measured: the images to measure on; none of them was learned from by any net here.
      dataset: the mined dataset; None if no recipe uses it.
      mined: what its examples give; None likewise.
    """

    plan: Plan
    job: Job
    group: PeerGroup
    target: int
    learned: SeedBatch
    measured: SeedBatch
    dataset: Published | None
    mined: Any

    @property
    def parent(self) -> Classifier:
        """The net to retrain."""
        return self.group.classifiers[self.target]


class Examiner(Protocol):
    """Measures one retrained net after another."""

    def determined_by(self) -> dict[str, Any]:
        """Returns what the measures depend on besides the plan, the nets and the images; JSON-able."""

    def measure(self, model: tf.keras.Model) -> dict[str, float]:
        """Returns each measure of a net by its name; raises InputError if there is nothing to measure on."""


class Subject(Protocol):
    """All that is particular to one kind of mined dataset; a new one is a class and a line in `subjects.SUBJECTS`.

    Attributes:
      kind: the name of the dataset.
      recipes: what a [[recipe]] can be.
      measuring: the dataclass of [measure], a `Measuring`.
    """

    kind: str
    recipes: tuple[type[Recipe], ...]
    measuring: type[Measuring]

    @property
    def measures(self) -> Measures:
        """Returns what is measured."""

    def check(self, mined: Config, measuring: Any) -> None:
        """Raises InputError if nets cannot be retrained on such a task, or not measured so; loads no library."""

    def read(
        self,
        dataset: Published,
        held_out: Callable[[np.ndarray], bool],
        group: PeerGroup,
        target: int,
        measuring: Any,
    ) -> Any:
        """Returns what recipes need of the mined examples, but for those whose seed image is held out.

        Args:
          dataset: the mined dataset.
          held_out: tells of a seed image, uint8 `[H, W, C]`, whether it is measured on.
          group: the mined task's nets.
          target: the place of the net to retrain.
          measuring: the [measure] section.

        Raises:
          InputError: there is none, or they are not of the nets' shape or classes.
        """

    def examiner(self, material: Material) -> Examiner:
        """Returns what measures the nets; trains or finds what it needs for that."""

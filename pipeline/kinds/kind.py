"""What every kind of dataset has: all that is particular to one kind stands in one class, and behind it in one folder.

Kinds are light: what needs TensorFlow is imported where it is used; a mistake in a configuration is told at once.
"""

from __future__ import annotations

import abc
import dataclasses
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.config.config import Config
from pipeline.config.method import Method
from pipeline.config.recorded import Recorded

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from models.classifier import Classifier, PeerGroup
    from pipeline.progress import Standing
    from pipeline.report.page import Picture
    from pipeline.report.tables import Table
    from pipeline.seeds.plan import Unit
    from pipeline.seeds.source import SeedSource
    from pipeline.workdir.ledger import RunFolder

_SAMPLE = 32  # seed images that are mined at first to see how long it takes
HEALED = "healed"  # the status of an example that its net, or nets, now get right
Example = dict[str, Any]  # one of a published dataset, NumPy values
Manifest = Mapping[str, Any]


class Source(Protocol):
    """Where workers find what a unit is about: seed images, or something that stands in their place."""

    def read(self, split: str, positions: Sequence[int]) -> Any:
        """Returns a unit's input, with a size `nbytes`."""


class Miner(Protocol):
    """Loaded nets and what is done to each unit with them.

    Attributes:
      lower: the keys of the configuration that need less memory when they are lower.
    """

    lower: str

    def mine(self, material: Any) -> pa.Table:
        """Returns the chunk of a unit, from what its source gave."""

    def set_aside(self, material: Any, reason: str) -> pa.Table:
        """Returns the chunk of a unit that failed."""


class Task(Protocol):
    """What to do to each unit; small and picklable."""

    def miner(self, group: PeerGroup, judge: PeerGroup | None) -> Miner:
        """Returns what mines units with loaded nets."""


class Kind(abc.ABC):
    """One kind of dataset.

    Attributes:
      name: of its dataset, "high_value_mistakes".
      noun: what its examples are, in the plural.
      tried: what a run goes through, in the plural: what may have to be set aside.
      seeded: whether its examples are made of seed images.
      near: share of what an example was changed by, within which another is its near-duplicate
        (`pipeline.versions.near_duplicates`).
      class_column: the column, and feature, of the class that examples are counted by.
      statuses: what a recheck can say of an example.
      legend: what the statuses mean, for the note under a table.
      checked: features that `failures` reads, a part of one as "seed/id".
      rechecked: features that `status` reads, likewise.
      whole_group: whether a recheck shows an example to all nets of its run, for its peers count too.
      measures: heads of `row` that are numbers.
      caption: heads of `row` that tell an example from the others in a word or two.
      chosen: what a report shows first, head of `row` -> text; the rest is one choice away.
      drawn: features that `pictures` reads of all examples; small ones.
      questions: what else can be asked of a dataset: what it tells -> the command, "{}" for the dataset.
      studies: what a report tells of examples that nets are shown again (`pipeline.studies.report`).
      nothing_found: what to change when a run found nothing.
      starter: the sections of its method in a first configuration, TOML with comments.
      methods: the ways to make it, the default first.
      options: of the command line, in place of a whole number in a configuration: option -> its section and key.
    """

    name: str
    noun: str
    tried: str = "seed images"
    seeded: bool = True
    near: float = 0.1
    class_column: str = "label"
    statuses: tuple[str, ...]
    legend: str
    checked: tuple[str, ...]
    rechecked: tuple[str, ...]
    whole_group: bool = False
    measures: tuple[str, ...] = ()
    caption: tuple[str, ...] = ("label", "read as")
    chosen: Mapping[str, str] = types.MappingProxyType({})
    drawn: tuple[str, ...] = ()
    questions: Mapping[str, str] = types.MappingProxyType({})
    studies: tuple[str, ...] = ()
    nothing_found: str
    starter: str
    methods: tuple[Method, ...]
    options: Mapping[str, tuple[str, str]] = types.MappingProxyType({})

    # How a run is made.

    @abc.abstractmethod
    def schema(self) -> pa.Schema:
        """Returns the columns of a chunk, those of every kind (`pipeline.records`) and its own."""

    @abc.abstractmethod
    def task(
        self, config: Config, group: PeerGroup, class_names: Sequence[str], config_digest: str, folder: RunFolder
    ) -> Task:
        """Returns what a configuration asks of each unit.

        Args:
          config: the configuration.
          group: the nets.
          class_names: of the seed images, `[K]` or none.
          config_digest: SHA-256 (hex) that stands for all of this in the ids of examples.
          folder: the run's.

        Raises:
          InputError: there is no such net or class, or a target net cannot be searched by this method.
        """

    def check_images(self, config: Config, shape: tuple[int, int, int]) -> None:
        """Raises InputError where what is asked cannot be done with images of a shape, whatever the nets."""
        del config, shape

    def material(self, config: Config, group: PeerGroup, source: SeedSource) -> Source:
        """Returns where workers find what a unit is about."""
        del config, group
        return source

    @abc.abstractmethod
    def units(self, config: Config, group: PeerGroup, source: SeedSource) -> list[Unit]:
        """Returns the units of a run."""

    @abc.abstractmethod
    def wanted(self, config: Config) -> dict[str, Any]:
        """Returns how much is to be tried, JSON-able; each trial's result is another matter."""

    def identity(self, config: Config) -> dict[str, Any]:
        """Returns what a run's manifest says besides, of what determines its features; JSON-able."""
        del config
        return {}

    def facts(self, config: Config, group: PeerGroup, source: SeedSource) -> dict[str, Any]:
        """Returns what a run's manifest says besides, about its nets; JSON-able."""
        del config, group, source
        return {}

    def alike(self, config: Config, group: PeerGroup, units: Sequence[Unit]) -> list[list[Unit]]:
        """Returns the units by what one can be told of others from: those of a list compile once, and cost alike."""
        del config, group
        return [list(units)]

    def together(self, config: Config) -> int:
        """Returns how many seed images cost as much as one, for they are searched in one batch."""
        del config
        return 1

    def size(self, config: Config, unit: Unit) -> int:
        """Returns how large a unit is, in what its time grows by."""
        return -(-len(unit.positions) // self.together(config))

    def sample(self, config: Config, unit: Unit) -> tuple[Config, list[Unit]]:
        """Returns what is mined to see how long a unit takes: a configuration, and growing parts of the unit.

        The last part is the whole unit, unless the configuration asks for less of it.
        """
        count, together = len(unit.positions), self.together(config)
        wanted, counts = max(_SAMPLE, together), [together]
        while counts[-1] < count:
            counts.append(wanted)
            wanted *= 2
        parts = [unit.positions[:each] for each in dict.fromkeys(min(each, count) for each in counts)]
        return config, [dataclasses.replace(unit, positions=part) for part in parts]

    def ended(self, chunk: pa.Table) -> bool:
        """Tells of a sample's chunk whether its unit was at its end before all that the configuration asks for."""
        del chunk
        return False

    def standing(self, config: Config, folder: RunFolder, units: Sequence[Unit]) -> Standing:
        """Returns what tells how far a run of these units is."""
        del config
        from pipeline.kinds.standing import Images

        return Images(folder, units)

    def hints(self, folder: RunFolder, manifest: Manifest) -> list[str]:
        """Returns what a finished run makes one suspect, a sentence each."""
        del folder, manifest
        return []

    def conclude(self, folder: RunFolder, units: Sequence[int]) -> None:
        """Writes what sums up a run besides its tables, when all units are there."""
        del folder, units

    @abc.abstractmethod
    def tables(self, folder: RunFolder, manifest: Manifest) -> list[Table]:
        """Returns what a finished run found."""

    # What is published, and looked at again.

    @abc.abstractmethod
    def builder(self) -> Any:
        """Returns the class of its TFDS builder."""

    @abc.abstractmethod
    def failures(self, examples: Sequence[Example], run: Recorded, answers: np.ndarray) -> list[list[str]]:
        """Returns why each example, all of one run, does not hold.

        Args:
          examples: of a published version, with at least the features `checked`.
          run: their run.
          answers: float32 `[N, B, K]`, what the run's nets say of the stored images.
        """

    @abc.abstractmethod
    def again(self, example: Example, run: Recorded, nets: Callable[[], PeerGroup]) -> np.ndarray:
        """Makes an example's image anew, uint8 `[H, W, C]`; `nets` loads its run's nets, if they are needed."""

    @abc.abstractmethod
    def status(self, examples: Sequence[Example], run: Recorded, answers: np.ndarray, target_net: int) -> list[str]:
        """Returns what new nets make of examples of one run and one target net, each one of `statuses`.

        Args:
          examples: of a published version, with at least the features `rechecked`.
          run: their run.
          answers: float32 `[N, B, K]`, of the nets that are asked.
          target_net: the target net's place among them.
        """

    def fits(self, net: Classifier, num_classes: int) -> bool:
        """Tells whether a new net has the classes that an example of K classes can be shown to."""
        return net.num_classes == num_classes

    def batch(self, run: Recorded, usual: int) -> int:
        """Returns how many images the nets see at a time when examples are looked at again."""
        del run
        return usual

    @abc.abstractmethod
    def row(self, example: Example, run: Recorded) -> dict[str, str]:
        """Returns what a table shows of an example besides its id and its target net: head -> text."""

    def pictures(
        self, examples: Sequence[Example], whole: Sequence[Example], run: Recorded, folder: RunFolder
    ) -> list[Picture]:
        """Returns the pictures of a report.

        Args:
          examples: at least one, with at least the features `drawn`.
          whole: some of them with all features: one of each target net and class, at most a few hundred.
          run: the newest of their runs; all have the same classes and shape.
          folder: that run's, whose files may be gone.
        """
        del examples, whole, run, folder
        return []

    @abc.abstractmethod
    def about(self, example: Example, run: Recorded) -> str:
        """Returns what an example is, in a line."""

    @abc.abstractmethod
    def draw(self, example: Example, run: Recorded, nets: Callable[[], PeerGroup], path: str) -> None:
        """Draws an example as PNG; `nets` loads its run's nets, if they are needed."""


def methods(kinds: Sequence[Kind]) -> Iterator[tuple[str, Method]]:
    """Yields the methods of kinds by name."""
    for kind in kinds:
        for method in kind.methods:
            yield method.name, method

"""What a recipe is: settings of which lessons are made, one for each net that is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

if TYPE_CHECKING:
    import tensorflow as tf

    from pipeline.seeds.source import SeedBatch

    Net = Callable[[tf.Tensor], tf.Tensor]  # images float32 `[B, H, W, C]` in [0, 1] -> probabilities `[B, K]`


STREAMS = 4  # of random numbers that a step can have, the second word of whose seeds follow each other


class Moment(NamedTuple):
    """Where training stands.

    Attributes:
      done: float32 scalar, the share of all steps that are done, from 0 to 1.
      seed: int32 `[2]`, of the step's random numbers: the training's seed, and `STREAMS` times the step.
    """

    done: Any
    seed: Any

    @property
    def step(self) -> tf.Tensor:
        """The number of the step, int32 scalar from 0."""
        return self.seed[1] // STREAMS


class Cost(NamedTuple):
    """What a step of B images takes: images that the net learns from, and images that it is only asked about."""

    gradients: int
    passes: int


class Start(NamedTuple):
    """What a lesson is made of.

    Attributes:
      model: the net that is to be trained, as it is before.
      learned: the images to learn from.
      mined: the mined examples, as the subject reads them; None if the recipe needs none.
      sections: of the mined task's configuration: its operator, attack, encoding.
      batch: images in a step, B.
      steps: of the whole training.
      seed: of the training.
    """

    model: tf.keras.Model
    learned: SeedBatch
    mined: Any
    sections: Any
    batch: int
    steps: int
    seed: int

    @property
    def epochs(self) -> int:
        """Passes over the images in the whole training."""
        return self.steps // (len(self.learned.images) // self.batch)


class Lesson:
    """The training of one net by a recipe; it may keep something between steps, in variables.

    Attributes:
      stream: endless, what each step is given besides the batch; None if that is nothing.
      asked: about how many images the net was asked so far, not counting those of steps.
    """

    stream: tf.data.Dataset | None = None
    asked: int = 0

    def loss(self, net: Net, batch: dict[str, tf.Tensor], extra: Any, moment: Moment) -> tf.Tensor:
        """Returns the loss of a step, a scalar.

        Args:
          net: the net, as it trains.
          batch: `image` uint8 `[B, H, W, C]` and `label` int32 `[B]`, in random order.
          extra: an element of `stream`.
          moment: where training stands.
        """
        raise NotImplementedError

    def learns(self, moment: Moment) -> Sequence[tf.Tensor | None] | None:
        """Returns which of the net's trainable weights a step changes, in their order; None: it may change all.

        Of each, bools that broadcast to it, or None if all of it learns. The others stay as they are, to the bit.
        """
        return None

    def after_epoch(self, epoch: int) -> None:
        """Is called after each epoch, with its number, from 1."""

    def notes(self) -> dict[str, Any]:
        """Returns what is worth keeping of the training, JSON-able; it stands in the net's record."""
        return {}


class Recipe(Protocol):
    """A frozen dataclass of settings (`models.settings.setting`); a new one is a class and a line of its subject.

    Attributes:
      name: what `kind` says in a retraining file.
    """

    name: ClassVar[str]

    def needs_mined(self) -> bool:
        """Tells whether it uses mined examples."""

    def cost(self, batch: int) -> Cost:
        """Returns what a step of so many images takes once its schedule has risen."""

    def net(self, parent: tf.keras.Model) -> tf.keras.Model:
        """Returns the net to train, of the parent's weights; mostly the parent itself.

        Raises:
          InputError: a net like the parent cannot be trained so.
        """

    def lesson(self, start: Start) -> Lesson:
        """Returns the training of one net; raises InputError if it cannot be trained so."""


class Stateless:
    """The base of recipes that keep nothing between steps."""

    def net(self, parent: tf.keras.Model) -> tf.keras.Model:
        """The parent itself."""
        return parent

    def lesson(self, start: Start) -> Lesson:
        """Of each step by itself."""
        return _EachStep(self, start)

    def stream(self, mined: Any, batch: int, seed: int) -> tf.data.Dataset | None:
        """Returns an endless stream of what each step needs of the mined examples, None if that is nothing."""
        return None

    def loss(self, net: Net, batch: dict[str, tf.Tensor], extra: Any, sections: Any, moment: Moment) -> tf.Tensor:
        """Returns the loss of a step as `Lesson.loss` does, of a task with these sections."""
        raise NotImplementedError


class _EachStep(Lesson):
    def __init__(self, recipe: Stateless, start: Start):
        self._recipe, self._sections = recipe, start.sections
        self.stream = recipe.stream(start.mined, start.batch, start.seed + 1)

    def loss(self, net: Net, batch: dict[str, tf.Tensor], extra: Any, moment: Moment) -> tf.Tensor:
        return self._recipe.loss(net, batch, extra, self._sections, moment)

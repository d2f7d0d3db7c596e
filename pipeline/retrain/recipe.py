"""What a recipe is: the loss of a batch, and what it needs besides the images it learns from."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

if TYPE_CHECKING:
    import tensorflow as tf

    from pipeline.kinds.mistakes.mined import Mined
    from pipeline.operators.operator import Operator

    Net = Callable[[tf.Tensor], tf.Tensor]  # images float32 `[B, H, W, C]` in [0, 1] -> probabilities `[B, K]`


class Moment(NamedTuple):
    """Where training stands.

    Attributes:
      done: float32 scalar, the share of all steps that are done, from 0 to 1.
      seed: int32 `[2]`, of the step's random numbers.
    """

    done: Any
    seed: Any


class Cost(NamedTuple):
    """What a step of B images takes: images that the net learns from, and images that it is only asked about."""

    gradients: int
    passes: int


class Recipe(Protocol):
    """A frozen dataclass of settings (`models.settings.setting`); a new one is a class and a line in `recipes.KINDS`.

    Attributes:
      name: what `kind` says in a retraining file.
    """

    name: ClassVar[str]

    def needs_mined(self) -> bool:
        """Tells whether it uses mined examples."""

    def cost(self, batch: int) -> Cost:
        """Returns what a step of so many images takes once its schedule has risen."""

    def stream(self, mined: Mined | None, batch: int, seed: int) -> tf.data.Dataset | None:
        """Returns an endless stream of what each step needs of the mined examples, None if that is nothing."""

    def loss(self, net: Net, batch: dict[str, tf.Tensor], extra: Any, operator: Operator, moment: Moment) -> tf.Tensor:
        """Returns the loss, a scalar.

        Args:
          net: the net, as it trains.
          batch: `image` uint8 `[B, H, W, C]` and `label` int32 `[B]`, in random order.
          extra: an element of `stream`.
          operator: draws and applies the moves.
          moment: where training stands.
        """

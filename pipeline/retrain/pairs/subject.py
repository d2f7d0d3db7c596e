"""Retraining on adversarial pairs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pipeline.config.config import Config
from pipeline.kinds.pairs import kind
from pipeline.retrain import subject
from pipeline.retrain.pairs.measuring import Measuring
from pipeline.retrain.pairs.recipes import RECIPES
from pipeline.retrain.recipe import Recipe
from pipeline.retrain.subject import Examiner, Front, Material, Measures

if TYPE_CHECKING:
    import numpy as np

    from models.classifier import PeerGroup
    from pipeline.retrain.pairs.paired import Paired
    from pipeline.versions.published import Published

_SHOWN = {
    "clean_error": "clean",
    "distortion": "distortion",
    "attacked_error": "attacked",
    "noise_error": "noise",
    "twin_error": "twins",
    "group_error": "of groups",
    "held_in_error": "held in",
    "original_error": "originals",
}
_NOTE = (
    "distortion: the median least one at which a fresh attack has an image misread; attacked, noise: misread at"
    "\n[measure] eps by projected gradient descent, under Gaussian noise; twins: mined ones that none learned from; of"
    "\ngroups: those of them held out as one of each group; held in: those that recipes learn from; originals: of all"
)
_FRONT = Front(
    "clean_error",
    "distortion",
    ("attacked_error", "noise_error"),
    ("error on the images as they are, %", "distortion at which half of the images are misread"),
)


class OnPairs:
    """See `Subject`."""

    kind = kind.PAIRS.name
    recipes: tuple[type[Recipe], ...] = RECIPES
    measuring: type[subject.Measuring] = Measuring

    @property
    def measures(self) -> Measures:
        """See `Subject`."""
        from pipeline.retrain.pairs.examiner import Measured

        return Measures(Measured._fields, _SHOWN, _NOTE, {"clean_error": 2, "distortion": 4}, _FRONT)

    def check(self, mined: Config, measuring: Any) -> None:
        """See `Subject`."""
        subject.require_labels(mined)

    def read(
        self,
        dataset: Published,
        held_out: Callable[[np.ndarray], bool],
        group: PeerGroup,
        target: int,
        measuring: Any,
    ) -> Paired:
        """See `Subject`."""
        from pipeline.retrain.pairs import paired

        return paired.split(dataset.examples(), group.digests[target], held_out, measuring.group).learned

    def examiner(self, material: Material) -> Examiner:
        """See `Subject`."""
        from pipeline.retrain.pairs.examiner import Examiner

        return Examiner(material)


PAIRS = OnPairs()

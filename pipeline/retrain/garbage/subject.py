"""Retraining on garbage images."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from models.errors import InputError
from pipeline.config.config import Config
from pipeline.kinds.garbage import kind
from pipeline.retrain import subject
from pipeline.retrain.garbage import measuring
from pipeline.retrain.garbage.recipes import RECIPES
from pipeline.retrain.recipe import Recipe
from pipeline.retrain.subject import Columns, Examiner, Material, Measures

if TYPE_CHECKING:
    import numpy as np

    from models.classifier import PeerGroup
    from pipeline.versions.published import Published

_NOTE = "clean, as garbage: clean images that are misread, and that are called garbage; certain: at 99% or more"
_OF_ENCODING = (
    "conf.: median over classes of the best confidence; fooled: classes at 99% or more; eval.: images until that median"
    "\nis at 99%, at most all that there are; AUROC, FPR95: clean images and garbage of the net before, told apart by"
    "\nconfidence; FPR95: clean images that are taken for garbage where 95% of the garbage is"
)
_FURTHER = tuple(
    Columns(f"garbage of the {name} encoding, evolved anew against each net", measuring.heads(name), _OF_ENCODING)
    for name in measuring.ENCODINGS
)


class OnGarbage:
    """See `Subject`."""

    kind = kind.GARBAGE.name
    recipes: tuple[type[Recipe], ...] = RECIPES
    measuring: type[subject.Measuring] = measuring.Measuring

    @property
    def measures(self) -> Measures:
        """See `Subject`."""
        from pipeline.retrain.garbage import rounds

        named = measuring.NAMES, measuring.SHOWN, _NOTE, measuring.DIGITS
        return Measures(*named, front=None, further=_FURTHER, tables=rounds.tables)

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
    ) -> np.ndarray:
        """Returns the images, uint8 `[T, H, W, C]`; see `Subject`."""
        import numpy as np

        images = [example["image"] for example in dataset.examples()]
        if not images:
            raise InputError("the mined dataset has no example; mine some with `peerpressure run`.")
        for image in images:
            if image.shape != group.input_shape:
                raise InputError(
                    f"the mined dataset has an image of shape {image.shape}, and the nets take {group.input_shape}; "
                    "retrain the nets that it was mined with."
                )
        return np.stack(images)

    def examiner(self, material: Material) -> Examiner:
        """See `Subject`."""
        from pipeline.retrain.garbage.examiner import Examiner

        plan = material.plan
        return Examiner(material.parent, material.measured, plan.mined.sections, plan.measuring)


GARBAGE = OnGarbage()

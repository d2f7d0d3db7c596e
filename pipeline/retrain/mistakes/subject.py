"""Retraining on high-value mistakes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from models import zoo
from models.errors import InputError
from pipeline.config.config import Config
from pipeline.kinds.mistakes import kind
from pipeline.kinds.mistakes.methods import MovingSearch
from pipeline.retrain import subject
from pipeline.retrain.mistakes.measuring import Measuring
from pipeline.retrain.mistakes.recipes import RECIPES
from pipeline.retrain.recipe import Recipe
from pipeline.retrain.subject import Columns, Examiner, Front, Material, Measures

if TYPE_CHECKING:
    import numpy as np

    from models.classifier import PeerGroup
    from pipeline.kinds.mistakes.mined import Mined
    from pipeline.versions.published import Published

_SHOWN = {
    "clean_error": "clean",
    "moved_error": "moved",
    "wide_error": "1.5x",
    "worst_error": "worst",
    "grid_error": "grid",
    "success": "found",
    "candidates": "candidates",
    "peer_success": "by peers",
    "agreement": "agrees",
}
_NOTE = (
    "moved, 1.5x: misread under random changes, also 1.5 times as far; worst: under one of many; grid: at one of 775"
    "\nturns and shifts; found, candidates: a search with a strong net as the only peer; by peers: the peer-filtered"
    "\nsearch; agrees: with the peers' mean answer to moved images"
)
_UNSEEN = Columns(
    "on changes that no recipe is trained on",
    {
        "elastic_error": "elastic",
        "perspective_error": "perspective",
        "thickness_error": "thickness",
        "blur_error": "blur",
        "noise_error": "noise",
    },
    "misread where pixels are moved by a smooth field; corners are moved; strokes are thicker or thinner; images are"
    "\nblurred; noise is added; in %",
)
_MORE = Columns(
    "where more is searched, on the first of the searched images",
    {
        "usual_success": "1x found",
        "usual_candidates": "1x candidates",
        "patient_success": "4x found",
        "patient_candidates": "4x candidates",
        "restarts_success": "10 tries found",
        "restarts_candidates": "10 tries candidates",
    },
    "1x: as in the first table; 4x: with four times the patience, a search that found nothing counts four times as"
    "\nmuch; 10 tries: the best of ten searches with random numbers of their own",
    ("usual_candidates", "patient_candidates", "restarts_candidates"),
)
_FRONT = Front(
    "moved_error",
    "candidates",
    ("clean_error", "worst_error"),
    ("error on moved images, %", "candidates until a mistake is found"),
)


class OnMistakes:
    """See `Subject`."""

    kind = kind.MISTAKES.name
    recipes: tuple[type[Recipe], ...] = RECIPES
    measuring: type[subject.Measuring] = Measuring

    @property
    def measures(self) -> Measures:
        """See `Subject`."""
        from pipeline.retrain.mistakes.measures import Measured

        return Measures(Measured._fields, _SHOWN, _NOTE, {"clean_error": 2}, _FRONT, (_UNSEEN, _MORE))

    def check(self, mined: Config, measuring: Any) -> None:
        """See `Subject`."""
        if not isinstance(mined.sections["search"], MovingSearch):  # moves are drawn again, and nets searched, so
            raise InputError(
                f"mined has [search] method '{mined.method.name}', expected 'hillclimb', which finds mistakes move by "
                "move."
            )
        if len(mined.peers.architectures or mined.peers.files) < 2:
            raise InputError("mined has 1 net in [peers], expected at least 2: a target and its peers.")
        subject.require_labels(mined)
        try:
            zoo.check(measuring.judge)
        except InputError as error:
            raise InputError(f"[measure] judge: {error}") from error

    def read(
        self,
        dataset: Published,
        held_out: Callable[[np.ndarray], bool],
        group: PeerGroup,
        target: int,
        measuring: Any,
    ) -> Mined:
        """See `Subject`."""
        from pipeline.kinds.mistakes import mined

        examples = [example for example in dataset.examples() if not held_out(example["seed_image"])]
        read = mined.read(examples, dataset.runs)
        if read.images.shape[1:] != group.input_shape:
            raise InputError(
                f"the mined dataset has images of shape {read.images.shape[1:]}, and the nets take "
                f"{group.input_shape}; retrain the nets that it was mined with."
            )
        if read.labels.max() >= group.num_classes:
            raise InputError(
                f"the mined dataset has class {read.labels.max()}, and the nets have {group.num_classes} classes."
            )
        return read

    def examiner(self, material: Material) -> Examiner:
        """See `Subject`."""
        from pipeline.retrain.mistakes.examiner import Examiner

        return Examiner(material)


MISTAKES = OnMistakes()

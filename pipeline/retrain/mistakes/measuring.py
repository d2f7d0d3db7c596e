"""The keys of [measure] where nets are retrained on mistakes."""

from __future__ import annotations

import dataclasses

from models.settings import setting
from pipeline.retrain import subject


@dataclasses.dataclass(frozen=True)
class Measuring(subject.Measuring):
    """[measure]: how good a net is afterwards, on images that no net has learned from."""

    draws: int = setting(10, "random moves of each image for the error on moved images", low=1, high=10_000)
    moves: int = setting(6, "most moves that are composed into one random change", low=1, high=64)
    worst_of: int = setting(100, "random changes of each image, of which the worst counts", low=1, high=10_000)
    grid_images: int = setting(500, "images that are shown on the grid of 775 shifts and turns", low=1, high=10**9)
    searched_images: int = setting(400, "images on which mistakes are searched for", low=1, high=10**9)
    most_candidates: int = setting(500, "a search that found nothing counts as so many candidates", low=1, high=10**6)
    more_images: int = setting(
        50, "images of these on which is searched with more patience and restarts, too", low=1, high=10**9
    )
    judge: str = setting("cnn", "architecture of the strong net that vouches for the label; trained on moved images")
    judge_epochs: int = setting(3, "how long it is trained", low=1, high=10_000)

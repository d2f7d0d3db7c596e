"""The keys of [measure] where nets are retrained on adversarial pairs."""

from __future__ import annotations

import dataclasses
from typing import Literal

from models.settings import setting
from pipeline.retrain import subject


@dataclasses.dataclass(frozen=True)
class Measuring(subject.Measuring):
    """[measure]: how good a net is afterwards, on images and pairs that no net has learned from."""

    group: Literal["both", "original", "adversarial"] = setting(
        "both",
        "one pair of each group is learned from by no recipe: of each right class with each wrong one "
        '("both"), of each right class ("original") or of each wrong one ("adversarial")',
    )
    attacked_images: int = setting(200, "images that are attacked anew on every net", low=1, high=10**9)
    eps: float = setting(
        0.06,
        "the distortion (root mean square of a pixel's change, of 1) at which nets are attacked by projected gradient "
        "descent, and of Gaussian noise",
        low=0.001,
        high=1,
    )
    steps: int = setting(40, "of projected gradient descent", low=1, high=100_000)
    iterations: int = setting(
        50, "of L-BFGS for one c, which finds the least distortion that an image is misread at", low=1, high=100_000
    )
    noise_draws: int = setting(5, "draws of noise for each image", low=1, high=10_000)

"""The methods that find high-value mistakes, and their settings."""

from __future__ import annotations

import dataclasses
from typing import Any

from models.errors import InputError
from models.settings import setting
from pipeline.config.config import SeededSearch
from pipeline.config.method import Method, Sections
from pipeline.operators.operator import Compose
from pipeline.operators.registry import OPERATORS


@dataclasses.dataclass(frozen=True)
class PeerFilteredSearch(SeededSearch):
    """[search] of every method that finds mistakes."""

    peer_confidence: float = setting(0.9, "least probability of the class that every peer must keep", low=0, high=1)
    target_confidence: float = setting(
        0.5, "least probability that the target net must give a wrong class", low=0, high=1
    )


@dataclasses.dataclass(frozen=True)
class MovingSearch(PeerFilteredSearch):
    """[search] of the methods that move images step by step."""

    patience: int = setting(250, "candidates in a row without a move that end a trial", low=1, high=1_000_000)
    max_moves: int = setting(64, "moves that end a trial", low=1, high=4096)
    compose: Compose = setting(
        "matrix", '"matrix" (one resampling of the seed image) or "image" (resampled move by move)'
    )


@dataclasses.dataclass(frozen=True)
class Grading:
    """[grade]: when a mistake is of high value."""

    peer_margin: float = setting(
        0.1, "least lead, in probability, that every peer must give the class over its runner-up", low=0, high=1
    )


@dataclasses.dataclass(frozen=True)
class MovedGrading(Grading):
    """[grade] of images that were moved.

    The limits are to what all moves together may do to the seed image. The defaults are what others take for harmless.
    Rotation and translation: Engstrom et al., "Exploring the Landscape of Spatial Robustness", 30 degrees and 3 pixels
    of 28. Scale: affNIST, 0.8 to 1.2. Stretch: random crops in "Going Deeper with Convolutions", aspect ratios of 3/4
    to 4/3. Shear: "AutoAugment", a slope of 0.3.
    """

    rotation_degrees: float = setting(
        30.0, "largest rotation either way, in degrees; 180 sets no limit", low=0, high=180
    )
    translation: float = setting(
        3 / 28, "largest shift of the centre along x and along y, as a share of width and height", low=0, high=1000
    )
    scale: float = setting(
        0.2, "largest relative change of size; 0.2 allows factors from 1/1.2 to 1.2", low=0, high=1000
    )
    stretch: float = setting(
        0.15, "largest relative change of width, paid for by height; same form as `scale`", low=0, high=1000
    )
    shear_degrees: float = setting(
        16.7, "largest horizontal shear angle either way, in degrees; 90 sets no limit", low=0, high=90
    )


def _hillclimb(sections: Sections) -> Any:
    from pipeline.kinds.mistakes.hillclimbing import Hillclimbing

    return Hillclimbing.of(sections)


def _scan(sections: Sections) -> Any:
    from pipeline.kinds.mistakes.scanning import Scanning

    return Scanning.of(sections)


def _scanned_nets(sections: Sections) -> int:
    return 3 if sections["search"].class_from == "consensus" else 2  # else nobody can say which of two is wrong


def _check_numbers(sections: Sections) -> None:
    candidates = sections["search"].patience * sections["search"].max_moves
    if candidates >= 2**31:  # their numbers are int32
        raise InputError(
            f"[search] patience times max_moves is {candidates}, expected less than {2**31} candidates of a trial; "
            "lower one of them."
        )


METHODS = (
    Method(
        "hillclimb",
        {"search": MovingSearch, "operator": OPERATORS, "grade": MovedGrading},
        _hillclimb,
        check=_check_numbers,  # one net is enough: without peers, whatever lowers its confidence is accepted
    ),
    Method("scan", {"search": PeerFilteredSearch, "grade": Grading}, _scan, least_nets=_scanned_nets),
)

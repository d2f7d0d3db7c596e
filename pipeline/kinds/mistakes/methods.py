"""The methods that find high-value mistakes, and their settings."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from models.errors import InputError
from models.settings import setting
from pipeline.config.config import SeededSearch
from pipeline.config.method import Method, Sections
from pipeline.operators.operator import Compose
from pipeline.operators.registry import OPERATORS


@dataclasses.dataclass(frozen=True)
class PeerFilteredSearch(SeededSearch):
    """[search] of every method that finds mistakes.

    Attributes:
      passes: what a candidate costs, in forward passes of the nets.
    """

    passes: ClassVar[int] = 1

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
class PopulationSearch(PeerFilteredSearch):
    """[search] of the methods that try many candidates at a time."""

    chain: int = setting(8, "most moves of a candidate; but for steepest, all candidates have so many", low=1, high=64)
    population: int = setting(50, "candidates of a generation", low=4, high=100_000)
    generations: int = setting(40, "generations after which a trial ends", low=1, high=100_000)


@dataclasses.dataclass(frozen=True)
class GeneticSearch(PopulationSearch):
    """[search] of genetic."""

    crossover_rate: float = setting(0.8, "share of the candidates with two parents", low=0, high=1)
    mutation_rate: float = setting(0.05, "share of a candidate's numbers that are drawn anew", low=0, high=1)


@dataclasses.dataclass(frozen=True)
class PBILSearch(PopulationSearch):
    """[search] of pbil."""

    learning_rate: float = setting(0.1, "how far probabilities go toward the best candidate's bits", low=0, high=1)
    mutation_rate: float = setting(0.02, "share of the probabilities that are shifted at random", low=0, high=1)
    mutation_shift: float = setting(0.05, "how far they are shifted", low=0, high=1)
    bits: int = setting(8, "of each number that a move is drawn by", low=1, high=20)


@dataclasses.dataclass(frozen=True)
class EvolutionSearch(PopulationSearch):
    """[search] of evolution_strategy."""

    step: float = setting(0.3, "the first step size, in parts of each number's range", low=1e-6, high=1)


@dataclasses.dataclass(frozen=True)
class GradientSearch(PopulationSearch):
    """[search] of gradient_ascent."""

    passes: ClassVar[int] = 3  # forward, and twice as much back (Griewank and Walther, "Evaluating Derivatives")

    population: int = setting(8, "candidates of a generation", low=4, high=100_000)
    step: float = setting(0.05, "Adam's step size, in parts of each number's range", low=1e-6, high=1)
    climb: int = setting(25, "generations after which candidates begin anew, at random", low=1, high=100_000)


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
    to 4/3. Shear: "AutoAugment", a slope of 0.3. Brightness, contrast and saturation: Howard, "Some Improvements on
    Deep Convolutional Neural Network Based Image Classification", factors up to 1.5. Of our own choice are gamma (the
    same), hue (a tenth of the circle) and colour temperature (half of a filter that turns lamplight into daylight). A
    crop counts as a change of scale, stretch and place of the centre.
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
    brightness: float = setting(
        0.5, "largest relative change of brightness; 0.5 allows factors from 1/1.5 to 1.5", low=0, high=1000
    )
    contrast: float = setting(0.5, "largest relative change of contrast; same form as `brightness`", low=0, high=1000)
    saturation: float = setting(0.5, "largest relative change of saturation; likewise", low=0, high=1000)
    hue_degrees: float = setting(36.0, "largest turn of hue either way, in degrees", low=0, high=1000)
    gamma: float = setting(0.5, "largest relative change of gamma; same form as `brightness`", low=0, high=1000)
    temperature_mired: float = setting(
        80.0, "largest change of colour temperature either way, in mired (millions over kelvin)", low=0, high=1000
    )


def _hillclimb(sections: Sections) -> Any:
    from pipeline.kinds.mistakes.hillclimbing import Hillclimbing

    return Hillclimbing.of(sections)


def _scan(sections: Sections) -> Any:
    from pipeline.kinds.mistakes.scanning import Scanning

    return Scanning.of(sections)


def _steepest(sections: Sections) -> Any:
    from pipeline.kinds.mistakes.populations import Populations
    from pipeline.search.moves.strategies import SteepestAscent

    return Populations.of(sections, SteepestAscent(sections["search"].population))


def _genetic(sections: Sections) -> Any:
    from pipeline.kinds.mistakes.populations import Populations
    from pipeline.search.moves.strategies import Genetic

    search = sections["search"]
    return Populations.of(sections, Genetic(search.population, search.crossover_rate, search.mutation_rate))


def _pbil(sections: Sections) -> Any:
    from pipeline.kinds.mistakes.populations import Populations
    from pipeline.search.moves.strategies import PBIL

    search = sections["search"]
    rates = search.learning_rate, search.mutation_rate, search.mutation_shift
    return Populations.of(sections, PBIL(search.population, *rates, search.bits))


def _evolution(sections: Sections) -> Any:
    from pipeline.kinds.mistakes.populations import Populations
    from pipeline.search.moves.strategies import EvolutionStrategy

    search = sections["search"]
    return Populations.of(sections, EvolutionStrategy(search.population, search.step))


def _gradient(sections: Sections) -> Any:
    from pipeline.kinds.mistakes.populations import Populations
    from pipeline.search.moves.populations import GradientRunner
    from pipeline.search.moves.strategies import GradientAscent

    search = sections["search"]
    return Populations.of(sections, GradientAscent(search.population, search.step, search.climb), GradientRunner)


def _scanned_nets(sections: Sections) -> int:
    return 3 if sections["search"].class_from == "consensus" else 2  # else nobody can say which of two is wrong


def _check_numbers(sections: Sections) -> None:
    candidates = sections["search"].patience * sections["search"].max_moves
    if candidates >= 2**31:  # their numbers are int32
        raise InputError(
            f"[search] patience times max_moves is {candidates}, expected less than {2**31} candidates of a trial; "
            "lower one of them."
        )


def _check_candidates(sections: Sections) -> None:
    search = sections["search"]
    if search.population * search.generations >= 2**31:  # their numbers are int32
        raise InputError(
            f"[search] population times generations is {search.population * search.generations}, expected less than "
            f"{2**31} candidates of a trial; lower one of them."
        )


def _check_gradient(sections: Sections) -> None:
    _check_candidates(sections)
    operator = sections["operator"]
    if not operator.has_gradient:
        able = " or ".join(f"'{each.name}'" for each in OPERATORS if each.has_gradient)
        raise InputError(
            f"[operator] name is '{operator.name}', which has no gradient, and [search] method 'gradient_ascent' "
            f"climbs it; expected {able}."
        )


_MOVED: dict[str, type | tuple[type, ...]] = {"operator": OPERATORS, "grade": MovedGrading}

METHODS = (
    Method(
        "hillclimb",
        {"search": MovingSearch, **_MOVED},
        _hillclimb,
        check=_check_numbers,  # one net is enough: without peers, whatever lowers its confidence is accepted
    ),
    Method("steepest", {"search": PopulationSearch, **_MOVED}, _steepest, check=_check_candidates),
    Method("genetic", {"search": GeneticSearch, **_MOVED}, _genetic, check=_check_candidates),
    Method("pbil", {"search": PBILSearch, **_MOVED}, _pbil, check=_check_candidates),
    Method("evolution_strategy", {"search": EvolutionSearch, **_MOVED}, _evolution, check=_check_candidates),
    Method("gradient_ascent", {"search": GradientSearch, **_MOVED}, _gradient, gradient=True, check=_check_gradient),
    Method("scan", {"search": PeerFilteredSearch, "grade": Grading}, _scan, least_nets=_scanned_nets),
)

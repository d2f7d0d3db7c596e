"""The methods that make garbage images, and their settings."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, Literal

from models.errors import InputError
from models.settings import setting
from pipeline.config.config import Search
from pipeline.config.method import Method, Sections
from pipeline.config.sections import plain

Shape = tuple[int, int, int]


@dataclasses.dataclass(frozen=True)
class Garbage:
    """[garbage]: what is brought to certainty, and how images are made; the base of every method's section.

    Attributes:
      needs_gradient: whether the target nets are asked for one.
      has_ancestors: whether an image descends from others.
    """

    needs_gradient: ClassVar[bool] = False
    has_ancestors: ClassVar[bool] = True

    classes: Literal["all"] | tuple[int | str, ...] = setting("all", '"all", or some classes by number or name')
    confidence: float = setting(
        0.9999,
        "the target net's probability at which a class is done, above 0 and below 1; when all are, the island ends",
        low=0,
        high=1,
    )
    generations: int = setting(1000, "most generations (ascent: steps) of an island", low=1, high=10_000_000)
    islands: int = setting(
        1,
        "independent runs for each target net; each gives a champion of every class",
        low=1,
        high=100_000,
        determines=False,
    )
    population: int = setting(
        200,
        "direct, cppn: images of a generation; ascent: images that the nets see when champions are judged",
        low=1,
        high=100_000,
    )


@dataclasses.dataclass(frozen=True)
class EvolvedGarbage(Garbage):
    """[garbage] of the methods that evolve."""

    mutation_eta: float = setting(15.0, "index of polynomial mutation", low=0, high=1000)
    mutation_rate: float = setting(
        0.1, "direct: share of the pixels that mutate; cppn: share of the weights", low=0, high=1
    )


@dataclasses.dataclass(frozen=True)
class DirectGarbage(EvolvedGarbage):
    """[garbage] of direct."""

    crossover_rate: float = setting(0.5, "share of the children with two parents", low=0, high=1)
    crossover_eta: float = setting(10.0, "index of simulated binary crossover", low=0, high=1000)


@dataclasses.dataclass(frozen=True)
class CPPNGarbage(EvolvedGarbage):
    """[garbage] of cppn."""

    max_hidden: int = setting(24, "most hidden nodes of a network", low=1, high=1000)
    add_connection: float = setting(0.5, "share of the children that gain a connection", low=0, high=1)
    delete_connection: float = setting(0.3, "share that lose one", low=0, high=1)
    add_neuron: float = setting(0.5, "share of the children that gain a hidden node", low=0, high=1)
    delete_neuron: float = setting(0.2, "share that lose one", low=0, high=1)
    activation_rate: float = setting(0.1, "share of the nodes' activations that are drawn again", low=0, high=1)


@dataclasses.dataclass(frozen=True)
class AscentGarbage(Garbage):
    """[garbage] of ascent."""

    needs_gradient = True
    has_ancestors = False

    step_size: float = setting(0.02, "root mean square of the pixels' change (of 1) in a step", low=1e-6, high=1)
    decay: float = setting(0.01, "share of the distance to mid-grey that is lost at every step", low=0, high=1)
    blur: float = setting(0.0, "standard deviation of the Gaussian blur, in pixels; 0 for none", low=0, high=1000)
    blur_every: int = setting(4, "steps from blur to blur", low=1, high=10_000_000)


def most_generations(population: int) -> int:
    """Returns how many generations, the 0th not counted, an island may have: births are int32."""
    return 2**31 // population - 1


def _direct(sections: Sections, shape: Shape, cells: int) -> Any:
    from pipeline.search.evolution.direct import Direct
    from pipeline.search.evolution.map_elites import MapElites

    garbage = sections["garbage"]
    rates = garbage.mutation_rate, garbage.mutation_eta, garbage.crossover_rate, garbage.crossover_eta
    return MapElites(Direct(shape, *rates), garbage.population)


def _cppn(sections: Sections, shape: Shape, cells: int) -> Any:
    from pipeline.search.evolution.cppn_encoding import CPPN
    from pipeline.search.evolution.map_elites import MapElites

    garbage = sections["garbage"]
    encoding = CPPN(
        shape,
        max_hidden=garbage.max_hidden,
        add_connection=garbage.add_connection,
        delete_connection=garbage.delete_connection,
        add_neuron=garbage.add_neuron,
        delete_neuron=garbage.delete_neuron,
        weight_rate=garbage.mutation_rate,
        weight_eta=garbage.mutation_eta,
        activation_rate=garbage.activation_rate,
    )
    return MapElites(encoding, garbage.population)


def _ascent(sections: Sections, shape: Shape, cells: int) -> Any:
    from pipeline.search.evolution.ascent import GradientAscent

    garbage = sections["garbage"]
    return GradientAscent(shape, cells, garbage.step_size, garbage.decay, garbage.blur, garbage.blur_every)


def _check(sections: Sections) -> None:
    """Checks what holds for every method."""
    garbage = sections["garbage"]
    if not 0 < garbage.confidence < 1:
        raise InputError(
            f"[garbage] confidence is {plain(garbage.confidence)}, expected a probability above 0 and below 1."
        )
    if not garbage.classes:
        raise InputError("[garbage] classes is empty; give 'all' or some classes.")


def _check_evolved(sections: Sections) -> None:
    _check(sections)
    garbage = sections["garbage"]
    most = most_generations(garbage.population)
    if garbage.generations > most:
        raise InputError(
            f"[garbage] generations is {garbage.generations}, expected at most {most} with population "
            f"{garbage.population}; lower one of them."
        )


METHODS = (
    Method("direct", {"search": Search, "garbage": DirectGarbage}, _direct, run_keys=(), check=_check_evolved),
    Method("cppn", {"search": Search, "garbage": CPPNGarbage}, _cppn, run_keys=(), check=_check_evolved),
    Method("ascent", {"search": Search, "garbage": AscentGarbage}, _ascent, run_keys=(), check=_check),
)

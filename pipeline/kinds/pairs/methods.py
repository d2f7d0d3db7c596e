"""The methods that make adversarial pairs, and their settings."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from models.errors import InputError
from models.settings import setting
from pipeline.config.config import SeededSearch
from pipeline.config.method import Method, Sections
from pipeline.config.sections import plain
from pipeline.search.attacks.balls import whole_levels


@dataclasses.dataclass(frozen=True)
class Attack:
    """[attack]: how an image's adversarial twin is made; the base of every method's section of this name."""

    aim: int | Literal["random", "next", "untargeted"] = setting(
        "random",
        'the class that the target net is to give: drawn at "random", the "next" most likely, "untargeted" (any but '
        "the right one), or a class's number",
    )


@dataclasses.dataclass(frozen=True)
class FastGradientSignAttack(Attack):
    """[attack] of fgsm."""

    eps: float = setting(
        0.1,
        "how far a pixel may change (of 1), of which images hold whole grey levels: 25/255 for 0.1",
        low=1e-6,
        high=1,
    )


@dataclasses.dataclass(frozen=True)
class ProjectedAttack(Attack):
    """[attack] of pgd."""

    eps: float = setting(
        0.1,
        "how far a pixel may change (of 1), of which images hold whole grey levels: 25/255 for 0.1; with norm "
        '"l2", the largest distortion',
        low=1e-6,
        high=1,
    )
    norm: Literal["linf", "l2"] = setting("linf", "how `eps` is measured")
    step_size: float = setting(0.01, "one step, in the unit of `eps`", low=1e-6, high=1)
    steps: int = setting(40, "how many", low=1, high=100_000)
    random_start: bool = setting(True, "start at random within `eps`")


@dataclasses.dataclass(frozen=True)
class LBFGSAttack(Attack):
    """[attack] of lbfgs."""

    iterations: int = setting(150, "most moves toward the minimum of one c", low=1, high=100_000)
    memory: int = setting(10, "curvature pairs kept", low=1, high=100)
    first_c: float = setting(
        0.01, "where the search for c starts; c weighs the squared change, summed over pixels", low=1e-6, high=1e6
    )
    brackets: int = setting(8, "most times that c is raised or lowered tenfold", low=1, high=30)
    bisections: int = setting(7, "halvings of the bracket", low=1, high=30)


def _fgsm(sections: Sections) -> Any:
    from pipeline.search.attacks.gradient import FastGradientSign

    return FastGradientSign(sections["attack"].eps)


def _pgd(sections: Sections) -> Any:
    from pipeline.search.attacks.gradient import ProjectedGradient

    attack = sections["attack"]
    return ProjectedGradient(attack.norm, attack.eps, attack.step_size, attack.steps, attack.random_start)


def _lbfgs(sections: Sections) -> Any:
    from pipeline.search.attacks.lbfgs import LBFGS

    attack = sections["attack"]
    return LBFGS(attack.iterations, attack.memory, attack.first_c, attack.brackets, attack.bisections)


def _lbfgs_images(sections: Sections) -> int:
    return 8 + 2 * sections["attack"].memory  # the point, its gradient, the step, bounds; and the curvature pairs


def _check_levels(sections: Sections) -> None:
    attack = sections["attack"]
    if getattr(attack, "norm", "linf") == "linf" and not whole_levels(attack.eps):
        raise InputError(
            f"[attack] eps is {plain(attack.eps)}, less than one grey level of a stored image; expected at least "
            "0.003922 (1/255)."
        )


METHODS = (
    Method("lbfgs", {"search": SeededSearch, "attack": LBFGSAttack}, _lbfgs, gradient=True, images=_lbfgs_images),
    Method("pgd", {"search": SeededSearch, "attack": ProjectedAttack}, _pgd, gradient=True, check=_check_levels),
    Method(
        "fgsm", {"search": SeededSearch, "attack": FastGradientSignAttack}, _fgsm, gradient=True, check=_check_levels
    ),
)

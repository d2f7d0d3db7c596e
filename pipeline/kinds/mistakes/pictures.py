"""What a report draws of mistakes: which classes are confused, by which moves, and how a search went."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.config.recorded import Recorded
from pipeline.kinds import published
from pipeline.kinds.kind import Example
from pipeline.kinds.mistakes import chains, checks
from pipeline.progress import Bar
from pipeline.records import HIGH
from pipeline.report import picture
from pipeline.report.page import Picture

_SESSIONS = 3  # that are drawn, of one target net each


def pictures(examples: Sequence[Example], whole: Sequence[Example], run: Recorded) -> list[Picture]:
    """Returns the pictures of a report; see `Kind.pictures`."""
    nets = published.target_nets(examples, run)
    return [
        *(_session(example, run, place) for place, example in enumerate(_one_of_each_net(whole)[:_SESSIONS])),
        _confusions(examples, nets, run.class_names),
        *_amounts(examples, nets, run),
    ]


def _one_of_each_net(examples: Sequence[Example]) -> list[Example]:
    """Returns a mistake of each target net, one of high value if there is one."""
    found: dict[bytes, Example] = {}
    for example in sorted(examples, key=lambda example: example["grade"] != HIGH.encode()):
        found.setdefault(example["target_net"], example)
    return list(found.values())


def _confusions(examples: Sequence[Example], nets: list[str], names: list[str]) -> Picture:
    counts = np.zeros((len(nets), len(names), len(names)), np.int64)
    places = [nets.index(example["target_net"].decode()) for example in examples]
    for place, example in zip(places, examples, strict=True):
        counts[place, int(example["label"]), int(example["wrong_class"])] += 1
    label, wrong = divmod(int(counts.sum(axis=0).argmax()), len(names))
    commonest = f"{names[label]} as {names[wrong]} is the commonest, {counts.sum(axis=0).max()} times"
    return Picture(
        "confusions",
        "What the target nets take the classes for",
        f"Heat maps of class by wrong class, one for each target net; {commonest}.",
        functools.partial(picture.draw_confusions, counts, nets, names),
    )


def _amounts(examples: Sequence[Example], nets: list[str], run: Recorded) -> list[Picture]:
    """Draws what all moves of each mistake come to, where the operator tells it by names."""
    height, width = run["image_shape"][:2]
    operator, told = checks.finder_of(run).operator, dict[str, dict[str, list[float]]]()
    with Bar("compose moves", len(examples), "example") as bar:
        for place, example in enumerate(examples, 1):
            amounts = operator.amounts(example["transform"]["parameters"], height, width)
            for name, value in amounts.items():
                of_nets = told.setdefault(name, {net: [] for net in nets})
                of_nets[example["target_net"].decode()] += [value] * bool(np.isfinite(value))
            bar.show(place)
    if not told:
        return []
    return [
        Picture(
            "transforms",
            "Which transforms mislead which net: all moves of a mistake in one",
            f"Box plots of {', '.join(told)}, a row for each target net.",
            functools.partial(picture.draw_spreads, told),
        )
    ]


def _session(example: Example, run: Recorded, place: int) -> Picture:
    """Draws a search by what is recorded of it: the target net at every move, its peers before and after."""
    transform, seed_image = example["transform"], example["seed_image"]
    label, wrong = int(example["label"]), int(example["wrong_class"])
    nets, target = [net["name"] for net in run["nets"]], example["target_net"].decode()

    def draw(stream: Any) -> None:
        finder, chain = checks.finder_of(run), transform["parameters"]
        states = chains.render_states(finder.operator, seed_image, chain, finder.compose)
        answers = np.full((len(nets), len(chain) + 1, len(run.class_names)), np.nan, np.float32)
        recorded = np.asarray(transform["confidences"])[: len(chain)]
        answers[nets.index(target), 1 : len(recorded) + 1, label] = recorded
        answers[:, 0], answers[:, -1] = example["probabilities_before"], example["probabilities_after"]
        images = np.concatenate([seed_image[None], states])
        picture.draw_session(images, answers, nets, target, run.class_names, label, stream)

    names = run.class_names
    about = f"{target} is led from {names[label]} to {names[wrong]} in {len(transform['parameters'])} moves"
    return Picture(f"session-{place}", f"A search: {about}", f"Images after each move; {about}.", draw)

"""An existing dataset shown to new nets: which mistakes are healed, which remain, which are now shared by peers."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import numpy as np

from models import preflight
from models.classifier import Classifier, PeerGroup
from models.errors import InputError
from pipeline import ahead
from pipeline.config.recorded import Recorded
from pipeline.kinds.kind import Example, Kind
from pipeline.progress import Bar
from pipeline.report.tables import Table
from pipeline.versions import statuses
from pipeline.versions.published import Published, together
from pipeline.versions.statuses import Rechecked

_FEATURES = ("id", "image", "target_net")  # and those that the kind names
_SAMPLE = 128  # images on which new nets are checked
_KEY = re.compile(r"-[0-9a-f]{12}$")  # what a workdir adds to the name of a trained net's file

Groups = Mapping[str, Mapping[str, PeerGroup]]


def split_name(given: str) -> tuple[str, str]:
    """Splits NAME=FILE; the name is "" where none is given, or what stands before "=" is a path."""
    name, _, path = given.partition("=")
    return (name, path) if path and "/" not in name else ("", given)


def successors(published: Published, nets: Sequence[Classifier]) -> dict[str, dict[str, Classifier]]:
    """Finds the place of new nets in the groups of a dataset's runs.

    A net takes the place of the one of its own name, or of its name without the key that a workdir adds to the file of
    a trained net (mlp-10-0123456789ab), or of the one that it is, by digest.

    Args:
      published: the dataset.
      nets: the new nets, at least one.

    Returns:
      Run id -> name of the net whose place is taken -> new net, under that name.

    Raises:
      InputError: a net finds no place, shares it with another, or knows other classes.
    """
    runs = published.runs
    for net in nets:
        _check_classes(net, next(iter(runs.values())), published.kind)
        if not any(_place(net, run) for run in runs.values()):
            known = sorted({known["name"] for run in runs.values() for known in run["nets"]})
            raise InputError(
                f"net '{net.name}' ({net.source}) is named like none of the dataset's nets ({', '.join(known)}); say "
                "whose place it takes, as in --peers NAME=FILE."
            )
    return {run_id: _placed(run, nets) for run_id, run in runs.items()}


def _check_classes(net: Classifier, run: Recorded, kind: Kind) -> None:
    count = run["num_classes"]
    if not kind.fits(net, count):
        more = (
            f" (or {count + 1}, with garbage)"
            if kind.fits(dataclasses.replace(net, num_classes=count + 1), count)
            else ""
        )
        raise InputError(
            f"net '{net.name}' has {net.num_classes} classes and the dataset's nets have {count}{more}; give a net "
            "that was trained on these classes."
        )


def _place(net: Classifier, run: Recorded) -> str | None:
    names = {known["name"]: known["digest"] for known in run["nets"]}
    same = [name for name, digest in names.items() if digest == net.digest]
    return next((name for name in (net.name, _KEY.sub("", net.name), *same) if name in names), None)


def _placed(run: Recorded, nets: Sequence[Classifier]) -> dict[str, Classifier]:
    placed: dict[str, Classifier] = {}
    for net in nets:
        name = _place(net, run)
        if name in placed:
            raise InputError(
                f"{placed[name].source} and {net.source} both take the place of net '{name}'; give one of them."
            )
        if name:
            placed[name] = dataclasses.replace(net, name=name)
    return placed


def check_new(published: Published, nets: Sequence[Classifier]) -> None:
    """Checks on some of a dataset's images that what new nets say of one is a function of that image.

    Raises:
      InputError: as `preflight.check_on`.
    """
    some = [example["image"] for example in itertools.islice(published.examples(("image",)), _SAMPLE)]
    for net in nets if some else ():
        preflight.check_on(preflight.Asked(net), np.stack(some).astype(np.float32) / 255.0)


def groups_to_ask(published: Published, nets: Mapping[str, Mapping[str, Classifier]]) -> Groups:
    """Groups nets for `recheck`: run id -> target net -> nets to be asked.

    Args:
      published: the dataset.
      nets: run id -> name -> net; all nets of the run where its kind asks the `whole_group`. A run without is not
        asked about.
    """
    group = functools.cache(PeerGroup)  # the same nets are one group in all runs, and compiled once
    if published.kind.whole_group:
        return {
            run_id: dict.fromkeys(of_run, group(tuple(of_run.values()))) if of_run else {}
            for run_id, of_run in nets.items()
        }
    return {run_id: {name: group((net,)) for name, net in of_run.items()} for run_id, of_run in nets.items()}


def recheck(published: Published, groups: Groups, batch: int) -> list[Rechecked]:
    """Says what became of every example for whose target net there are nets to be asked.

    A net is right about an image if it gives its class more than every other; thresholds play no part.

    Args:
      published: the dataset.
      groups: as `groups_to_ask` gives them.
      batch: images that the nets see at a time.

    Raises:
      InputError: there is no such example.
    """

    def group(example: Example) -> tuple[PeerGroup, int] | None:
        run = published.run(example)
        asked = groups[run["run_id"]].get(example["target_net"].decode())
        return (asked, published.kind.batch(run, batch)) if asked else None

    def ask(mine: list[Example]) -> np.ndarray:
        nets, size = cast(tuple[PeerGroup, int], group(mine[0]))
        return nets.probabilities(np.stack([example["image"] for example in mine]), size)

    examples = published.examples((*_FEATURES, "run/id", *published.kind.rechecked))
    found: list[Rechecked] = []
    with Bar("recheck", published.count, "example") as bar:
        for mine, answers in ahead.asked(together(examples, group), ask):
            found += _told(published, groups, mine, answers)
            bar.show(len(found))
    order = list(dict.fromkeys(name for of_run in groups.values() for name in of_run))
    found.sort(key=lambda one: order.index(one.target_net))
    if not found and not published.count:
        raise InputError(f"'{published.builder.info.full_name}' is empty; there is nothing to show to nets.")
    if not found:
        names = sorted({name for of_run in groups.values() for name in of_run})
        raise InputError(
            f"'{published.builder.info.full_name}' has no example whose target net is {' or '.join(names)}; give the "
            "successors of its target nets."
        )
    return found


def _told(
    published: Published, groups: Groups, examples: Sequence[Example], answers: np.ndarray
) -> Iterator[Rechecked]:
    """Yields the statuses of examples that the same nets were asked about, from what they say, `[N, B, K]`."""
    for run, places in published.places_by_run(examples):
        of_target: dict[str, list[int]] = {}
        for place in places:
            of_target.setdefault(examples[place]["target_net"].decode(), []).append(place)
        for target, mine in of_target.items():
            asked, shown = groups[run["run_id"]][target], [examples[place] for place in mine]
            given = published.kind.status(shown, run, answers[:, mine], asked.names.index(target))
            yield from (Rechecked(one["id"].decode(), target, name) for one, name in zip(shown, given, strict=True))


def check_newest(published: Published, newest: Published, finished: Sequence[str], kept: int) -> None:
    """Checks that what nets say of a version can make the next one.

    Args:
      published: the version; one that was rechecked since is as good as the newest, for its examples are the same.
      newest: the newest version there is.
      finished: ids of the ledger's finished runs.
      kept: how many rechecks the ledger keeps.

    Raises:
      InputError: there is a version of more runs, or the ledger is not that of this one.
    """
    told = f"'{published.name}:{published.version}'"
    if published.runs.keys() != newest.runs.keys():
        raise InputError(
            f"{told} has not got the examples of all runs; --publish takes {newest.version}: name that or none."
        )
    lost = [f"run '{run_id}'" for run_id in published.runs if run_id not in finished]
    lost += ["a recheck"] * (len(published.rechecks) > kept)
    if lost:
        raise InputError(f"{lost[0]} of {told} is not in the ledger; name the --workdir in which that was packaged.")
    if waiting := [run_id for run_id in finished if run_id not in published.runs]:
        raise InputError(f"run '{waiting[0]}' is finished and not in {told}; run `peerpressure package` first.")


def to_keep(
    published: Published, nets: Mapping[str, Mapping[str, Classifier]], found: Sequence[Rechecked]
) -> statuses.Recheck:
    """Returns what the ledger keeps of a recheck.

    Args:
      published: the version that was asked about.
      nets: as `successors` gives them.
      found: as `recheck` gives it.
    """
    asked = {one.target_net for one in found}
    shown = {
        statuses.Net(name, net.digest)
        for of_run in nets.values()
        for name, net in of_run.items()
        if published.kind.whole_group or name in asked
    }
    return statuses.Recheck(published.version, len(published.runs), tuple(sorted(shown)), tuple(found))


def table(found: Sequence[Rechecked], kind: Kind) -> Table:
    """Returns for each target net how many examples have which status, and %."""
    rows = [["target", "examples", *(head for status in kind.statuses for head in (status, f"{status} %"))]]
    for target in dict.fromkeys(one.target_net for one in found):
        mine = [one.status for one in found if one.target_net == target]
        counts = [mine.count(status) for status in kind.statuses]
        shares = [f"{100 * count / len(mine):.1f}" for count in counts]
        rows.append([target, str(len(mine)), *(cell for pair in zip(map(str, counts), shares) for cell in pair)])
    return Table(rows, note=kind.legend)


def to_json_lines(found: Sequence[Rechecked]) -> str:
    """Formats the status of every example as JSON lines."""
    return "".join(json.dumps(dataclasses.asdict(one), sort_keys=True) + "\n" for one in found)

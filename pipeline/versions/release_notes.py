"""Release notes: what a run, or a recheck, changed in a dataset, in a few lines each."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.kinds import targets
from pipeline.kinds.kind import Kind
from pipeline.report import rates
from pipeline.versions.additions import Addition
from pipeline.versions.statuses import Kept
from tfds_builders.runs import class_names

_LISTED = 20  # classes named in a release note, the commonest first
_DIGITS = 12  # of a digest, where people read it


def recheck_note(recheck: Kept, kind: Kind) -> str:
    """Returns what new nets said of the examples of a kind, in a few lines."""
    counts = recheck.counts()
    asked = sum(count for of_net in counts.values() for count in of_net.values())
    told = [
        f"{net} {', '.join(f'{of_net[status]} {status}' for status in kind.statuses if status in of_net)}"
        for net, of_net in counts.items()
    ]
    return "\n".join(
        [
            f"Recheck of {recheck.asked}: {asked} {kind.noun} shown to new nets.",
            f"Statuses by target net: {'; '.join(told)}.",
            f"New nets: {', '.join(f'{net.name} {net.digest[:_DIGITS]}' for net in recheck.nets)}.",
        ]
    )


def release_note(addition: Addition, kind: Kind) -> str:
    """Returns what a run adds to the dataset of its kind, in a few lines."""
    manifest = addition.manifest
    seed, digest = manifest["run_seed"], manifest["config_digest"][:_DIGITS]
    found = ", ".join(_rate(net, *rates.rate(manifest, net)) for net in targets.names(manifest))
    nets = ", ".join(f"{net['name']} {net['digest'][:_DIGITS]}" for net in manifest["nets"])
    return "\n".join(
        [
            f"Run {manifest['run_id']} (run seed {seed}, config {digest}): {addition.examples} {kind.noun} for "
            f"{manifest['seeds']}, {addition.near_duplicates} near-duplicates left out.",
            f"Found: {found}.",
            f"Added by class: {_commonest(addition.classes, class_names(manifest)) or 'none'}.",
            f"Nets: {nets}.",
        ]
    )


def _rate(target_net: str, found: int, trials: int) -> str:
    share = f" ({100 * found / trials:.1f}%)" if trials else ""
    return f"{target_net} {found} of {trials} trials{share}"


def _commonest(classes: Sequence[tuple[int, int]], names: Sequence[str]) -> str:
    listed = ", ".join(f"{names[number]}: {count}" for number, count in classes[:_LISTED])
    return listed + (f" and {len(classes) - _LISTED} classes more" if len(classes) > _LISTED else "")

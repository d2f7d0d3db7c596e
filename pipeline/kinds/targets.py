"""The target nets of a task, and of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.classifier import PeerGroup
from models.errors import InputError
from pipeline.config.config import Config


def places(config: Config, group: PeerGroup) -> tuple[int, ...]:
    """Returns the places in the group of the nets that [search] targets names; raises InputError if one is missing."""
    targets = config.targets
    if targets == "all":
        return tuple(range(len(group.names)))
    wanted = (targets,) if isinstance(targets, str) else targets
    for name in wanted:
        if name not in group.names:
            raise InputError(f"[search] targets names '{name}', expected 'all' or some of {', '.join(group.names)}.")
    return tuple(place for place, name in enumerate(group.names) if name in wanted)


def names(manifest: Mapping[str, Any]) -> list[str]:
    """Returns the names of a run's target nets, in the order of its nets."""
    targets = manifest["config"]["search"]["targets"]
    wanted = [targets] if isinstance(targets, str) else targets
    return [net["name"] for net in manifest["nets"] if targets == "all" or net["name"] in wanted]

"""How a net is trained: the section [training], and the key under which a trained net is kept. Loads no library."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Literal

from models.settings import setting


@dataclasses.dataclass(frozen=True)
class Training:
    """[training]: how a net is trained."""

    epochs: int = setting(10, "passes over the training images", low=1, high=10_000)
    batch_size: int = setting(128, "images in one step", low=1, high=1_000_000)
    learning_rate: float = setting(0.001, "of the optimizer", low=1e-8, high=100)
    optimizer: Literal["adam", "sgd"] = setting("adam", '"adam", or "sgd" (plain, without momentum)')


def digest(architecture: str, init_seed: int, training: Training, data_digest: str) -> str:
    """Returns the SHA-256, in hexadecimal, of all that determines a trained net: the key to cache it under."""
    recipe = [architecture, init_seed, dataclasses.asdict(training), data_digest]
    return hashlib.sha256(json.dumps(recipe, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

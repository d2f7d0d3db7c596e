"""How a net is trained: the section [training], and the key under which a trained net is kept. Loads no library."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Literal

from models.errors import InputError
from models.settings import determining, setting

_ALWAYS = ("epochs", "batch_size", "learning_rate", "optimizer")  # in a key also at their defaults


@dataclasses.dataclass(frozen=True)
class Training:
    """[training]: how a net is trained."""

    epochs: int = setting(10, "passes over the training images", low=1, high=10_000)
    batch_size: int = setting(128, "images in one step", low=1, high=1_000_000)
    learning_rate: float = setting(0.001, "of the optimizer", low=1e-8, high=100)
    optimizer: Literal["adam", "sgd"] = setting("adam", '"adam", or "sgd"')
    momentum: float = setting(0.0, 'of "sgd"; 0 is plain gradient descent; GoogLeNet: 0.9', low=0, high=0.9999)
    schedule: Literal["constant", "cosine", "step"] = setting(
        "constant",
        'how the learning rate goes on: "cosine", down to 0 at the end; "step", down by 4% every 8 epochs (GoogLeNet)',
    )
    smallest_crop: float = setting(
        1.0,
        "of random crops, the least share of the image's area, the largest being 1; they are 3/4 to 4/3 times as wide "
        "as high, and resized to the image's size; 1 leaves images whole; GoogLeNet: 0.08",
        low=0.01,
        high=1,
    )
    flip: bool = setting(False, "whether images are mirrored, left and right exchanged, at random: half of them")
    photometric: float = setting(
        0.0,
        "how far colours are distorted at random: at s, saturation and contrast are multiplied by 1 - s to 1 + s, hue "
        "turns by up to 0.4 s of the circle, and up to s / 4 is added to or taken from pixels in [0, 1]; TensorFlow's "
        "Inception nets: 0.5",
        low=0,
        high=1,
    )
    mixed_precision: bool = setting(
        False, "whether steps are computed in float16 on a GPU, in bfloat16 on a TPU; the net that is kept is float32"
    )
    checkpoint_every: int = setting(
        0,
        "epochs after which a training that is killed can go on; 0 begins it anew",
        low=0,
        high=10_000,
        determines=False,
    )
    tensorboard: bool = setting(
        False, "whether loss and accuracy of each epoch are written for TensorBoard, below nets/logs", determines=False
    )


def check(training: Training) -> None:
    """Checks what no single key can tell; raises InputError."""
    if training.momentum and training.optimizer != "sgd":
        raise InputError(
            f"[training] momentum is {training.momentum:g}, but optimizer '{training.optimizer}' has none to set; "
            "leave momentum out or set optimizer = 'sgd'."
        )


def digest(architecture: str, init_seed: int, training: Training, data_digest: str) -> str:
    """Returns the SHA-256, in hexadecimal, of all that determines a trained net: the key to cache it under."""
    keys = {name: getattr(training, name) for name in _ALWAYS} | determining(training)
    recipe = [architecture, init_seed, keys, data_digest]
    return hashlib.sha256(json.dumps(recipe, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

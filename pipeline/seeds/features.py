"""Which feature of a TFDS dataset is the image and which the label: never a matter of the order of the features."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow_datasets as tfds

from models.errors import InputError


@dataclasses.dataclass(frozen=True)
class _Kind:
    """What is looked for.

    Attributes:
      key: of [seeds], by which the user names it.
      usual: the name that it mostly has.
      place: its place in TFDS's `supervised_keys`.
      noun: what messages call it.
      fits: tells whether a feature is one.
    """

    key: str
    usual: str
    place: int
    noun: str
    fits: Callable[[Any], bool]


def _is_image(feature: Any) -> bool:
    # A LabeledImage holds classes of pixels; an image of rank 4 is an animation.
    other = isinstance(feature, tfds.features.LabeledImage)
    return isinstance(feature, tfds.features.Image) and not other and len(feature.shape) == 3


_IMAGE = _Kind("image_key", "image", 0, "image", _is_image)
_LABEL = _Kind("label_key", "label", 1, "class label", lambda feature: isinstance(feature, tfds.features.ClassLabel))


def image_key(info: Any, given: str) -> str:
    """Returns the name of the feature that holds the images.

    That is the one given, else "image", else the first of the dataset's `supervised_keys`, else its only image.

    Args:
      info: TFDS's DatasetInfo.
      given: [seeds] image_key; "" if the user gave none.

    Raises:
      InputError: what is given is no image, or none is given and the dataset leaves the choice open, or has no image.
    """
    chosen = _choose(_IMAGE, info, given)
    if not chosen:
        raise InputError(f"[seeds] {info.name} has no image at the top level; name a dataset of images.")
    return chosen


def label_key(info: Any, given: str) -> str:
    """Returns likewise the name of the feature that holds the labels, the second of `supervised_keys`; "" for none."""
    return _choose(_LABEL, info, given)


def _choose(kind: _Kind, info: Any, given: str) -> str:
    features = dict(info.features.items())
    candidates = sorted(name for name, feature in features.items() if kind.fits(feature))
    if given:
        _check_given(kind, info.name, given, features, candidates)
        return given
    named = [name for name in (kind.usual, _supervised(info.supervised_keys, kind.place)) if name in features]
    for name in named:
        if name in candidates:
            return name
    # A dataset whose "label" is a plain number does not mean the one class label that it has besides.
    if len(candidates) > 1 or (candidates and named):
        other = "".join(f" ('{name}' is of type {_type(features[name])})" for name in named)
        raise InputError(
            f"[seeds] {info.name} does not say which {kind.noun} to take{other}; name one with {kind.key}: "
            f"{_listed(candidates)}."
        )
    return candidates[0] if candidates else ""


def _check_given(kind: _Kind, dataset: str, given: str, features: dict[str, Any], candidates: list[str]) -> None:
    if given in candidates:
        return
    wrong = f"'{given}' is of type {_type(features[given])}" if given in features else f"there is no feature '{given}'"
    known = f"expected {_listed(candidates)}" if candidates else f"there is no {kind.noun} at the top level"
    raise InputError(f"[seeds] {kind.key}: in {dataset}, {wrong}; {known}.")


def _supervised(keys: Any, place: int) -> str:
    """Returns what the dataset's supervised keys name at a place; "" if there are none, or several there."""
    named = keys[place] if keys and len(keys) > place else ""
    return named if isinstance(named, str) else ""


def _type(feature: Any) -> str:
    return type(feature).__name__


def _listed(names: Sequence[str]) -> str:
    return " or ".join(f"'{name}'" for name in names)

from __future__ import annotations

import itertools
import types
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds

from models.errors import InputError
from pipeline.seeds import features as seed_features

IMAGE = tfds.features.Image(shape=(4, 4, 1))
LABEL = tfds.features.ClassLabel(num_classes=2)
NUMBER = tfds.features.Scalar(np.int64)


def _chosen(features: dict[str, Any], supervised: Any = None, image_key: str = "", label_key: str = "") -> tuple:
    """Returns the image and the label chosen, the same for every order of the features."""
    found = set()
    for order in itertools.permutations(features):
        ordered = {name: features[name] for name in order}
        info = types.SimpleNamespace(name="toy", features=ordered, supervised_keys=supervised)
        found.add((seed_features.image_key(info, image_key), seed_features.label_key(info, label_key)))
    assert len(found) == 1
    return found.pop()


def _told(*arguments: Any, **options: Any) -> str:
    with pytest.raises(InputError) as told:
        _chosen(*arguments, **options)
    assert "\n" not in str(told.value)
    return str(told.value)


SEVERAL = {"pic": IMAGE, "mask": IMAGE, "coarse": LABEL, "kind": LABEL}


def test_what_is_given_comes_first():
    features = {**SEVERAL, "image": IMAGE, "label": LABEL}
    assert _chosen(features, ("pic", "kind"), "mask", "coarse") == ("mask", "coarse")


def test_then_image_and_label():
    assert _chosen({**SEVERAL, "image": IMAGE, "label": LABEL}, ("pic", "kind")) == ("image", "label")


def test_then_the_supervised_keys():
    assert _chosen(SEVERAL, ("pic", "kind")) == ("pic", "kind")
    assert _chosen(SEVERAL, ("mask", "coarse", "weight")) == ("mask", "coarse")
    assert _chosen({**SEVERAL, "label": NUMBER}, ("pic", "kind")) == ("pic", "kind")


def test_then_the_only_one_of_its_type():
    others = {"text": tfds.features.Text(), "size": NUMBER}
    assert _chosen({"pic": IMAGE, "kind": LABEL, **others}) == ("pic", "kind")


@pytest.mark.parametrize("supervised", [None, ("text", "size"), (("pic", "mask"), "kind"), ("pic",)])
def test_a_choice_that_is_left_open_is_told_with_the_candidates(supervised):
    features = {"pic": IMAGE, "mask": IMAGE, "coarse": LABEL, "kind": LABEL}
    image = {"image_key": "pic"} if supervised and supervised[0] == "pic" else {}
    message = _told(features, supervised, **image, **({"label_key": "kind"} if not image else {}))
    wanted = ("class label", "label_key", "'coarse' or 'kind'") if image else ("image", "image_key", "'mask' or 'pic'")
    assert message == "[seeds] toy does not say which {} to take; name one with {}: {}.".format(*wanted)


@pytest.mark.parametrize(
    ("image_key", "label_key", "message"),
    [
        ("pix", "", "[seeds] image_key: in toy, there is no feature 'pix'; expected 'mask' or 'pic'."),
        ("kind", "", "[seeds] image_key: in toy, 'kind' is of type ClassLabel; expected 'mask' or 'pic'."),
        ("pic", "mask", "[seeds] label_key: in toy, 'mask' is of type Image; expected 'coarse' or 'kind'."),
        ("pic", "size", "[seeds] label_key: in toy, 'size' is of type Scalar; expected 'coarse' or 'kind'."),
        ("deep/pic", "", "[seeds] image_key: in toy, there is no feature 'deep/pic'; expected 'mask' or 'pic'."),
    ],
)
def test_a_given_feature_that_is_missing_or_of_another_type_is_told(image_key, label_key, message):
    features = {**SEVERAL, "size": NUMBER, "deep": tfds.features.FeaturesDict({"pic": IMAGE})}
    assert _told(features, ("pic", "kind"), image_key, label_key) == message


@pytest.mark.parametrize("supervised", [None, ("pic", "number")])
def test_a_label_that_is_a_number_does_not_mean_the_one_class_label_besides(supervised):
    features = {"pic": IMAGE, "number" if supervised else "label": NUMBER, "coarse": LABEL}
    name = "number" if supervised else "label"
    message = _told(features, supervised)
    assert f"does not say which class label to take ('{name}' is of type Scalar); name one with label_key" in message
    assert message.endswith(": 'coarse'.")
    assert _chosen(features, supervised, label_key="coarse") == ("pic", "coarse")


def test_without_a_class_label_there_are_no_labels():
    assert _chosen({"image": IMAGE, "label": NUMBER}, ("image", "label")) == ("image", "")
    expected = "[seeds] label_key: in toy, 'label' is of type Scalar; there is no class label at the top level."
    assert _told({"image": IMAGE, "label": NUMBER}, label_key="label") == expected


NO_IMAGES = {
    "nested": tfds.features.FeaturesDict({"image": IMAGE}),
    "several": tfds.features.Sequence(IMAGE),
    "segments": tfds.features.LabeledImage(labels=2, shape=(4, 4, 1)),
    "animation": tfds.features.Image(shape=(None, 4, 4, 3)),
    "numbers": tfds.features.Tensor(shape=(4, 4, 1), dtype=np.uint8),
}


@pytest.mark.parametrize("name", NO_IMAGES)
def test_what_is_not_one_picture_is_no_image(name):
    assert "toy has no image at the top level" in _told({name: NO_IMAGES[name], "label": LABEL})
    assert _chosen({name: NO_IMAGES[name], "pic": IMAGE})[0] == "pic"

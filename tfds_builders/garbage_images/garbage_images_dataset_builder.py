"""`garbage_images`: images that are nothing to a person and a class with near certainty to a net."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from tfds_builders import runs


class Builder(runs.RunsBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Builder of `garbage_images`; see `RunsBuilder`."""

    # The major version is the meaning of the features, the minor one the number of runs and published rechecks.
    VERSION = tfds.core.Version("1.0.0")

    def _run_features(self, manifest: dict[str, Any]) -> dict[str, Any]:
        text = tfds.features.Text()
        return {
            **runs.find_features(manifest),
            "label": tfds.features.ClassLabel(names=_names_with_garbage(manifest)),
            "confidence": np.float32,
            "net_digests": tfds.features.Sequence(text),
            "net_classes": tfds.features.Sequence(np.int32),
            "net_confidences": tfds.features.Sequence(np.float32),
            "fooled": tfds.features.Sequence(np.bool_),
            "encoding": text,
            "genome": text,
            "island": np.int32,
            "generation": np.int32,
            "individual": text,
            "parents": tfds.features.Sequence(text),
            "natural_confidence": np.float32,
        }

    @staticmethod
    def run_example(row: dict[str, Any], manifest: dict[str, Any]) -> dict[str, Any]:
        common = runs.find_values(row, manifest)
        answers = common["probabilities_after"]
        copied = ("genome", "island", "generation", "individual", "parents")
        return {
            **common,
            **{name: row[name] for name in copied},
            "label": manifest["num_classes"],
            "confidence": row["target_confidence"],
            "net_digests": [net["digest"] for net in manifest["nets"]],
            "net_classes": answers.argmax(axis=1),
            "net_confidences": answers.max(axis=1),
            "fooled": answers.argmax(axis=1) == row["wrong_class"],
            "encoding": manifest["config"]["search"]["method"],
            "natural_confidence": manifest["natural_confidence"]["medians"][row["target_net"]],
        }


def _names_with_garbage(manifest: dict[str, Any]) -> list[str]:
    """The classes, and one more that all examples have: what they are to a person, and to a net trained on them."""
    names = runs.class_names(manifest)
    return [*names, "garbage" if "garbage" not in names else "garbage image"]

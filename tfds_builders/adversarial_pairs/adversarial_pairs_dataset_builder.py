"""`adversarial_pairs`: images that a net gets right, each with a twin hardly different that it gets wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from tfds_builders import runs


class Builder(runs.RunsBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Builder of `adversarial_pairs`; see `RunsBuilder`."""

    # The major version is the meaning of the features, the minor one the number of runs and published rechecks.
    VERSION = tfds.core.Version("1.0.0")

    def _run_features(self, manifest: dict[str, Any]) -> dict[str, Any]:
        text = tfds.features.Text()
        return {
            **runs.find_features(manifest),
            **runs.seeded_features(manifest),
            "aimed_class": np.int32,
            "method": text,
            "net_digests": tfds.features.Sequence(text),
            "fooled": tfds.features.Sequence(np.bool_),
            "distortion": np.float32,
            "unrounded_distortion": np.float32,
            "broken_by_rounding": np.bool_,
            "largest_change": np.float32,
            "c": np.float32,
            "perturbation_group": {"original": np.int32, "adversarial": np.int32, "both": np.int32},
            "evaluations": np.int64,
        }

    @staticmethod
    def run_example(row: dict[str, Any], manifest: dict[str, Any]) -> dict[str, Any]:
        common = runs.find_values(row, manifest)
        label, wrong_class = row["label"], row["wrong_class"]
        copied = ("aimed_class", "distortion", "unrounded_distortion", "broken_by_rounding", "largest_change", "c")
        return {
            **common,
            **runs.seeded_values(row, manifest),
            **{name: row[name] for name in copied},
            "method": manifest["config"]["search"]["method"],
            "net_digests": [net["digest"] for net in manifest["nets"]],
            "fooled": common["probabilities_after"].argmax(axis=1) != label,
            "perturbation_group": {
                "original": label,
                "adversarial": wrong_class,
                "both": label * manifest["num_classes"] + wrong_class,
            },
            "evaluations": row["candidates"],
        }

"""`high_value_mistakes`: images that one net gets wrong while all its peers get them right."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from tfds_builders import runs


class Builder(runs.RunsBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Builder of `high_value_mistakes`; see `RunsBuilder`."""

    # The major version is the meaning of the features, the minor one the number of runs and published rechecks.
    VERSION = tfds.core.Version("1.0.0")

    def _run_features(self, manifest: dict[str, Any]) -> dict[str, Any]:
        parameters = len(manifest["operator"]["parameter_names"])
        text = tfds.features.Text()
        return {
            **runs.find_features(manifest),
            **runs.seeded_features(manifest),
            "grade": text,
            "peers": tfds.features.Sequence(text),
            "peer_digests": tfds.features.Sequence(text),
            "peer_margin": np.float32,
            "transform": {
                "operator": text,
                "compose": text,
                "steps": tfds.features.Sequence(np.int32),
                "parameters": runs.exact((None, parameters)),
                "confidences": tfds.features.Sequence(np.float32),
                **{name: runs.exact(shape) for name, shape in _composed_shapes(manifest).items()},
            },
            "moves": np.int32,
            "candidates": np.int64,
            "inferences": np.int64,
        }

    @staticmethod
    def run_example(row: dict[str, Any], manifest: dict[str, Any]) -> dict[str, Any]:
        peers = [net for net in manifest["nets"] if net["name"] != row["target_net"]]
        operator = manifest["operator"]
        return {
            **runs.find_values(row, manifest),
            **runs.seeded_values(row, manifest),
            **{name: row[name] for name in ("grade", "peer_margin", "moves", "candidates", "inferences")},
            "peers": [net["name"] for net in peers],
            "peer_digests": [net["digest"] for net in peers],
            "transform": {
                "operator": operator["name"],
                "compose": operator["compose"],
                "steps": row["steps"],
                "parameters": runs.matrix(row["parameters"], len(operator["parameter_names"]), np.float64),
                "confidences": row["confidences"],
                **_composed(row["composed"], manifest),
            },
        }


def _composed_shapes(manifest: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Returns what the operator records of all moves in one: name -> shape."""
    return {name: tuple(shape) for name, shape in sorted(manifest["operator"]["composed_shapes"].items())}


def _composed(flat: list[float], manifest: dict[str, Any]) -> dict[str, np.ndarray]:
    shapes = _composed_shapes(manifest)
    ends = np.cumsum([math.prod(shape) for shape in shapes.values()])
    pieces = np.split(np.array(flat, np.float64), ends[:-1])
    return {name: piece.reshape(shape) for (name, shape), piece in zip(shapes.items(), pieces)}

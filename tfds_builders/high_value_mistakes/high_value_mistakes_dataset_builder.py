"""`high_value_mistakes`: images that one net gets wrong while all its peers get them right."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from pipeline import records
from tfds_builders.deterministic import DeterministicFiles


@dataclasses.dataclass
class MistakesConfig(tfds.core.BuilderConfig):
    """One task: the finished runs that make up a version.

    Attributes:
      runs: in the order in which they were finished.
      left_out: (run id, example id) of examples that are near-duplicates of earlier ones.
    """

    runs: tuple[records.FinishedRun, ...] = ()
    left_out: frozenset[tuple[str, str]] = frozenset()

    @property
    def first(self) -> dict[str, Any]:
        """The first run's manifest, which fixes the shape of the features."""
        return self.runs[0].manifest


class Builder(DeterministicFiles, tfds.core.GeneratorBasedBuilder):
    """Builder of `high_value_mistakes`; `peerpressure package` gives it the runs of a workdir as its config."""

    # The major version is the meaning of the features, the minor one the number of runs.
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS: list[MistakesConfig] = []

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=_features(self.builder_config.first),
            supervised_keys=("image", "label"),
            metadata=tfds.core.MetadataDict(_metadata(self.builder_config)),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        del dl_manager  # everything is in the runs
        splits = dict.fromkeys(split for run in self.builder_config.runs for split in run.chunks)
        filled = [split for split in splits if any(True for _ in self._generate_examples(split))]
        return {split: self._generate_examples(split) for split in filled or splits}

    def _generate_examples(self, split: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for run in self.builder_config.runs:
            for path in run.chunks.get(split, []):
                for row in records.read_examples(path):
                    if (run.manifest["run_id"], row["id"]) not in self.builder_config.left_out:
                        yield row["id"], _example(row, run.manifest)


def _features(manifest: dict[str, Any]) -> tfds.features.FeaturesDict:
    shape, classes = tuple(manifest["image_shape"]), manifest["num_classes"]
    names = manifest["class_names"] or [str(number) for number in range(classes)]
    parameters = len(manifest["operator"]["parameter_names"])
    text = tfds.features.Text()
    return tfds.features.FeaturesDict(
        {
            "id": text,
            "image": tfds.features.Image(shape=shape, dtype=np.uint8, encoding_format="png"),
            "label": tfds.features.ClassLabel(names=names),
            "wrong_class": tfds.features.ClassLabel(names=names),
            "grade": text,
            "target_net": text,
            "target_digest": text,
            "peers": tfds.features.Sequence(text),
            "peer_digests": tfds.features.Sequence(text),
            "nets": tfds.features.Sequence(text),
            "probabilities_before": tfds.features.Tensor(shape=(None, classes), dtype=np.float32),
            "probabilities_after": tfds.features.Tensor(shape=(None, classes), dtype=np.float32),
            "peer_margin": np.float32,
            "judge": {"name": text, "digest": text, "class": np.int32, "confidence": np.float32},
            "seed": {"dataset": text, "split": text, "id": text, "label": np.int32},
            "seed_image": tfds.features.Image(shape=shape, dtype=np.uint8, encoding_format="png"),
            "transform": {
                "operator": text,
                "compose": text,
                "steps": tfds.features.Sequence(np.int32),
                "parameters": _exact((None, parameters)),
                "confidences": tfds.features.Sequence(np.float32),
                "composed_matrix": _exact((2, 3)),
            },
            "moves": np.int32,
            "candidates": np.int64,
            "inferences": np.int64,
            "run": {"id": text, "seed": np.int64, "config_digest": text, "code_version": text},
        }
    )


def _exact(shape: tuple[int | None, ...]) -> tfds.features.Tensor:
    """A float64 feature stored as bytes: a float list would cut it down to float32."""
    return tfds.features.Tensor(shape=shape, dtype=np.float64, encoding=tfds.features.Encoding.BYTES)


def _metadata(config: MistakesConfig) -> dict[str, Any]:
    """What holds for whole runs: enough to check and to re-create every example."""
    return {"runs": [run.manifest for run in config.runs], "near_duplicates_left_out": len(config.left_out)}


def _example(row: dict[str, Any], manifest: dict[str, Any]) -> dict[str, Any]:
    nets, classes = manifest["nets"], manifest["num_classes"]
    peers = [net for net in nets if net["name"] != row["target_net"]]
    target = next(net for net in nets if net["name"] == row["target_net"])
    judge = manifest["judge"] or {"name": "", "digest": ""}
    operator = manifest["operator"]
    copied = ("id", "image", "label", "wrong_class", "grade", "target_net", "peer_margin", "seed_image")
    return {
        **{name: row[name] for name in (*copied, "moves", "candidates", "inferences")},
        "target_digest": target["digest"],
        "peers": [net["name"] for net in peers],
        "peer_digests": [net["digest"] for net in peers],
        "nets": [net["name"] for net in nets],
        "probabilities_before": _matrix(row["probabilities_before"], classes, np.float32),
        "probabilities_after": _matrix(row["probabilities_after"], classes, np.float32),
        "judge": {**judge, "class": row["judge_class"], "confidence": row["judge_confidence"]},
        "seed": {
            "dataset": manifest["seeds"],
            "split": row["split"],
            "id": row["seed_id"],
            "label": row["seed_label"],
        },
        "transform": {
            "operator": operator["name"],
            "compose": manifest["config"]["search"]["compose"],
            "steps": row["steps"],
            "parameters": _matrix(row["parameters"], len(operator["parameter_names"]), np.float64),
            "confidences": row["confidences"],
            "composed_matrix": _matrix(row["composed_matrix"], 3, np.float64),
        },
        "run": {
            "id": manifest["run_id"],
            "seed": manifest["run_seed"],
            "config_digest": manifest["config_digest"],
            "code_version": manifest["code_version"],
        },
    }


def _matrix(values: list[float], columns: int, dtype: Any) -> np.ndarray:
    return np.array(values, dtype).reshape(-1, columns)

"""What the datasets that are made of a workdir's finished runs have in common."""

from __future__ import annotations

import abc
import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np
import tensorflow_datasets as tfds
from etils import epath

from pipeline import records
from pipeline.formats import VERSION_FORMAT
from tfds_builders.deterministic import DeterministicExampleWriter, DeterministicFiles, KeyExample

_Named = tuple[str, dict[str, Any]]  # an example with its id
_Example = TypeVar("_Example")


@dataclasses.dataclass
class RunsConfig(tfds.core.BuilderConfig):
    """The runs whose examples a dataset has, and what was said of these since.

    Attributes:
      runs: in the order in which they were finished. Chunks are needed where their examples are to be written.
      left_out: (run id, example id) of examples that are near-duplicates of earlier ones.
      near_duplicates: how many these are, for the metadata.
      statuses: example id -> one of its kind's; examples that no new nets were shown are not among them.
      rechecks: what the metadata tell of the rechecks that gave the statuses, first made first.
      moved: called with how often an example was made, or written to its file, so far: twice for each in the end.
    """

    runs: tuple[records.FinishedRun, ...] = ()
    left_out: frozenset[tuple[str, str]] = frozenset()
    near_duplicates: int = 0
    statuses: Mapping[str, str] = dataclasses.field(default_factory=dict)
    rechecks: tuple[dict[str, Any], ...] = ()
    moved: Callable[[int], None] = lambda count: None

    @property
    def first(self) -> dict[str, Any]:
        """The first run's manifest, which fixes the shape of the features."""
        return self.runs[0].manifest


class _CountingWriter(DeterministicExampleWriter):
    """Counts the examples that are written: TFDS keeps them all first, and then writes the files of a split."""

    def __init__(self, file_format: Any, counted: Callable[[Iterable[KeyExample]], Iterator[KeyExample]]):
        super().__init__(file_format)
        self._counted = counted

    def write(self, path: Any, examples: Iterable[KeyExample]) -> Any:
        return super().write(path, self._counted(examples))


class RunsBuilder(DeterministicFiles, tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """A dataset whose examples are the finds of its config's runs; `peerpressure package` gives it that config.

    A builder that derives from this one is not to be registered with TFDS (`skip_registration=True`): it cannot be made
    from its name alone, and TFDS would take it for `tfds.load` of that name, where the packaged files are meant.
    """

    BUILDER_CONFIGS: list[RunsConfig] = []

    @abc.abstractmethod
    def _run_features(self, manifest: dict[str, Any]) -> dict[str, Any]:
        """Returns the features of a run's examples but for `status`, which no run gives them."""

    @staticmethod
    @abc.abstractmethod
    def run_example(row: dict[str, Any], manifest: dict[str, Any]) -> dict[str, Any]:
        """Returns the example that one row of a run's chunk makes."""

    def _info(self) -> tfds.core.DatasetInfo:
        features = {**self._run_features(self.builder_config.first), "status": tfds.features.Text()}
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
            metadata=tfds.core.MetadataDict(_metadata(self.builder_config)),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        del dl_manager  # everything is in the runs
        splits = dict.fromkeys(split for run in self.builder_config.runs for split in run.chunks)
        filled = [split for split in splits if any(True for _ in self._generate_examples(split))]
        return {split: self._counted(self._generate_examples(split)) for split in filled or splits}

    @functools.cached_property
    def _numbers(self) -> Iterator[int]:
        return itertools.count(1)

    def _counted(self, examples: Iterable[_Example]) -> Iterator[_Example]:
        for example in examples:
            yield example
            self.builder_config.moved(next(self._numbers))

    def _example_writer(self) -> _CountingWriter:
        return _CountingWriter(self.info.file_format, self._counted)

    def _generate_examples(self, split: str) -> Iterator[_Named]:
        config = self.builder_config
        for run in config.runs:
            for path in run.chunks.get(split, []):
                for row in records.read_examples(path):
                    if (run.manifest["run_id"], row["id"]) not in config.left_out:
                        status = {"status": config.statuses.get(row["id"], "")}
                        yield row["id"], {**self.run_example(row, run.manifest), **status}


def _metadata(config: RunsConfig) -> dict[str, Any]:
    """What holds for the whole dataset; what holds for a run, a file beside says (`told_of_run`)."""
    return {
        "format": VERSION_FORMAT,
        "runs": [{name: run.manifest[name] for name in ("run_id", "config_digest")} for run in config.runs],
        "near_duplicates_left_out": config.near_duplicates,
        "rechecks": list(config.rechecks),
    }


def told_of_run(folder: epath.Path, run_id: str) -> epath.Path:
    """Returns the file in a version's folder that says enough of a run to check and to re-create its examples."""
    return folder / "runs" / f"{run_id}.json"


def class_names(manifest: dict[str, Any]) -> list[str]:
    """Returns the names of the classes of a run's nets; their numbers where they have none."""
    return manifest["class_names"] or [str(number) for number in range(manifest["num_classes"])]


def find_features(manifest: dict[str, Any]) -> dict[str, Any]:
    """Returns the features that the finds of every kind of run have."""
    shape, text = tuple(manifest["image_shape"]), tfds.features.Text()
    return {
        "id": text,
        "image": tfds.features.Image(shape=shape, dtype=np.uint8, encoding_format="png"),
        "wrong_class": tfds.features.ClassLabel(names=class_names(manifest)),
        "target_net": text,
        "target_digest": text,
        "nets": tfds.features.Sequence(text),
        "probabilities_after": tfds.features.Tensor(shape=(None, manifest["num_classes"]), dtype=np.float32),
        "judge": {"name": text, "digest": text, "class": np.int32, "confidence": np.float32},
        "run": {"id": text, "seed": np.int64, "config_digest": text, "code_version": text},
    }


def seeded_features(manifest: dict[str, Any]) -> dict[str, Any]:
    """Returns the features that the finds have besides where they were made of seed images."""
    shape, text = tuple(manifest["image_shape"]), tfds.features.Text()
    return {
        "seed_image": tfds.features.Image(shape=shape, dtype=np.uint8, encoding_format="png"),
        "label": tfds.features.ClassLabel(names=class_names(manifest)),
        "probabilities_before": tfds.features.Tensor(shape=(None, manifest["num_classes"]), dtype=np.float32),
        "seed": {"dataset": text, "split": text, "id": text, "label": np.int32},
    }


def seeded_values(row: dict[str, Any], manifest: dict[str, Any]) -> dict[str, Any]:
    """Returns the values of `seeded_features` for one row of a run's chunk."""
    return {
        "seed_image": row["seed_image"],
        "label": row["label"],
        "probabilities_before": matrix(row["probabilities_before"], manifest["num_classes"], np.float32),
        "seed": {
            "dataset": manifest["seeds"],
            "split": row["split"],
            "id": row["seed_id"],
            "label": row["seed_label"],
        },
    }


def find_values(row: dict[str, Any], manifest: dict[str, Any]) -> dict[str, Any]:
    """Returns the values of `find_features` for one row of a run's chunk."""
    nets = manifest["nets"]
    target = next(net for net in nets if net["name"] == row["target_net"])
    judge = manifest["judge"] or {"name": "", "digest": ""}
    return {
        **{name: row[name] for name in ("id", "image", "wrong_class", "target_net")},
        "target_digest": target["digest"],
        "nets": [net["name"] for net in nets],
        "probabilities_after": matrix(row["probabilities_after"], manifest["num_classes"], np.float32),
        "judge": {**judge, "class": row["judge_class"], "confidence": row["judge_confidence"]},
        "run": {
            "id": manifest["run_id"],
            "seed": manifest["run_seed"],
            "config_digest": manifest["config_digest"],
            "code_version": manifest["code_version"],
        },
    }


def exact(shape: tuple[int | None, ...]) -> tfds.features.Tensor:
    """A float64 feature stored as bytes: a float list would cut it down to float32."""
    return tfds.features.Tensor(shape=shape, dtype=np.float64, encoding=tfds.features.Encoding.BYTES)


def matrix(values: list[float], columns: int, dtype: Any) -> np.ndarray:
    """Returns flattened values as an array of `columns` columns."""
    return np.array(values, dtype).reshape(-1, columns)

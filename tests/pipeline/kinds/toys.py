"""A kind, a method and an operator of one's own: what adding one takes, a class and a line in a table."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import tensorflow as tf
import tensorflow_datasets as tfds

from models.classifier import PeerGroup
from models.settings import setting
from pipeline import records
from pipeline.config.config import Config, SeededSearch
from pipeline.config.method import Method, Sections
from pipeline.config.recorded import Recorded
from pipeline.criteria import PeerPressure
from pipeline.kinds import published, seeded, targets
from pipeline.kinds.chunk import ChunkRows, judge_columns, set_aside_whole
from pipeline.kinds.kind import Example, Kind, Manifest, Task
from pipeline.kinds.mistakes.finder import Find, Report, Setting, Tried
from pipeline.kinds.mistakes.methods import MovedGrading, PeerFilteredSearch
from pipeline.operators.operator import Compose, Operator
from pipeline.report.tables import Table
from pipeline.seeds.source import SeedBatch
from tfds_builders import runs


@dataclasses.dataclass(frozen=True)
class Brightness:
    """An operator whose pose is no matrix: grey levels that are added, float32 `[L]`."""

    most: float = setting(40.0, "largest change of brightness either way, in grey levels", low=0, high=255)

    name: ClassVar[str] = "brightness"
    parameter_names: ClassVar[Sequence[str]] = ("levels",)
    composed_shapes: ClassVar[Mapping[str, tuple[int, ...]]] = {"total": ()}
    has_gradient: ClassVar[bool] = False  # `tf.round` has none; `warp.on_grid` would have

    def sources(self, images: tf.Tensor) -> tf.Tensor:
        return tf.cast(images, tf.float32)

    def identity(self, lanes: int, sources: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"levels": tf.zeros([lanes])}

    def then(self, pose: dict[str, tf.Tensor], uniform: tf.Tensor, sources: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"levels": pose["levels"] + self.most * (2.0 * uniform[:, 0] - 1.0)}

    def apply(self, sources: tf.Tensor, rows: tf.Tensor, pose: dict[str, tf.Tensor]) -> tf.Tensor:
        lit = tf.gather(sources, rows) + pose["levels"][:, None, None, None]
        return tf.round(tf.clip_by_value(lit, 0.0, 255.0))

    def parameters(self, uniform: np.ndarray, height: int, width: int) -> np.ndarray:
        return self.most * (2.0 * uniform - 1.0)

    def render(self, images: np.ndarray, chains: Sequence[np.ndarray]) -> np.ndarray:
        levels = np.array([chain.sum() for chain in chains]).reshape(-1, 1, 1, 1)
        return np.rint(np.clip(images + levels, 0.0, 255.0)).astype(np.uint8)

    def composed(self, chains: Sequence[np.ndarray], height: int, width: int) -> dict[str, np.ndarray]:
        return {"total": np.array([chain.sum() for chain in chains])}

    def realistic(self, chain: np.ndarray, height: int, width: int, limits: Any) -> bool:
        return bool(abs(chain.sum()) <= 60.0)

    def amounts(self, chain: np.ndarray, height: int, width: int) -> dict[str, float]:
        return {"levels": float(chain.sum())}


@dataclasses.dataclass(frozen=True)
class Toss:
    """A method for mistakes: one random move for each seed image and target net, and no search."""

    operator: Operator
    criterion: PeerPressure
    compose: Compose = "matrix"

    @classmethod
    def of(cls, sections: Sections) -> Toss:
        search = sections["search"]
        return cls(sections["operator"], PeerPressure(search.peer_confidence, search.target_confidence))

    def searcher(self, setting: Setting) -> Callable[[SeedBatch, Report], Tried]:
        def seek(seeds: SeedBatch, report: Report) -> Tried:
            before = setting.group.probabilities(seeds.images, setting.lanes)
            usable = self.usable(before, seeds.labels)
            rows = np.repeat(np.flatnonzero(usable), len(setting.target_nets))
            nets = np.tile(setting.target_nets, int(usable.sum()))
            size = seeds.images.shape[1:3]
            chains = [self._toss(seeds.ids[row], net, *size) for row, net in zip(rows, nets, strict=True)]
            answers = setting.group.probabilities(self.operator.render(seeds.images[rows], chains), setting.lanes)
            judgement = self.criterion.judge(tf.constant(answers), seeds.labels[rows], nets.astype(np.int32))
            found, none = judgement.mistake.numpy(), np.zeros(0)
            return Tried(
                probabilities=before,
                finite=np.isfinite(before).all(axis=(0, 2)),
                usable=usable,
                rows=rows,
                target_nets=nets,
                classes=seeds.labels[rows],
                outcomes=np.where(found, records.FOUND, records.EXHAUSTED),
                moves=np.ones(len(rows), np.int64),
                candidates=np.ones(len(rows), np.int64),
                confidences=judgement.class_confidence.numpy(),
                finds=[Find(int(trial), chains[trial], none, none) for trial in np.flatnonzero(found)],
            )

        return seek

    def _toss(self, seed_id: str, net: int, height: int, width: int) -> np.ndarray:
        number = sum(seed_id.encode()) * 31 + net
        uniform = np.random.default_rng(number).random((1, len(self.operator.parameter_names)))
        return self.operator.parameters(uniform, height, width)

    def usable(self, probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return seeded.all_right(probabilities, labels, "label")

    def drawn(
        self,
        run_seed: int,
        words: np.ndarray,
        target_nets: np.ndarray,
        steps: Sequence[np.ndarray],
        height: int,
        width: int,
    ) -> None:
        return None


TOSS = Method("toss", {"search": PeerFilteredSearch, "operator": (Brightness,), "grade": MovedGrading}, Toss.of)


class Builder(runs.RunsBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Builder of `sure_images`."""

    name = "sure_images"
    VERSION = tfds.core.Version("1.0.0")

    def _run_features(self, manifest: dict[str, Any]) -> dict[str, Any]:
        return {**runs.find_features(manifest), **runs.seeded_features(manifest), "surplus": np.float32}

    @staticmethod
    def run_example(row: dict[str, Any], manifest: dict[str, Any]) -> dict[str, Any]:
        return {**runs.find_values(row, manifest), **runs.seeded_values(row, manifest), "surplus": row["surplus"]}


@dataclasses.dataclass(frozen=True)
class SureSearch(SeededSearch):
    """[search] of the toy kind."""

    least: float = setting(0.5, "least probability of the label", low=0, high=1)


@dataclasses.dataclass(frozen=True)
class SureTask:
    """Keeps the seed images that a target net is sure of."""

    least: float
    target_nets: tuple[int, ...]
    config_digest: str
    schema: pa.Schema

    def miner(self, group: PeerGroup, judge: PeerGroup | None) -> SureMiner:
        return SureMiner(self, group)


class SureMiner:
    """See `SureTask`."""

    lower = "[run] unit_size"

    def __init__(self, task: SureTask, group: PeerGroup):
        self._task, self._group = task, group

    def mine(self, seeds: SeedBatch) -> pa.Table:
        rows, answers = ChunkRows(self._task.schema, seeds), self._group.probabilities(seeds.images, 64)
        for net in self._task.target_nets:
            own = answers[net, np.arange(len(seeds.labels)), seeds.labels]
            sure, first = own >= self._task.least, len(rows)
            none, names = np.zeros(len(own), np.int64), [self._group.names[net]] * len(own)
            outcomes = np.where(sure, records.FOUND, records.EXHAUSTED)
            rows.add_trials(np.arange(len(own)), names, outcomes, none, none, own)
            for row in np.flatnonzero(sure):
                image = records.encode_png(seeds.images[row])
                made_from = records.made_from(seeds.ids[row], seeds.images[row])
                digest = self._group.digests[net]
                rows.fill(
                    first + row,
                    id=records.example_id(self._task.config_digest, 0, made_from, digest),
                    image=image,
                    seed_image=image,
                    label=int(seeds.labels[row]),
                    wrong_class=int(answers[net, row].argmax()),
                    probabilities_before=answers[:, row].ravel(),
                    probabilities_after=answers[:, row].ravel(),
                    **judge_columns(None),
                    surplus=float(own[row] - self._task.least),
                )
        return rows.table()

    def set_aside(self, seeds: SeedBatch, reason: str) -> pa.Table:
        return set_aside_whole(self._task.schema, seeds, reason)


class Sure(Kind):
    """Images that a net is sure of, as they are."""

    name = "sure_images"
    noun = "sure images"
    statuses = ("sure", "unsure")
    legend = "sure: at least the run's least probability"
    checked = ("id", "label", "seed/id", "seed_image", "target_digest", "target_net")
    rechecked = ("label",)
    nothing_found = "no net is sure: lower least in [search]."
    starter = '[search]\nmethod = "sure"\nleast = 0.9           # how sure a net has to be\n'
    methods = (Method("sure", {"search": SureSearch}, lambda sections: sections["search"].least),)

    def schema(self) -> pa.Schema:
        return records.schema(pa.field("surplus", pa.float32()), seeded=True)

    def task(self, config: Config, group: Any, class_names: Any, config_digest: str, folder: Any) -> Task:
        least = config.method.build(config.sections)
        return SureTask(least, targets.places(config, group), config_digest, self.schema())

    def units(self, config: Config, group: Any, source: Any) -> list[Any]:
        return seeded.units(config, group, source, lambda probabilities, labels: np.ones(len(labels), bool))

    def wanted(self, config: Config) -> dict[str, Any]:
        return {}

    def tables(self, folder: Any, manifest: Manifest) -> list[Table]:
        return [Table([["sure images", "found"], ["all", str(manifest["examples"])]])]

    def builder(self) -> Any:
        return Builder

    def failures(self, examples: Sequence[Example], run: Recorded, answers: np.ndarray) -> list[list[str]]:
        unsure = [status == "unsure" for status in self._statuses(examples, run, answers)]
        return [published.id_failures(one, run) + ["unsure"] * bad for one, bad in zip(examples, unsure, strict=True)]

    def _statuses(self, examples: Sequence[Example], run: Recorded, answers: np.ndarray) -> list[str]:
        nets = [published.target_net(one, run) for one in examples]
        own = answers[nets, np.arange(len(examples)), [one["label"] for one in examples]]
        return np.where(own >= np.float32(run.sections["search"].least), "sure", "unsure").tolist()

    def again(self, example: Example, run: Recorded, nets: Any) -> np.ndarray:
        return example["seed_image"]

    def status(self, examples: Any, run: Recorded, answers: np.ndarray, target_net: int) -> list[str]:
        own = answers[target_net, np.arange(len(examples)), [one["label"] for one in examples]]
        return np.where(own >= np.float32(run.sections["search"].least), "sure", "unsure").tolist()

    def row(self, example: Example, run: Recorded) -> dict[str, str]:
        return {"class": run.class_names[int(example["label"])], "surplus": f"{example['surplus']:.2f}"}

    def about(self, example: Example, run: Recorded) -> str:
        return f"sure by {example['surplus']:.2f} more than needed"

    def draw(self, example: Example, run: Recorded, nets: Any, path: str) -> None:
        raise NotImplementedError

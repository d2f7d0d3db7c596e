"""Mining of mistakes in one work unit: seed images in, a chunk (every trial, and the verified mistakes) out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from models.classifier import PeerGroup
from pipeline import records, seeding
from pipeline.kinds.chunk import NOT_FINITE, ChunkRows, as_stored, judge_columns, set_aside_whole
from pipeline.kinds.mistakes import chains
from pipeline.kinds.mistakes.finder import Find, Finder, Report, Setting, Tried
from pipeline.kinds.mistakes.methods import Grading
from pipeline.records import SET_ASIDE, SKIPPED
from pipeline.seeds.source import SeedBatch
from pipeline.workdir import under_way
from pipeline.workdir.ledger import RunFolder

SCHEMA = records.schema(
    pa.field("steps", pa.list_(pa.int32())),  # [M] the number of each accepted candidate
    pa.field("parameters", pa.list_(pa.float64())),  # [M, P] flattened
    pa.field("confidences", pa.list_(pa.float32())),  # [M] the target net's probability of the class after each move
    pa.field("composed", pa.list_(pa.float64())),  # the operator's `composed_shapes` by name, flattened
    pa.field("peer_margin", pa.float32()),
    pa.field("grade", pa.string()),
    seeded=True,
)


@dataclasses.dataclass(frozen=True)
class Task:
    """What to do to each unit, apart from the nets.

    Attributes:
      finder: what finds mistakes.
      grading: when a mistake is of high value.
      target_nets: places in the group of the nets whose mistakes are wanted.
      run_seed: uint32.
      lanes: images that the nets see at a time.
      unit_size: the largest unit.
      config_digest: stands for all of this in the ids of examples.
      folder: where is told how far units under way have come.
    """

    finder: Finder
    grading: Grading
    target_nets: tuple[int, ...]
    run_seed: int
    lanes: int
    unit_size: int
    config_digest: str
    folder: RunFolder

    def miner(self, group: PeerGroup, judge: PeerGroup | None) -> Miner:
        """Returns what mines units with loaded nets."""
        return Miner(self, group, judge)


class Miner:
    """Mines units with one group of nets."""

    lower = "[run] lanes or unit_size"

    def __init__(self, task: Task, group: PeerGroup, judge: PeerGroup | None):
        self._task = task
        self._group = group
        self._judge = judge
        setting = Setting(group, task.target_nets, task.run_seed, task.lanes, task.unit_size)
        self._seek: Callable[[SeedBatch, Report], Tried] = task.finder.searcher(setting)

    def mine(self, seeds: SeedBatch) -> pa.Table:
        """Returns the chunk of a unit: set-aside and skipped seed images first, then every trial."""
        columns = ChunkRows(SCHEMA, seeds)
        columns.add_unreadable()
        if len(seeds.images):
            self._try(seeds, columns)
        return columns.table()

    def set_aside(self, seeds: SeedBatch, reason: str) -> pa.Table:
        """Returns the chunk of a unit that failed."""
        return set_aside_whole(SCHEMA, seeds, reason)

    def _try(self, seeds: SeedBatch, columns: ChunkRows) -> None:
        word = "{:08x}{:08x}".format(*seeding.seed_key(seeds.ids[0]))
        with under_way.told(self._task.folder, word, len(seeds.images)) as report:
            tried = self._seek(seeds, report)
        columns.add_seeds(np.flatnonzero(~tried.finite), SET_ASIDE, NOT_FINITE)
        skipped = np.flatnonzero(tried.finite & ~tried.usable)
        columns.add_seeds(skipped, SKIPPED, "a net gets the seed image wrong")
        first = len(columns)
        names = [self._group.names[net] for net in tried.target_nets]
        columns.add_trials(
            tried.rows,
            names,
            tried.outcomes,
            tried.moves,
            tried.candidates,
            tried.confidences,
            asked=tried.asked,
            refused=tried.refused,
        )
        if tried.finds:
            self._keep(seeds, tried, columns, first)

    def _keep(self, seeds: SeedBatch, tried: Tried, columns: ChunkRows, first: int) -> None:
        """Renders, encodes, decodes and judges each find; keeps it, or writes down why not."""
        finder, places = self._task.finder, np.array([find.trial for find in tried.finds])
        originals = seeds.images[tried.rows[places]]
        rendered = chains.render_final(finder.operator, originals, [find.chain for find in tried.finds], finder.compose)
        encoded, stored = as_stored(rendered)
        after = self._group.probabilities(stored, self._task.lanes)
        judgement = chains.judge(finder.criterion, after, tried.classes[places], tried.target_nets[places])
        reasons = chains.failures(judgement)
        judged = self._judge.probabilities(stored, self._task.lanes)[0] if self._judge else None
        for place, find in enumerate(tried.finds):
            if not (stored[place] == rendered[place]).all():
                reasons[place] = chains.NOT_LOSSLESS
            if reasons[place]:
                columns.drop(first + find.trial, reasons[place])
                continue
            columns.fill(
                first + find.trial,
                **self._record(seeds, tried, find),
                image=encoded[place],
                wrong_class=int(after[tried.target_nets[find.trial], place].argmax()),
                probabilities_after=after[:, place].ravel(),
                **self._worth(
                    tried, find, float(judgement.peer_margin[place]), None if judged is None else judged[place]
                ),
            )

    def _record(self, seeds: SeedBatch, tried: Tried, find: Find) -> dict[str, Any]:
        """Returns the columns of a find that say what it was made of, and how."""
        row, digest = tried.rows[find.trial], self._group.digests[tried.target_nets[find.trial]]
        image, operator = seeds.images[row], self._task.finder.operator
        made_from = records.made_from(seeds.ids[row], image)
        return {
            "id": records.example_id(self._task.config_digest, self._task.run_seed, made_from, digest),
            "seed_image": records.encode_png(image),
            "label": int(tried.classes[find.trial]),
            "probabilities_before": tried.probabilities[:, row].ravel(),
            "steps": find.steps,
            "parameters": find.chain.ravel(),
            "confidences": find.confidences,
            "composed": chains.flat_composed(operator, find.chain, *image.shape[:2]),
        }

    def _worth(self, tried: Tried, find: Find, margin: float, judged: np.ndarray | None) -> dict[str, Any]:
        """Returns the columns of a find that say what it is worth; `judged` `[K]` is the judge's answer."""
        grading, judge = self._task.grading, judge_columns(judged)
        height, width = self._group.input_shape[:2]
        realistic = not len(find.chain) or self._task.finder.operator.realistic(find.chain, height, width, grading)
        label = int(tried.classes[find.trial])
        grade = chains.grade(realistic, margin, grading.peer_margin, judge["judge_class"], label)
        return {**judge, "peer_margin": margin, "grade": grade}

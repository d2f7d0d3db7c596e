"""Mining of mistakes in one work unit: seed images in, a chunk (every trial, and the verified mistakes) out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from models.classifier import PeerGroup
from pipeline import records, seeding, under_way, verify
from pipeline.chunk import NOT_FINITE, ChunkRows, as_stored, judge_columns, set_aside_whole
from pipeline.ledger import RunFolder
from pipeline.records import EXHAUSTED, FOUND, MOVES_SPENT, SET_ASIDE, SKIPPED
from pipeline.search.hillclimb import Hillclimb
from pipeline.search.scan import scan
from pipeline.search.unit import ClassFrom, SeedArrays, UnitSearch
from pipeline.seeds import SeedBatch


@dataclasses.dataclass(frozen=True)
class Task:
    """What to do to each unit, apart from the nets.

    Attributes:
      method: "hillclimb", or "scan" (the images as they are).
      searcher: the search; its criterion also rules a scan.
      target_nets: places in the group of the nets whose mistakes are wanted.
      class_from: "label" or "consensus".
      grading: when a mistake is of high value.
      run_seed: uint32.
      lanes: images that the nets see at a time.
      unit_size: the largest unit.
      config_digest: stands for all of this in the ids of examples.
      folder: where is told how far units under way have come.
    """

    method: str
    searcher: Hillclimb
    target_nets: tuple[int, ...]
    class_from: ClassFrom
    grading: verify.Grading
    run_seed: int
    lanes: int
    unit_size: int
    config_digest: str
    folder: RunFolder

    def miner(self, group: PeerGroup, judge: PeerGroup | None) -> Miner:
        """Returns what mines units with loaded nets."""
        return Miner(self, group, judge)


@dataclasses.dataclass(frozen=True)
class _Finds:
    """Candidate mistakes of a unit: rows in the batch, target nets, classes `[R]`, and how each came about."""

    rows: np.ndarray
    target_nets: np.ndarray
    classes: np.ndarray
    chains: list[verify.Chain]
    steps: list[np.ndarray]
    confidences: list[np.ndarray]


class Miner:
    """Mines units with one group of nets; builds its compiled search once, when first needed."""

    lower = "[run] lanes or unit_size"

    def __init__(self, task: Task, group: PeerGroup, judge: PeerGroup | None):
        self._task = task
        self._group = group
        self._judge = judge
        self._search = UnitSearch(
            task.searcher, group, task.target_nets, task.class_from, task.run_seed, task.lanes, task.unit_size
        )
        self._compiled: Any = None

    def mine(self, seeds: SeedBatch) -> pa.Table:
        """Returns the chunk of a unit: set-aside and skipped seed images first, then every trial."""
        columns = ChunkRows(records.MISTAKES, seeds)
        columns.add_unreadable()
        if len(seeds.images):
            (self._scan if self._task.method == "scan" else self._hillclimb)(seeds, columns)
        return columns.table()

    def set_aside(self, seeds: SeedBatch, reason: str) -> pa.Table:
        """Returns the chunk of a unit that failed."""
        return set_aside_whole(records.MISTAKES, seeds, reason)

    def _hillclimb(self, seeds: SeedBatch, columns: ChunkRows) -> None:
        if self._compiled is None:
            self._compiled = self._search.compiled()
        words = np.array([seeding.seed_key(seed_id) for seed_id in seeds.ids], np.uint32)
        with under_way.told(self._task.folder, "{:08x}{:08x}".format(*words[0]), len(words)) as report:
            result = self._search.run(self._compiled, SeedArrays(seeds.images, seeds.labels, words), report)
        columns.add_seeds(np.flatnonzero(~result.finite), SET_ASIDE, NOT_FINITE)
        columns.add_seeds(np.flatnonzero(result.finite & ~result.held), SKIPPED, "a net gets the seed image wrong")
        held, targets = np.flatnonzero(result.held), np.array(self._task.target_nets, np.int32)
        rows, target_nets = np.repeat(held, len(targets)), np.tile(targets, len(held))
        first = len(columns)
        trials = result.trials
        outcomes = np.where(
            trials.found, FOUND, np.where(trials.moves >= self._task.searcher.max_moves, MOVES_SPENT, EXHAUSTED)
        )
        columns.add_trials(rows, self._names(target_nets), outcomes, trials.moves, trials.drawn, trials.confidence)
        found = np.flatnonzero(trials.found)
        steps = [trials.steps[trial, : trials.moves[trial]] for trial in found]
        confidences = [trials.confidences[trial, : trials.moves[trial]] for trial in found]
        chains = [
            verify.chain_from_steps(
                self._task.searcher.operator, self._task.run_seed, words[row], net, chain_steps, seeds.images.shape[1:]
            )
            for row, net, chain_steps in zip(rows[found], target_nets[found], steps, strict=True)
        ]
        finds = _Finds(rows[found], target_nets[found], result.classes[rows[found]], chains, steps, confidences)
        self._keep(seeds, result.probabilities, finds, columns, first + found)

    def _scan(self, seeds: SeedBatch, columns: ChunkRows) -> None:
        """Tries every image that the nets can judge on every target net, whoever else is a target."""
        probabilities = self._group.probabilities(seeds.images, self._task.lanes)
        finite = np.isfinite(probabilities).all(axis=(0, 2))
        columns.add_seeds(np.flatnonzero(~finite), SET_ASIDE, NOT_FINITE)
        result = scan(probabilities, seeds.labels, self._task.class_from, self._task.searcher.criterion)
        usable, targets = np.flatnonzero(finite), np.array(self._task.target_nets, np.int32)
        rows, target_nets = np.repeat(usable, len(targets)), np.tile(targets, len(usable))
        alone, first, none = result.target_nets[rows] == target_nets, len(columns), np.zeros(len(rows), np.int64)
        classes = result.classes[rows]
        confidences = np.where(classes < 0, np.nan, probabilities[target_nets, rows, classes])
        outcomes = np.where(alone, FOUND, records.NOT_ALONE)
        columns.add_trials(rows, self._names(target_nets), outcomes, none, none, confidences)
        found = np.flatnonzero(alone)
        empty = verify.chain_from_parameters(
            self._task.searcher.operator,
            np.zeros((0, len(self._task.searcher.operator.parameter_names))),
            seeds.images.shape[1:],
        )
        blank = [np.zeros(0)] * len(found)
        finds = _Finds(rows[found], target_nets[found], classes[found], [empty] * len(found), blank, blank)
        self._keep(seeds, probabilities, finds, columns, first + found)

    def _names(self, nets: np.ndarray) -> list[str]:
        return [self._group.names[net] for net in nets]

    def _keep(
        self, seeds: SeedBatch, before: np.ndarray, finds: _Finds, columns: ChunkRows, places: np.ndarray
    ) -> None:
        """Renders, encodes, decodes and judges each find; keeps it, or writes down why not."""
        searcher = self._task.searcher
        rendered = verify.render_final(
            seeds.images[finds.rows], finds.chains, searcher.compose, searcher.operator.border
        )
        encoded, stored = as_stored(rendered)
        after = self._group.probabilities(stored, self._task.lanes)
        judgement = verify.judge(searcher.criterion, after, finds.classes, finds.target_nets)
        reasons = verify.failures(judgement)
        judged = self._judge.probabilities(stored, self._task.lanes)[0] if self._judge else None
        for find, place in enumerate(places):
            if not (stored[find] == rendered[find]).all():
                reasons[find] = verify.NOT_LOSSLESS
            if reasons[find]:
                columns.drop(place, reasons[find])
                continue
            judge = judge_columns(None if judged is None else judged[find])
            columns.fill(
                place,
                **self._record(seeds, before, finds, find),
                image=encoded[find],
                wrong_class=int(after[finds.target_nets[find], find].argmax()),
                probabilities_after=after[:, find].ravel(),
                **self._worth(finds, find, float(judgement.peer_margin[find]), judge, rendered.shape[1:]),
            )

    def _record(self, seeds: SeedBatch, before: np.ndarray, finds: _Finds, find: int) -> dict[str, Any]:
        """Returns the columns of a find that say what it was made of, and how."""
        row, digest = finds.rows[find], self._group.digests[finds.target_nets[find]]
        made_from = records.made_from(seeds.ids[row], seeds.images[row])
        return {
            "id": records.example_id(self._task.config_digest, self._task.run_seed, made_from, digest),
            "seed_image": records.encode_png(seeds.images[row]),
            "label": int(finds.classes[find]),
            "probabilities_before": before[:, row].ravel(),
            "steps": finds.steps[find],
            "parameters": finds.chains[find].parameters.ravel(),
            "confidences": finds.confidences[find],
            "composed_matrix": finds.chains[find].composed.ravel(),
        }

    def _worth(
        self, finds: _Finds, find: int, margin: float, judge: dict[str, Any], shape: Sequence[int]
    ) -> dict[str, Any]:
        """Returns the columns of a find, on images of `shape` (H, W, C), that say what it is worth."""
        realistic = self._task.grading.realistic(finds.chains[find].composed, shape)
        grade = self._task.grading.grade(realistic, margin, judge["judge_class"], int(finds.classes[find]))
        return {**judge, "peer_margin": margin, "grade": grade}

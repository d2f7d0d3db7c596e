from __future__ import annotations

import json

import pytest
from etils import epath

from models.errors import InputError
from pipeline import records
from pipeline.config import config_file
from pipeline.kinds import registry
from pipeline.kinds.mistakes import chains
from pipeline.kinds.mistakes.kind import MISTAKES
from pipeline.runs import finish
from pipeline.runs.job import Job
from pipeline.seeds.plan import Unit
from pipeline.workdir.ledger import RunFolder, Workdir

MANIFEST = {
    "dataset": MISTAKES.name,
    "config": {"search": {"targets": "all"}},
    "nets": [{"name": "still"}, {"name": "moving"}, {"name": "untried"}],
    "reasons": {},
    "examples": 1,
}
MOVING = ("moving", records.EXHAUSTED, 3, 253, 0.4)


@pytest.fixture
def summary(tmp_path):
    """Sums up a run of trials (target net, outcome, moves, candidates, confidence)."""

    def call(*rows) -> str:
        names = ("target_net", "outcome", "moves", "candidates", "target_confidence")
        columns = {name: [row[place] for row in rows] for place, name in enumerate(names)}
        columns["inferences"] = [row[3] + 1 for row in rows]
        trials = records.chunk_table(records.TRIALS_SCHEMA, columns, len(rows))
        folder = RunFolder(epath.Path(tmp_path))
        folder.trials.write_bytes(records.table_bytes(trials))
        (folder.path / "manifest.json").write_text(json.dumps(MANIFEST))
        return finish.summary(folder, finish.tables(folder))

    return call


@pytest.mark.parametrize(
    ("confidence", "cause"),
    [(1.0, "it is certain to the last digit"), (0.93, "peers that let go of the class at once allow no move")],
)
def test_a_net_of_whose_trials_none_made_a_move_is_told_with_what_to_do(summary, confidence, cause):
    still = [("still", records.EXHAUSTED, 0, 250, confidence)] * 5
    (hint,) = [line for line in summary(*still, MOVING).splitlines() if line.startswith("net '")]
    assert hint.startswith("net 'still': none of its 5 trials made a single move: no candidate lowered its confidence")
    assert f"(median {confidence:.6f})" in hint and cause in hint and "[operator]" in hint


def test_one_move_in_any_trial_is_enough_and_a_scan_makes_none(summary):
    still = ("still", records.EXHAUSTED, 0, 250, 0.9)
    assert "net '" not in summary(still, ("still", records.DROPPED, 1, 9, 0.2), MOVING)
    scanned = ("still", records.FOUND, 0, 0, 0.1)
    assert "net '" not in summary(scanned, ("still", records.NOT_ALONE, 0, 0, 0.9))


def _chunk(dropped: int) -> bytes:
    outcomes = [records.DROPPED] * dropped + [records.FOUND]
    columns = {"outcome": outcomes, "reason": [chains.PEER_LOST] * dropped + [""], "target_net": ["a"] * len(outcomes)}
    columns["seed_id"] = [str(row) for row in range(len(outcomes))]
    return records.table_bytes(records.chunk_table(MISTAKES.schema(), columns, len(outcomes)))


def test_finds_that_mostly_fail_in_small_units_end_the_run_before_its_manifest(tmp_path, config):
    task = config_file.load(str(config()), registry.methods())
    job = Job(task, Workdir(epath.Path(tmp_path)), None, "cpu")
    folder = job.workdir.run(job.dataset_name, "first")
    units = [Unit(number, "test", range(1)) for number in range(3)]
    folder.chunks.mkdir(parents=True)
    for unit in units:
        folder.chunk(unit.number).write_bytes(_chunk(dropped=5))
    with pytest.raises(InputError, match=r"^15 of 18 finds of run first were none"):
        finish.finish(job, folder, units, {})
    assert [path.name for path in folder.path.iterdir()] == ["chunks"]
    for unit in units:
        folder.chunk(unit.number).write_bytes(_chunk(dropped=1))
    finish.finish(job, folder, units, {})
    assert folder.manifest()["examples"] == 3

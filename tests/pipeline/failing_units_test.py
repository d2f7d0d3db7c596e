"""Units in which a net or a search fails: tried twice, then set aside whole, and tried again by the next start."""

from __future__ import annotations

import json
import re

import apache_beam as beam
import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from apache_beam.options.pipeline_options import PipelineOptions

from models.errors import InputError
from pipeline import chunk, mining, records, stages
from pipeline.failures import Failure
from pipeline.garbage import GarbageMiner
from pipeline.seeds import SeedBatch

UNLUCKY = 2  # of six units
OUT_OF_MEMORY = tf.errors.ResourceExhaustedError(None, None, "OOM when allocating a tensor\nand more that no one reads")
REASON = "the unit failed twice (ResourceExhaustedError: OOM when allocating a tensor)"
SCAN = {"method": "scan"}


class _Miner:
    """Raises what it is told to, one after the other, and then mines."""

    def __init__(self, *errors: Exception):
        self.errors = list(errors)

    def mine(self, material):
        if self.errors:
            raise self.errors.pop(0)
        return f"{material} mined"

    def set_aside(self, material, reason):
        return f"{material} set aside: {reason}"


def test_a_unit_that_fails_once_is_mined():
    told: list[Failure] = []
    assert stages.mined(_Miner(OUT_OF_MEMORY), "unit", told.append) == "unit mined" and not told


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OUT_OF_MEMORY, REASON),
        (ValueError("shapes differ.\nTraceback ..."), "the unit failed twice (ValueError: shapes differ)"),
        (MemoryError(), "the unit failed twice (MemoryError: MemoryError)"),
    ],
)
def test_a_unit_that_fails_twice_is_set_aside_with_the_last_reason(error, reason):
    told: list[Failure] = []
    assert stages.mined(_Miner(RuntimeError("first"), error), "unit", told.append) == f"unit set aside: {reason}"
    assert told == [Failure.of(error)] and told[0].reason in reason


@pytest.mark.parametrize("error", [InputError("the net is wrong."), OSError("no space left"), KeyboardInterrupt()])
def test_what_no_unit_is_to_blame_for_ends_the_run(error):
    miner = _Miner(error)
    with pytest.raises(type(error)):
        stages.mined(miner, "unit", lambda failure: None)
    assert not miner.errors


@pytest.mark.parametrize("dataset", [records.MISTAKES, records.PAIRS])
def test_every_seed_image_of_a_unit_is_set_aside_with_its_reason(dataset):
    images = np.zeros((2, 4, 4, 1), np.uint8)
    seeds = SeedBatch("test", [0, 2], ["a", "c"], images, np.array([5, 6], np.int32), [("b", "does not decode")])
    rows = chunk.set_aside_whole(dataset, seeds, REASON).to_pylist()
    assert [(row["seed_id"], row["reason"]) for row in rows] == [("b", "does not decode"), ("a", REASON), ("c", REASON)]
    assert {(row["split"], row["outcome"], row["target_net"]) for row in rows} == {("test", records.SET_ASIDE, "")}
    assert {row["image"] for row in rows} == {None}


@pytest.fixture
def flaky(monkeypatch):
    """Makes a unit's search fail as often as is told: `flaky(times)`; gives the calls."""
    scan = mining.Miner._scan
    left, calls = [0], []

    def fail(miner, seeds, columns):
        calls.append(seeds.positions[0] // 64)
        if calls[-1] == UNLUCKY and left[0]:
            left[0] -= 1
            raise OUT_OF_MEMORY
        scan(miner, seeds, columns)

    monkeypatch.setattr(mining.Miner, "_scan", fail)

    def told(times):
        left[0] = times
        calls.clear()
        return calls

    return told


def _mine(peerpressure, work, config, **run):
    arguments = ["--workdir", work.path, "--run_id", "first"]
    return peerpressure("mine", "--config", config(search=SCAN, run=run), *arguments)


def _aside(work):
    lines = (work.ledger / "first" / "set_aside.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_a_failing_unit_is_set_aside_and_the_run_goes_on(work, flaky, peerpressure, config):
    calls = flaky(2)
    outcome = _mine(peerpressure, work, config, max_set_aside=0.5)
    assert outcome.code == 0 and f"64 rows: {REASON}" in outcome.out
    assert sorted(calls) == [0, 1, 2, 2, 3, 4, 5]
    assert len(_aside(work)) == 64 and {entry["reason"] for entry in _aside(work)} == {REASON}
    manifest = work.manifest("first")
    assert manifest["set_aside"] == manifest["counts"][""][records.SET_ASIDE] == 64
    trials = pq.read_table(work.ledger / "first" / "trials.parquet")
    assert len(set(trials["seed_id"].to_pylist())) == 359
    calls = flaky(0)
    assert "is finished already" in _mine(peerpressure, work, config, max_set_aside=0.5).out and not calls


def test_too_many_fail_the_run_and_the_next_start_tries_those_alone_again(
    work, tmp_path, flaky, peerpressure, config, tree
):
    calm = work.copy(tmp_path / "calm", ran=False)
    flaky(0)
    assert _mine(peerpressure, calm, config).code == 0
    flaky(2)
    outcome = _mine(peerpressure, work, config)
    assert outcome.code == 2 and "64 of 359 seed images had to be set aside" in outcome.err and REASON in outcome.err
    assert not (work.ledger / "first" / "manifest.json").exists()
    calls = flaky(1)
    assert _mine(peerpressure, work, config).code == 0
    assert calls == [UNLUCKY, UNLUCKY]
    assert tree(work.ledger / "first" / "chunks") == tree(calm.ledger / "first" / "chunks")
    assert _aside(work) == _aside(calm) == []


def test_a_failing_island_has_its_classes_set_aside(work, monkeypatch, peerpressure, config):
    evolve = GarbageMiner.evolve

    def fail(miner, island):
        if island.number == 1:
            raise OUT_OF_MEMORY
        return evolve(miner, island)

    monkeypatch.setattr(GarbageMiner, "evolve", fail)

    def mine(share):
        task = config(
            search={"method": "direct", "targets": ["mlp-8"]},
            garbage={"confidence": 0.5, "generations": 3, "population": 8, "islands": 2},
            run={"max_set_aside": share},
        )
        return peerpressure("mine", "--config", task, "--workdir", work.path, "--run_id", "first")

    outcome = mine(0.4)
    assert outcome.code == 2 and "10 of 20 classes of islands had to be set aside" in outcome.err
    outcome = mine(0.5)
    assert outcome.code == 0 and f"10 rows: {REASON}" in outcome.out
    run = work.path / "ledger" / records.GARBAGE / "tiny" / "first"
    rows = pq.read_table(run / "chunks" / "000001.parquet").to_pylist()
    assert [(row["wrong_class"], row["outcome"], row["reason"]) for row in rows] == [
        (label, records.SET_ASIDE, REASON) for label in range(10)
    ]
    assert {(row["seed_id"], row["island"], row["target_net"]) for row in rows} == {("island 1", 1, "mlp-8")}
    line = next(line for line in outcome.out.splitlines() if line.startswith("mlp-8")).split()
    assert line[1] == "10"  # champions: of the other island alone


def _by_beam(error: BaseException) -> Exception:
    """Returns what Beam makes of an error of a worker."""

    def fail(_):
        raise error

    with pytest.raises(Exception) as caught, beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"])) as job:
        _ = job | beam.Create([1]) | beam.Map(fail)
    return caught.value


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (InputError("name another file."), InputError, r"name another file\.$"),
        (OSError(28, "No space left"), OSError, r"a worker could not read or write \(\[Errno 28\] No space left\)"),
        (tf.errors.UnavailableError(None, None, "503"), OSError, r"a worker could not read or write \(503\)"),
        (KeyboardInterrupt(), KeyboardInterrupt, ""),
        (IndexError("a defect"), IndexError, "a defect"),
    ],
)
def test_what_ended_a_worker_is_raised_as_what_it_is(error, kind, message):
    found = stages._of_worker(_by_beam(error))
    assert type(found) is kind and re.search(f"^{message}", str(found))

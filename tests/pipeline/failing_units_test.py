"""Units in which a net or a search fails: tried twice, then set aside whole, and tried again by the next start."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import re
import signal
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from etils import epath

from models.errors import InputError
from pipeline import records
from pipeline.kinds import chunk
from pipeline.kinds.garbage.kind import GARBAGE
from pipeline.kinds.garbage.mining import GarbageMiner
from pipeline.kinds.mistakes import chains, mining
from pipeline.kinds.mistakes.kind import MISTAKES
from pipeline.kinds.pairs.kind import PAIRS
from pipeline.runs import failures, stages
from pipeline.runs.failures import Failure, Failures
from pipeline.seeds.plan import Unit
from pipeline.seeds.source import SeedBatch
from pipeline.workdir.ledger import RunFolder

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


SEEDED = pytest.mark.parametrize("kind", [MISTAKES, PAIRS], ids=lambda kind: kind.name)


@SEEDED
def test_every_seed_image_of_a_unit_is_set_aside_with_its_reason(kind):
    images = np.zeros((2, 4, 4, 1), np.uint8)
    seeds = SeedBatch("test", [0, 2], ["a", "c"], images, np.array([5, 6], np.int32), [("b", "does not decode")])
    rows = chunk.set_aside_whole(kind.schema(), seeds, REASON).to_pylist()
    assert [(row["seed_id"], row["reason"]) for row in rows] == [("b", "does not decode"), ("a", REASON), ("c", REASON)]
    assert {(row["split"], row["outcome"], row["target_net"]) for row in rows} == {("test", records.SET_ASIDE, "")}
    assert {row["image"] for row in rows} == {None}


@pytest.fixture
def flaky(monkeypatch):
    """Makes a unit's search fail as often as is told: `flaky(times)`; gives the calls."""
    tried = mining.Miner._try
    left, calls = [0], []

    def fail(miner, seeds, columns):
        calls.append(seeds.positions[0] // 64)
        if calls[-1] == UNLUCKY and left[0]:
            left[0] -= 1
            raise OUT_OF_MEMORY
        tried(miner, seeds, columns)

    monkeypatch.setattr(mining.Miner, "_try", fail)

    def told(times):
        left[0] = times
        calls.clear()
        return calls

    return told


def _rows(kind, outcomes, reason=chains.PEER_LOST):
    columns = {"outcome": outcomes, "reason": [reason if one == records.DROPPED else "" for one in outcomes]}
    return records.chunk_table(kind.schema(), columns, len(outcomes))


@SEEDED
@pytest.mark.parametrize(("dropped", "found"), [(6, 5), (10, 0), (200, 199)])
def test_finds_that_mostly_fail_when_judged_again_end_the_run(kind, dropped, found):
    rows = _rows(kind, [records.DROPPED] * dropped + [records.FOUND] * found + [records.EXHAUSTED] * 40)
    with pytest.raises(InputError) as caught:
        chunk.check_kept(rows, "unit 3")
    total, reason = dropped + found, f"({dropped}: {chains.PEER_LOST})"
    assert str(caught.value).startswith(f"{dropped} of {total} finds of unit 3 were none when the stored images were")
    assert reason in str(caught.value)


@pytest.mark.parametrize(("dropped", "found"), [(0, 0), (9, 0), (6, 6), (0, 50)])
def test_few_finds_or_few_that_fail_end_nothing(dropped, found):
    chunk.check_kept(_rows(MISTAKES, [records.DROPPED] * dropped + [records.FOUND] * found), "a unit")


def test_a_worker_checks_the_finds_of_each_unit(tmp_path):
    class Miner(_Miner):
        lower = "[run] lanes"

        def mine(self, material):
            return _rows(PAIRS, [records.DROPPED] * material + [records.FOUND] * 10)

    failed = Failures.begun(RunFolder(epath.Path(tmp_path)))
    handler = stages.MiningHandler(None, None, "cpu", failed)
    (made,) = handler.run_inference([stages._Work(2, 10)], Miner())
    assert made.example == 2 and failed.told() is None
    with pytest.raises(InputError, match=r"^11 of 21 finds of unit 3 were none") as ended:
        handler.run_inference([stages._Work(3, 11)], Miner())
    assert str(failed.told()) == str(ended.value)


def test_a_unit_whose_finds_mostly_fail_ends_the_run_in_one_sentence(
    work, monkeypatch, peerpressure, config, half_written
):
    monkeypatch.setattr(chains, "failures", lambda judgement: [chains.PEER_LOST] * len(judgement.mistake))
    outcome = _mine(peerpressure, work, config)
    sentence = outcome.err.strip().splitlines()[-1]
    assert outcome.code == 2 and re.match(r"peerpressure: error: \d+ of \d+ finds of unit \d were none", sentence)
    assert outcome.err.count("peerpressure: error:") == 1 and "Traceback" not in outcome.err
    assert not list(work.ledger.rglob("*.parquet")) and not half_written(work.path)


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


@pytest.mark.slow
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


@pytest.mark.slow
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
    run = work.path / "ledger" / GARBAGE.name / "tiny" / "first"
    rows = pq.read_table(run / "chunks" / "000001.parquet").to_pylist()
    assert [(row["wrong_class"], row["outcome"], row["reason"]) for row in rows] == [
        (label, records.SET_ASIDE, REASON) for label in range(10)
    ]
    assert {(row["seed_id"], row["island"], row["target_net"]) for row in rows} == {("island 1", 1, "mlp-8")}
    line = next(line for line in outcome.out.splitlines() if line.startswith("mlp-8")).split()
    assert line[1] == "10"  # champions: of the other island alone


@dataclasses.dataclass(frozen=True)
class _Stub:
    """Seed images, nets, task and miner in one: reading or mining calls `fail(unit)`, which may raise."""

    fail: Callable[[int], Any]
    reading: bool = False
    nbytes, lower = 1, "[run] lanes"

    def load(self):
        return None, None

    def miner(self, *_):
        return self

    def read(self, _, positions):
        if self.reading:
            self.fail(positions[0])
        return dataclasses.replace(self, fail=functools.partial(self.fail, positions[0]))

    def mine(self, material):
        material.fail()
        return _one_row(records.EXHAUSTED, "")

    def set_aside(self, _, reason):
        return _one_row(records.SET_ASIDE, reason)


@pytest.fixture
def run_of(tmp_path):
    """Mines units of which a stub makes what it makes, and returns the run's folder."""
    folder = RunFolder(epath.Path(tmp_path) / "first")

    def mine(fail, units=5, reading=False):
        stub = _Stub(fail, reading)
        failures.forget(folder)
        missing = [Unit(unit, "test", (unit,)) for unit in sorted(set(range(units)) - folder.finished_units())]
        stages.mine(missing, stub, stub, stub, folder, "cpu", [])
        return folder

    mine.folder = folder
    return mine


def _one_row(outcome, reason):
    return records.chunk_table(MISTAKES.schema(), {"seed_id": ["a"], "outcome": [outcome], "reason": [reason]}, 1)


def _mine_well(unit):
    pass


def _raise(error, unit):
    raise error


def _interrupt(unit):
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("reading", [True, False])
@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (InputError("name another\nfile."), InputError, r"name another file\.$"),
        (OSError(28, "No space left"), OSError, r"a worker could not read or write \(\[Errno 28\] No space left\)$"),
    ],
)
def test_what_ended_a_worker_is_raised_as_what_it_is(run_of, reading, error, kind, message):
    with pytest.raises(kind) as told:
        run_of(functools.partial(_raise, error), reading=reading)
    assert type(told.value) is kind and re.match(message, str(told.value))


def test_a_bucket_that_fails_is_told_as_a_disk_and_a_defect_as_what_beam_makes_of_it(run_of):
    with pytest.raises(OSError, match=r"^a worker could not read or write \(503\)$"):
        run_of(functools.partial(_raise, tf.errors.UnavailableError(None, None, "503")), reading=True)
    with pytest.raises(Exception, match="a defect") as told:
        run_of(functools.partial(_raise, IndexError("a defect")), reading=True)
    assert not isinstance(told.value, (InputError, OSError))


def test_an_interrupt_is_raised_as_one(run_of, ctrl_c):
    with pytest.raises(KeyboardInterrupt):
        run_of(_interrupt)


def test_a_disk_of_which_no_worker_could_tell_is_found_out(run_of, monkeypatch):
    def refuse(*_):
        raise OSError(30, "Read-only file system")

    run_of.folder.path.mkdir(parents=True)
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match=r"^a worker could not read or write \(\[Errno 30\] Read-only file system\)$"):
        run_of(_mine_well)


def _want_memory(unit):
    kinds = (
        tf.errors.ResourceExhaustedError(None, None, "OOM when allocating a tensor"),
        MemoryError(),
        tf.errors.InternalError(None, None, f"Out of memory while trying to allocate {unit} bytes."),
        RuntimeError("std::bad_alloc"),
    )
    raise kinds[unit % len(kinds)]


def test_a_run_whose_first_units_all_want_memory_stops_and_says_what_to_lower(run_of):
    with pytest.raises(InputError) as told:
        run_of(_want_memory)
    assert re.fullmatch(
        r"the first 3 units, each tried twice, ran out of memory \(.+\); lower \[run\] lanes, and start a new run\.",
        str(told.value),
    )
    assert len(run_of.folder.failed_units()) == 3


def _differ_in_numbers(unit):
    raise ValueError(f"shape ({unit}, 28) at 0x7f{unit:02x}: not one that the net takes")


def test_a_run_whose_first_units_fail_alike_stops_and_names_the_error_and_the_next_start_tries_all_again(run_of):
    with pytest.raises(InputError, match=r"the first 3 units, each tried twice, failed alike \(ValueError: shape \(\d"):
        run_of(_differ_in_numbers)
    assert run_of(_mine_well).finished_units() == set(range(5))


def _fail_each_for_itself(unit):
    raise ValueError("abcdef"[unit])


def test_units_that_fail_differently_are_set_aside(run_of):
    folder = run_of(_fail_each_for_itself)
    assert folder.finished_units() == folder.failed_units() == set(range(5))


def _fail_but_first(unit, counted):
    if counted.exists():
        raise MemoryError
    counted.touch()


def test_units_that_fail_after_one_that_did_not_are_set_aside(run_of, tmp_path):
    folder = run_of(functools.partial(_fail_but_first, counted=tmp_path / "first one"))
    assert len(folder.finished_units()) == 5 and len(folder.failed_units()) == 4


def test_units_of_an_earlier_start_are_no_hope_for_this_one(run_of):
    run_of(_mine_well, units=2)
    with pytest.raises(InputError, match="the first 3 units"):
        run_of(_want_memory)
    assert run_of.folder.finished_units() - run_of.folder.failed_units() == {0, 1}


def test_a_start_tries_failed_units_again_and_opens_no_chunk_for_that(run_of, monkeypatch):
    folder = run_of(functools.partial(_fail_but_first, counted=run_of.folder.path.parent / "first one"))
    failed, opened = folder.failed_units(), []
    monkeypatch.setattr(records, "read_table", lambda path, *_: opened.append(path))
    failures.forget(folder)
    assert folder.finished_units() == set(range(5)) - failed and not opened
    assert not folder.failures.exists()

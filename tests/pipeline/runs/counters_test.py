"""What a run counts, of a chunk's rows and of whole runs."""

from __future__ import annotations

import json

import pytest

from pipeline import records
from pipeline.kinds.chunk import UNIT_FAILED
from pipeline.kinds.mistakes.kind import MISTAKES
from pipeline.runs import counters

TIMES = {counters.READING, counters.MINING, counters.WRITING}


def _rows(*rows: tuple[str, str, str, int]):
    columns = dict(zip(("seed_id", "outcome", "reason", "candidates"), map(list, zip(*rows, strict=True)), strict=True))
    return records.chunk_table(MISTAKES.schema(), columns, len(rows))


def test_a_unit_is_counted_by_outcome_and_reason():
    rows = _rows(
        ("a", records.FOUND, "", 7),
        ("a", records.DROPPED, "a peer lost it", 5),
        ("b", records.DROPPED, "a peer lost it", 3),
        ("b", records.EXHAUSTED, "", 250),
        ("c", records.SKIPPED, "a net gets the seed image wrong", 0),
        ("d", records.SET_ASIDE, f"{UNIT_FAILED} (no memory for d)", 0),
        ("e", records.SET_ASIDE, f"{UNIT_FAILED} (no memory for e)", 0),
    )
    assert counters.of_unit(rows) == {
        "units": 1,
        "seed_images": 5,
        "trials": 4,
        "candidates": 265,
        "found": 1,
        "dropped": 2,
        "exhausted": 1,
        "skipped": 1,
        "set_aside": 2,
        "dropped: a peer lost it": 2,
        f"set_aside: {UNIT_FAILED}": 2,
    }


def test_islands_have_no_seed_images_and_an_empty_chunk_is_a_unit():
    assert counters.of_unit(_rows(("", records.FOUND, "", 7)))["seed_images"] == 0
    empty = records.chunk_table(MISTAKES.schema(), {"seed_id": []}, 0)
    assert counters.of_unit(empty) == {"units": 1, "seed_images": 0, "trials": 0, "candidates": 0}


def test_the_manifest_keeps_what_beam_counted(finished):
    manifest = finished.manifest("first")
    counted, chunks = manifest["counters"], list((finished.ledger / "first" / "chunks").iterdir())
    of_nets = [outcomes for net, outcomes in manifest["counts"].items() if net]
    assert counted["units"] == len(manifest["units"]) == len(chunks)
    assert counted["found"] == manifest["examples"] > 0
    for outcome in (records.EXHAUSTED, records.FOUND):
        assert counted[outcome] == sum(outcomes.get(outcome, 0) for outcomes in of_nets)
    assert counted["candidates"] > sum(passes["candidates"] for passes in manifest["passes"].values()) - 1 > 0
    assert counted["chunk_bytes"] == sum(chunk.stat().st_size for chunk in chunks)
    assert counted.keys() >= TIMES and counted[counters.MINING] > 0


@pytest.mark.slow
def test_processes_count_together_what_one_counts(finished, work, peerpressure, config):
    workers = ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]
    outcome = peerpressure("mine", "--config", config(), "--workdir", work.path, "--run_id", "second", *workers)
    assert outcome.code == 0, outcome

    def amounts(manifest):
        return {name: amount for name, amount in manifest["counters"].items() if name not in TIMES}

    assert amounts(work.manifest("second")) == amounts(finished.manifest("first"))


def test_a_run_that_has_all_its_chunks_counts_nothing_again(finished, tmp_path, peerpressure, config):
    work = finished.copy(tmp_path / "work", ran=True)
    manifest = work.ledger / "first" / "manifest.json"
    told = json.loads(manifest.read_text())
    manifest.unlink()
    assert peerpressure("mine", "--config", config(), "--workdir", work.path, "--run_id", "first").code == 0
    again = json.loads(manifest.read_text())
    assert again["counters"] == {} and again["counts"] == told["counts"]

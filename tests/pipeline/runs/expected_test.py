"""How long a run is expected to take, by an earlier one."""

from __future__ import annotations

import os
import types

import pytest
from etils import epath

from pipeline.config.config import Run
from pipeline.runs import expected
from pipeline.seeds.plan import Unit
from pipeline.workdir import ledger
from pipeline.workdir.ledger import Workdir

OWN = {"nets": [{"name": "a", "digest": "1"}], "settings": {"method": "hillclimb"}}
UNITS = [Unit(0, "test", range(100)), Unit(1, "test", (3, 5, 7))]


@pytest.fixture
def job(tmp_path):
    """A job of one task, whose kind and memory alone count."""
    of = types.SimpleNamespace
    return of(workdir=Workdir(epath.Path(tmp_path)), dataset_name="mistakes/t", kind=of(seeded=True), config=of(run=Run()))


def _finished(job, run_id, sequence, counted, **changed):
    manifest = {**OWN, "run_id": run_id, "sequence": sequence, **changed}
    if counted:
        manifest["counters"] = {"mining_milliseconds": counted[0], "seed_images": counted[1], "units": 2}
    path = job.workdir.run(job.dataset_name, run_id).path / "manifest.json"
    ledger.write_json(path, manifest)
    os.utime(path, (1_700_000_000 + sequence,) * 2)


def test_the_newest_run_of_the_same_nets_and_settings_tells(job):
    _finished(job, "old", 0, (50_000, 10))
    _finished(job, "like", 1, (20_000, 40))
    _finished(job, "others", 2, (1, 1), nets=[{"name": "a", "digest": "2"}])
    _finished(job, "harder", 3, (1, 1), settings={"method": "scan"})
    _finished(job, "uncounted", 4, None)
    line = expected.told(job, OWN, UNITS)
    assert line == (
        "expected: about 00:51 of mining in one process, by run 'like'; memory: 4 GB for images, in each process"
    )


def test_what_is_left_counts_alone(job):
    _finished(job, "like", 1, (20_000, 1))
    assert "about 01:00 of" in expected.told(job, OWN, UNITS[1:])


def test_islands_count_as_such(job):
    job.kind.seeded = False
    _finished(job, "like", 1, (20_000, 0))
    assert "about 00:20 of" in expected.told(job, OWN, UNITS)


def test_the_first_run_says_where_the_time_is_told(job):
    line = expected.told(job, OWN, UNITS)
    assert line.startswith("expected: memory: 4 GB") and line.endswith("`peerpressure check` measures it")


def test_a_manifest_of_another_kind_tells_nothing(job):
    path = job.workdir.run(job.dataset_name, "strange").path / "manifest.json"
    ledger.write_json(path, {"format": 0})
    assert "`peerpressure check` measures it" in expected.told(job, OWN, UNITS)


def test_many_nights_are_not_all_read(job, monkeypatch):
    for night in range(30):
        _finished(job, f"night-{night}", night, (1, 1), settings={"night": night})
    read, usual = [], ledger.RunFolder.manifest
    monkeypatch.setattr(ledger.RunFolder, "manifest", lambda self: read.append(self.run_id) or usual(self))
    expected.told(job, OWN, UNITS)
    assert read == [f"night-{night}" for night in range(29, 19, -1)]

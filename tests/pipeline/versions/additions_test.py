"""What each run adds is written once: versions share the files of the runs, and only what changed is written again."""

from __future__ import annotations

import collections
import errno
import hashlib
import json
import os
import pathlib
import shutil

import numpy as np
import pyarrow as pa
import pytest
import tensorflow_datasets as tfds

from pipeline import records
from pipeline.kinds.mistakes.kind import MISTAKES
from pipeline.versions import package, statuses
from pipeline.versions.statuses import Net, Recheck, Rechecked
from pipeline.workdir.ledger import Workdir
from tests.pipeline.conftest import Work, call


def _changed(chunk: pathlib.Path, name: str, near: int, by: int) -> bytes:
    """Gives the finds of a chunk new ids, and other images but for one in `near`, which is a near-duplicate."""
    table = records.read_table(chunk)
    rows = table.to_pylist()
    for place, row in enumerate(row for row in rows if row["outcome"] == records.FOUND):
        row["id"] = records.digest([name, row["id"]])[:32]
        if near == 0 or place % near:
            row["image"] = records.encode_png(records.decode_png(row["image"]) + np.uint8(by))
    return records.table_bytes(pa.Table.from_pylist(rows, table.schema))


def _add_night(work: Work, name: str, near: int = 2, by: int = 80) -> None:
    """Adds a finished run to the ledger, made of "first"; see `_changed`."""
    folder = work.ledger / name
    manifest = work.manifest("first")
    (folder / "chunks").mkdir(parents=True)
    for unit in manifest["units"]:
        chunk = f"chunks/{unit['number']:06d}.parquet"
        data = _changed(work.ledger / "first" / chunk, name, near, by)
        (folder / chunk).write_bytes(data)
        unit["sha256"] = hashlib.sha256(data).hexdigest()
    sequence = len(Workdir.at(str(work.path)).finished_runs(work.dataset))
    told = {**manifest, "run_id": name, "sequence": sequence}
    (folder / "manifest.json").write_text(json.dumps(told))


def _package(work: Work) -> str:
    packaged = package.package(Workdir.at(str(work.path)), MISTAKES.name, "tiny")
    return packaged.dataset.rpartition(":")[2]


@pytest.fixture
def two(copied) -> Work:
    """A workdir with a version of the runs "first" and "second"; one's own."""
    _add_night(copied, "second")
    assert _package(copied) == "1.1.0"
    return copied


def _shards(work: Work, version: str) -> list[pathlib.Path]:
    return sorted((work.published / version).glob("*.tfrecord*"))


def _added(work: Work, run_id: str) -> dict:
    return json.loads((work.ledger / run_id / "addition.json").read_text())


def test_versions_have_the_same_files_of_old_runs_and_a_run_alone_its_own(two):
    (one,), both = _shards(two, "1.0.0"), _shards(two, "1.1.0")
    assert [path.name for path in both] == [f"high_value_mistakes-test.tfrecord-0000{n}-of-00002" for n in range(2)]
    assert both[0].read_bytes() == one.read_bytes()
    for path, run_id in zip(both, ("first", "second"), strict=True):
        (own,) = (two.ledger / run_id / "dataset").rglob("*.tfrecord*")
        assert path.samefile(own)
        assert (two.published / "1.1.0" / "runs" / f"{run_id}.json").samefile(two.ledger / run_id / "published.json")


def test_a_run_adds_what_is_no_near_duplicate_and_the_notes_count_that(two):
    old, new = two.examples("1.0.0"), two.examples("1.1.0")
    added = [example for name, example in new.items() if name not in old]
    found = two.manifest("second")["examples"]
    chunks = [records.count_found(path) for path in (two.ledger / "second" / "chunks").iterdir()]
    assert len(added) == sum(_added(two, "second")["splits"][0][1]) == sum(count // 2 for count in chunks)
    info = tfds.builder(f"{two.dataset}:1.1.0", data_dir=two.datasets).info
    assert info.metadata["near_duplicates_left_out"] == found - len(added)
    classes = collections.Counter(int(example["label"]) for example in added)
    assert dict(_added(two, "second")["classes"]) == classes
    note = info.release_notes["1.1.0"]
    assert f": {len(added)} mistakes for" in note and f", {found - len(added)} near-duplicates left out." in note
    assert all(f"{name}: {classes[number]}" in note for number, name in enumerate("0123456789") if classes[number])


def test_a_night_reads_no_chunk_of_a_run_that_is_written(two, monkeypatch):
    """But those with an image that has to be compared itself: here there is none."""
    _add_night(two, "third", near=0, by=160)
    for run_id in ("first", "second"):
        shutil.rmtree(two.ledger / run_id / "chunks")
    assert _package(two) == "1.2.0"
    assert len(two.examples("1.2.0")) > len(two.examples("1.1.0"))


def test_what_runs_add_is_made_again_with_the_same_bytes_of_their_chunks(two, tree):
    before = tree(two.path)
    for run_id in ("first", "second"):
        for name in ("signatures.npy", "published.json", "addition.json"):
            (two.ledger / run_id / name).unlink()
        shutil.rmtree(two.ledger / run_id / "dataset")
    shutil.rmtree(two.published / "1.1.0")
    assert _package(two) == "1.1.0" and tree(two.path) == before


@pytest.mark.parametrize("lost", ["signatures.npy", "published.json", "addition.json", "dataset"])
def test_what_is_lost_of_a_run_is_made_again(two, tree, lost):
    before = tree(two.path)
    path = two.ledger / "first" / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.rmtree(two.published / "1.1.0")
    assert _package(two) == "1.1.0" and tree(two.path) == before


def test_a_shard_that_was_cut_short_is_written_again(two, tree):
    before = tree(two.path)
    (shard,) = (two.ledger / "first" / "dataset").rglob("*.tfrecord*")
    with open(shard, "r+b") as file:  # all versions have this file
        file.truncate(1000)
    for version in ("1.0.0", "1.1.0"):
        shutil.rmtree(two.published / version)
    assert _package(two) == "1.1.0"
    assert tree(two.path) == {
        name: data for name, data in before.items() if not name.startswith(f"datasets/{two.dataset}/1.0.0/")
    }


def test_where_a_disk_has_no_hard_links_versions_have_copies(two, tree, monkeypatch):
    before = tree(two.path)
    shutil.rmtree(two.published / "1.1.0")

    def refuse(*_):
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    assert _package(two) == "1.1.0" and tree(two.path) == before
    assert {path.stat().st_nlink for path in _shards(two, "1.1.0")} == {1}


def test_a_disk_that_is_full_leaves_no_half_version(two, tree, half_written, monkeypatch):
    shutil.rmtree(two.published / "1.1.0")
    before = tree(two.path)

    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", fail)
    with pytest.raises(OSError, match="No space left"):
        _package(two)
    assert tree(two.path) == before and not half_written(two.path)


def _keep(work: Work, names: list[str], status: str, asked: str = "1.1.0") -> None:
    found = tuple(Rechecked(name, "mlp-4", status) for name in names)
    recheck = Recheck(asked, 2, (Net("mlp-4", "a digest"),), found)
    statuses.keep(Workdir.at(str(work.path)).rechecks(work.dataset), recheck, {"a digest": "a.keras"})


def test_a_recheck_writes_again_the_shards_of_the_runs_whose_statuses_change(two):
    old = two.examples("1.1.0")
    second = [name for name, example in old.items() if example["run"]["id"] == b"second"]
    _keep(two, second[:3], "healed")
    assert _package(two) == "1.2.0"
    new = two.examples("1.2.0")
    assert {name: example["status"] for name, example in new.items()} == {
        name: b"healed" if name in second[:3] else b"" for name in old
    }
    before, after = _shards(two, "1.1.0"), _shards(two, "1.2.0")
    assert after[0].samefile(before[0]) and not after[1].samefile(before[1])
    assert {example["status"] for example in two.examples("1.1.0").values()} == {b""}
    _keep(two, list(old), "remaining", "1.2.0")
    _keep(two, second[:1], "lost", "1.3.0")
    assert _package(two) == "1.4.0"
    said = {name: example["status"] for name, example in two.examples("1.4.0").items()}
    assert said == {name: b"lost" if name == second[0] else b"remaining" for name in old}


def test_a_run_that_is_no_longer_after_another_is_compared_anew(two):
    """Without "first", what was near its finds is a find; the version of both has to be moved away."""
    shutil.rmtree(two.ledger / "first")
    for version in ("1.0.0", "1.1.0"):
        shutil.rmtree(two.published / version)
    assert _package(two) == "1.0.0"
    assert len(two.examples("1.0.0")) == two.manifest("second")["examples"]


def test_an_image_that_has_to_be_compared_and_is_lost_is_named(two, config):
    _add_night(two, "third")
    shutil.rmtree(two.ledger / "first" / "chunks")
    outcome = call("package", "--config", config(), "--workdir", two.path)
    assert outcome.code == 2 and outcome.err.count("\n") == 1, outcome
    assert "is lost, and a later run is compared with it; restore it." in outcome.err


def test_examples_load_by_plain_tfds(two):
    loaded = tfds.load(f"{two.dataset}:1.1.0", data_dir=two.datasets, split="test")
    runs = [example["run"]["id"].decode() for example in tfds.as_numpy(loaded)]
    assert set(runs) == {"first", "second"}
    part = tfds.load(f"{two.dataset}:1.1.0", data_dir=two.datasets, split="test[50%:]")
    assert len(part) == len(runs) - len(runs) // 2 == len(list(part))

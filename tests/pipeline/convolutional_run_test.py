"""Runs of a group with convolutional nets, which on a CPU have TensorFlow's own kernels and are asked one by one."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest

from models import devices
from pipeline import records
from pipeline.kinds.garbage.kind import GARBAGE
from tests.pipeline import conftest

NETS = ["cnn-4-4-8", "mlp-8", "cnn-4-8-8"]
CHANGES = {
    "peers": {"architectures": NETS},
    "training": {"epochs": 8, "batch_size": 16},
    "run": {"unit_size": 64, "lanes": 16},
}
OTHERS = {
    "pgd": (conftest.PAIRS, {"search": {"method": "pgd", "targets": [NETS[0]]}, "attack": conftest.ATTACK}),
    "direct": (
        f"{GARBAGE.name}/{conftest.TASK}",
        {
            "search": {"method": "direct", "targets": [NETS[0]]},
            "garbage": {"confidence": 0.5, "generations": 100, "population": 32},
        },
    ),
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(devices.device_name("auto") != "/CPU:0", reason="these nets have XLA's kernels here"),
]


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A workdir in which a run was run, and what it printed. Not to be changed."""
    folder = tmp_path_factory.mktemp("convolutional")
    work = conftest.Work(folder / "work")
    task = conftest.write_config(folder / "tiny.toml", **CHANGES)
    outcome = conftest.call("run", "--config", task, "--workdir", work.path, "--run_id", "first")
    assert outcome.code == 0, outcome
    return work, outcome


def test_what_is_found_is_verified_and_replayed(ran, peerpressure):
    work, _ = ran
    assert len(work.examples()) > 5
    assert peerpressure("verify", work.dataset, "--workdir", work.path).code == 0
    assert peerpressure("replay", work.dataset, next(iter(work.examples())), "--workdir", work.path).code == 0


def test_the_manifest_says_which_kernels_the_nets_have_and_whom_they_refused(ran):
    work, outcome = ran
    manifest, trials = work.manifest("first"), records.read_table(work.ledger / "first" / "trials.parquet").to_pylist()
    assert manifest["kernels"] == {NETS[0]: "tensorflow", NETS[1]: "xla", NETS[2]: "tensorflow"}
    assert manifest["passes"].keys() == set(NETS)
    for target, passes in manifest["passes"].items():
        mine = [trial for trial in trials if trial["target_net"] == target and trial["asked"]]
        assert passes["candidates"] == sum(trial["candidates"] for trial in mine) > 0
        for name in ("asked", "refused"):
            assert passes[name] == np.sum([trial[name] for trial in mine], axis=0).tolist()
        assert sum(passes["refused"]) <= sum(passes["asked"])
    assert (
        "% of the refused candidates of each target net (row) that fell by each net's (column) answer:" in outcome.out
    )


def test_the_units_and_the_worker_processes_change_no_byte_of_the_examples(ran, tmp_path, same_features):
    work = dataclasses.replace(ran[0], path=tmp_path / "work")
    shutil.copytree(ran[0].path / "nets", work.path / "nets")
    task = conftest.write_config(tmp_path / "tiny.toml", **{**CHANGES, "run": {"unit_size": 100, "lanes": 16}})
    workers = ("--direct_num_workers=2", "--direct_running_mode=multi_processing")
    outcome = conftest.call("run", "--config", task, "--workdir", work.path, "--run_id", "first", *workers)
    assert outcome.code == 0, outcome
    ours, theirs = work.examples(), ran[0].examples()
    assert ours.keys() == theirs.keys()
    for example_id, example in ours.items():
        same_features(example, theirs[example_id])


@pytest.mark.parametrize("method", OTHERS)
def test_pairs_and_garbage_of_them_are_verified_and_made_again(ran, tmp_path, peerpressure, method):
    dataset, changes = OTHERS[method]
    work = dataclasses.replace(ran[0], path=tmp_path / "work", dataset=dataset)
    shutil.copytree(ran[0].path / "nets", work.path / "nets")
    task = conftest.write_config(tmp_path / "tiny.toml", **{**CHANGES, **changes})
    outcome = peerpressure("run", "--config", task, "--workdir", work.path, "--run_id", "first")
    assert outcome.code == 0, outcome
    splits = ("train",) if dataset.startswith(GARBAGE.name) else ("test",)
    examples = work.examples(splits=splits)
    assert examples
    assert peerpressure("verify", dataset, "--workdir", work.path).code == 0
    assert peerpressure("replay", dataset, next(iter(examples)), "--workdir", work.path).code == 0

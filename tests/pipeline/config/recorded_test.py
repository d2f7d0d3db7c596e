"""What is read of the manifests of runs that another version of this code made."""

from __future__ import annotations

import copy
import dataclasses
import json
from typing import Any

import pytest

from models.errors import InputError
from models.recipe import Training
from pipeline.config.config import Config, Judge, Peers, Run, Seeds
from pipeline.config.recorded import recorded
from pipeline.formats import FORMAT
from pipeline.kinds import registry

METHODS = registry.methods()


def _task(method: str) -> Config:
    found = METHODS[method]
    sections = {name: found.choices(name)[0]() for name in found.sections}
    peers = Peers(architectures=("mlp-3", "mlp-4"))
    task = Config("tiny", found, Seeds(dataset="digits"), peers, Training(), Judge(), Run(run_seed=7), sections)
    return task.with_section("search", method=method, targets=("mlp-3",))


def _manifest(task: Config, **changes: Any) -> dict[str, Any]:
    """Returns what is read back of a manifest's file."""
    return json.loads(json.dumps({"format": FORMAT, "run_id": "first", "config": task.to_json(), **changes}))


@pytest.mark.parametrize("method", METHODS)
def test_what_a_manifest_tells_is_the_run_as_it_was(method):
    task = _task(method)
    run = recorded(_manifest(task, num_classes=2, class_names=[]), METHODS)
    assert (run.method, run.sections, run.run, run.peers) == (task.method, task.sections, task.run, task.peers)
    assert run["run_id"] == "first" and run.class_names == ["0", "1"]


def test_settings_that_are_not_the_defaults_come_back():
    task = _task("hillclimb").with_section("operator", border="edge", scale=0.25).with_section("search", patience=3)
    run = recorded(_manifest(task), METHODS)
    assert run.sections == task.sections and run.sections["operator"].border == "edge"


def test_a_key_that_came_later_has_its_default_and_one_that_is_gone_is_passed_over():
    task, manifest = _task("pgd"), _manifest(_task("pgd"))
    older = copy.deepcopy(manifest)
    del older["config"]["attack"]["norm"]
    older["config"]["attack"]["forgotten"] = 3
    older["config"]["forgotten"] = {"key": 1}
    older["config"]["run"]["forgotten"] = 3
    assert recorded(older, METHODS).sections == task.sections


def test_a_section_that_came_later_has_its_defaults():
    manifest = _manifest(_task("hillclimb"))
    del manifest["config"]["grade"]
    assert recorded(manifest, METHODS).sections == _task("hillclimb").sections


def test_a_manifest_from_before_formats_had_numbers_is_told_in_one_sentence():
    manifest = _manifest(_task("scan"))
    del manifest["format"]
    with pytest.raises(InputError, match=r"^run 'first' was made by an older version of peer-pressure; [^.]*\.$"):
        recorded(manifest, METHODS)


def test_a_manifest_of_a_later_format_is_told_in_one_sentence():
    with pytest.raises(InputError, match=rf"^run 'first' has format {FORMAT + 1}, .* up to {FORMAT}; upgrade it\.$"):
        recorded(_manifest(_task("scan"), format=FORMAT + 1), METHODS)


def test_a_method_that_is_not_known_here_is_told_by_name():
    manifest = _manifest(_task("scan"))
    manifest["config"]["search"]["method"] = "swirl"
    with pytest.raises(InputError, match=r"run 'first' was made by the method 'swirl', which is not known here"):
        recorded(manifest, METHODS)


def test_what_is_read_does_not_hang_on_the_registry_alone():
    """With the methods that are given."""
    method = dataclasses.replace(METHODS["scan"], name="glance")
    manifest = _manifest(_task("scan"))
    manifest["config"]["search"]["method"] = "glance"
    assert recorded(manifest, {"glance": method}).method is method

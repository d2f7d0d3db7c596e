"""Published datasets that an earlier day's code made (see `make`): today's verifies, replays, rechecks, compares them.

A failure here means that users' datasets cannot be read any more. What was made is right, the code is to be mended; if
it cannot be, `pipeline.formats.FORMAT` gets a new number, and `make` makes one more golden workdir.
"""

from __future__ import annotations

import json
import pathlib
import re
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from models.classifier import PeerGroup
from pipeline.commands import run_commands
from pipeline.config.recorded import Recorded
from pipeline.kinds import registry
from pipeline.kinds.garbage.kind import GARBAGE
from pipeline.kinds.mistakes.kind import MISTAKES
from pipeline.kinds.pairs.kind import PAIRS
from pipeline.runs.nets import Finder
from pipeline.versions import published as datasets
from pipeline.versions.published import Published
from pipeline.workdir.ledger import Workdir
from tests.golden import make
from tests.pipeline.conftest import REPORTED, Outcome, call

NETS = ["mlp-6", "mlp-8", "mlp-10"]
TASKS = dict(zip(make.TASKS, (MISTAKES, PAIRS, GARBAGE), strict=True))
NEWEST = [f"{kind.name}/golden" for kind in TASKS.values()]
VERSIONS = [f"{NEWEST[0]}:1.{minor}.0" for minor in range(3)] + [f"{name}:1.0.0" for name in NEWEST[1:]]
UNCHANGED = {MISTAKES.name: "remaining", PAIRS.name: "fooled", GARBAGE.name: "certain"}  # by the nets of the run

Nets = Callable[[Recorded], PeerGroup]


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> pathlib.Path:
    """A copy of the oldest golden workdir, elsewhere than it was made. Not to be changed."""
    return shutil.copytree(make.WORKDIRS[0], tmp_path_factory.mktemp("golden") / "work")


@pytest.fixture
def own(tmp_path) -> pathlib.Path:
    """A copy of the oldest, one's own, with the seed images and the tasks beside it."""
    make.prepare(tmp_path)
    return shutil.copytree(make.WORKDIRS[0], tmp_path / "work")


def _open(work: pathlib.Path, dataset: str) -> tuple[Published, Nets]:
    workdir = Workdir.at(str(work))
    found = datasets.open_dataset(dataset, workdir.datasets)
    return found, Finder(workdir, found.name).group


def _ids(work: pathlib.Path, dataset: str) -> set[str]:
    return {example["id"].decode() for example in _open(work, dataset)[0].examples()}


@pytest.mark.parametrize("folder", make.WORKDIRS, ids=lambda folder: folder.name)
def test_there_is_a_golden_workdir_of_every_kind_and_it_is_small(folder):
    assert {kind.name for kind in registry.KINDS} == {path.name for path in (folder / "datasets").iterdir()}
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 500_000


@pytest.mark.parametrize("folder", make.WORKDIRS, ids=lambda folder: folder.name)
@pytest.mark.parametrize("dataset", VERSIONS)
def test_every_version_is_verified(folder, dataset):
    count = len(_ids(folder, dataset))
    assert count > 0
    assert call("verify", dataset, "--workdir", folder) == (
        0,
        f"{dataset}: {count:,} examples checked, 0 shown of those that fail\n",
        "",
    )


def test_every_mistake_is_replayed_byte_for_byte(work):
    for example_id in sorted(_ids(work, NEWEST[0])):
        outcome = call("replay", NEWEST[0], example_id, "--workdir", work)
        assert outcome.code == 0 and "are equal, byte for byte" in outcome.out, outcome


@pytest.mark.slow
@pytest.mark.parametrize("dataset", NEWEST)
def test_what_is_made_again_is_again_what_it_was(work, dataset):
    """On another machine the last bits of what nets say may differ, and so may the pixels of pairs and garbage."""
    published, nets = _open(work, dataset)
    for example in published.examples():
        run, kind = published.run(example), published.kind
        group, target = nets(run), example["target_net"].decode()
        image = kind.again(example, run, lambda group=group: group)
        assert image.shape == example["image"].shape and image.dtype == np.uint8
        answers = group.probabilities(image[None], kind.batch(run, 8))
        again = {**example, "image": image}
        assert kind.status([again], run, answers, group.names.index(target)) == [UNCHANGED[kind.name]]
    outcome = call("replay", dataset, example["id"].decode(), "--workdir", work)
    assert outcome.code in (0, 1) and outcome.out.endswith("equal, byte for byte\n") and not outcome.err


def _recheck(work: pathlib.Path, dataset: str, file: pathlib.Path, *peers: str) -> dict[str, str]:
    """Returns by id what nets say."""
    outcome = call("recheck", dataset, "--workdir", work, "--status", file, "--peers", *peers)
    assert outcome.code == 0, outcome
    return {one["id"]: one["status"] for one in map(json.loads, file.read_text().splitlines())}


@pytest.mark.parametrize("dataset", NEWEST)
def test_the_nets_of_a_run_change_nothing(work, dataset, tmp_path):
    found = _recheck(work, dataset, tmp_path / "status.jsonl", *(make.net(work, name) for name in NETS))
    assert found == dict.fromkeys(_ids(work, dataset), UNCHANGED[dataset.split("/")[0]])


def _status(example: dict[str, Any], kind: Any, answers: np.ndarray, target: int, confidence: float) -> str:
    """What is to be said of an example, told by what nets `[N, K]` say of its image."""
    given = answers.argmax(axis=-1)
    if kind is PAIRS:
        return "healed" if given[target] == example["label"] else "fooled"
    if kind is GARBAGE:
        same = "same class" if given[target] == example["wrong_class"] else "healed"
        return "certain" if answers[target, example["wrong_class"]] >= confidence else same
    right = given == example["label"]
    peers = np.delete(right, target).all()
    return ("healed" if peers else "lost") if right[target] else ("remaining" if peers else "shared")


@pytest.mark.parametrize("dataset", NEWEST)
def test_a_net_in_anothers_place_says_of_examples_what_is_stored_that_it_says(work, dataset, tmp_path):
    published, _ = _open(work, dataset)
    kind, (place, successor) = published.kind, make.SUCCESSOR
    said_by = [NETS.index(successor if name == place else name) for name in NETS]
    expected = {}
    for example in published.examples():
        target = NETS.index(example["target_net"].decode())
        if kind.whole_group or NETS[target] == place:
            section = published.run(example).sections.get("garbage")
            answers, confidence = example["probabilities_after"][said_by], section.confidence if section else 0.0
            expected[example["id"].decode()] = _status(example, kind, answers, target, confidence)
    found = _recheck(work, dataset, tmp_path / "status.jsonl", f"{place}={make.net(work, successor)}")
    assert found == expected and found
    if kind is MISTAKES:  # the last published recheck asked the same
        assert {one["id"].decode(): one["status"].decode() for one in published.examples()} == found


def _diff(work: pathlib.Path, file: pathlib.Path, old: str, new: str) -> dict[str, Any]:
    outcome = call("diff", old, new, "--workdir", work, "--json", file)
    assert outcome.code == 0, outcome
    return json.loads(file.read_text())


def test_versions_are_compared(work, tmp_path):
    first, second, third = VERSIONS[:3]
    ids = {version: _ids(work, version) for version in VERSIONS[:3]}
    told = _diff(work, tmp_path / "run.json", first, second)
    assert set(told["added"]) == ids[second] - ids[first] != set() and told["unchanged"] == len(ids[first])
    assert [run["run_id"] for run in told["runs_added"]] == ["second"]
    assert told["dropped"] == told["changed"] == told["status_changed"] == told["rechecks_added"] == []
    told = _diff(work, tmp_path / "recheck.json", second, third)
    assert set(told["status_changed"]) == ids[second] == ids[third] and told["unchanged"] == len(ids[third])
    assert [recheck["version"] for recheck in told["rechecks_added"]] == ["1.2.0"]
    assert told["added"] == told["dropped"] == told["changed"] == told["runs_added"] == []


@pytest.mark.parametrize("dataset", NEWEST[1:])
def test_a_version_does_not_differ_from_itself(work, dataset, tmp_path):
    told = _diff(work, tmp_path / "diff.json", dataset, dataset)
    assert told["unchanged"] == len(_ids(work, dataset)) and not told["added"] + told["dropped"] + told["changed"]


def _files(folder):
    return {path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"}


@pytest.mark.parametrize("task", make.TASKS)
def test_its_run_is_the_same_one_today(own, task, monkeypatch):
    """The same task has the same nets, ids and digests: a run goes on in the workdir of an earlier version."""
    monkeypatch.setattr(run_commands, "_reported", REPORTED)  # other tests of this session leave pages out
    before = _files(own)
    outcome = call("run", "--config", own.parent / f"{task}.toml", "--workdir", own, "--run_id", "first")
    assert outcome.code == 0 and "run first is finished already" in outcome.out, outcome
    assert f"dataset {TASKS[task].name}/golden:" in outcome.out and " is there already " in outcome.out
    page = own / "reports" / TASKS[task].name / "golden" / "first" / "index.html"
    new = _files(own) - before
    assert page in new and all(path.parent == page.parent for path in new)


def _with_format(path: pathlib.Path, number: int | None) -> None:
    """Gives a JSON file another format; None for that of before there were numbers."""
    told = json.loads(path.read_text())
    assert told.pop("format") == 1
    path.write_text(json.dumps(told if number is None else {**told, "format": number}))


OTHERS = [None, 0, 2]
OTHERS_OF_VERSIONS = [None, 0, 3]  # 2 is read
SENTENCES = {
    None: "was made by an older version of peer-pressure; ",
    0: "was made by an older version of peer-pressure; ",
    2: "has format 2, and this version of peer-pressure reads formats up to 1; upgrade it",
    3: "has format 3, and this version of peer-pressure reads formats up to 2; upgrade it",
}


def _refused(outcome: Outcome, what: str, number: int | None) -> None:
    assert outcome.code == 2 and outcome.err.count("error:") == 1, outcome
    sentence = f"peerpressure: error: {re.escape(f'{what} {SENTENCES[number]}')}[^.]*\\."
    assert re.fullmatch(sentence, outcome.err.splitlines()[-1])


@pytest.mark.parametrize("number", OTHERS_OF_VERSIONS)
@pytest.mark.parametrize("dataset", NEWEST)
def test_a_version_of_another_format_is_refused_in_one_sentence(own, dataset, number):
    published, _ = _open(own, dataset)
    example_id = next(iter(_ids(own, dataset)))
    _with_format(own / "datasets" / published.name / published.version / "metadata.json", number)
    for command in (
        ("verify", dataset),
        ("replay", dataset, example_id),
        ("recheck", dataset, "--peers", make.net(own, "mlp-6")),
        ("recheck", dataset, "--publish", "--peers", make.net(own, "mlp-6")),
        ("diff", dataset, dataset),
    ):
        outcome = call(*command, "--workdir", own)
        _refused(outcome, f"dataset '{dataset}' in {own / 'datasets'}", number)
        assert outcome.out == "" and outcome.err.count("\n") == 1


@pytest.mark.parametrize("number", OTHERS)
@pytest.mark.parametrize("task", make.TASKS)
def test_a_plan_of_another_format_is_not_gone_on_with(own, task, number):
    _with_format(own / "ledger" / TASKS[task].name / "golden" / "first" / "plan.json", number)
    outcome = call("run", "--config", own.parent / f"{task}.toml", "--workdir", own, "--run_id", "first")
    _refused(outcome, "run 'first'", number)


@pytest.mark.parametrize("number", OTHERS)
@pytest.mark.parametrize("task", make.TASKS)
def test_a_manifest_of_another_format_is_not_packaged(own, task, number):
    folder = own / "ledger" / TASKS[task].name / "golden" / "first"
    _with_format(folder / "manifest.json", number)
    for command in (("package",), ("run", "--run_id", "first")):
        outcome = call(*command, "--config", own.parent / f"{task}.toml", "--workdir", own)
        _refused(outcome, f"run 'first' in {folder}", number)

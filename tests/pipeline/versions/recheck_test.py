"""Datasets shown to new nets: statuses of nets whose answers are known, and the command."""

from __future__ import annotations

import csv
import json
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from models.errors import InputError
from pipeline.config.recorded import recorded
from pipeline.formats import FORMAT
from pipeline.kinds import registry
from pipeline.kinds.garbage.kind import GARBAGE
from pipeline.kinds.kind import Kind
from pipeline.kinds.mistakes.kind import MISTAKES
from pipeline.kinds.pairs.kind import PAIRS
from pipeline.versions import recheck
from tests.pipeline import conftest, nets

LABEL, OTHER = 1, 2
NAMES = ("a", "b", "c")


class _Published:
    """What `recheck` asks of a published dataset, with made-up examples of one run."""

    def __init__(self, kind: Kind, examples: list[dict[str, Any]]):
        run = {"format": FORMAT, "run_id": "first", "num_classes": nets.CLASSES, "image_shape": nets.SHAPE}
        run["nets"] = [{"name": name, "digest": f"old {name}"} for name in NAMES]
        garbage = {"population": 4, "confidence": 0.9}
        run["config"] = {"search": {"method": kind.methods[0].name}, "garbage": garbage, "run": {}, "peers": {}}
        self.kind, self.runs, self._examples = kind, {"first": recorded(run, registry.methods())}, examples
        self.count = len(examples)
        self.builder = type("Builder", (), {"info": type("Info", (), {"full_name": f"{kind.name}/made_up/1.0.0"})})

    def run(self, example):
        return self.runs["first"]

    def examples(self, features):
        return iter(self._examples)

    def places_by_run(self, examples):
        return [(self.runs["first"], list(range(len(examples))))]


def _example(value: int, target: str) -> dict[str, Any]:
    image = np.full(nets.SHAPE, value, np.uint8)
    return {"id": f"{target}{value}".encode(), "image": image, "target_net": target.encode(), "label": LABEL}


def _right_where(bit: int, name: str, **changes):
    """A net that is right about an image if a bit of its grey level is set."""

    def predict(images):
        grey = tf.cast(tf.round(images[:, 0, 0, 0] * 255.0), tf.int32)
        given = tf.where(tf.bitwise.bitwise_and(grey, 1 << bit) > 0, LABEL, OTHER)
        return tf.one_hot(given, nets.CLASSES, 0.8, 0.1)

    return nets.classifier(predict, name, **changes)


def _of_grey(count: int = nets.CLASSES):
    """A net that gives class 0 the image's grey level, and class 1 what is left."""

    def predict(images):
        grey = images[:, 0, 0, 0]
        return tf.stack([grey, 1.0 - grey, *[tf.zeros_like(grey)] * (count - 2)], axis=-1)

    return nets.classifier(predict, "b", num_classes=count)


def _found(published, given) -> dict[str, str]:
    groups = recheck.groups_to_ask(published, recheck.successors(published, given))
    return {one.id: one.status for one in recheck.recheck(published, groups, 4)}


@pytest.mark.parametrize("target", NAMES)
def test_a_mistake_is_healed_remains_is_shared_or_lost_as_the_nets_are_right(target):
    published = _Published(MISTAKES, [_example(value, target) for value in range(8)])
    found = _found(published, [_right_where(bit, name) for bit, name in enumerate(NAMES)])
    for value in range(8):
        right = {name: bool(value >> bit & 1) for bit, name in enumerate(NAMES)}
        peers = all(right[name] for name in NAMES if name != target)
        expected = {(True, True): "healed", (False, True): "remaining", (False, False): "shared", (True, False): "lost"}
        assert found[f"{target}{value}"] == expected[right[target], peers]


def test_a_pair_is_healed_where_the_twin_is_read_as_its_original():
    published = _Published(PAIRS, [_example(value, "b") for value in range(8)])
    found = _found(published, [_right_where(1, "b")])
    assert found == {f"b{value}": "healed" if value & 2 else "fooled" for value in range(8)}


@pytest.mark.parametrize("classes", [nets.CLASSES, nets.CLASSES + 1])
def test_garbage_is_certain_the_same_class_or_healed(classes):
    values = {255: "certain", 240: "certain", 200: "same class", 130: "same class", 120: "healed", 0: "healed"}
    examples = [{**_example(value, "b"), "wrong_class": 0} for value in values]
    found = _found(_Published(GARBAGE, examples), [_of_grey(classes)])
    assert found == {f"b{value}": status for value, status in values.items()}


def test_answers_that_are_not_finite_heal_nothing():
    broken = nets.classifier(lambda images: tf.fill([tf.shape(images)[0], nets.CLASSES], np.nan), "b")
    for kind, status in ((PAIRS, "fooled"), (GARBAGE, "same class")):
        published = _Published(kind, [{**_example(7, "b"), "wrong_class": 0}])
        assert _found(published, [broken]) == {"b7": status}


def test_a_new_net_that_answers_by_its_company_is_refused():
    def by_company(images):
        mean = tf.reduce_mean(images, axis=(0, 1, 2, 3))
        return tf.nn.softmax(20.0 * tf.reshape(images, [-1, 64])[:, : nets.CLASSES] * [1.0, mean, 0.0])

    published = _Published(PAIRS, [_example(value, "b") for value in range(8)])
    recheck.check_new(published, [_right_where(0, "a")])
    recheck.check_new(_Published(PAIRS, []), [nets.classifier(by_company, "b")])
    with pytest.raises(InputError, match=r"^Net 'b' does not answer each image by itself"):
        recheck.check_new(published, [_right_where(0, "a"), nets.classifier(by_company, "b")])


def test_a_run_none_of_whose_nets_has_a_successor_is_not_asked_about():
    published = _Published(MISTAKES, [_example(1, "a")])
    groups = recheck.groups_to_ask(published, {"first": {}, "second": {"b": _right_where(0, "b")}})
    assert groups["first"] == {} and groups["second"].keys() == {"b"}


def test_equal_nets_of_many_runs_are_one_group():
    for kind in (MISTAKES, PAIRS):
        published = _Published(kind, [_example(1, "a")])
        of_run = {name: _right_where(bit, name) for bit, name in enumerate(NAMES)}
        other = {**of_run, "b": _right_where(5, "b", digest="another")}
        groups = recheck.groups_to_ask(published, {"first": of_run, "second": dict(of_run), "third": other})
        assert all(groups["first"][name] is groups["second"][name] for name in NAMES)
        assert groups["first"]["b"] is not groups["third"]["b"]


def test_counts_and_shares_are_told_by_target_net():
    statuses = {"a": ["healed", "healed", "remaining", "shared"], "b": ["lost"]}
    found = [recheck.Rechecked("x", net, status) for net, each in statuses.items() for status in each]
    heads, *rows = recheck.table(found, MISTAKES).cells
    assert heads[:4] == ["target", "examples", "healed", "healed %"]
    assert rows == [
        ["a", "4", "2", "50.0", "1", "25.0", "1", "25.0", "0", "0.0"],
        ["b", "1", "0", "0.0", "0", "0.0", "0", "0.0", "1", "100.0"],
    ]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ("new.keras", ("", "new.keras")),
        ("a=new.keras", ("a", "new.keras")),
        ("runs/a=b/new.keras", ("", "runs/a=b/new.keras")),
        ("a=", ("", "a=")),
    ],
)
def test_a_net_may_be_given_with_its_place(given, named):
    assert recheck.split_name(given) == named


def test_a_net_takes_the_place_of_its_name_with_or_without_key_or_of_itself():
    published = _Published(MISTAKES, [])
    given = [
        _right_where(0, "c-0123456789ab"),
        _right_where(0, "a"),
        _right_where(0, "elsewhere", digest="old b"),
    ]
    placed = recheck.successors(published, given)["first"]
    assert {name: net.digest for name, net in placed.items()} == {
        "c": given[0].digest,
        "a": given[1].digest,
        "b": "old b",
    }
    assert all(net.name == name for name, net in placed.items())


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        (
            MISTAKES,
            [_right_where(0, "d")],
            r"'d' \(test\) is named like none of .* nets \(a, b, c\)",
        ),
        (MISTAKES, [_right_where(0, "a-0123")], "named like none"),
        (MISTAKES, [_right_where(0, "a"), _right_where(1, "a-0123456789ab")], "both take the place of net 'a'"),
        (PAIRS, [_right_where(0, "a", num_classes=4)], "'a' has 4 classes and the dataset's nets have 3"),
        (GARBAGE, [_right_where(0, "a", num_classes=5)], "'a' has 5 classes and the dataset's nets have 3"),
    ],
)
def test_a_net_without_a_place_of_its_own_is_told(kind, given, message):
    with pytest.raises(InputError, match=message):
        recheck.successors(_Published(kind, []), given)


def test_nothing_to_show_is_told():
    net = _right_where(0, "a")
    with pytest.raises(InputError, match="is empty; there is nothing to show"):
        _found(_Published(PAIRS, []), [net])
    with pytest.raises(InputError, match="has no example whose target net is a;"):
        _found(_Published(PAIRS, [_example(1, "b")]), [net])


def _counts(path) -> dict[str, dict[str, str]]:
    with open(path, newline="") as stream:
        return {row["target"]: row for row in csv.DictReader(stream)}


def test_the_nets_of_the_run_leave_every_mistake_as_it_is(finished, peerpressure, tmp_path):
    table, statuses = tmp_path / "table.csv", tmp_path / "status.jsonl"
    arguments = ["--peers", finished.nets()[0], "--csv", table, "--status", statuses]
    arguments += ["--json", tmp_path / "table.json"]
    outcome = peerpressure("recheck", conftest.DATASET, "--workdir", finished.path, *arguments)
    assert outcome.code == 0, outcome.err
    records = json.loads((tmp_path / "table.json").read_text())[0]["rows"]
    assert {record["target"]: record["remaining"] for record in records} == {
        name: int(row["remaining"]) for name, row in _counts(table).items()
    }
    examples = finished.examples()
    told = [json.loads(line) for line in statuses.read_text().splitlines()]
    assert {one["id"]: one["target_net"] for one in told} == {
        name: example["target_net"].decode() for name, example in examples.items()
    }
    assert {one["status"] for one in told} == {"remaining"}
    assert all(row["remaining"] == row["examples"] for row in _counts(table).values())


def test_nets_that_change_places_lose_and_share_each_others_mistakes(finished, peerpressure, tmp_path):
    small, _, large = finished.nets()
    table = tmp_path / "table.csv"

    def counts(*given):
        arguments = ["--workdir", finished.path, "--peers", *given, "--csv", table]
        assert peerpressure("recheck", conftest.DATASET, *arguments).code == 0
        return _counts(table)

    # The large net, which was right about all mistakes of the small one, in its place.
    found = counts(f"mlp-4={large}")
    assert found["mlp-4"]["healed %"] == "100.0"
    assert found["mlp-8"]["remaining %"] == "100.0"
    assert found["mlp-12"]["shared %"] == "100.0"
    found = counts(f"mlp-4={large}", f"mlp-12={small}")
    assert found["mlp-4"]["lost %"] == found["mlp-12"]["lost %"] == "100.0"


def test_pairs_are_shown_to_the_given_nets_only(mined, peerpressure, tmp_path):
    work, table = mined[0], tmp_path / "table.csv"
    arguments = ["--workdir", work.path, "--peers", work.nets()[1], "--csv", table]
    assert peerpressure("recheck", conftest.PAIRS, *arguments).code == 0
    ((target, row),) = _counts(table).items()
    assert target == "mlp-8" and row["fooled"] == row["examples"] != "0"


def test_what_does_not_fit_is_one_sentence(finished, peerpressure, tmp_path):
    layers = tf.keras.layers
    wide = tf.keras.Sequential([tf.keras.Input((9, 9, 1)), layers.Flatten(), layers.Dense(10, "softmax")])
    wide.save(tmp_path / "mlp-4.keras")
    for given, message in (
        (str(tmp_path / "mlp-4.keras"), "(9, 9, 1)"),
        (str(tmp_path / "none.keras"), "there is nothing at"),
        (f"other={finished.nets()[0].replace('mlp-4', 'mlp-5')}", "there is nothing at"),
    ):
        outcome = peerpressure("recheck", conftest.DATASET, "--workdir", finished.path, "--peers", given)
        assert outcome.code == 2 and outcome.err.count("\n") == 1 and message in outcome.err


def test_a_sample_is_told_and_is_never_published(finished, mined, peerpressure, tmp_path):
    given = ("--workdir", finished.path, "--peers", *finished.nets())
    outcome = peerpressure("recheck", conftest.DATASET, *given, "--sample", 12, "--status", tmp_path / "status.jsonl")
    whole = len(finished.examples())
    assert outcome.code == 0 and f"of a sample: 12 of {whole} examples\n" in outcome.out
    assert len((tmp_path / "status.jsonl").read_text().splitlines()) == 12
    refused = peerpressure("recheck", conftest.DATASET, *given, "--sample", 12, "--publish")
    assert refused.code == 2 and "--publish gives all examples a status" in refused.err
    pairs = mined[0]
    for command in ("transfer", "probe"):
        outcome = peerpressure(command, pairs.dataset, "--workdir", pairs.path, "--sample", 7)
        assert f"of a sample: 7 of {len(pairs.examples())} examples\n" in outcome.out

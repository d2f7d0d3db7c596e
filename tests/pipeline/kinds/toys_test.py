"""One class and one line: a kind, a method and an operator of one's own are mined, packaged, verified and replayed."""

import pytest

from pipeline.kinds import registry
from pipeline.kinds.mistakes import methods
from pipeline.kinds.mistakes.kind import MISTAKES, Mistakes
from pipeline.operators.registry import OPERATORS
from tests.pipeline.conftest import TASK
from tests.pipeline.kinds import toys

SECTIONS = {"peer_confidence": 0.0, "target_confidence": 0.0}


def _round_trip(peerpressure, work, task, dataset):
    """Mines, packages, verifies, replays and rechecks; returns the examples."""
    ran = peerpressure("run", "--config", task, "--workdir", work.path, "--run_id", "first")
    assert ran.code == 0, ran
    assert peerpressure("verify", dataset, "--workdir", work.path).code == 0
    found = work.examples(splits=("test",))
    replayed = peerpressure("replay", dataset, next(iter(found)), "--workdir", work.path)
    assert replayed.code == 0 and "are equal, byte for byte" in replayed.out, replayed
    rechecked = peerpressure("recheck", dataset, "--workdir", work.path, "--peers", *work.nets())
    assert rechecked.code == 0, rechecked
    return found


@pytest.fixture
def on_mistakes(monkeypatch):
    """Replaces the methods of mistakes by these."""
    return lambda *found: monkeypatch.setattr(Mistakes, "methods", found)


@pytest.mark.slow
def test_an_operator_without_a_matrix_needs_one_line(peerpressure, work, config, monkeypatch, on_mistakes):
    hillclimb = methods.METHODS[0]
    sections = {**hillclimb.sections, "operator": (*OPERATORS, toys.Brightness)}
    on_mistakes(methods.Method("hillclimb", sections, hillclimb.build, least_nets=hillclimb.least_nets))
    task = config(search=SECTIONS, operator={"name": "brightness", "most": 60.0})
    found = _round_trip(peerpressure, work, task, f"{MISTAKES.name}/{TASK}")
    for example in found.values():
        transform = example["transform"]
        assert transform["operator"] == b"brightness" and transform["parameters"].shape[1] == 1
        assert transform["total"] == pytest.approx(transform["parameters"].sum())
        assert (example["grade"] == b"high") <= (abs(transform["total"]) <= 60.0)
    assert found


@pytest.mark.slow
def test_a_method_needs_one_line(peerpressure, work, config, on_mistakes):
    on_mistakes(*methods.METHODS, toys.TOSS)
    task = config(search={**SECTIONS, "method": "toss", "patience": 30}, operator={"name": "brightness", "most": 120.0})
    found = _round_trip(peerpressure, work, task, f"{MISTAKES.name}/{TASK}")
    assert found and all(example["moves"] == 1 for example in found.values())


@pytest.mark.slow
def test_a_kind_needs_one_line(peerpressure, work, config, monkeypatch):
    monkeypatch.setattr(registry, "KINDS", (*registry.KINDS, toys.Sure()))
    sure = work.__class__(work.path, f"sure_images/{TASK}")
    task = config(search={"method": "sure", "least": 0.6}, operator=None)
    found = _round_trip(peerpressure, sure, task, sure.dataset)
    assert found and all(example["surplus"] >= 0 for example in found.values())
    told = peerpressure("verify", "garbage/x", "--workdir", work.path)
    assert told.code == 2 and "sure_images/TASK[:VERSION]" in told.err


def test_a_key_of_another_method_is_no_part_of_what_determines_a_result(config, on_mistakes):
    from pipeline.config import config_file

    on_mistakes(*methods.METHODS, toys.TOSS)
    search = {**SECTIONS, "method": "toss"}
    first = config_file.load(str(config("one", search=search, operator=None)), registry.methods())
    other = config_file.load(
        str(config("two", search={**search, "patience": 99}, operator=None, attack={"eps": 0.3})), registry.methods()
    )
    assert first.result_determining() == other.result_determining()

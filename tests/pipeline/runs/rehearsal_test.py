"""`peerpressure check`: what a task would do, without doing it."""

import json
import re

import pytest

from pipeline.config import config_file
from pipeline.kinds import registry
from pipeline.seeds.plan import Unit
from tests.pipeline import conftest


def _check(work, config, *options):
    return conftest.call("check", "--config", config, "--workdir", work.path, *options)


@pytest.mark.parametrize(
    "search",
    [
        {},
        pytest.param({"trials": 20}, marks=pytest.mark.slow),
        pytest.param({"method": "scan"}, marks=pytest.mark.slow),
        pytest.param(conftest.PGD, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_a_task_is_told_and_nothing_is_kept(finished, tmp_path, config, tree, search):
    work = finished.copy(tmp_path / "work", ran=False)
    before = tree(work.path)
    outcome = _check(work, config(search=search), "--json", tmp_path / "nets.json")
    assert outcome.code == 0 and tree(work.path) == before, outcome
    nets = json.loads((tmp_path / "nets.json").read_text())[0]["rows"]
    assert all(record["classes"] == 10 and 0 < record["accuracy"] <= 100 for record in nets)
    assert "images: digits:1.0.0, 28x28x1, 10 classes; test 359\n" in outcome.out
    for name in ("mlp-4", "mlp-8", "mlp-12", "judge-mlp-16"):
        assert re.search(rf"^{name} +\d+\.\d +10 +.*nets/{name}-\w+\.keras$", outcome.out, re.MULTILINE)
    assert re.search(r"^plan: \d+ units?, \d+ seed images; target nets: ", outcome.out, re.MULTILINE)
    assert re.search(r"^time: about [\d:]+ at most in one process, .*memory: \d+\.\d GiB now$", outcome.out, re.MULTILINE)


@pytest.mark.slow
def test_islands_are_told(finished, tmp_path):
    work = finished.copy(tmp_path / "work", ran=False)
    outcome = _check(work, _garbage(tmp_path))
    assert outcome.code == 0 and "plan: 9 units, an island each; target nets: all" in outcome.out, outcome


def _garbage(folder):
    path = folder / "garbage.toml"
    path.write_text(
        '[seeds]\ndataset = "digits"\nsplits = ["test"]\n'
        '[peers]\narchitectures = ["mlp-4", "mlp-8", "mlp-12"]\n[training]\nepochs = 3\nbatch_size = 32\n'
        '[search]\nmethod = "direct"\n[garbage]\nislands = 3\ngenerations = 50\n'
    )
    return path


def test_nets_that_are_not_trained_are_named_and_not_trained(finished, tmp_path, config):
    work = finished.copy(tmp_path / "work", ran=False)
    for path in work.nets()[1:]:
        (tmp_path / "work" / "nets" / path.rpartition("/")[2]).unlink()
    outcome = _check(work, config())
    assert outcome.code == 0 and "nets: mlp-8, mlp-12 not trained yet" in outcome.out and "time:" not in outcome.out
    assert len(list((work.path / "nets").iterdir())) == 2


def test_what_a_run_refuses_is_refused(finished, tmp_path, config):
    work = finished.copy(tmp_path / "work", ran=False)
    outcome = _check(work, config(search={"targets": ["mlp-99"]}))
    assert outcome.code == 2 and "names 'mlp-99'" in outcome.err and outcome.err.count("\n") == 1


def _units(*sizes):
    return [Unit(number, "test", range(size)) for number, size in enumerate(sizes)]


def test_a_sample_of_seed_images_is_a_known_part_of_the_whole(config):
    task = config_file.load(str(config()), registry.methods())
    kind = registry.of(task)
    same, part, times = kind.sample(task, _units(64, 64, 30))
    assert same == task and len(part.positions) * times == pytest.approx(158) and len(part.positions) < 64
    few = kind.sample(task, _units(3))
    assert len(few[1].positions) == 3 and few[2] == 1.0


def test_a_sample_of_an_island_is_a_known_part_of_all_generations(tmp_path):
    task = config_file.load(str(_garbage(tmp_path)), registry.methods())
    less, part, times = registry.of(task).sample(task, _units(1, 1, 1))
    assert less.sections["garbage"].generations * times == 50 * 3 and part == _units(1)[0]

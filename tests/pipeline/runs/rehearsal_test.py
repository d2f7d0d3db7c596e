"""`peerpressure check`: what a task would do, without doing it."""

import json
import re
import types

import pyarrow as pa
import pytest

from pipeline import records
from pipeline.config import config_file
from pipeline.kinds import registry
from pipeline.runs import rehearsal
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
    told = r"^time: mining takes about [\d:]+ in one process, [\d:]+ of it to .*memory: \d+\.\d GiB now$"
    assert re.search(told, outcome.out, re.MULTILINE)


@pytest.mark.slow
def test_islands_are_told(finished, tmp_path):
    work = finished.copy(tmp_path / "work", ran=False)
    outcome = _check(work, _garbage(tmp_path))
    assert outcome.code == 0 and "plan: 9 units, an island each; target nets: all" in outcome.out, outcome
    assert re.search(r"^time: mining takes about [\d:]+ at most in one process", outcome.out, re.MULTILINE)


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


def _kind_of(path):
    task = config_file.load(str(path), registry.methods())
    return task, registry.of(task)


def test_samples_of_seed_images_grow_to_the_whole_unit(config):
    task, kind = _kind_of(config())
    same, parts = kind.sample(task, _units(150)[0])
    assert same == task and [len(part.positions) for part in parts] == [1, 32, 64, 128, 150]
    assert [kind.size(task, part) for part in parts] == [1, 32, 64, 128, 150]
    assert parts[-1] == _units(150)[0] and kind.alike(task, None, _units(9, 5)) == [_units(9, 5)]
    assert [len(part.positions) for part in kind.sample(task, _units(3)[0])[1]] == [1, 3]


def test_pairs_are_measured_and_counted_by_whole_batches(config):
    task, kind = _kind_of(config(search=conftest.PGD, run={"lanes": 64}))
    _, parts = kind.sample(task, _units(300)[0])
    assert [len(part.positions) for part in parts] == [64, 128, 256, 300]
    assert [kind.size(task, part) for part in parts] == [1, 2, 4, 5]


def test_islands_are_measured_net_by_net_and_counted_by_generations(tmp_path):
    task, kind = _kind_of(_garbage(tmp_path))
    task = task.with_number("garbage", "generations", 1000, "test")
    group = types.SimpleNamespace(names=("mlp-4", "mlp-8", "mlp-12"))
    units = _units(*[1] * 9)
    assert kind.alike(task, group, units) == [units[0::3], units[1::3], units[2::3]]
    less, parts = kind.sample(task, units[0])
    assert parts == [units[0]] and kind.size(less, units[0]) == 200 and kind.size(task, units[0]) == 1000


def test_an_island_whose_classes_are_all_done_is_at_its_end(tmp_path):
    _, kind = _kind_of(_garbage(tmp_path))
    found, not_done = [records.FOUND, records.FOUND], [records.FOUND, records.EXHAUSTED]
    assert kind.ended(pa.table({"outcome": found})) and not kind.ended(pa.table({"outcome": not_done}))


@pytest.mark.parametrize("size", [40, 128, 129, 360, 4096])
@pytest.mark.parametrize("end", [0.0, 0.4, 3.0])
def test_a_unit_that_takes_its_images_and_an_end_is_told_to_the_second(size, end):
    def seconds(images):
        return end + 0.02 * images

    points = [(images, seconds(images)) for images in (1, 32, 64, 128)]
    assert rehearsal.extrapolated(points, size) == pytest.approx(seconds(size))


def test_a_pace_is_never_below_what_was_measured_nor_above_proportion():
    slower, faster = [(32, 1.0), (64, 9.0)], [(32, 2.0), (64, 1.5)]
    assert rehearsal.extrapolated(slower, 640) == pytest.approx(90.0)
    assert rehearsal.extrapolated(faster, 640) == pytest.approx(1.5)
    assert rehearsal.extrapolated([(200, 4.0)], 1000) == pytest.approx(20.0)
    assert rehearsal.extrapolated([(1000, 4.0)], 1000) == pytest.approx(4.0)

"""What fits into [run] memory."""

from __future__ import annotations

import dataclasses

import pytest

from models import zoo
from models.classifier import Classifier, PeerGroup
from models.errors import InputError
from pipeline.config.config import COMMON, Config, Run
from pipeline.config.method import Method
from pipeline.kinds import registry
from pipeline.runs import memory

IMAGENET = (224, 224, 3)


@pytest.mark.parametrize(
    "amount, size", [("4 GB", 4 * 10**9), ("512 MB", 512 * 10**6), ("1.5GB", 15 * 10**8), ("2000 kB", 2 * 10**6)]
)
def test_amounts_are_read(amount, size):
    assert Run(memory=amount).memory_bytes == size


@pytest.mark.parametrize("amount", ["", "4", "GB", "4 gb", "-1 GB", "4 GB or so", "999 kB", "0 TB", "1e3 MB"])
def test_what_is_no_amount_is_told(amount):
    with pytest.raises(InputError, match=r"\[run\] memory is .*, expected an amount of at least 1 MB, such as '4 GB'"):
        _ = Run(memory=amount).memory_bytes


def test_images_to_learn_from_take_a_quarter():
    assert memory.learned_images(Run(memory="4 GB"), IMAGENET) == 10**9 // 150528
    assert memory.learned_images(Run(memory="1 MB"), (2000, 2000, 3)) == 1


def test_units_are_cut_to_an_eighth():
    task = Config("tiny", Method("none", {}, lambda sections: None), **{name: of() for name, of in COMMON.items()}, sections={})
    large = dataclasses.replace(task, run=Run(unit_size=1_000_000, memory="1 GB"))
    assert memory.with_units_that_fit(large, IMAGENET).run.unit_size == 125_000_000 // 150528
    assert memory.with_units_that_fit(task, (28, 28, 1)) == task


@pytest.fixture(scope="module")
def group():
    nets = [zoo.build("cnn-8-16-32", (28, 28, 1), 3) for _ in range(2)]
    classifiers = [
        Classifier(f"net{place}", lambda images, net=net: net(images, training=False), (28, 28, 1), 3, str(place), "")
        for place, net in enumerate(nets)
    ]
    return PeerGroup(tuple(classifiers))


def _task(method, **run):
    sections = {name: of() for name, of in COMMON.items()} | {"run": Run(**run)}
    own = {name: method.choices(name)[0]() for name in method.sections}
    return Config("tiny", method, **sections, sections=own)


def _method(name):
    return next(method for kind in registry.KINDS for method in kind.methods if method.name == name)


def test_lanes_are_lowered_to_a_power_of_two_that_fits(group):
    task = _task(_method("hillclimb"), lanes=100_000)
    each = memory.lane_bytes(task, group)
    for fits, lanes in ((10, 8), (1000, 512), (1024, 1024)):
        run = dataclasses.replace(task.run, memory=f"{2 * fits * each / 1e6:.6f} MB")
        fitting = memory.with_lanes_that_fit(dataclasses.replace(task, run=run), group)
        assert fitting.run.lanes == lanes
        assert f"lanes: {lanes:,} in place of 100,000" in memory.told(run, fitting.run)


def test_lanes_that_fit_stay(group):
    task = _task(_method("hillclimb"), lanes=1000)
    assert memory.with_lanes_that_fit(task, group) == task and not memory.told(task.run, task.run)


def test_a_gradient_takes_more_and_curvature_pairs_more_yet(group):
    search, descent, curved = (memory.lane_bytes(_task(_method(name)), group) for name in ("hillclimb", "pgd", "lbfgs"))
    assert curved - descent == (8 + 2 * 10 - 4) * 4 * 28 * 28
    assert memory.lane_bytes(_task(_method("gradient_ascent")), group) == descent != search


@pytest.mark.parametrize("name", ["direct", "cppn", "ascent"])
def test_methods_without_lanes_are_left_alone(group, name):
    task = _task(_method(name), lanes=1_000_000, memory="1 MB")
    assert memory.with_lanes_that_fit(task, group) == task

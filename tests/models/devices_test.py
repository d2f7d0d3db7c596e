from __future__ import annotations

import pytest
import tensorflow as tf

from models import devices
from models.errors import InputError


@pytest.fixture
def machine(monkeypatch):
    """Makes TensorFlow list the given devices."""
    monkeypatch.delenv("TPU_NAME", raising=False)

    def has(**counts: int) -> None:
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["device"] * counts.get(kind.lower(), 0))

    return has


@pytest.mark.parametrize(("counts", "name"), [({}, "/CPU:0"), ({"gpu": 2}, "/GPU:0"), ({"gpu": 1, "tpu": 8}, "/TPU:0")])
def test_auto_takes_the_fastest_kind(machine, counts, name):
    machine(cpu=1, **counts)
    assert devices.device_name("auto") == name


def test_a_present_device_is_taken_as_asked(machine):
    machine(cpu=1, gpu=1)
    assert devices.device_name("cpu") == "/CPU:0"


@pytest.mark.parametrize(
    ("counts", "policy"), [({}, "float32"), ({"gpu": 1}, "mixed_float16"), ({"tpu": 8}, "mixed_bfloat16")]
)
def test_half_precision_is_that_of_the_device(machine, counts, policy):
    machine(cpu=1, **counts)
    assert devices.half_precision("auto") == policy and devices.half_precision("cpu") == "float32"


def test_an_absent_device_tells_which_are_there(machine):
    machine(cpu=1, gpu=1)
    with pytest.raises(InputError, match="'tpu' is asked for, but TensorFlow finds only: cpu, gpu;"):
        devices.strategy("tpu")


def test_an_unknown_device_lists_the_known():
    with pytest.raises(InputError, match="no device 'cuda'; set device to one of auto, cpu, gpu, tpu"):
        devices.strategy("cuda")


@pytest.mark.parametrize("kind", ["cpu", "auto"])
def test_a_device_that_tensorflow_takes_by_itself_needs_no_strategy(machine, kind):
    machine(cpu=1)
    assert devices.strategy(kind) is tf.distribute.get_strategy()


def test_the_cpu_of_a_machine_with_a_gpu_gets_a_strategy_of_one_device(machine):
    machine(cpu=1, gpu=1)
    strategy = devices.strategy("cpu")
    assert isinstance(strategy, tf.distribute.OneDeviceStrategy)
    with strategy.scope():
        assert tf.Variable(0.0).device.endswith("CPU:0")


def test_a_single_gpu_needs_no_strategy(machine):
    machine(cpu=1, gpu=1)
    assert devices.strategy("gpu") is tf.distribute.get_strategy()

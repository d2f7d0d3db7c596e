from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest
import tensorflow as tf

from models import devices
from models.errors import InputError

_ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def machine(monkeypatch):
    """Makes TensorFlow list the given devices."""
    monkeypatch.delenv("TPU_NAME", raising=False)
    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", lambda gpu, on: None)
    monkeypatch.setattr(devices, "_share_memory", devices._share_memory.__wrapped__)

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


def test_gpus_give_memory_as_it_is_needed(machine, monkeypatch):
    grown = []
    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", lambda gpu, on: grown.append((gpu, on)))
    machine(cpu=1, gpu=2)
    devices.device_name("cpu")
    assert grown == [("device", True)] * 2


def test_a_gpu_that_is_in_use_stays_as_it_is(machine, monkeypatch):
    def in_use(gpu, on):
        raise RuntimeError("Physical devices cannot be modified after being initialized")

    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", in_use)
    machine(cpu=1, gpu=1)
    assert devices.device_name("auto") == "/GPU:0"


_TWO = """
import sys
import tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
from models import devices
before = devices.device_name("cpu")
devices.take_one("cpu")
devices.take_one("cpu")
with tf.device(devices.device_name("cpu")):
    print(before, devices.device_name("cpu"), tf.zeros([]).device, flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
def test_processes_divide_devices_among_them(tmp_path):
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}

    def start():
        process = subprocess.Popen([sys.executable, "-c", _TWO], env=environment, cwd=_ROOT, **pipes)
        return process, process.stdout.readline().split()

    (one, first), (two, second), (three, third) = (start() for _ in range(3))
    one.communicate()
    four, fourth = start()
    for process in (two, three, four):
        process.communicate()
    assert [each[0] for each in (first, second, third, fourth)] == ["/CPU:0"] * 4
    assert [each[1] for each in (first, second, third, fourth)] == ["/CPU:0", "/CPU:1", "/CPU:0", "/CPU:0"]
    assert all(each[2].endswith(each[1].replace("/CPU", "/device:CPU")) for each in (first, second, third, fourth))


def test_one_device_is_the_first_for_all(machine, monkeypatch, tmp_path):
    monkeypatch.setattr(devices, "_taken", {})
    monkeypatch.setattr(devices.tempfile, "gettempdir", lambda: str(tmp_path))
    devices.take_one("cpu")
    assert devices.device_name("cpu") == "/CPU:0" and [path.name for path in tmp_path.glob("*/*")] == ["cpu-0"]


def test_a_folder_that_cannot_be_written_takes_none(machine, monkeypatch, tmp_path):
    monkeypatch.setattr(devices, "_taken", {})
    monkeypatch.setattr(devices.tempfile, "gettempdir", lambda: str(tmp_path / "nowhere"))
    devices.take_one("cpu")
    assert devices.device_name("cpu") == "/CPU:0" and not devices._taken

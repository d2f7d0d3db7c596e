from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from pipeline import ahead


def test_items_come_in_order_with_what_is_said_of_each():
    for count in (0, 1, 5):
        assert list(ahead.asked(range(count), str)) == [(item, str(item)) for item in range(count)]


def test_the_next_item_is_asked_about_while_the_one_before_is_looked_at():
    second = threading.Event()
    answers = ahead.asked(range(3), lambda item: second.set() if item == 1 else None)
    next(answers)
    assert second.wait(60)


def test_an_error_comes_out_as_itself():
    with pytest.raises(ZeroDivisionError):
        list(ahead.asked([1, 0, 1], lambda item: 1 / item))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("asked")]


_ON_ANOTHER = """
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from pipeline import ahead
with tf.device("/CPU:1"):
    print(*(device[-5:] for _, device in ahead.asked(range(2), lambda _: tf.zeros([]).device)))
"""


@pytest.mark.slow
def test_nets_are_asked_on_the_callers_device():
    said = subprocess.run([sys.executable, "-c", _ON_ANOTHER], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["CPU:1", "CPU:1"]

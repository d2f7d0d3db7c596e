"""Where nets are trained and run."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import pathlib
import tempfile
from typing import IO

import tensorflow as tf

from models.errors import InputError

_KINDS = ("cpu", "gpu", "tpu")


def strategy(device: str) -> tf.distribute.Strategy:
    """Returns the distribution strategy to train under.

    Args:
      device: "cpu", "gpu", "tpu", or "auto" for the fastest kind that is there.

    Returns:
      All devices of the kind: one device's strategy, or a mirrored one for several GPUs (or logical devices, into which
      TensorFlow was told to divide a CPU or GPU), or the TPU's. For the device that TensorFlow takes by itself it is
      TensorFlow's default one, under which a step takes less time.

    Raises:
      InputError: there is no such device.
    """
    kind = _resolve(device)
    if kind == "tpu":
        return tf.distribute.TPUStrategy(_connect_tpu())
    several = tuple(device.name for device in tf.config.list_logical_devices(kind.upper()))
    if len(several) > 1:
        return _mirrored(several)
    if kind == "cpu" and _is_present("gpu"):
        return tf.distribute.OneDeviceStrategy(device_name(kind))
    return tf.distribute.get_strategy()


def half_precision(device: str) -> str:
    """Returns Keras's policy for steps in half precision: "float32" on a CPU, which would be slower with it."""
    return {"cpu": "float32", "gpu": "mixed_float16", "tpu": "mixed_bfloat16"}[_resolve(device)]


def device_name(device: str) -> str:
    """Returns the name of the one device to run a compiled function on, such as "/GPU:0" (see `strategy`).

    It is the first of its kind, or the one that this process took (`take_one`).
    """
    kind = _resolve(device)
    return f"/{kind.upper()}:{_taken.get(kind, (0, None))[0]}"


def take_one(device: str) -> None:
    """Takes, for as long as this process lives, a device of a kind that no other process on this machine has taken.

    So several worker processes divide several GPUs, or logical devices, among them; where there are more processes than
    devices, the others share the first. A process that took one keeps it.
    """
    kind = _resolve(device)
    if kind in _taken or kind == "tpu":  # a TPU belongs to one process as a whole
        return
    for place in range(len(tf.config.list_logical_devices(kind.upper()))):
        held = _mark(f"{kind}-{place}")
        if held:
            _taken[kind] = place, held
            return


_taken: dict[str, tuple[int, IO[str]]] = {}  # kind -> place of the device that this process took, and what marks it


def marks() -> pathlib.Path:
    """Returns the folder of the empty files, one for each device, by which this user's processes divide devices."""
    return pathlib.Path(tempfile.gettempdir()) / f"peerpressure-devices-{os.getuid()}"


def _mark(name: str) -> IO[str] | None:
    """Locks a file of the machine, which is free again when this process ends; returns None where it cannot."""
    folder = marks()
    with contextlib.ExitStack() as opened:
        try:
            folder.mkdir(exist_ok=True)
            file = opened.enter_context((folder / name).open("a"))
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # another process has it; or this is a folder of somebody else's, or one that knows no locks
            return None
        opened.pop_all()
    return file


def current() -> str:
    """Returns the name of the device in whose scope this is called; threads begin outside of any scope."""
    return tf.zeros([]).device


@functools.cache  # a second strategy of a process would number its exchanges as the first does, which fails
def _mirrored(names: tuple[str, ...]) -> tf.distribute.Strategy:
    return tf.distribute.MirroredStrategy(names)


@functools.cache
def _share_memory() -> None:
    """Lets TensorFlow take of a GPU's memory what it needs, when it does: else the first process takes all of it."""
    for gpu in tf.config.list_physical_devices("GPU"):
        with contextlib.suppress(RuntimeError):  # it is in use already, as who uses us wanted it
            tf.config.experimental.set_memory_growth(gpu, True)


def _resolve(device: str) -> str:
    _share_memory()
    present = [kind for kind in _KINDS if _is_present(kind)]
    if device == "auto":
        return present[-1]
    if device not in _KINDS:
        raise InputError(f"There is no device {device!r}; set device to one of auto, {', '.join(_KINDS)}.")
    if device not in present:
        raise InputError(
            f"Device {device!r} is asked for, but TensorFlow finds only: {', '.join(present)}; "
            "set device = 'auto' or install that device's drivers."
        )
    return device


def _is_present(kind: str) -> bool:
    if kind == "tpu" and "TPU_NAME" in os.environ:  # a TPU on the network, which is listed only once connected
        return True
    return bool(tf.config.list_physical_devices(kind.upper()))


def _connect_tpu() -> tf.distribute.cluster_resolver.TPUClusterResolver:
    where = None if "TPU_NAME" in os.environ else "local"
    try:
        return tf.distribute.cluster_resolver.TPUClusterResolver.connect(where)
    except (ValueError, tf.errors.OpError) as error:
        raise InputError(f"The TPU cannot be reached ({str(error).splitlines()[0]}); check TPU_NAME.") from error

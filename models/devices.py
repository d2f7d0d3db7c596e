"""Where nets are trained and run."""

from __future__ import annotations

import functools
import os

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
    """Returns the name of the one device to run a compiled function on, such as "/GPU:0" (see `strategy`)."""
    return f"/{_resolve(device).upper()}:0"


def current() -> str:
    """Returns the name of the device in whose scope this is called; threads begin outside of any scope."""
    return tf.zeros([]).device


@functools.cache  # a second strategy of a process would number its exchanges as the first does, which fails
def _mirrored(names: tuple[str, ...]) -> tf.distribute.Strategy:
    return tf.distribute.MirroredStrategy(names)


def _resolve(device: str) -> str:
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

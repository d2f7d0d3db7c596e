"""TensorFlow and TFDS, loaded when a command needs them: not for `--help`, nor for a mistake in a configuration."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
import threading
from collections.abc import Iterator

from models import compilation_cache


@functools.cache
def load() -> None:
    """Loads them, once, without what they have to say; they find what earlier commands compiled."""
    compilation_cache.use()
    main = threading.current_thread() is threading.main_thread()
    usual = signal.signal(signal.SIGINT, signal.SIG_DFL) if main else None  # Ctrl-C: silence, not their stack trace
    with _silent_stderr():
        import tensorflow  # noqa: F401
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()
    if main:
        signal.signal(signal.SIGINT, usual)


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    """TensorFlow's native code greets on stderr when it is imported, whatever its log level."""
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def is_of_file_systems(error: Exception) -> bool:
    """Tells whether an error is TensorFlow's, and of its file systems."""
    if "tensorflow" not in sys.modules:
        return False
    import tensorflow as tf

    of_graphs = (tf.errors.InvalidArgumentError, tf.errors.InternalError)
    return isinstance(error, tf.errors.OpError) and not isinstance(error, of_graphs)

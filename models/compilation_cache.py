"""What XLA compiled for the CPU, kept in a folder of the user's: later processes need not compile it again.

TensorFlow reads where from the environment when it is imported: nothing here imports it.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import pathlib
import platform
import shutil
import time
from collections.abc import Iterable

_FLAGS = "TF_XLA_FLAGS"
_FOLDER_FLAG = "--tf_xla_persistent_cache_directory"
_MOST = 2**30  # bytes that are kept of earlier processes
_ROOM = 2**30  # bytes that the disk has to have left: where TensorFlow cannot write what it compiled, it fails
_DAY = 86_400.0  # seconds after which a file under way is no longer written


def use(cache: pathlib.Path | None = None) -> None:
    """Lets this process, and those that it starts, find what earlier ones compiled, and keep what they compile.

    To be called before TensorFlow is imported. Does nothing where TF_XLA_FLAGS names such a folder already, the folder
    cannot be written, or its disk is nearly full. The oldest files of over a GiB are removed, and so are those that a
    machine's sudden end left cut short, which TensorFlow would fail of.

    Args:
      cache: the folder that holds one for each machine and TensorFlow; by default `peerpressure/compiled` in
        XDG_CACHE_HOME or ~/.cache.
    """
    usual = os.environ.get(_FLAGS, "")
    if _FOLDER_FLAG in usual:
        return
    try:
        cache = (cache or _default()).absolute()
        folder = cache / _machine()
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(cache.glob("*/*"))
        usable = os.access(folder, os.W_OK) and shutil.disk_usage(folder).free >= _ROOM and " " not in str(folder)
    except (OSError, RuntimeError, importlib.metadata.PackageNotFoundError):
        return  # a folder that is read-only, no home, or a TensorFlow that was not installed under its name
    if usable:
        ours = f"{_FOLDER_FLAG}={folder} --tf_xla_persistent_cache_device_types=CPU"
        os.environ[_FLAGS] = f"{usual} {ours} --tf_xla_persistent_cache_read_only=false".strip()


def _default() -> pathlib.Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return pathlib.Path(base or pathlib.Path.home() / ".cache") / "peerpressure" / "compiled"


def _machine() -> str:
    """Names what code is compiled for: TensorFlow, the processor, how many of its cores are ours, and flags."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    flags = [os.environ.get(name, "") for name in (_FLAGS, "XLA_FLAGS")]
    told = [importlib.metadata.version("tensorflow"), platform.machine(), *_processor(), str(cores), *flags]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]


def _processor() -> list[str]:
    """Returns the processor's name and abilities, as Linux tells them; elsewhere what Python knows of it."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return [platform.platform(), platform.processor()]
    wanted = ("model name", "flags", "CPU implementer", "CPU part", "Features")
    return sorted({line for line in lines if line.startswith(wanted)})


def _sweep(files: Iterable[pathlib.Path]) -> None:
    """Removes what is cut short, and the oldest of what is more than is kept."""
    found = sorted(((path.stat(), path) for path in files if path.is_file()), key=lambda each: -each[0].st_mtime)
    held, now = 0, time.time()
    for about, path in found:
        under_way = path.suffix != ".pb"  # TensorFlow renames what is complete
        unusable = now - about.st_mtime > _DAY if under_way else not _is_whole(path, about.st_size)
        held += about.st_size
        if unusable or held > _MOST:
            path.unlink(missing_ok=True)


def _is_whole(path: pathlib.Path, size: int) -> bool:
    """Tells whether the fields of a Protocol Buffers message, all of them strings, end where its file ends."""
    end = 0
    with path.open("rb") as file:
        while end < size:
            file.seek(end + 1)  # the tag of one of a few fields is one byte
            length, digits = 0, 0
            while (byte := file.read(1)) and byte[0] & 0x80:
                length |= (byte[0] & 0x7F) << 7 * digits
                digits += 1
            if not byte:
                return False
            end += 2 + digits + (length | byte[0] << 7 * digits)
    return size > 0 and end == size

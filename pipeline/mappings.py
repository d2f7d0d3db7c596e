"""How much more a process can compile: XLA's code keeps memory mappings until the process ends, and Linux counts them.

Where Linux gives no more, a process dies without a word (`vm.max_map_count`, 65,530 by default). A net that is trained,
or a search that is compiled, takes some hundreds.
"""

from __future__ import annotations

import pathlib

from models.errors import InputError

_ALL = pathlib.Path("/proc/self/maps")
_MOST = pathlib.Path("/proc/sys/vm/max_map_count")
_ENOUGH = 0.8  # of them: what comes before the next look takes a few thousand


class SpentError(InputError):
    """This process can compile no more; what it finished is kept."""

    exit_code = 4


def counted() -> tuple[int, int]:
    """Returns how many mappings this process has, and how many it may have; (0, 1) where that is not told."""
    if not (_ALL.exists() and _MOST.exists()):
        return 0, 1
    with _ALL.open() as lines:
        return sum(1 for _ in lines), int(_MOST.read_text())


def check() -> None:
    """Raises SpentError if this process has used four fifths of its mappings; called before work that compiles."""
    count, most = counted()
    if count > _ENOUGH * most:
        raise SpentError(
            f"this process has used {count:,} of the {most:,} memory mappings that Linux gives it, for what was "
            "compiled; what is finished is kept, and the same command goes on from there."
        )

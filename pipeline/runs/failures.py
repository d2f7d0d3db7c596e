"""What failed in a run, kept in its folder, where every process of the run can read and write on any runner.

    RUN_ID/failures/000012.json    unit 12 failed twice, and why
    RUN_ID/failures/run.json       what ended a worker, and with it the run

Both are forgotten by the next start, and when the run is finished.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Iterator, Sequence

import tensorflow as tf
from etils import epath

from models import preflight
from models.errors import InputError
from pipeline.workdir import ledger
from pipeline.workdir.ledger import RunFolder

_FIRST = 3  # units that fail alike, and none that does not, say that the others will fail too
_ENOUGH = 50  # failed units, beyond which the chunks are not listed again for each
_NO_MEMORY = re.compile(r"out of memory|\boom\b|bad_?alloc|resource_?exhausted", re.IGNORECASE)
_VARYING = re.compile(r"0x[0-9a-f]+|\d+")  # in the messages of units that fail alike
_DISK = (OSError, tf.errors.OpError)
_KINDS: dict[str, type[BaseException]] = {"input": InputError, "disk": OSError, "interrupt": KeyboardInterrupt}


@dataclasses.dataclass(frozen=True)
class Failure:
    """Why a unit failed: an error's kind and the first line of what it says, and whether memory was wanting."""

    reason: str
    memory: bool

    @classmethod
    def of(cls, error: Exception) -> Failure:
        """Returns what an error tells."""
        reason = f"{type(error).__name__}: {preflight.reason(error)}"
        is_kind = isinstance(error, (MemoryError, tf.errors.ResourceExhaustedError))
        return cls(reason, is_kind or _NO_MEMORY.search(reason) is not None)

    def cause(self) -> str:
        """Returns what is equal for failures that are alike."""
        return "memory" if self.memory else _VARYING.sub("#", self.reason)


@dataclasses.dataclass(frozen=True)
class Failures:
    """The failures of one start of a run; small and picklable.

    Attributes:
      folder: the run's.
      begun_with: how many units had been finished by earlier starts.
    """

    folder: RunFolder
    begun_with: int

    @classmethod
    def begun(cls, folder: RunFolder) -> Failures:
        """Returns those of a start that begins now: none yet."""
        return cls(folder, len(folder.finished_units()))

    def add(self, unit: int, failure: Failure, lower: str) -> None:
        """Keeps that a unit failed twice.

        Args:
          unit: its number.
          failure: why, the second time.
          lower: the keys of the configuration that need less memory when they are lower.

        Raises:
          InputError: the first units of this start have all failed alike.
          OSError: the run's folder cannot be written to.
        """
        with ledger.io_errors():
            ledger.write_json(self.folder.failure(unit), dataclasses.asdict(failure))
            self._check_hope(lower)

    def _check_hope(self, lower: str) -> None:
        failed = self.folder.failed_units()
        if not _FIRST <= len(failed) < _ENOUGH:
            return
        kept = [Failure(**found) for unit in sorted(failed) if (found := ledger.read_json(self.folder.failure(unit)))]
        alike = len({failure.cause() for failure in kept}) == 1
        if alike and len(self.folder.finished_units() - failed) <= self.begun_with:
            raise InputError(_hopeless(kept, lower))

    @contextlib.contextmanager
    def telling(self) -> Iterator[None]:
        """Keeps what ends a worker, if a person can do something about it, and lets it pass."""
        try:
            yield
        except InputError as error:
            self._tell("input", str(error))
            raise
        except KeyboardInterrupt:  # Beam would make it an error, as it does of all that is raised in a worker
            self._tell("interrupt", "")
            raise
        except _DISK as error:
            self._tell("disk", f"a worker could not read or write ({getattr(error, 'message', error)})")
            raise

    def _tell(self, kind: str, sentence: str) -> None:
        with contextlib.suppress(*_DISK):  # of the disk that is told of; then `told` finds it out
            ledger.write_json(self._ended, {"kind": kind, "sentence": " ".join(sentence.split())})

    def told(self) -> BaseException | None:
        """Returns what ended a worker, as what it was; None if no worker told."""
        try:
            with ledger.io_errors():
                if not (found := ledger.read_json(self._ended)):
                    ledger.write_whole(self.folder.failures / "writable", b"")
                    (self.folder.failures / "writable").unlink()
                    return None
        except OSError as error:
            return OSError(f"a worker could not read or write ({error})")
        return _KINDS[found["kind"]](found["sentence"])

    @property
    def _ended(self) -> epath.Path:
        return self.folder.failures / "run.json"


def forget(folder: RunFolder) -> None:
    """Removes what earlier starts kept, and the chunks of units that failed, so that this start tries them again."""
    for unit in folder.failed_units():
        folder.chunk(unit).unlink(missing_ok=True)
    if folder.failures.exists():
        folder.failures.rmtree()


def _hopeless(alike: Sequence[Failure], lower: str) -> str:
    reason, first = alike[0].reason, f"the first {len(alike)} units, each tried twice,"
    if alike[0].memory:
        return f"{first} ran out of memory ({reason}); lower {lower}, and start a new run."
    return f"{first} failed alike ({reason}); mend that, and start the run again."

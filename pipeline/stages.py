"""The Beam stages: work units in, chunk files out. The only module that imports Beam.

    Create(units) | Reshuffle | Filter(missing) | Map(read) | RunInference(search and verify) | Map(write chunk)

Linear, one output, no side inputs, so that it also runs on the simpler runners.
"""

from __future__ import annotations

import builtins
import contextlib
import dataclasses
import difflib
import inspect
import re
import shlex
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import apache_beam as beam
import pyarrow as pa
import tensorflow as tf
from apache_beam.ml.inference.base import ModelHandler, PredictionResult, RunInference
from apache_beam.options import pipeline_options
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.transforms.environments import SubprocessSDKEnvironment

from models import devices, preflight
from models.classifier import PeerGroup
from models.errors import InputError
from pipeline import interruption, ledger, records
from pipeline.chunk import UNIT_FAILED, check_kept
from pipeline.nets import NetFiles
from pipeline.plan import Unit

WORKER_DIED = 4  # exit code
_OF_TENSORFLOW = f"{tf.errors.OpError.__module__}."  # its file systems' errors: `mined` lets no net's through


class Source(Protocol):
    """Where workers find what a unit is about: seed images, or islands of garbage images."""

    def read(self, split: str, positions: Sequence[int]) -> Any:
        """Returns a unit's input, with a size `nbytes`."""


@dataclasses.dataclass(frozen=True)
class _Work:
    number: int
    material: Any


class Miner(Protocol):
    """Loaded nets and what is done to each unit with them."""

    def mine(self, material: Any) -> pa.Table:
        """Returns the chunk of a unit, from what its source gave."""

    def set_aside(self, material: Any, reason: str) -> pa.Table:
        """Returns the chunk of a unit that failed."""


class Task(Protocol):
    """What to do to each unit; small and picklable."""

    def miner(self, group: PeerGroup, judge: PeerGroup | None) -> Miner:
        """Returns what mines units with loaded nets."""


class MiningHandler(ModelHandler[_Work, PredictionResult, Miner]):
    """Loads the nets once a process and mines unit after unit; never batches units, whose shape is fixed."""

    def __init__(self, task: Task, nets: NetFiles, device: str):
        super().__init__(min_batch_size=1, max_batch_size=1)
        self._task = task
        self._nets = nets
        self._device = device

    def load_model(self) -> Miner:
        """Returns what mines units; called once a process."""
        return self._task.miner(*self._nets.load())

    def run_inference(
        self, batch: Sequence[_Work], model: Miner, inference_args: dict[str, Any] | None = None
    ) -> Iterable[PredictionResult]:
        """Yields the number and the chunk's bytes of each unit; raises InputError where most finds were dropped."""
        with tf.device(devices.device_name(self._device)):
            for work in batch:
                rows = mined(model, work.material)
                check_kept(rows, f"unit {work.number}")
                yield PredictionResult(work.number, records.table_bytes(rows))

    def get_num_bytes(self, batch: Sequence[_Work]) -> int:
        """Returns the size of the units' input, in bytes."""
        return sum(work.material.nbytes for work in batch)

    def get_metrics_namespace(self) -> str:
        """Returns under which name Beam counts."""
        return "mining"


def mined(miner: Miner, material: Any) -> pa.Table:
    """Mines a unit, tries again if that fails, and sets it aside whole if it fails again.

    Raises:
      InputError: of the user's mistakes, which no unit is to blame for; likewise OSError, of a disk or a bucket.
    """
    failures = []
    for _ in range(2):
        try:
            return miner.mine(material)
        except (InputError, OSError):
            raise
        except Exception as error:  # a net of the user's can fail in any way, and a device too
            failures.append(f"{type(error).__name__}: {preflight.reason(error)}")
    return miner.set_aside(material, f"{UNIT_FAILED} ({failures[-1]})")


def _is_missing(unit: Unit, folder: ledger.RunFolder) -> bool:
    # A runner that lost a worker starts the stage anew, with units that were finished meanwhile.
    return not folder.chunk(unit.number).exists()


def _read(unit: Unit, source: Source) -> _Work:
    interruption.check()
    return _Work(unit.number, source.read(unit.split, unit.positions))


def _write(result: PredictionResult, folder: ledger.RunFolder) -> int:
    ledger.write_whole(folder.chunk(result.example), result.inference)
    return result.example


def mine(
    units: Sequence[Unit],
    source: Source,
    task: Task,
    nets: NetFiles,
    folder: ledger.RunFolder,
    device: str,
    beam_arguments: Sequence[str],
) -> None:
    """Mines units into the chunk files of a run; blocks until all are written.

    Args:
      units: the units whose chunks are missing.
      source: where workers read what the units are about.
      task: what to do to each unit.
      nets: the files that workers load.
      folder: the run.
      device: as in `models.devices`.
      beam_arguments: Beam's options; without --runner, Beam's in-process FnApiRunner.

    Raises:
      InputError: Beam does not take its options, the runner is not installed, or a worker met a mistake of the user's.
      OSError: a worker could not read or write.

    A worker process that dies ends this process, with one sentence and exit code `WORKER_DIED`.
    """
    try:
        with _ending_with_workers(), _open_pipeline(beam_arguments) as pipeline:
            _ = (
                pipeline
                | "Units" >> beam.Create(list(units), reshuffle=False)
                | "Spread" >> beam.Reshuffle()
                | "Missing" >> beam.Filter(_is_missing, folder=folder)
                | "Read" >> beam.Map(_read, source=source)
                | "SearchAndVerify" >> RunInference(MiningHandler(task, nets, device))
                | "WriteChunk" >> beam.Map(_write, folder=folder)
            )
    except ImportError as error:  # of the runner's own packages, such as Dataflow's
        raise InputError(f"the runner cannot be used here: {error}.") from error
    except (InputError, RuntimeError) as error:
        raise _of_worker(error) from error


@contextlib.contextmanager
def _ending_with_workers() -> Iterator[None]:
    """Ends this process when a worker process has died: Beam would wait for it for ever, and the task be held."""
    usual = threading.excepthook

    def hook(failed: Any) -> None:
        if failed.thread is None or failed.thread.name != "run_worker":
            usual(failed)
            return
        if interruption.is_ending():  # and ends its workers
            return
        sentence = f"a worker process died ({failed.exc_value}); the same command goes on from there."
        print(f"\npeerpressure: error: {sentence}", file=sys.stderr, flush=True)
        interruption.leave(WORKER_DIED)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = usual


def _of_worker(error: Exception) -> BaseException:
    """Finds in what Beam makes of a worker's error, mostly its stack trace, what a person can do something about."""
    if isinstance(error, InputError):  # of this process, where Beam adds to the sentence
        return InputError(re.sub(r" \[while running '.*'\]$", "", str(error)))
    if re.search(r"^KeyboardInterrupt\b", str(error), re.MULTILINE):
        return KeyboardInterrupt()
    raised = re.findall(r"^([\w.]+): (.*?)(?: \[while running '.*'\])?$", str(error), re.MULTILINE)
    for name, message in reversed(raised):
        kind = getattr(builtins, name, None)
        if (isinstance(kind, type) and issubclass(kind, OSError)) or name.startswith(_OF_TENSORFLOW):
            return OSError(f"a worker could not read or write ({message})")
        if name == f"{InputError.__module__}.{InputError.__qualname__}":
            return InputError(message)
    return error


def _open_pipeline(beam_arguments: Sequence[str]) -> beam.Pipeline:
    try:
        options = PipelineOptions(_with_runner(beam_arguments))
        return beam.Pipeline(_with_deaf_workers(options), options)
    except ValueError as error:
        raise InputError(f"Beam does not take its options: {' '.join(str(error).split())}") from error


def _with_deaf_workers(options: PipelineOptions) -> FnApiRunner | None:
    """Returns Beam's own runner with worker processes, if asked for; else None, for the runner that is named.

    The workers ignore Ctrl-C, which a terminal sends to them, too: they would print what they were at. Whoever started
    them ends them.
    """
    direct = options.view_as(pipeline_options.DirectOptions)
    named = options.view_as(pipeline_options.StandardOptions).runner
    if named != "FnApiRunner" or direct.direct_running_mode != "multi_processing":
        return None
    direct.direct_running_mode = "in_memory"  # the default, which leaves the environment to us
    command = f"trap '' INT; exec {shlex.quote(sys.executable)} -m apache_beam.runners.worker.sdk_worker_main"
    return FnApiRunner(default_environment=SubprocessSDKEnvironment.from_command_string(command))


def _with_runner(arguments: Sequence[str]) -> list[str]:
    # DirectRunner would first try to download another runner's binary.
    named = any(argument == "--runner" or argument.startswith("--runner=") for argument in arguments)
    return [*arguments] if named else ["--runner=FnApiRunner", *arguments]


def check_options(options: Sequence[str], ours: Sequence[str]) -> None:
    """Raises InputError for an option that is neither ours nor Beam's, with the nearest that is.

    Args:
      options: what our parser does not know, "--name" or "--name=value".
      ours: our own options, with their dashes.
    """
    if not options:
        return
    known = {option for parser in _beam_parsers() for option in parser._option_string_actions}
    for name in (option.split("=", 1)[0] for option in options):
        if name not in known:
            near = difflib.get_close_matches(name, ours, 1, 0.6) or difflib.get_close_matches(name, known, 1, 0.6)
            hint = f"did you mean {near[0]}?" if near else "see --help, or Beam's own options."
            raise InputError(f"unknown option {name}; {hint}")


def _beam_parsers() -> Iterable[Any]:
    for _, cls in inspect.getmembers(pipeline_options, inspect.isclass):
        if issubclass(cls, PipelineOptions) and "_add_argparse_args" in vars(cls):
            parser = pipeline_options._BeamArgumentParser(allow_abbrev=False)
            vars(cls)["_add_argparse_args"].__func__(cls, parser)
            yield parser

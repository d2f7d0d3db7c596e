"""The Beam stages: work units in, chunk files out. The only module that imports Beam.

    Create(units) | Reshuffle | Filter(missing) | Map(read) | RunInference(search and verify) | Map(write chunk)

Linear, one output, no side inputs, so that it also runs on the simpler runners.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import functools
import io
import shlex
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import pyarrow as pa
import tensorflow as tf
from apache_beam.metrics import Metrics, MetricsFilter
from apache_beam.ml.inference.base import ModelHandler, PredictionResult, RunInference
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.transforms.environments import SubprocessSDKEnvironment

from models import devices
from models.errors import InputError
from pipeline import interruption, records
from pipeline.kinds.chunk import UNIT_FAILED, check_kept
from pipeline.kinds.kind import Miner, Source, Task
from pipeline.runs import counters
from pipeline.runs.failures import Failure, Failures
from pipeline.runs.nets import NetFiles
from pipeline.seeds.plan import Unit
from pipeline.workdir import ledger

WORKER_DIED = 4  # exit code


@dataclasses.dataclass(frozen=True)
class _Work:
    number: int
    material: Any


class MiningHandler(ModelHandler[_Work, PredictionResult, Miner]):
    """Loads the nets once a process and mines unit after unit; never batches units, whose shape is fixed."""

    def __init__(self, task: Task, nets: NetFiles, device: str, failed: Failures):
        super().__init__(min_batch_size=1, max_batch_size=1)
        self._failed = failed
        self._task = task
        self._nets = nets
        self._device = device

    def load_model(self) -> Miner:
        """Returns what mines units; called once a process."""
        with self._failed.telling():
            devices.take_one(self._device)
            return self._task.miner(*self._nets.load())

    def run_inference(
        self, batch: Sequence[_Work], model: Miner, inference_args: dict[str, Any] | None = None
    ) -> Iterable[PredictionResult]:
        """Returns the number and the chunk's bytes of each unit; raises InputError where most finds were dropped."""
        with self._failed.telling(), tf.device(devices.device_name(self._device)):
            return [PredictionResult(work.number, self._chunk(model, work)) for work in batch]

    def _chunk(self, miner: Miner, work: _Work) -> bytes:
        failed = functools.partial(self._failed.add, work.number, lower=miner.lower)
        with _timed(counters.MINING):
            rows = mined(miner, work.material, failed)
        check_kept(rows, f"unit {work.number}")
        _count(counters.of_unit(rows))
        return records.table_bytes(rows)

    def get_num_bytes(self, batch: Sequence[_Work]) -> int:
        """Returns the size of the units' input, in bytes."""
        return sum(work.material.nbytes for work in batch)

    def get_metrics_namespace(self) -> str:
        """Returns under which name Beam counts."""
        return "mining"


def mined(miner: Miner, material: Any, failed: Callable[[Failure], None]) -> pa.Table:
    """Mines a unit, tries again if that fails, and sets it aside whole if it fails again.

    Args:
      miner: what mines it.
      material: what the unit is about.
      failed: is told why, before the unit is set aside.

    Raises:
      InputError: of the user's mistakes, which no unit is to blame for; likewise OSError, of a disk or a bucket.
    """
    told: list[Failure] = []
    while len(told) < 2:
        try:
            return miner.mine(material)
        except (InputError, OSError):
            raise
        except Exception as error:  # a net of the user's can fail in any way, and a device too
            told.append(Failure.of(error))  # not the error, which keeps the memory of where it was raised
    failed(told[-1])
    return miner.set_aside(material, f"{UNIT_FAILED} ({told[-1].reason})")


def _is_missing(unit: Unit, failed: Failures) -> bool:
    # A runner that lost a worker starts the stage anew, with units that were finished meanwhile.
    with failed.telling():
        return not failed.folder.chunk(unit.number).exists()


def _read(unit: Unit, source: Source, failed: Failures) -> _Work:
    interruption.check()
    with failed.telling(), _timed(counters.READING):
        return _Work(unit.number, source.read(unit.split, unit.positions))


def _write(result: PredictionResult, failed: Failures) -> int:
    with failed.telling(), _timed(counters.WRITING):
        ledger.write_whole(failed.folder.chunk(result.example), result.inference)
    _count({counters.BYTES: len(result.inference)})
    return result.example


def _count(amounts: Mapping[str, int]) -> None:
    """Adds to the counters that a runner shows."""
    for name, amount in amounts.items():
        Metrics.counter(counters.NAMESPACE, name).inc(amount)


@contextlib.contextmanager
def _timed(name: str) -> Iterator[None]:
    """Adds the milliseconds that something takes to a counter."""
    start = time.perf_counter()
    yield
    _count({name: round(1000 * (time.perf_counter() - start))})


def mine(
    units: Sequence[Unit],
    source: Source,
    task: Task,
    nets: NetFiles,
    folder: ledger.RunFolder,
    device: str,
    beam_arguments: Sequence[str],
) -> dict[str, int]:
    """Mines units into the chunk files of a run; blocks until all are written.

    Args:
      units: the units whose chunks are missing.
      source: where workers read what the units are about.
      task: what to do to each unit.
      nets: the files that workers load.
      folder: the run.
      device: as in `models.devices`.
      beam_arguments: Beam's options; without --runner, Beam's in-process FnApiRunner.

    Returns:
      What was done, by the names of `counters`; a stage that a runner began twice counts twice.

    Raises:
      InputError: Beam does not take its options, the runner is not installed, a worker met a mistake of the user's, or
        the first units all failed alike.
      OSError: a worker could not read or write.

    A worker process that dies ends this process, with one sentence and exit code `WORKER_DIED`.
    """
    failed = Failures.begun(folder)
    try:
        with _ending_with_workers(), _open_pipeline(beam_arguments) as pipeline:
            _ = (
                pipeline
                | "Units" >> beam.Create(list(units), reshuffle=False)
                | "Spread" >> beam.Reshuffle()
                | "Missing" >> beam.Filter(_is_missing, failed=failed)
                | "Read" >> beam.Map(_read, source=source, failed=failed)
                | "SearchAndVerify" >> RunInference(MiningHandler(task, nets, device, failed))
                | "WriteChunk" >> beam.Map(_write, failed=failed)
            )
    except ImportError as error:  # of the runner's own packages, such as Dataflow's
        raise InputError(f"the runner cannot be used here: {error}.") from error
    except Exception as error:
        if (told := failed.told()) is None:
            raise
        raise told from error
    wanted = MetricsFilter().with_namespace(counters.NAMESPACE)
    return {each.key.metric.name: each.result for each in pipeline.result.metrics().query(wanted)["counters"]}


@functools.cache
def _starters() -> weakref.WeakSet[threading.Thread]:
    """Returns the threads that have started a process since this was first called."""
    found: weakref.WeakSet[threading.Thread] = weakref.WeakSet()

    def audit(event: str, _: Any) -> None:
        if event == "subprocess.Popen":
            found.add(threading.current_thread())

    sys.addaudithook(audit)
    return found


@contextlib.contextmanager
def _ending_with_workers() -> Iterator[None]:
    """Ends this process when a worker process has died: Beam would wait for it for ever, and the task be held.

    Beam starts each in a thread of its own, which waits for it and fails if it ends badly.
    """
    usual, starters = threading.excepthook, _starters()

    def hook(failed: Any) -> None:
        if failed.thread not in starters:
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


def searches_here(beam_arguments: Sequence[str]) -> bool:
    """Tells whether this process, or one that it starts, searches: by Beam's own runner.

    Other runners start a server, which they do on the main thread alone, and wait for it.

    Raises:
      InputError: Beam does not take its options.
    """
    with _beam_errors():
        return _is_own(PipelineOptions(_with_runner(beam_arguments)))


def _open_pipeline(beam_arguments: Sequence[str]) -> beam.Pipeline:
    with _beam_errors():
        options = PipelineOptions(_with_runner(beam_arguments))
        return beam.Pipeline(_with_deaf_workers(options), options)


@contextlib.contextmanager
def _beam_errors() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise InputError(f"Beam does not take its options: {' '.join(str(error).split())}") from error


def _is_own(options: PipelineOptions) -> bool:
    return options.view_as(StandardOptions).runner == "FnApiRunner"


def _with_deaf_workers(options: PipelineOptions) -> FnApiRunner | None:
    """Returns Beam's own runner with worker processes, if asked for; else None, for the runner that is named.

    The workers ignore Ctrl-C, which a terminal sends to them, too: they would print what they were at. Whoever started
    them ends them.
    """
    direct = options.view_as(DirectOptions)
    if not _is_own(options) or direct.direct_running_mode != "multi_processing":
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
      options: what our parser does not know, "--name".
      ours: our own options, with their dashes.
    """
    for option in options:
        if not is_of_beam(option):
            known = [f"--{name}" for name in PipelineOptions([]).get_all_options()]
            near = difflib.get_close_matches(option, [*ours, *known], 1, 0.6)
            hint = f"did you mean {near[0]}?" if near else "see --help, or Beam's own options."
            raise InputError(f"unknown option {option}; {hint}")


def is_of_beam(option: str) -> bool:
    """Tells whether an option, "--name", is one of Beam's."""
    try:
        found = _parsed([option], retain_unknown_options=True)
    except InputError:  # it lacks its value
        return True
    return found.keys() == PipelineOptions([]).get_all_options().keys()


def check_values(arguments: Sequence[str]) -> None:
    """Raises InputError if Beam does not take one of its options with the value that is given."""
    _parsed(arguments)


def _parsed(arguments: Sequence[str], **how: bool) -> dict[str, Any]:
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return PipelineOptions(list(arguments)).get_all_options(**how)
    except SystemExit as error:  # how argparse ends a process
        told = said.getvalue().strip().splitlines()[-1].partition("error: ")[2]
        raise InputError(f"Beam does not take its options: {told}.") from error

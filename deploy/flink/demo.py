"""The demo on a Flink cluster, one of whose task managers is killed in the middle; `make flink` runs it.

Starts a standalone cluster on loopback (one job manager, two task managers) and Beam's worker pool, runs the demo there
and in this machine's FnApiRunner, and compares the published datasets byte for byte. Logs and workdirs: `runs/flink/`.

Exit codes: 0, both datasets are the same; 1, something else happened, said in one sentence.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from typing import Any

Process = subprocess.Popen[bytes]

ROOT = pathlib.Path(__file__).resolve().parents[2]
PARTS = ROOT / ".flink"  # what `fetch` fetched
FOLDER = ROOT / "runs" / "flink"
DATASET = "high_value_mistakes/digits"
COMMAND = [sys.executable, "-m", "pipeline", "run", "--config", "configs/digits.toml"]
TASK_MANAGERS = 2

# A task manager has a slot for the tasks of another, should that be lost.
_CONFIGURATION = """\
jobmanager.rpc.address: 127.0.0.1
jobmanager.rpc.port: {rpc}
jobmanager.bind-host: 127.0.0.1
rest.address: 127.0.0.1
rest.bind-address: 127.0.0.1
rest.port: {rest}
io.tmp.dirs: {temporary}
taskmanager.host: 127.0.0.1
taskmanager.bind-host: 127.0.0.1
taskmanager.numberOfTaskSlots: 2
taskmanager.cpu.cores: 1
taskmanager.memory.framework.heap.size: 128m
taskmanager.memory.framework.off-heap.size: 128m
taskmanager.memory.task.heap.size: 256m
taskmanager.memory.task.off-heap.size: 64m
taskmanager.memory.managed.size: 64m
taskmanager.memory.network.min: 64m
taskmanager.memory.network.max: 64m
taskmanager.memory.jvm-metaspace.size: 256m
taskmanager.memory.jvm-overhead.min: 192m
taskmanager.memory.jvm-overhead.max: 192m
cluster.evenly-spread-out-slots: true
heartbeat.interval: 2000
restart-strategy.type: fixed-delay
restart-strategy.fixed-delay.attempts: 10
restart-strategy.fixed-delay.delay: 2 s
"""
_LOGGING = """\
rootLogger.level = INFO
rootLogger.appenderRef.console.ref = Console
appender.console.name = Console
appender.console.type = CONSOLE
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %-5p %c{1} - %m%n
"""
# Flink looks into these; Java 17 allows it only when told.
_OPENED = (
    *("java.io", "java.lang", "java.lang.reflect", "java.net", "java.nio", "java.text", "java.time", "java.util"),
    *("java.util.concurrent", "java.util.concurrent.atomic", "java.util.concurrent.locks", "sun.nio.ch"),
)
_JOB_MANAGER = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
_TASK_MANAGER = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"


class Failed(Exception):
    """What went otherwise than it should, in one sentence."""


def main() -> int:
    """Runs everything; returns the exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    shutil.rmtree(FOLDER, ignore_errors=True)
    local, distributed = FOLDER / "local", FOLDER / "cluster"
    try:
        _say("the demo with FnApiRunner")
        with contextlib.ExitStack() as stack:
            _wait_for_success(_start(stack, "local", [*COMMAND, f"--workdir={local}"]), "local")
        shutil.copytree(local / "nets", distributed / "nets")
        _run_on_cluster(distributed)
        _compare(local / "datasets" / DATASET, distributed / "datasets" / DATASET)
    except Failed as failure:
        print(f"make flink: {failure}", file=sys.stderr)
        return 1
    return 0


def _say(text: str) -> None:
    print(f"-- {text}", flush=True)


def _run_on_cluster(workdir: pathlib.Path) -> None:
    """Runs the demo on a cluster of its own and kills a task manager after the first chunks."""
    rpc, rest, pool = _free_ports(3)
    _say(f"a Flink cluster on loopback: a job manager, {TASK_MANAGERS} task managers, and Beam's worker pool")
    with contextlib.ExitStack() as stack:
        task_managers = _start_cluster(stack, rpc, rest)
        _start(
            stack,
            "pool",
            [sys.executable, "-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={pool}"],
        )
        _wait(lambda: _registered(rest) == TASK_MANAGERS, "the task managers did not register", 180)
        _say("the demo with FlinkRunner")
        job = _start(stack, "distributed", [*COMMAND, f"--workdir={workdir}", *_options(rest, pool)])
        _kill_in_the_middle(task_managers[-1], job, workdir)
        _wait_for_success(job, "distributed")
        _show_restart(rest)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _start_cluster(stack: contextlib.ExitStack, rpc: int, rest: int) -> list[Process]:
    """Starts the job manager and the task managers; returns these."""
    conf, temporary = FOLDER / "conf", FOLDER / "tmp"
    conf.mkdir(parents=True)
    temporary.mkdir()
    (conf / "config.yaml").write_text(_CONFIGURATION.format(rpc=rpc, rest=rest, temporary=temporary))
    (conf / "log4j.properties").write_text(_LOGGING)
    java = ["java", "-Xmx512m", f"-Dlog4j2.configurationFile={conf / 'log4j.properties'}"]
    java += [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED]
    java += ["-cp", str(PARTS / "cluster" / "pyflink" / "lib" / "*")]
    where = ["--configDir", str(conf)]
    _start(stack, "job_manager", [*java, _JOB_MANAGER, *where, "--executionMode", "cluster"])
    names = [f"task_manager_{number + 1}" for number in range(TASK_MANAGERS)]
    return [_start(stack, name, [*java, _TASK_MANAGER, *where]) for name in names]


def _options(rest: int, pool: int) -> list[str]:
    return [
        "--runner=FlinkRunner",
        f"--flink_master=127.0.0.1:{rest}",
        f"--flink_job_server_jar={PARTS / 'job-server.jar'}",
        "--environment_type=EXTERNAL",
        f"--environment_config=127.0.0.1:{pool}",
        f"--parallelism={TASK_MANAGERS}",
    ]


def _start(stack: contextlib.ExitStack, name: str, command: list[str]) -> Process:
    """Starts a process with a log; it and its children end with the stack."""
    # The worker pool starts the `python` that it finds.
    path = os.pathsep.join([str(pathlib.Path(sys.executable).parent), os.environ["PATH"]])
    _log(name).parent.mkdir(parents=True, exist_ok=True)
    with _log(name).open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=ROOT, env={**os.environ, "PATH": path}, start_new_session=True
        )
    stack.callback(_end, process)
    return process


def _log(name: str) -> pathlib.Path:
    return FOLDER / "logs" / f"{name}.log"


def _end(process: Process) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.terminate()
        process.wait(10)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # what it started, too
    process.wait()


def _wait(condition: Callable[[], bool], otherwise: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Failed(f"{otherwise} within {seconds:.0f} seconds; see the logs in {FOLDER / 'logs'}.")
        time.sleep(0.1)


def _wait_for_success(process: Process, name: str) -> None:
    _wait(lambda: process.poll() is not None, f"the {name} run did not end", 900)
    if process.returncode:
        raise Failed(f"the {name} run ended with exit code {process.returncode}; see {_log(name)}.")
    _say(f"{name} run: exit code 0, {_log(name).read_text().strip().splitlines()[-1]}")


def _ask(rest: int, what: str) -> Any:
    """Returns what the job manager answers, {} as long as it does not."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{rest}{what}", timeout=10) as answer:
            return json.load(answer)
    except OSError:
        return {}


def _registered(rest: int) -> int:
    return _ask(rest, "/overview").get("taskmanagers", 0)


def _units(workdir: pathlib.Path) -> int:
    """Returns how many units the plan has, 0 without a plan."""
    return sum(
        len(json.loads(plan.read_text())["units"]) for plan in (workdir / "ledger" / DATASET).glob("*/plan.json")
    )


def _kill_in_the_middle(task_manager: Process, job: Process, workdir: pathlib.Path) -> None:
    def chunks() -> int:
        return len(list((workdir / "ledger" / DATASET).glob("*/chunks/*.parquet")))

    _wait(lambda: chunks() > 0 or job.poll() is not None, "no chunk was written", 600)
    task_manager.kill()
    there, units = chunks(), _units(workdir)
    if there >= units:
        raise Failed(f"the run ended before a task manager could be killed; see {_log('distributed')}.")
    _say(f"{there} of {units} chunks are there: killed a task manager with SIGKILL")


def _show_restart(rest: int) -> None:
    """Says what became of the job; raises Failed unless the killing made it start again and it finished."""
    jobs = _ask(rest, "/jobs").get("jobs", [])
    failures = [
        failure
        for job in jobs
        for failure in _ask(rest, f"/jobs/{job['id']}/exceptions")["exceptionHistory"]["entries"]
    ]
    if [job["status"] for job in jobs] != ["FINISHED"] or not failures:
        raise Failed(f"expected one job that failed, started again and finished; found {jobs}, failures {failures}.")
    _say(f"the job failed {len(failures)} time(s) and finished; {_registered(rest)} task manager is left")


def _compare(local: pathlib.Path, distributed: pathlib.Path) -> None:
    contents = [
        {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (local, distributed)
    ]
    one, other = contents
    different = sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
    if different or not one:
        raise Failed(f"{local} and {distributed} differ in {', '.join(different) or 'nothing: both are empty'}.")
    size = sum(len(content) for content in one.values())
    _say(f"{DATASET}: {len(one)} files, {size} bytes, equal byte for byte, local and distributed")


if __name__ == "__main__":
    sys.exit(main())

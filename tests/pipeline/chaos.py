"""Kills at random points, and weeks of nights with mishaps, beside the same without: `python -m tests.pipeline.chaos`.

    python -m tests.pipeline.chaos kills --kills 100 --seed 1
    python -m tests.pipeline.chaos nights --nights 14 --seed 1

`kills`: train, mine, package, mine another night, recheck and publish, retrain. Each command is killed (-9) at changes
of its workdir that are drawn at random, and given again, up to five times; and all of it anew until all kills are used
up. Half of them are with one process, each right before a change, and half with two worker processes, all of them at
once, after a number of new files.
`nights`: one run a night; some nights are killed, find the disk full or read-only, have company by a second start, or a
clock that jumps. In the end, every file has to be that of the undisturbed workdir, byte for byte, but for times and
paths.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from tests.pipeline import conftest, mortal

_ROOT = pathlib.Path(__file__).parents[2]
_NAME = conftest.DATASET
_SEARCHED = {"training": {"epochs": 1, "batch_size": 64}, "search": {"trials": 24}}
_AGAIN = """
task = "again"
mined = "searched.toml"
[retrain]
net = "mlp-8"
epochs = 1
batch_size = 32
seeds = 1
[measure]
images = "test[:50%]"
draws = 1
worst_of = 2
grid_images = 2
searched_images = 8
more_images = 4
judge = "mlp-16"
judge_epochs = 1
[[recipe]]
name = "nothing"
kind = "plain"
[[recipe]]
name = "mistakes"
kind = "mistakes"
"""
_WORKERS = ("--direct_num_workers=2", "--direct_running_mode=multi_processing")
_LIMIT = 600.0  # seconds, after which a command is taken to hang
_MOST = 5  # kills of a command
_LOOK = 0.02  # seconds between two looks at a workdir
_ENDED = {"done": 0, "held": 3, "disk": 4}  # exit codes
_TIMES = re.compile(rb'"(finished_at|seconds|net_paths|commit)": [^\n]*')

Command = list[str]


class Step(NamedTuple):
    """A command, how many changes of its workdir it makes, and how many files it leaves there."""

    command: Command
    changes: int
    files: int


def contents(folder: pathlib.Path) -> dict[str, Any]:
    """Returns what a workdir keeps (`conftest.kept`), other JSON files without times."""
    found = {name: data for name, data in conftest.kept(folder).items() if not name.endswith(".tmp")}
    for name, data in found.items():
        if name.endswith((".json", ".html", ".csv", ".txt")) and isinstance(data, bytes):
            found[name] = _TIMES.sub(b"", data.replace(os.fsencode(folder), b""))
    return found


def different(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Returns the names of the files that two workdirs do not have alike."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def commands(config: pathlib.Path, plan: pathlib.Path, work: pathlib.Path) -> Iterator[Command]:
    """Yields the commands from training to retraining; each is made when those before it have run."""
    where = ["--workdir", str(work)]
    yield ["run", "--config", str(config), "--run_id", "first", *where]
    yield ["mine", "--config", str(config), "--run_id", "second", "--run_seed", "auto", *where]
    yield ["package", "--config", str(config), *where]
    nets = [str(next((work / "nets").glob(f"{name}-*.keras"))) for name in ("mlp-12", "mlp-8")]
    yield ["recheck", f"{_NAME}:1.1.0", "--peers", f"mlp-4={nets[0]}", "--publish", *where]
    yield ["retrain", "--config", str(plan), *where]


def _files(folder: pathlib.Path) -> set[str]:
    return {os.path.join(path, name) for path, _, names in os.walk(folder) for name in names}


def _quiet(nursery: mortal.Nursery, config: pathlib.Path, plan: pathlib.Path, work: pathlib.Path) -> list[Step]:
    """Carries the commands out undisturbed."""
    steps = []
    for command in commands(config, plan, work):
        before = _files(work)
        ended = nursery.run(command, work)
        assert ended.code == 0, ended.said
        steps.append(Step(command, len(ended.changed), len(_files(work) - before)))
    return steps


def _killed_in_one(
    nursery: mortal.Nursery, command: Command, work: pathlib.Path, step: Step, kills: int, drawn: random.Random
) -> int:
    """Kills a command so often right before a change, and lets it end; returns how many kills there were."""
    done = 0
    for _ in range(kills):
        ended = nursery.run(command, work, at=drawn.randrange(max(1, step.changes // 2)))
        if ended.code == 0:  # there was less left to do
            break
        assert ended.code == -signal.SIGKILL, ended.said
        done += 1
    ended = nursery.run(command, work)
    assert ended.code == 0, ended.said
    return done


def _start(command: Command, **how: Any) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(_ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    program = [sys.executable, "-m", "pipeline", *command]
    return subprocess.Popen(
        program, env=environment, text=True, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, **how
    )


def _killed_with_workers(command: Command, work: pathlib.Path, step: Step, kills: int, drawn: random.Random) -> int:
    """Kills a command with its two workers so often after so many new files, and lets it end; returns the kills."""
    workers = [*command, *_WORKERS] if command[0] in ("run", "mine") else command
    done = 0
    for last in [*[False] * kills, True]:
        process = _start(workers, start_new_session=True)
        before, wanted = _files(work), drawn.randrange(1, max(2, step.files // 3))
        begun = time.monotonic()
        while process.poll() is None and not (not last and len(_files(work) - before) >= wanted):
            assert time.monotonic() - begun < _LIMIT, f"no end of {workers}"
            time.sleep(_LOOK)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            done += 1
        _, said = process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), said
        if process.returncode == 0:
            break
    return done


def kills(nursery: mortal.Nursery, folder: pathlib.Path, count: int, seed: int) -> dict[str, Any]:
    """Kills commands so often, and compares what they leave with what they leave undisturbed.

    Returns:
      "one process" and "two workers": how many kills there were; "different": the files that differ.
    """
    config, plan = conftest.write_config(folder / "searched.toml", **_SEARCHED), folder / "plan.toml"
    plan.write_text(_AGAIN)
    steps = _quiet(nursery, config, plan, folder / "quiet")
    drawn, calm = random.Random(seed), contents(folder / "quiet")
    told, wrong = {"one process": 0, "two workers": 0}, list[str]()
    for name in told:
        for life in itertools.count():
            work, left = folder / f"{name.replace(' ', '-')}-{life}", count // 2 - told[name]
            for command, step in zip(commands(config, plan, work), steps):  # made one by one
                wanted = min(_MOST, left)
                if name == "two workers":
                    killed = _killed_with_workers(command, work, step, wanted, drawn)
                else:
                    killed = _killed_in_one(nursery, command, work, step, wanted, drawn)
                told[name], left = told[name] + killed, left - killed
            wrong += [f"{work.name}: {file}" for file in different(calm, contents(work))]
            if not left:
                break
    return {**told, "different": wrong}


class _Night:
    """One night's command, in the workdir that is disturbed."""

    def __init__(self, nursery: mortal.Nursery, command: Command, work: pathlib.Path, drawn: random.Random):
        self._nursery, self._command, self._work, self._drawn = nursery, command, work, drawn

    def _run(self, **how: Any) -> mortal.Ended:
        return self._nursery.run(self._command, self._work, **how)

    def _again(self) -> None:
        ended = self._run()
        assert ended.code == _ENDED["done"], ended.said

    def quiet(self) -> None:
        """Nothing happens."""
        self._again()

    def killed(self) -> None:
        """It is killed twice, and given again."""
        for _ in range(2):
            self._run(at=self._drawn.randrange(20))
        self._again()

    def _failing(self, error: int) -> None:
        ended = self._run(at=self._drawn.randrange(1, 20), error=error)
        assert ended.code in (_ENDED["disk"], 2), ended.said  # 2: the workdir cannot even be written to
        assert "Traceback" not in ended.said, ended.said
        self._again()

    def full_disk(self) -> None:
        """The disk is full from some change on, until the morning."""
        self._failing(28)

    def read_only(self) -> None:
        """The disk is read-only from some change on, until the morning."""
        self._failing(30)

    def clock(self) -> None:
        """The clock was wrong by forty days, one way or the other, when the files of earlier nights were written."""
        jump = self._drawn.choice([-1, 1]) * 40 * 86_400
        for name in _files(self._work):
            about = os.stat(name)
            os.utime(name, (about.st_atime + jump, about.st_mtime + jump))
        self._again()

    def company(self) -> None:
        """It is started twice at once: one does it, and the other says that the task is held, or that it is done."""
        both = [_start(self._command) for _ in range(2)]
        said = [process.communicate(timeout=_LIMIT)[1] for process in both]
        codes = sorted(process.returncode for process in both)
        assert codes in ([_ENDED["done"], _ENDED["held"]], [_ENDED["done"]] * 2), said


MISHAPS: tuple[Callable[[_Night], None], ...] = (
    _Night.killed,
    _Night.full_disk,
    _Night.read_only,
    _Night.clock,
    _Night.company,
)


def nights(nursery: mortal.Nursery, folder: pathlib.Path, count: int, seed: int, every: int = 2) -> dict[str, Any]:
    """Runs so many nights with a mishap in every so manyth, and as many without.

    Returns:
      "mishaps": what befell which night; "different": the files that differ in the end.
    """
    config = conftest.write_config(folder / "searched.toml", **_SEARCHED)
    quiet, disturbed = folder / "quiet", folder / "disturbed"
    drawn, befell = random.Random(seed), dict[int, str]()
    for night in range(1, count + 1):
        command = ["run", "--config", str(config), "--run_id", f"night-{night:02d}", "--run_seed", "auto", "--workdir"]
        ended = nursery.run([*command, str(quiet)], quiet)
        assert ended.code == 0, ended.said
        mishap = MISHAPS[night // every % len(MISHAPS)] if night % every == 0 else _Night.quiet
        mishap(_Night(nursery, [*command, str(disturbed)], disturbed, drawn))
        befell[night] = mishap.__name__
    return {"mishaps": befell, "different": different(contents(quiet), contents(disturbed))}


def main() -> int:
    """Runs one of the two and prints what came of it as JSON; returns 1 if files differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("kills", "nights"))
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--nights", type=int, default=14)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="leave the workdirs where they are, and say where")
    arguments = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="chaos-"))
    with mortal.nursery() as nursery:
        if arguments.what == "kills":
            told = kills(nursery, folder, arguments.kills, arguments.seed)
        else:
            told = nights(nursery, folder, arguments.nights, arguments.seed)
    print(json.dumps({**told, "seed": arguments.seed, **({"folder": str(folder)} if arguments.keep else {})}, indent=1))
    if not arguments.keep:
        shutil.rmtree(folder)
    return int(bool(told["different"]))


if __name__ == "__main__":
    sys.exit(main())

"""What the end-to-end tests share: tiny tasks, workdirs with trained nets, and the command line called in-process."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import io
import json
import pathlib
import re
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from absl import logging
from PIL import Image

from pipeline.commands import cli, run_commands
from pipeline.kinds import registry
from pipeline.kinds.mistakes.kind import MISTAKES
from pipeline.kinds.pairs.kind import PAIRS as PAIRS_KIND
from tests.pipeline import mortal

TASK = "tiny"
DATASET = f"{MISTAKES.name}/{TASK}"
PAIRS = f"{PAIRS_KIND.name}/{TASK}"
PGD = {"method": "pgd", "targets": ["mlp-8", "mlp-12"]}
ATTACK = {"eps": 0.12, "step_size": 0.02, "steps": 10}
TINY: dict[str, Any] = {
    "task": TASK,
    "seeds": {"dataset": "digits", "splits": ["test"]},
    "peers": {"architectures": ["mlp-4", "mlp-8", "mlp-12"]},
    "training": {"epochs": 3, "batch_size": 32},
    "judge": {"architecture": "mlp-16", "epochs": 3},
    "search": {"peer_confidence": 0.0, "target_confidence": 0.0, "patience": 30},
    "run": {"unit_size": 64, "lanes": 64},
}

# The whole job, training and all, in a few seconds.
BRIEF: dict[str, Any] = {
    "peers": {"architectures": ["mlp-4", "mlp-8"]},
    "training": {"epochs": 1, "batch_size": 64},
    "search": {"method": "scan"},
    "run": {"unit_size": 128},
}


# Where the brief run changes its workdir: the nets, the chunks, the dataset.
STAGES = ("nets/", f"ledger/{DATASET}/first/chunks/", f"datasets/{DATASET}/")


REPORTED = run_commands._reported  # as it is outside of tests


class Outcome(NamedTuple):
    """What a command did: its exit code and what it printed."""

    code: int
    out: str
    err: str


def call(*argv: Any) -> Outcome:
    """Runs a command in this process, as the installed command does."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = cli._main(cli._parse(["peerpressure", *map(str, argv)]))
        except SystemExit as left:  # how argparse ends a command
            code = int(left.code or 0)
    return Outcome(code, out.getvalue(), err.getvalue())


@dataclasses.dataclass(frozen=True)
class Work:
    """A workdir, and which of its datasets is looked at; `changes` are those of its configuration to the tiny task."""

    path: pathlib.Path
    dataset: str = DATASET
    changes: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def ledger(self) -> pathlib.Path:
        return self.path / "ledger" / self.dataset

    @property
    def datasets(self) -> pathlib.Path:
        return self.path / "datasets"

    @property
    def published(self) -> pathlib.Path:
        return self.datasets / self.dataset

    def nets(self) -> list[str]:
        """Returns the trained nets' files: mlp-4, mlp-8, mlp-12."""
        return [str(next((self.path / "nets").glob(f"{name}-*.keras"))) for name in TINY["peers"]["architectures"]]

    def manifest(self, run_id: str) -> dict[str, Any]:
        return json.loads((self.ledger / run_id / "manifest.json").read_text())

    def examples(self, version: str = "", splits: tuple[str, ...] = ("test",)) -> dict[str, dict[str, Any]]:
        """Returns a version's examples by id, as NumPy; the newest version's if none is given."""
        builder = tfds.builder(f"{self.dataset}:{version}" if version else self.dataset, data_dir=self.datasets)
        found = [example for split in splits for example in tfds.as_numpy(builder.as_dataset(split=split))]
        return {example["id"].decode(): example for example in found}

    def copy(self, to: pathlib.Path, *, ran: bool) -> Work:
        """Copies the nets and seed images; also the ledger and the datasets if `ran`."""
        left_out = [] if ran else ["ledger", *(kind.name for kind in registry.KINDS)]
        shutil.copytree(self.path, to, ignore=shutil.ignore_patterns(*left_out))
        return dataclasses.replace(self, path=to)


def write_config(path: pathlib.Path, **sections: Any) -> pathlib.Path:
    """Writes the tiny task with some keys changed; a section given as None is left out.

    Its judge is left out too where seeds or peers are others, so that none is trained for these.
    """
    judge = {"judge": None} if {"seeds", "peers"} & sections.keys() else {}
    merged = {**TINY, **judge, **sections}
    for name, section in sections.items():
        if isinstance(section, dict) and name in ("search", "run"):
            merged[name] = {**TINY[name], **section}
    plain = {key: value for key, value in merged.items() if not isinstance(value, dict) and value is not None}
    lines = [f"{key} = {json.dumps(value)}" for key, value in plain.items()]
    for name, section in merged.items():
        if isinstance(section, dict):
            lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in section.items())]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="session", autouse=True)
def _quiet() -> None:
    logging.set_verbosity(logging.ERROR)  # as the installed command does


@pytest.fixture(scope="session", autouse=True)
def _no_page_at_the_end_of_runs() -> Iterator[None]:
    """Runs in this process draw no page: it would take longer than a tiny run. Those of other processes do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_commands, "_reported", lambda job, folder: {})
        yield


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C does what it does in a program of one's own, and in what it starts; some test runners ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def peerpressure() -> Callable[..., Outcome]:
    """The command line, in-process."""
    return call


@pytest.fixture
def program() -> str:
    """The installed command."""
    return str(pathlib.Path(sys.executable).with_name("peerpressure"))


@pytest.fixture
def config(tmp_path) -> Callable[..., pathlib.Path]:
    """Writes a changed tiny task."""

    def write(name: str = "config", **sections: Any) -> pathlib.Path:
        return write_config(tmp_path / f"{name}.toml", **sections)

    return write


@pytest.fixture(scope="session")
def ran(tmp_path_factory) -> tuple[Work, Outcome]:
    """A workdir in which run "first" was run end to end, and what was printed. Not to be changed."""
    folder = tmp_path_factory.mktemp("ran")
    work = Work(folder / "work")
    task = write_config(folder / "tiny.toml")
    outcome = call("run", "--config", task, "--workdir", work.path, "--run_id", "first")
    assert outcome.code == 0, outcome
    return work, outcome


@pytest.fixture(scope="session")
def finished(ran) -> Work:
    """The workdir of `ran`."""
    return ran[0]


@pytest.fixture(scope="session")
def mined(finished, tmp_path_factory) -> tuple[Work, Outcome]:
    """A workdir in which run "first" of adversarial pairs was run, and what was printed. Not to be changed."""
    folder = tmp_path_factory.mktemp("pairs")
    changes = {"search": PGD, "attack": ATTACK}
    work = dataclasses.replace(finished.copy(folder / "work", ran=False), dataset=PAIRS, changes=changes)
    task = write_config(folder / "tiny.toml", **changes)
    outcome = call("run", "--config", task, "--workdir", work.path, "--run_id", "first")
    assert outcome.code == 0, outcome
    return work, outcome


def publish(work: Work, *given: str) -> Outcome:
    """Publishes what nets (NAME=FILE) say of the newest version."""
    return call("recheck", work.dataset, "--workdir", work.path, "--publish", "--peers", *given)


@pytest.fixture(scope="session")
def rechecked(finished, tmp_path_factory) -> Work:
    """A finished workdir whose version 1.1.0 has statuses: the large net in the small one's place. Not to be changed.

    All mistakes of mlp-4 are healed, for mlp-12 was right about them; those of mlp-8 remain; mlp-12 shares its own.
    """
    work = finished.copy(tmp_path_factory.mktemp("rechecked") / "work", ran=True)
    outcome = publish(work, f"mlp-4={work.nets()[2]}")
    assert outcome.code == 0, outcome
    return work


@pytest.fixture(params=[MISTAKES.name, PAIRS_KIND.name])
def made(request) -> Work:
    """A workdir with run "first" of each kind of task in turn. Not to be changed."""
    return request.getfixturevalue({MISTAKES.name: "ran", PAIRS_KIND.name: "mined"}[request.param])[0]


@pytest.fixture
def work(finished, tmp_path) -> Work:
    """A workdir of one's own with the trained nets and the seed images, and no run."""
    return finished.copy(tmp_path / "work", ran=False)


@pytest.fixture
def copied(finished, tmp_path) -> Work:
    """A copy of one's own of the whole finished workdir."""
    return finished.copy(tmp_path / "copied", ran=True)


@pytest.fixture(scope="session")
def pictures(finished, tmp_path_factory) -> pathlib.Path:
    """An image folder test/CLASS/PICTURE.png with 40 digits. Not to be changed."""
    folder = tmp_path_factory.mktemp("pictures") / "digits_folder"
    digits = tfds.as_numpy(tfds.load("digits", split="test[:40]", data_dir=finished.datasets))
    for number, example in enumerate(digits):
        path = folder / "test" / str(example["label"]) / f"{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(example["image"][..., 0]).save(path)
    return folder


@pytest.fixture(scope="session")
def nursery() -> Iterator[mortal.Nursery]:
    """Runs commands that die, or meet a failing disk, where a test says."""
    with mortal.nursery() as started:
        yield started


class Brief(NamedTuple):
    """A workdir in which the brief task was run, undisturbed, and how many changes a start makes there."""

    work: Work
    whole: int
    finished: int


@pytest.fixture(scope="session")
def brief(nursery, tmp_path_factory) -> Brief:
    """The brief task, run end to end in the nursery, and started once more. Not to be changed."""
    folder = tmp_path_factory.mktemp("brief")
    task = write_config(folder / "brief.toml", **BRIEF)
    command = ["run", "--config", task, "--run_id", "first", "--workdir", folder / "work"]
    ended = [nursery.run(command, folder / "work") for _ in range(2)]
    assert [one.code for one in ended] == [0, 0], ended
    return Brief(Work(folder / "work"), *(len(one.changed) for one in ended))


def kept(folder: pathlib.Path) -> dict[str, Any]:
    """Returns all that a workdir keeps, but for locks; nets as weights, manifests and pages without time and paths."""
    found: dict[str, Any] = {name: data for name, data in files(folder).items() if not name.endswith(".lock")}
    for name in found:
        if name.endswith(".keras"):
            net = tf.keras.models.load_model(folder / name, compile=False)
            found[name] = [weights.tobytes() for weights in net.get_weights()]
        elif name.endswith("manifest.json"):
            manifest = json.loads(found[name])
            found[name] = {
                key: value for key, value in manifest.items() if key not in ("finished_at", "net_paths", "counters")
            }
        elif name.endswith("index.html"):
            found[name] = re.sub("<dt>finished</dt><dd>[^<]*", "", found[name].decode().replace(str(folder), ""))
    return found


def files(folder: pathlib.Path) -> dict[str, bytes]:
    """Returns the content of every file under a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def tree() -> Callable[[pathlib.Path], dict[str, bytes]]:
    """Reads every file under a folder."""
    return files


@pytest.fixture
def upgrade(monkeypatch) -> Callable[[], None]:
    """Gives this program another version, "9.9"."""
    installed = importlib.metadata.version

    def another(name: str) -> str:
        return "9.9" if name == "peer-pressure" else installed(name)

    return lambda: monkeypatch.setattr(importlib.metadata, "version", another)


@pytest.fixture
def same_features() -> Callable[[Any, Any], None]:
    """Asserts that two examples are equal, feature by feature, bit for bit."""

    def check(ours: Any, theirs: Any) -> None:
        tf.nest.assert_same_structure(ours, theirs)
        for one, other in zip(tf.nest.flatten(ours), tf.nest.flatten(theirs), strict=True):
            np.testing.assert_array_equal(one, other)

    return check


@pytest.fixture
def half_written() -> Callable[[pathlib.Path], list[str]]:
    """Lists what is half-written under a folder."""

    def find(folder: pathlib.Path) -> list[str]:
        return [str(path) for pattern in ("*.tmp", "incomplete.*") for path in folder.rglob(pattern)]

    return find


@pytest.fixture
def tamper() -> Callable[..., str]:
    """Changes the first stored example of a version and returns its id."""

    def change(work: Work, edit: Callable[[Any], None]) -> str:
        path = next((work.published / "1.0.0").glob("*-test.tfrecord-*"))
        records = [tf.train.Example.FromString(record.numpy()) for record in tf.data.TFRecordDataset(str(path))]
        edit(records[0].features.feature)
        with tf.io.TFRecordWriter(str(path)) as writer:
            for record in records:
                writer.write(record.SerializeToString(deterministic=True))
        return records[0].features.feature["id"].bytes_list.value[0].decode()

    return change

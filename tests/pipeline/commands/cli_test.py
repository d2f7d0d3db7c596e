"""The command line: its help, and what it says to what cannot be right."""

from __future__ import annotations

import contextlib
import io
import os
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from pipeline.commands import cli
from pipeline.versions import diff

layers = tf.keras.layers
NAME = "high_value_mistakes/tiny"

_TASK_OPTIONS = {"--workdir": "runs", "--data_dir": "", "--device": "auto"}
_RUN_OPTIONS = {"--run_id": "", "--run_seed": "", "--islands": "", "--json": "", "--wait": ""}
_OPTIONS = {
    "run": {**_TASK_OPTIONS, **_RUN_OPTIONS},
    "mine": {**_TASK_OPTIONS, **_RUN_OPTIONS},
    "check": {**_TASK_OPTIONS, "--json": ""},
    "train": _TASK_OPTIONS,
    "package": {**_TASK_OPTIONS, "--wait": ""},
    "verify": {"--workdir": "runs", "--peers": "", "--sample": ""},
    "replay": {"--workdir": "runs", "--peers": "", "--out": "", "--picture": ""},
    "recheck": {
        "--workdir": "runs",
        "--sample": "",
        "--csv": "",
        "--json": "",
        "--status": "",
        "--publish": "",
        "--wait": "",
    },
    "diff": {"--workdir": "runs", "--json": ""},
    "transfer": {
        "--workdir": "runs",
        "--peers": "",
        "--sample": "",
        "--rescale": "[0.1]",
        "--csv": "",
        "--json": "",
        "--picture": "",
    },
    "probe": {
        "--workdir": "runs",
        "--peers": "",
        "--sample": "",
        "--noise": "",
        "--draws": "10",
        "--csv": "",
        "--json": "",
        "--picture": "",
    },
    "report": {"--workdir": "runs", "--sample": "", "--out": ""},
    "render": {"--workdir": "runs", "--size": "512", "--genome": ""},
    "sheet": {"--workdir": "runs", "--net": "", "--encoding": "", "--limit": "100"},
    "reproduce": {**_TASK_OPTIONS, "--list": "", "--small": "", "--out": "", "--json": ""},
    "lineage": {"--workdir": "runs", "--csv": "", "--json": "", "--picture": ""},
}
_REQUIRED = {
    **{command: ["--config"] for command in ("run", "mine", "check", "train", "package")},
    "recheck": ["--peers"],
}
_REQUIRED |= {"render": ["--out"], "sheet": ["--out"]}
_HELP = {"-h", "--help", "--helpshort", "--helpfull"}


def _is_one_sentence(outcome) -> bool:
    return outcome.code == 2 and re.fullmatch(r"peerpressure: error: [^\n]+[.?]\n", outcome.err) is not None


def _described(text: str) -> dict[str, str]:
    """Returns what a help text says of each option, in one line."""
    parts = re.split(r"\n  (?=-)", text)
    return {part.split()[0].rstrip(","): " ".join(part.split()) for part in parts[1:]}


@pytest.mark.parametrize("command", _OPTIONS)
def test_help_tells_every_option_and_its_default(peerpressure, command):
    outcome = peerpressure(command, "--help")
    assert outcome.code == 0
    told = _described(outcome.out)
    for option, default in _OPTIONS[command].items():
        assert option in told and (not default or f"(default: {default})" in told[option])
    for option in _REQUIRED.get(command, []):
        assert "required" in told[option]
    known = set(cli._parser()[1].choices[command].options)
    assert known - _HELP == {*_OPTIONS[command], *_REQUIRED.get(command, [])} == set(told) - _HELP


def test_help_lists_every_command_and_the_exit_codes(peerpressure):
    outcome = peerpressure("--help")
    assert outcome.code == 0
    for command in _OPTIONS:
        assert re.search(rf"^    {command} ", outcome.out, re.MULTILINE)
    codes = "0 done, 1 a check failed, 2 wrong input, 3 another run holds the task, 4 a disk, a bucket or a worker"
    assert f"Exit codes: {codes} process failed, 5 anything else." in " ".join(outcome.out.split())


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "a command is missing; give one of run, check, train, mine, package, verify, replay, recheck, diff,"),
        (["frobnicate"], "unknown command 'frobnicate'; expected one of run, check, train, mine, package, verify,"),
        (["pakcage"], "unknown command 'pakcage'; did you mean package?"),
        (["--versio"], "unknown option '--versio'; did you mean --version?"),
        (["run"], "`peerpressure run` needs --config; `peerpressure run --help` says what to give."),
        (["verify"], "`peerpressure verify` needs dataset;"),
        (["replay"], "`peerpressure replay` needs dataset and id;"),
        (["replay", "high_value_mistakes/tiny"], "`peerpressure replay` needs id;"),
        (["run", "--config"], "--config: expected one argument; see `peerpressure run --help`."),
        (["run", "--config", "none.toml", "--device", "foo"], "--device: invalid choice: 'foo' (choose from "),
    ],
)
def test_what_is_missing_or_not_a_choice_is_told(peerpressure, argv, message):
    outcome = peerpressure(*argv)
    assert _is_one_sentence(outcome) and outcome.err.startswith(f"peerpressure: error: {message}")
    assert outcome.out == ""


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--wrokdir", "elsewhere"], "unknown option --wrokdir; did you mean --workdir?"),
        (["--wrokdir=elsewhere"], "unknown option --wrokdir; did you mean --workdir?"),
        (["--direct_num_worker=2"], "did you mean --direct_num_workers?"),
        (["--confg", "x"], "did you mean --config?"),
        (["--runer=FlinkRunner"], "did you mean --runner?"),  # and not --run_seed, which is ours
        (["--nothing_like_it"], "unknown option --nothing_like_it; see --help, or Beam's own options."),
        (["elsewhere"], "unexpected argument 'elsewhere'"),
    ],
)
def test_an_unknown_option_suggests_the_nearest(peerpressure, config, tmp_path, more, message):
    outcome = peerpressure("run", "--config", config(), "--workdir", tmp_path / "work", *more)
    assert _is_one_sentence(outcome) and message in outcome.err
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize(
    ("more", "unexpected"),
    [(["extra"], "extra"), (["-wait"], "-wait"), (["--streaming", "-v"], "-v"), (["--runner=x", "y"], "y")],
)
def test_an_argument_that_is_no_option_or_its_value_is_told(peerpressure, config, tmp_path, more, unexpected):
    outcome = peerpressure("run", "--config", config(), "--workdir", tmp_path / "own", *more)
    assert _is_one_sentence(outcome) and not (tmp_path / "own").exists()
    assert f"unexpected argument '{unexpected}'; see `peerpressure run --help`" in outcome.err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--run_seed", "auto"], "--run_seed auto takes the run seed from the run id; give --run_id too."),
        (["--run_seed", "x"], "--run_seed is 'x', expected 'auto' or a whole number from 0 to 4294967295."),
        (["--run_seed=-1"], "--run_seed is '-1', expected"),
        (["--run_seed", "4294967296"], "--run_seed is '4294967296', expected"),
    ],
)
def test_a_run_seed_that_is_none_is_told(peerpressure, config, tmp_path, more, message):
    outcome = peerpressure("run", "--config", config(), "--workdir", tmp_path / "work", *more)
    assert _is_one_sentence(outcome) and message in outcome.err
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize("command", ["train", "package"])
def test_beam_options_are_for_commands_that_run_beam(peerpressure, config, tmp_path, command):
    outcome = peerpressure(command, "--config", config(), "--workdir", tmp_path / "work", "--runner=FnApiRunner")
    assert _is_one_sentence(outcome) and "runs no Beam pipeline" in outcome.err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (
            ["replay", NAME, "0a", "--data_dir", "x"],
            "`replay` takes no --data_dir; it takes --workdir, --peers, --out, ",
        ),
        (["verify", NAME, "--pears", "x"], "unknown option --pears; did you mean --peers?"),
        (
            ["diff", NAME, NAME, "--direct_num_workers=2"],
            "--direct_num_workers: `diff` runs no Beam pipeline; leave it",
        ),
    ],
)
def test_an_option_that_a_command_does_not_take_is_told_with_those_that_it_takes(peerpressure, argv, message):
    outcome = peerpressure(*argv)
    assert _is_one_sentence(outcome) and outcome.err.startswith(f"peerpressure: error: {message}")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--direct_num_workers=x"], "argument --direct_num_workers: invalid int value: 'x'."),
        (["--direct_num_workers"], "argument --direct_num_workers: expected one argument."),
        (["--direct_running_mode", "fast"], "argument --direct_running_mode: invalid choice: 'fast' (choose from "),
    ],
)
def test_a_value_that_beam_does_not_take_is_told_at_once(peerpressure, config, tmp_path, more, message):
    outcome = peerpressure("run", "--config", config(), "--workdir", tmp_path / "work", *more)
    assert _is_one_sentence(outcome) and f"Beam does not take its options: {message}" in outcome.err
    assert not (tmp_path / "work").exists()


def test_beam_options_pass(work, peerpressure, config):
    outcome = peerpressure(
        *("mine", "--config", config(search={"method": "scan"}), "--workdir", work.path),
        *("--runner=FnApiRunner", "--direct_num_workers", "1", "--job_name=tiny"),
    )
    assert outcome.code == 0


def test_a_runner_that_beam_does_not_know_is_told(work, peerpressure, config, half_written):
    task = config(search={"method": "scan"})
    outcome = peerpressure("mine", "--config", task, "--workdir", work.path, "--runner=NoSuchRunner")
    assert outcome.code == 2 and "NoSuchRunner" in outcome.err.strip().splitlines()[-1]
    assert outcome.err.count("peerpressure: error:") == 1 and not half_written(work.path)


def test_a_runner_whose_packages_are_missing_is_told(work, peerpressure, config, monkeypatch):
    def refuse(pipeline, *_):
        raise ImportError("Google Cloud Dataflow runner not available, please install apache_beam[gcp]")

    monkeypatch.setattr(FnApiRunner, "run_pipeline", refuse)
    outcome = peerpressure("mine", "--config", config(search={"method": "scan"}), "--workdir", work.path)
    assert outcome.code == 2 and "the runner cannot be used here: Google Cloud Dataflow" in outcome.err
    assert outcome.err.strip().endswith("please install apache_beam[gcp].")


def test_a_missing_configuration_is_told(peerpressure, tmp_path):
    outcome = peerpressure("run", "--config", tmp_path / "none.toml", "--workdir", tmp_path / "work")
    assert _is_one_sentence(outcome) and "none.toml: the configuration cannot be read" in outcome.err
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": {"dataset": "no_such_dataset"}}, "[seeds] dataset 'no_such_dataset' was not found in"),
        ({"seeds": {"dataset": "mnist"}}, "[seeds] dataset 'mnist' is not prepared in"),
        ({"seeds": {"image_folder": "/no/such/folder"}}, "[seeds] image_folder /no/such/folder does not exist"),
        ({"seeds": {"dataset": "digits", "splits": ["tset"]}}, "no split 'tset'; it has test, train"),
        (
            {"peers": {"architectures": ["mlp-4", "mlp-8"], "trained_on": ["train[:50%]", "tran[50%:]"]}},
            "[peers] trained_on: 'tran[50%:]' is no part of digits; expected a part of 'test' (359 images) and 'train'",
        ),
        ({"search": {"targets": ["mlp-5"]}}, "[search] targets names 'mlp-5', expected 'all' or some of mlp-4"),
        ({"search": {"patiense": 3}}, "did you mean 'patience'?"),
    ],
)
def test_a_task_that_cannot_be_run_is_told(work, peerpressure, config, tmp_path, half_written, changes, message):
    (tmp_path / "empty").mkdir()
    data_dir = work.datasets if changes.get("seeds", {"dataset": "digits"}).get("dataset") == "digits" else "empty"
    outcome = peerpressure(
        "run", "--config", config(**changes), "--workdir", work.path, "--data_dir", tmp_path / data_dir
    )
    assert _is_one_sentence(outcome) and message in outcome.err
    assert not half_written(work.path) and not work.published.exists()


def test_a_workdir_that_cannot_be_written_to_is_told(peerpressure, config, tmp_path):
    (tmp_path / "file").write_text("in the way")
    for workdir in (tmp_path / "file", tmp_path / "file" / "below"):
        outcome = peerpressure("run", "--config", config(), "--workdir", workdir)
        assert _is_one_sentence(outcome) and f"--workdir {workdir} cannot be written to" in outcome.err


@pytest.mark.parametrize("run_id", ["../up", ".hidden", "a b", "x" * 101])
def test_an_unusable_run_id_is_told(work, peerpressure, config, run_id):
    outcome = peerpressure("mine", "--config", config(), "--workdir", work.path, "--run_id", run_id)
    assert _is_one_sentence(outcome) and "is not usable" in outcome.err
    assert not work.ledger.exists()


def _net(shape=(28, 28, 1), classes=10, activation="softmax"):
    tf.keras.utils.set_random_seed(1)
    return tf.keras.Sequential([tf.keras.Input(shape), layers.Flatten(), layers.Dense(classes, activation=activation)])


def _nan_net():
    net = _net()
    net.set_weights([np.full_like(weight, np.nan) for weight in net.get_weights()])
    return net


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: _net(shape=(27, 28, 1)), "(27, 28, 1)"),
        (lambda: _net(classes=9), "9"),
        (lambda: _net(activation=None), "gives logits where probabilities are expected"),
        (_nan_net, "not finite"),
        (None, "there is nothing at"),
    ],
    ids=["size", "classes", "logits", "nan", "missing"],
)
def test_a_net_that_does_not_fit_is_named(work, peerpressure, config, tmp_path, half_written, build, message):
    bad = tmp_path / "bad.keras"
    if build:
        build().save(bad)
    task = config(peers={"files": [work.nets()[0], str(bad)]})
    outcome = peerpressure("run", "--config", task, "--workdir", work.path)
    assert _is_one_sentence(outcome) and "'bad'" in outcome.err and message in outcome.err
    assert not half_written(work.path) and not work.ledger.exists() and not work.published.exists()


class _Unsteady(tf.Module):
    """A net that answers by its batch's moments, or at random where more than a tenth of an image is bright."""

    def __init__(self, random):
        super().__init__()
        self._random, self._net = random, _net()

    @tf.function(input_signature=[tf.TensorSpec([None, 28, 28, 1], tf.float32)])
    def answer(self, images):
        if not self._random:
            mean, variance = tf.nn.moments(images, axes=(0, 1, 2, 3))
            return self._net((images - mean) / tf.sqrt(variance))
        bright = tf.reduce_mean(images, axis=(1, 2, 3))[:, None]
        drawn = tf.nn.softmax(tf.random.normal([tf.shape(images)[0], 10]))
        return tf.where((bright > 0.1) & (bright < 0.45), drawn, self._net(images))


@pytest.mark.parametrize(
    ("random", "message"),
    [(False, "does not answer each image by itself"), (True, "is not deterministic: two calls")],
    ids=["moments", "random on some images"],
)
def test_a_net_that_is_no_function_of_one_image_is_refused_before_the_search(
    work, peerpressure, config, tmp_path, half_written, random, message
):
    module = _Unsteady(random)
    tf.saved_model.save(module, str(tmp_path / "bad"), signatures=module.answer)
    task = config(peers={"files": [work.nets()[0], str(tmp_path / "bad")]})
    outcome = peerpressure("run", "--config", task, "--workdir", work.path)
    assert _is_one_sentence(outcome) and f"Net 'bad' {message}" in outcome.err
    assert not half_written(work.path) and not work.ledger.exists() and not work.published.exists()


def test_two_nets_of_one_name_are_told(work, peerpressure, config, tmp_path):
    first, other = work.nets()[:2]
    namesake = shutil.copy(other, tmp_path / pathlib.Path(first).name)
    task = config(peers={"files": [first, str(namesake)]})
    outcome = peerpressure("run", "--config", task, "--workdir", work.path)
    assert _is_one_sentence(outcome) and "2 nets of a peer group are named" in outcome.err


def test_the_installed_command_says_nothing_but_the_sentence(program, tmp_path):
    done = subprocess.run(
        [program, "run", "--config", "none.toml", "--wrokdir", "x"], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == "peerpressure: error: unknown option --wrokdir; did you mean --workdir?\n"


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (RuntimeError("no reason"), 5, "RuntimeError: no reason\npeerpressure: error: the above is unexpected;"),
        (
            tf.errors.InternalError(None, None, "no kernel"),
            5,
            "InternalError: no kernel\npeerpressure: error: the above",
        ),
        (KeyboardInterrupt(), 130, "peerpressure: error: interrupted; the same command goes on from there."),
        (tf.errors.UnavailableError(None, None, "the bucket is away"), 4, "error: the bucket is away; mend that, and"),
        (BrokenPipeError("a socket"), 4, "error: a socket; mend that, and"),
    ],
    ids=["defect", "graph", "interrupt", "bucket", "socket"],
)
def test_whatever_ends_a_command_has_its_exit_code(finished, peerpressure, monkeypatch, error, code, told):
    def fail(*_):
        raise error

    monkeypatch.setattr(diff, "compare", fail)
    outcome = peerpressure("diff", NAME, NAME, "--workdir", finished.path)
    assert outcome.code == code and told in outcome.err and outcome.err.endswith("from there.\n")
    assert ("Traceback" in outcome.err) == (code == 5)


@pytest.mark.parametrize("at_once", [False, True])
def test_a_reader_that_leaves_ends_a_command_silently(finished, at_once):
    read_end, write_end = os.pipe()
    os.close(read_end)
    with (
        io.TextIOWrapper(open(write_end, "wb", buffering=0 if at_once else -1), write_through=at_once) as nobody,
        contextlib.redirect_stdout(nobody),
    ):
        err = io.StringIO()
        with contextlib.redirect_stderr(err):
            code = cli._main(cli._parse(["peerpressure", "diff", NAME, NAME, "--workdir", str(finished.path)]))
    assert (code, err.getvalue()) == (141, "")


_ABORTS_LATE = """
import os, sys

class Late:
    def __del__(self):
        os.abort()

late = Late()  # torn down with the modules, as libraries' threads are
from pipeline.__main__ import console
sys.argv = ["peerpressure", *sys.argv[1:]]
console()
"""


@pytest.mark.parametrize(("words", "code"), [(["nets"], 0), (["verify", "none", "--workdir", "{}"], 2), (["nest"], 2)])
def test_a_library_that_aborts_when_torn_down_does_not_change_the_exit_code(tmp_path, words, code):
    given = [word.format(tmp_path) for word in words]
    done = subprocess.run([sys.executable, "-c", _ABORTS_LATE, *given], capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    assert ("mlp-30" in done.stdout) == (code == 0) and ("peerpressure: error: " in done.stderr) == (code != 0)


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("ver", {"verify"}),
        ("re", {"replay", "recheck", "render", "retrain", "report", "reproduce"}),
        ("verify --w", {"--workdir"}),
    ],
)
def test_a_shell_completes_commands_and_options(program, tmp_path, typed, offered):
    line = f"peerpressure {typed}"
    asked = {"_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line)), "_ARGCOMPLETE_IFS": " "}
    environment = {**os.environ, **asked, "_ARGCOMPLETE_STDOUT_FILENAME": str(tmp_path / "offered")}
    subprocess.run([program], env=environment, check=False, capture_output=True)
    assert set((tmp_path / "offered").read_text().split()) == offered


@pytest.mark.parametrize("option", ["--json", "--csv"])
@pytest.mark.parametrize(
    ("name", "reason"), [("no/a", "No such file or directory"), ("file/a", "Not a directory"), ("", "Is a directory")]
)
def test_a_file_that_cannot_be_written_is_told_before_any_work(peerpressure, config, tmp_path, option, name, reason):
    (tmp_path / "file").write_text("")
    command = "run" if option == "--json" else "retrain"
    given = ["--config", config(), "--workdir", tmp_path / "work", option, f"{tmp_path}/{name}"]
    outcome = peerpressure(command, *given)
    assert _is_one_sentence(outcome) and f"{option} {tmp_path}/{name} cannot be written ({reason})" in outcome.err
    assert not (tmp_path / "work").exists()

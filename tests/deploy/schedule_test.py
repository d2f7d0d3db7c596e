"""The schedulers' files: each in its own syntax, and with command lines that our parser takes."""

from __future__ import annotations

import ast
import configparser
import os
import pathlib
import re
import shlex
import shutil
import subprocess

import pytest
import yaml

from models.errors import InputError
from pipeline.commands import cli

ROOT = pathlib.Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "schedule"
_FIELD = r"(?:\*|\d+(?:-\d+)?)(?:/\d+)?(?:,\d+)*"


def _unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string((FOLDER / name).read_text())
    return parser


def _jobs() -> list[str]:
    lines = (FOLDER / "crontab").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def _container() -> dict:
    job = yaml.safe_load((FOLDER / "cronjob.yaml").read_text())
    (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    return container


def _of_crontab() -> list[str]:
    (job,) = _jobs()
    return [job.split(">>")[0]]


def _of_systemd() -> list[str]:
    return [_unit("peerpressure.service")["Service"]["ExecStart"]]


def _of_airflow() -> list[str]:
    calls = [
        node for node in ast.walk(ast.parse((FOLDER / "airflow_dag.py").read_text())) if isinstance(node, ast.Call)
    ]
    keywords = [keyword for call in calls for keyword in call.keywords if keyword.arg == "bash_command"]
    return [ast.literal_eval(keyword.value) for keyword in keywords]


def _of_kubernetes() -> list[str]:
    return [shlex.join([*_container()["command"], *_container()["args"]])]


@pytest.mark.parametrize("commands", [_of_crontab, _of_systemd, _of_airflow, _of_kubernetes])
def test_our_parser_takes_every_scheduled_command(commands):
    found = commands()
    assert any("peerpressure run " in command for command in found)
    for command in found:
        arguments = cli._parse(shlex.split(command[command.index("peerpressure ") :]))
        assert arguments.command in ("run", "verify") and arguments.beam_arguments == []
        if arguments.command == "run":
            assert (ROOT / "configs" / pathlib.Path(arguments.config).name).is_file()


def test_the_crontab_has_five_fields_and_a_command():
    for job in _jobs():
        assert re.fullmatch(rf"(?:{_FIELD}\s+){{5}}\S.*", job)
        assert "%" not in job  # cron would end the command there


def test_the_service_is_not_started_again_for_wrong_input():
    service = _unit("peerpressure.service")["Service"]
    assert service["Type"] == "oneshot" and service["Restart"] == "on-failure"
    assert service["RestartPreventExitStatus"] == str(InputError.exit_code)
    assert _unit("peerpressure.timer")["Install"]["WantedBy"] == "timers.target"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not here")
def test_systemd_takes_the_service_and_its_timer(tmp_path):
    for name in ("peerpressure.service", "peerpressure.timer"):
        # Our paths are an example; systemd looks whether they are there.
        text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", (FOLDER / name).read_text(), flags=re.MULTILINE)
        (tmp_path / name).write_text(text)
    checked = subprocess.run(
        ["systemd-analyze", "verify", tmp_path / "peerpressure.service", tmp_path / "peerpressure.timer"],
        capture_output=True,
        text=True,
        env={**os.environ, "SYSTEMD_LOG_LEVEL": "warning"},
    )
    assert checked.returncode == 0 and "peerpressure" not in checked.stderr, checked.stderr


def test_the_airflow_dag_is_python():
    compile((FOLDER / "airflow_dag.py").read_text(), "airflow_dag.py", "exec")


def test_the_cronjob_gives_up_on_wrong_input_and_mounts_what_it_names():
    job = yaml.safe_load((FOLDER / "cronjob.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "CronJob")
    spec = job["spec"]["jobTemplate"]["spec"]
    (rule,) = spec["podFailurePolicy"]["rules"]
    assert rule["onExitCodes"]["values"] == [InputError.exit_code] and rule["action"] == "FailJob"
    pod = spec["template"]["spec"]
    assert pod["restartPolicy"] == "Never"  # what a podFailurePolicy needs
    assert [mount["name"] for mount in _container()["volumeMounts"]] == [volume["name"] for volume in pod["volumes"]]

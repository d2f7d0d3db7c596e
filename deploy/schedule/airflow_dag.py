"""Peer Pressure in Airflow, every night: mine and package what is missing, then check the dataset."""

import datetime

from airflow import DAG
from airflow.providers.standard.operators.bash import BashOperator

with DAG(
    "peer_pressure",
    schedule="15 2 * * *",
    start_date=datetime.datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args={"cwd": "/srv/peer-pressure", "retries": 2},
):
    run = BashOperator(
        task_id="run",
        bash_command=".venv/bin/peerpressure run --config configs/mnist.toml --workdir runs",
    )
    verify = BashOperator(
        task_id="verify",
        bash_command=".venv/bin/peerpressure verify high_value_mistakes/mnist --workdir runs",
    )
    run >> verify

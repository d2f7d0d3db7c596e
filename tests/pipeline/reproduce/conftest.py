"""What the tests of whole experiments share: a workdir in which small forms are carried out, each only once."""

import json
import os
import subprocess
import sys

import pytest

from tests.pipeline import conftest


@pytest.fixture(scope="session")
def carried_out(tmp_path_factory):
    """Carries out an experiment's small form; returns what its page tells, as JSON, and the outcome of the command.

    In a process of its own: compiled code stays mapped as long as a process lives, and the experiments compile so much
    that a test process would run out of mappings (Linux allows 65,530).
    """
    work = tmp_path_factory.mktemp("reproduce")

    def carry_out(name):
        command = [sys.executable, "-m", "pipeline", "reproduce", name, "--small", "--workdir", str(work)]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"})
        outcome = conftest.Outcome(done.returncode, done.stdout, done.stderr)
        assert outcome.code == 0, outcome
        pages = work / "reproduced" / "pages" / "small"
        told = json.loads((pages / f"{name}.json").read_text())
        text = (pages / f"{name}.md").read_text()
        pictures = sorted(pages.glob(f"{name}-*.png"))
        assert all(f"]({picture.name})" in text and picture.stat().st_size <= 100_000 for picture in pictures)
        assert told["claims"] and told["tables"] and all(table["rows"] for table in told["tables"])
        assert f"]({name}.md)" in (pages / "README.md").read_text()
        assert outcome.out.splitlines()[-1].startswith(f"peerpressure: status=done claims={len(told['claims'])} ")
        return told, outcome

    return carry_out

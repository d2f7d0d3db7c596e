"""What the tests of whole experiments share: a workdir in which small forms are carried out, each only once."""

import json

import pytest

from tests.pipeline import conftest


@pytest.fixture(scope="session")
def carried_out(tmp_path_factory):
    """Carries out an experiment's small form; returns what its page tells, as JSON, and the outcome of the command."""
    work = tmp_path_factory.mktemp("reproduce")

    def carry_out(name):
        outcome = conftest.call("reproduce", name, "--small", "--workdir", work)
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

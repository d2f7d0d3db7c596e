"""`peerpressure reproduce`: what is wrong is told in a sentence, before any work, and nothing is left behind."""

import pytest

from tests.pipeline import conftest


@pytest.fixture
def reproduce(tmp_path, monkeypatch):
    """Runs the command in an empty folder; returns the outcome, and what lies there then."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        return conftest.call("reproduce", *arguments), sorted(
            str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")
        )

    return run


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "`reproduce` needs the name of an experiment; `peerpressure reproduce --list` tells them all."),
        (["szegedy-tabel"], "there is no experiment 'szegedy-tabel'; did you mean 'szegedy-table'?"),
        (["xyz"], "there is no experiment 'xyz'; `peerpressure reproduce --list` tells them all."),
        (["--out", "pages"], "`reproduce` needs the name of an experiment;"),
        (["szegedy-tabel", "--out", "pages"], "did you mean 'szegedy-table'?"),
        (["szegedy-table", "--out", "/proc/none/pages"], "--out /proc/none/pages cannot be written ("),
        (["szegedy-table", "--json", "none/told.json"], "--json none/told.json cannot be written ("),
    ],
)
def test_wrong_input_is_told_in_a_sentence_and_leaves_nothing(reproduce, arguments, told):
    outcome, left = reproduce(*arguments)
    assert outcome.code == 2 and told in outcome.err and outcome.err.count("\n") == 1
    assert left == []


@pytest.mark.parametrize("out", ["file", "file/pages"])
def test_a_file_in_the_place_of_the_folder_is_told_and_stays(reproduce, tmp_path, out):
    (tmp_path / "file").write_text("mine")
    outcome, left = reproduce("szegedy-table", "--out", out)
    assert outcome.code == 2 and f"--out {out} cannot be written (" in outcome.err and outcome.err.count("\n") == 1
    assert left == ["file"] and (tmp_path / "file").read_text() == "mine"


def test_a_seed_dataset_that_is_not_there_leaves_no_folder_for_the_page(reproduce, tmp_path):
    (tmp_path / "data").mkdir()
    outcome, left = reproduce("szegedy-table", "--out", "a/b", "--data_dir", "data", "--workdir", "work")
    assert outcome.code == 2 and "[seeds] dataset 'mnist' is not prepared in data" in outcome.err and "a" not in left


def test_the_experiments_are_listed_and_nothing_is_made(reproduce):
    outcome, left = reproduce("--list", "--out", "pages")
    assert outcome.code == 0 and "szegedy-table" in outcome.out and left == []

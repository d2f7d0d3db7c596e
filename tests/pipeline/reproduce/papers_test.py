"""The experiments' files: one for each experiment, every key known, every task there."""

import dataclasses
import os
import pathlib

import pytest

from models.errors import InputError
from pipeline.config import config_file
from pipeline.kinds import registry as kinds
from pipeline.reproduce import papers
from pipeline.reproduce.registry import EXPERIMENTS
from pipeline.retrain import settings, subjects


def test_there_is_a_file_for_each_experiment_and_an_experiment_for_each_file():
    assert papers.names() == sorted(EXPERIMENTS)


def _paths(experiment):
    for field in dataclasses.fields(experiment):
        value = getattr(experiment, field.name)
        for path in value if isinstance(value, tuple) else (value,):
            if isinstance(path, str) and path.endswith(".toml"):
                yield field.name, os.path.join(papers.folder(), path)


@pytest.mark.parametrize("form", [papers.FULL, papers.SMALL])
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_both_forms_are_of_tasks_that_can_be_read(name, form):
    experiment = papers.load(EXPERIMENTS, name, form)
    for key, path in _paths(experiment):
        if key == "retraining":
            settings.load(path, kinds.methods(), subjects.of)
        else:
            config_file.load(path, kinds.methods())
    if form == papers.SMALL:
        assert all("small" in path for _, path in _paths(experiment))


def test_every_file_below_the_papers_is_used():
    folder = pathlib.Path(papers.folder())
    below = {str(path.resolve()) for part in ("small", "tasks") for path in (folder / part).glob("*.toml")}
    used = set()
    for name in EXPERIMENTS:
        for form in (papers.FULL, papers.SMALL):
            for _, path in _paths(papers.load(EXPERIMENTS, name, form)):
                used.add(os.path.realpath(path))
    mined = {str((folder / part / line.split('"')[1]).resolve()) for part, line in _mined(folder)}
    assert below == (used | mined) & below


def _mined(folder):
    for part in ("small", "tasks"):
        for path in (folder / part).glob("*.toml"):
            yield from ((part, line) for line in path.read_text().splitlines() if line.startswith("mined = "))


def test_a_name_that_is_none_is_told_with_the_nearest():
    with pytest.raises(InputError, match=r"^there is no experiment 'peer-table'; did you mean 'peer-table[12]'\?$"):
        papers.check("peer-table")
    with pytest.raises(InputError, match="`peerpressure reproduce --list` tells them all"):
        papers.check("qqq")


def test_an_unknown_key_is_told(tmp_path, monkeypatch):
    (tmp_path / "peer-table1.toml").write_text("[small]\ntrails = 3\n")
    monkeypatch.setattr(papers, "_FOLDERS", (tmp_path / "none", tmp_path))
    with pytest.raises(InputError, match=r"table1.toml: \[small\]: unknown key 'trails'; did you mean 'trials'\?$"):
        papers.load(EXPERIMENTS, "peer-table1", papers.SMALL)
    monkeypatch.setattr(papers, "_FOLDERS", (tmp_path / "none",))
    with pytest.raises(InputError, match="none is not there: install peer-pressure anew"):
        papers.folder()

"""`peerpressure report`: pages of versions and runs, finished or not."""

import base64
import csv
import gzip
import html
import io
import json
import pathlib
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from pipeline import records
from pipeline.commands import run_commands
from pipeline.studies import report
from pipeline.versions import pages
from tests.pipeline import conftest
from tests.pipeline.conftest import DATASET


def _script(text, name):
    return re.search(rf'<script type="[^"]*" id="{name}">(.*?)</script>', text, re.DOTALL).group(1)


def _gallery(text):
    return json.loads(_script(text, "gallery"))


def _records(text):
    blocks = len(_gallery(text)["across"])
    return [
        dict(record)
        for block in range(blocks)
        for record in json.loads(gzip.decompress(base64.b64decode(_script(text, f"records-{block}"))))
    ]


def _report(work, what, *options):
    outcome = conftest.call("report", what, "--workdir", work.path, *options)
    assert outcome.code == 0, outcome
    path = outcome.out.strip().splitlines()[-1]
    with open(path) as file:
        return file.read(), path


@pytest.fixture(scope="module")
def of_mistakes(finished, tmp_path_factory):
    work = finished.copy(tmp_path_factory.mktemp("report") / "work", ran=True)
    return work, *_report(work, DATASET)


def _section(text, name):
    return re.search(rf'<section id="{name}".*?</section>', text, re.DOTALL).group(0)


def test_the_page_of_a_version_has_all_its_examples_with_all_that_is_known_of_them(of_mistakes):
    work, text, path = of_mistakes
    examples = work.examples()
    assert path.endswith(f"reports/{DATASET}/1.0.0/index.html")
    gallery, records = _gallery(text), _records(text)
    assert sorted(gallery["ids"]) == sorted(examples) and examples
    for example_id, record in zip(gallery["ids"], records, strict=True):
        example = examples[example_id]
        assert record["id"] == example_id and record["seed.id"] == example["seed"]["id"].decode()
        assert record["target_digest"] == example["target_digest"].decode()
        assert record["moves"] == str(example["moves"]) and record["run.seed"] == str(example["run"]["seed"])
    heads = [column["head"] for column in gallery["columns"]]
    assert heads == ["target net", "label", "read as", "confidence", "margin", "moves", "grade", "status"]


def test_the_overview_tells_nets_configuration_and_what_was_left_out(of_mistakes):
    work, text, _ = of_mistakes
    overview, manifest = html.unescape(_section(text, "overview")), work.manifest("first")
    for net in manifest["nets"]:
        assert net["name"] in overview and net["digest"][:12] in overview
    assert "[search] patience" in overview and ">30<" in overview
    for reason, count in manifest["reasons"].items():
        assert reason in overview and f">{count:,}<" in overview


def test_the_tables_are_those_of_the_terminal(of_mistakes, ran):
    _, text, _ = of_mistakes
    cells = re.findall(r"<t[dh][^>]*>([^<]*)<", _section(text, "found"))
    printed = ran[1].out
    assert "mlp-12" in cells
    for cell in cells:
        assert html.unescape(cell).strip() in printed


def test_pictures_lie_beside_the_page(of_mistakes):
    _, text, path = of_mistakes
    folder = path.rpartition("/")[0]
    for name in ("confusions", "transforms", "session-0"):
        with open(f"{folder}/{name}.png", "rb") as file:
            assert base64.b64encode(file.read()).decode() in text


def test_a_page_made_twice_has_the_same_bytes(of_mistakes, tmp_path):
    work, text, _ = of_mistakes
    again, path = _report(work, f"{DATASET}:1.0.0", "--out", tmp_path / "page")
    assert again == text and path == str(tmp_path / "page" / "index.html")


@pytest.mark.slow
def test_the_page_of_a_run_is_of_its_own_examples(made, tmp_path):
    text, _ = _report(made, f"{made.dataset}@first", "--out", tmp_path / "run")
    assert sorted(_gallery(text)["ids"]) == sorted(made.examples())
    version, _ = _report(made, made.dataset, "--out", tmp_path / "version")
    by_id = [sorted(_records(each), key=lambda record: record["id"]) for each in (text, version)]
    assert not [set(one.items()) ^ set(other.items()) for one, other in zip(*by_id, strict=True) if one != other]


def test_the_page_of_a_run_that_is_not_finished_says_so_and_shows_what_is_there(finished, tmp_path):
    work = finished.copy(tmp_path / "work", ran=True)
    run = work.ledger / "first"
    (run / "manifest.json").unlink()
    last = max((run / "chunks").iterdir())
    last.unlink()
    text, _ = _report(work, f"{DATASET}@first")
    count = len(list((run / "chunks").iterdir()))
    assert f"The run is not finished: {count} of {count + 1} units are there." in text
    left = [row["id"] for chunk in sorted((run / "chunks").iterdir()) for row in records.read_examples(chunk)]
    assert _gallery(text)["ids"] == left and 1 < len(left) < len(work.examples())


def test_a_run_with_nothing_yet_has_a_page(finished, tmp_path):
    work = finished.copy(tmp_path / "work", ran=True)
    run = work.ledger / "first"
    (run / "manifest.json").unlink()
    shutil.rmtree(run / "chunks")
    text, _ = _report(work, f"{DATASET}@first")
    assert _gallery(text)["ids"] == []


def test_a_version_whose_run_is_gone_has_a_page_without_the_runs_tables(finished, tmp_path):
    work = finished.copy(tmp_path / "work", ran=True)
    shutil.rmtree(work.path / "ledger")
    text, _ = _report(work, DATASET)
    assert sorted(_gallery(text)["ids"]) == sorted(work.examples())


def test_a_page_of_a_sample_says_so_and_is_of_no_run(finished, tmp_path):
    whole = len(finished.examples())
    text, _ = _report(finished, DATASET, "--sample", 9, "--out", tmp_path / "page")
    assert len(_gallery(text)["ids"]) == 9
    assert f"Of a sample: 9 of {whole} examples, spread evenly over all." in html.unescape(_section(text, "overview"))
    refused = conftest.call("report", f"{DATASET}@first", "--workdir", finished.path, "--sample", 9)
    assert (
        refused.code == 2 and "--sample is for datasets, and 'high_value_mistakes/tiny@first' is a run" in refused.err
    )


def test_statuses_and_what_changed_are_told(rechecked, tmp_path):
    text, _ = _report(rechecked, DATASET, "--out", tmp_path / "page")
    time = html.unescape(_section(text, "time"))
    statuses = {each["status"].decode() for each in rechecked.examples().values()}
    assert "1.0.0 -> " in time and "Rechecks by new nets" in time
    column = next(column for column in _gallery(text)["columns"] if column["head"] == "status")
    assert set(column["names"]) == {status or "-" for status in statuses} and len(statuses) > 1


def test_a_version_before_that_is_gone_is_told(rechecked, tmp_path):
    work = rechecked.copy(tmp_path / "work", ran=True)
    shutil.rmtree(work.published / "1.0.0")
    text, _ = _report(work, DATASET)
    assert "1.0.0 is not in this workdir" in text


def test_many_examples_are_shown_evenly_spaced(finished, monkeypatch, tmp_path):
    work = finished.copy(tmp_path / "work", ran=True)
    monkeypatch.setattr(pages, "MOST", 5)
    text, _ = _report(work, DATASET)
    every, shown = list(work.examples()), _gallery(text)["ids"]
    assert len(shown) == 5 and f"The examples below are 5 of {len(every):,}" in text
    places = [every.index(example_id) for example_id in shown]
    assert places == sorted(places) and places[0] < len(every) / 5 and places[-1] >= len(every) * 0.6


@pytest.mark.slow
def _cells(section):
    """Returns the texts of all cells of a section's tables, row by row."""
    return [html.unescape(cell) for cell in re.findall(r"<t[dh][^>]*>([^<]*)</t[dh]>", section)]


def _is_within(cells, row):
    return any(cells[start : start + len(row)] == row for start in range(len(cells) - len(row) + 1))


@pytest.mark.slow
def test_pairs_are_shown_to_nets_again(mined, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "_SHOWN", 10_000)
    work = mined[0].copy(tmp_path / "work", ran=True)
    text, path = _report(work, conftest.PAIRS)
    section = _section(text, "shown")
    assert conftest.call("transfer", conftest.PAIRS, "--workdir", work.path, "--csv", tmp_path / "all.csv").code == 0
    rows = list(csv.reader((tmp_path / "all.csv").read_text().splitlines()))
    assert all(_is_within(_cells(section), row) for row in rows)
    for name in ("transfer", "probe"):
        drawn = pathlib.Path(path).with_name(f"{name}.png").read_bytes()
        assert base64.b64encode(drawn).decode() in section
        assert np.asarray(Image.open(io.BytesIO(drawn)).convert("L")).std() > 10
    of_run, _ = _report(work, f"{conftest.PAIRS}@first")
    assert _cells(_section(of_run, "shown")) == _cells(section)


def test_a_page_shows_nets_the_same_few_pairs_of_each_net(mined, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "_SHOWN", 2)
    work = mined[0].copy(tmp_path / "work", ran=True)
    examples = work.examples()
    lowest = {}
    for name in sorted(examples):
        lowest.setdefault(examples[name]["target_net"], []).append(examples[name])
    for given in (list(examples.values()), list(examples.values())[::-1]):
        chosen = report._chosen(given)
        nets = dict.fromkeys(one["target_net"] for one in given)
        assert [one["id"] for one in chosen] == [one["id"] for net in nets for one in lowest[net][:2]]
    assert f"{len(chosen)} examples of run first, at most 2 of each target net." in _section(
        _report(work, conftest.PAIRS)[0], "shown"
    )


def test_pairs_whose_nets_are_gone_have_a_page_that_says_so(mined, tmp_path):
    work = mined[0].copy(tmp_path / "work", ran=True)
    shutil.rmtree(work.path / "nets")
    manifest = work.path / "ledger" / conftest.PAIRS / "first" / "manifest.json"
    told = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**told, "net_paths": {}}))
    section = html.unescape(_section(_report(work, conftest.PAIRS)[0], "shown"))
    assert "Nothing could be shown: net 'mlp-4' of run 'first'" in section and "<table" not in section


def test_mistakes_have_no_study(of_mistakes):
    assert '<section id="shown"' not in of_mistakes[1]


@pytest.mark.slow
def test_a_run_ends_with_its_page(finished, tmp_path, monkeypatch):
    monkeypatch.setattr(run_commands, "_reported", conftest.REPORTED)
    work = finished.copy(tmp_path / "work", ran=False)
    task = conftest.write_config(tmp_path / "task.toml", search={"trials": 20})
    command = ("run", "--config", task, "--workdir", work.path, "--run_id", "one")
    outcome = conftest.call(*command)
    path = work.path / "reports" / DATASET / "one" / "index.html"
    assert outcome.code == 0 and f"report={path}" in outcome.out.splitlines()[-1]
    assert sorted(_gallery(path.read_text())["ids"]) == sorted(work.examples())
    written = path.stat().st_mtime_ns
    assert conftest.call(*command).code == 0 and path.stat().st_mtime_ns == written
    path.unlink()
    assert conftest.call(*command).code == 0 and path.exists()


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("high_value_mistakes/none", "was not found in"),
        ("mnist", "cannot be checked"),
        (f"{DATASET}:9.0.0", "was not found in"),
        (f"{DATASET}@none", "holds no run; `peerpressure list` tells which there are."),
        ("mnist@first", "is no run of a task; expected high_value_mistakes/TASK@RUN"),
        (f"{DATASET}@../x", "is not usable"),
    ],
)
def test_what_there_is_no_page_of_is_told_in_a_sentence(finished, what, told):
    outcome = conftest.call("report", what, "--workdir", finished.path)
    assert outcome.code == 2 and told in outcome.err and outcome.err.count("\n") == 1


def test_a_page_that_cannot_be_written_is_told_in_a_sentence(finished, tmp_path):
    (tmp_path / "file").touch()
    outcome = conftest.call("report", DATASET, "--workdir", finished.path, "--out", tmp_path / "file" / "page")
    assert outcome.code == 2 and "cannot be written" in outcome.err and outcome.err.count("\n") == 1

"""Runs by populations: mined, packaged, verified, replayed; the same bytes from one process or two."""

import pytest

from tests.pipeline import conftest

METHODS = ["steepest", "genetic", "pbil", "evolution_strategy", "gradient_ascent"]
SEARCH = {"chain": 4, "population": 16, "generations": 15, "patience": None}

pytestmark = pytest.mark.slow


def _config(folder, method, **changes):
    search = {**conftest.TINY["search"], "method": method, "chain": 4, "population": 16, "generations": 15}
    del search["patience"]
    tiny = {**conftest.TINY, "task": f"by_{method}", "search": search, **changes}
    path = folder / f"{method}.toml"
    lines = [f'task = "{tiny.pop("task")}"']
    for name, section in tiny.items():
        lines += [f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in section.items())]
    path.write_text("\n".join(lines) + "\n")
    return path


def _toml(value):
    return str(value).replace("'", '"') if not isinstance(value, str) else f'"{value}"'


@pytest.mark.parametrize("method", METHODS)
def test_what_is_found_is_verified_and_replayed(finished, peerpressure, tmp_path, method):
    work = finished.copy(tmp_path / "work", ran=False)
    outcome = peerpressure("run", "--config", _config(tmp_path, method), "--workdir", work.path, "--run_id", "one")
    assert outcome.code == 0, outcome
    dataset = f"high_value_mistakes/by_{method}"
    assert "none of its" not in outcome.err and "% of the refused" not in outcome.out
    verified = peerpressure("verify", dataset, "--workdir", work.path)
    assert verified.code == 0 and "0 shown of those that fail" in verified.out, verified
    examples = conftest.Work(work.path, dataset).examples()
    assert len(examples) > 5
    most = {len(example["transform"]["parameters"]) for example in examples.values()}
    assert max(most) <= 4 and (method == "steepest" or most == {4})
    replayed = peerpressure("replay", dataset, next(iter(examples)), "--workdir", work.path)
    assert replayed.code == 0 and "are equal, byte for byte" in replayed.out


def test_two_processes_make_the_same_bytes_as_one(finished, peerpressure, tmp_path):
    chunks = []
    for name, beam in (("one", []), ("two", ["--direct_num_workers=2", "--direct_running_mode=multi_processing"])):
        work = finished.copy(tmp_path / name, ran=False)
        task = _config(tmp_path, "genetic")
        outcome = peerpressure("mine", "--config", task, "--workdir", work.path, "--run_id", "same", *beam)
        assert outcome.code == 0, outcome
        folder = work.path / "ledger" / "high_value_mistakes" / "by_genetic" / "same" / "chunks"
        chunks.append({path.name: path.read_bytes() for path in sorted(folder.iterdir())})
    assert chunks[0] == chunks[1] and len(chunks[0]) > 1


def test_the_gradient_is_not_climbed_where_there_is_none(finished, peerpressure, tmp_path):
    work = finished.copy(tmp_path / "work", ran=False)
    task = _config(tmp_path, "gradient_ascent", operator={"name": "pixel_swap"})
    outcome = peerpressure("mine", "--config", task, "--workdir", work.path)
    assert outcome.code == 2 and outcome.err.count("\n") == 1
    assert (
        "[operator] name is 'pixel_swap', which has no gradient" in outcome.err and "expected 'affine'" in outcome.err
    )

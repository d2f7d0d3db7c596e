"""The benchmarks load with the program as it is, and open the task that is shipped."""

from __future__ import annotations

import importlib
import sys

import pytest

from benchmarks import mnist, search
from pipeline.config.config import Judge
from pipeline.search.moves.hillclimb import Hillclimb


@pytest.mark.parametrize("name", ["attack", "check", "foolbox_attack", "garbage", "nets", "search"])
def test_every_benchmark_says_what_it_measures(name, monkeypatch, capsys):
    if name == "foolbox_attack":
        pytest.importorskip("foolbox")
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"benchmarks.{name}").main()
    assert ended.value.code == 0 and "--workdir" in capsys.readouterr().out


def test_the_search_is_measured_on_the_shipped_task_without_its_judge(monkeypatch):
    opened = []
    monkeypatch.setattr(mnist, "seeds", lambda: None)
    monkeypatch.setattr(search, "open_job", lambda *given: opened.append(given))
    search._open("work")
    search._open("work", "cnn-8-16-32")
    (config, workdir, _, device), (convolutional, *_) = opened
    assert (config.task, config.targets, config.judge) == ("mnist", ("mlp-50",), Judge())
    assert isinstance(config.method.build(config.sections).search, Hillclimb)
    assert (workdir, device) == ("work", "cpu")
    assert convolutional.peers.architectures == ("cnn-8-16-32",) * 5 and convolutional.targets == "all"

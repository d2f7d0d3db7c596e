"""The experiments that there are. A new one is a class, a file in `configs/papers/`, and a line here."""

from __future__ import annotations

from pipeline.reproduce.experiment import Experiment
from pipeline.reproduce.peer_groups import EachInTurn, PeerCount
from pipeline.reproduce.peer_rates import Table1, Thresholds, Variance

EXPERIMENTS: dict[str, type[Experiment]] = {
    experiment.name: experiment
    for experiment in (
        Table1,
        EachInTurn,
        PeerCount,
        Thresholds,
        Variance,
    )
}

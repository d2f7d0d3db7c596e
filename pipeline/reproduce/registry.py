"""The experiments that there are. A new one is a class, a file in `configs/papers/`, and a line here."""

from __future__ import annotations

from pipeline.reproduce.checkerboard import Checkerboard
from pipeline.reproduce.experiment import Experiment
from pipeline.reproduce.fooling import CPPN, Ascent, Direct, Transfer
from pipeline.reproduce.hinthorn_volatility import Volatility
from pipeline.reproduce.peer_groups import EachInTurn, PeerCount
from pipeline.reproduce.peer_rates import Table1, Thresholds, Variance
from pipeline.reproduce.peer_searches import Searches
from pipeline.reproduce.peer_table2 import Table2
from pipeline.reproduce.retrainings import Ensemble, GarbageRounds, Pool, SelectiveDropout, SteadyState
from pipeline.reproduce.szegedy_lipschitz import Lipschitz
from pipeline.reproduce.szegedy_pairs import Halves, Noise, Twins
from pipeline.reproduce.szegedy_units import Units

EXPERIMENTS: dict[str, type[Experiment]] = {
    experiment.name: experiment
    for experiment in (
        Checkerboard,
        Table1,
        Table2,
        Searches,
        EachInTurn,
        PeerCount,
        SteadyState,
        Ensemble,
        Thresholds,
        Variance,
        Twins,
        Halves,
        Noise,
        Pool,
        Units,
        Lipschitz,
        Direct,
        CPPN,
        Ascent,
        Transfer,
        GarbageRounds,
        Volatility,
        SelectiveDropout,
    )
}

"""What published examples of every kind made of seed images have in common."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline import records
from pipeline.config.recorded import Recorded
from pipeline.kinds.kind import Example

OTHER_PIXELS = "the record renders to other pixels"
OTHER_ID = "the id does not belong to the record"


def target_net(example: Example, run: Recorded) -> int:
    """Returns the place of an example's target net among its run's."""
    return [net["name"] for net in run["nets"]].index(example["target_net"].decode())


def target_nets(examples: Sequence[Example], run: Recorded) -> list[str]:
    """Returns the names of the nets that examples were made for: the run's in its order, then those of other runs."""
    met = dict.fromkeys(example["target_net"].decode() for example in examples)
    return list(dict.fromkeys([*(net["name"] for net in run["nets"] if net["name"] in met), *met]))


def id_failures(example: Example, run: Recorded) -> list[str]:
    """Returns why the id of an example made of a seed image does not hold."""
    made_from = records.made_from(example["seed"]["id"].decode(), example["seed_image"])
    expected = records.example_id(run["config_digest"], run["run_seed"], made_from, example["target_digest"].decode())
    return [OTHER_ID] if example["id"].decode() != expected else []


def confidence(example: Example, run: Recorded) -> float:
    """Returns how sure an example's target net is of the wrong class, 0 to 1."""
    return float(example["probabilities_after"][target_net(example, run)][int(example["wrong_class"])])

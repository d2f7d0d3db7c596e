"""What published examples of every kind made of seed images have in common."""

from __future__ import annotations

from pipeline import records
from pipeline.config.recorded import Recorded
from pipeline.kinds.kind import Example

OTHER_PIXELS = "the record renders to other pixels"
OTHER_ID = "the id does not belong to the record"


def target_net(example: Example, run: Recorded) -> int:
    """Returns the place of an example's target net among its run's."""
    return [net["name"] for net in run["nets"]].index(example["target_net"].decode())


def id_failures(example: Example, run: Recorded) -> list[str]:
    """Returns why the id of an example made of a seed image does not hold."""
    made_from = records.made_from(example["seed"]["id"].decode(), example["seed_image"])
    expected = records.example_id(run["config_digest"], run["run_seed"], made_from, example["target_digest"].decode())
    return [OTHER_ID] if example["id"].decode() != expected else []

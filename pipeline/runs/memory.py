"""What fits into [run] memory: images to learn from, the seed images of a unit, and candidates under way."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from models import footprint
from models.classifier import PeerGroup
from pipeline.config.config import Config, Run

_LEARNED, _UNDER_WAY = 4, 2  # shares of the memory: a quarter, a half
_AT_A_TIME = 2  # nets that are asked (`pipeline.search.moves.net_by_net`)
_FLOAT = 4  # bytes


def learned_images(run: Run, shape: Sequence[int]) -> int:
    """Returns how many uint8 images of a shape are held at a time while a net learns from them; at least one."""
    return max(1, run.memory_bytes // _LEARNED // math.prod(shape))


def with_units_that_fit(config: Config, shape: Sequence[int]) -> Config:
    """Returns the task with [run] unit_size lowered to the uint8 images of a shape that fit."""
    run = dataclasses.replace(config.run, unit_size=min(config.run.unit_size, config.run.images_of_unit(shape)))
    return dataclasses.replace(config, run=run)


def lane_bytes(config: Config, group: PeerGroup) -> int:
    """Returns how much memory each of [run] lanes takes, by the nets' graphs and what the method keeps."""
    held = [footprint.footprint(net.predict, net.input_shape) for net in group.classifiers]
    nets = max(each.backward if config.method.gradient else _AT_A_TIME * each.forward for each in held)
    return nets + config.method.images(config.sections) * _FLOAT * math.prod(group.input_shape)


def with_lanes_that_fit(config: Config, group: PeerGroup) -> Config:
    """Returns the task with [run] lanes lowered to those that fit, where the method has lanes; to a power of two."""
    fits = config.run.memory_bytes // _UNDER_WAY // lane_bytes(config, group)
    if "lanes" not in config.method.run_keys or config.run.lanes <= fits:
        return config
    run = dataclasses.replace(config.run, lanes=2 ** max(0, fits.bit_length() - 1))
    return dataclasses.replace(config, run=run)


def told(asked: Run, run: Run) -> str:
    """Returns a line that tells of lanes that were lowered; "" if they were not."""
    if asked.lanes == run.lanes:
        return ""
    return f"lanes: {run.lanes:,} in place of {asked.lanes:,}, which would take more than [run] memory = '{run.memory}'"

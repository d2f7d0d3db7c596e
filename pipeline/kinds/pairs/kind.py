"""`adversarial_pairs`: images that a net gets right, each with a twin hardly different that it gets wrong."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from models.errors import InputError
from pipeline.config.config import Config
from pipeline.config.recorded import Recorded
from pipeline.kinds.kind import HEALED, Example, Kind, Manifest, Task
from pipeline.kinds.pairs.methods import METHODS
from pipeline.kinds.pairs.status import FOOLED

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from models.classifier import PeerGroup
    from pipeline.report.page import Picture
    from pipeline.report.tables import Table
    from pipeline.seeds.plan import Unit
    from pipeline.seeds.source import SeedSource
    from pipeline.workdir.ledger import RunFolder


class Pairs(Kind):
    """Adversarial pairs (Szegedy et al., Goodfellow et al., Madry et al.)."""

    name = "adversarial_pairs"
    noun = "adversarial pairs"
    near = 0.5  # twins of one image are as near to each other as the noise is faint
    statuses = (HEALED, FOOLED)
    legend = "healed: the twin is read as its original; fooled: as anything else"
    checked = (
        *("id", "image", "seed_image", "label", "wrong_class", "aimed_class", "target_net", "target_digest", "seed/id"),
        *("distortion", "largest_change"),
    )
    rechecked = ("label",)
    measures = ("confidence", "distortion")
    questions = {
        "Who else is fooled, with noise of the same size beside it": "transfer {} --picture transfer.png",
        "How much noise the originals and the twins withstand": "probe {} --picture probe.png",
    }
    studies = ("transfer", "probe")
    drawn = ("label", "wrong_class", "target_net", "distortion")
    nothing_found = "no adversarial twin was found: change aim, or raise eps or the number of steps, in [attack]."
    methods = METHODS
    starter = """\
[search]
method = "lbfgs"           # box-constrained L-BFGS; or "pgd", "fgsm"
targets = "all"            # every net in turn, or the names of some: ["mlp-10"]

[attack]
aim = "random"             # the class a net is to be misled to: any wrong one, or a number
"""

    def schema(self) -> pa.Schema:
        from pipeline.kinds.pairs import mining

        return mining.SCHEMA

    def task(
        self, config: Config, group: PeerGroup, class_names: Sequence[str], config_digest: str, folder: RunFolder
    ) -> Task:
        from models import preflight
        from pipeline.kinds import targets
        from pipeline.kinds.pairs import mining

        nets = targets.places(config, group)
        _check_aim(config.sections["attack"].aim, group.num_classes)
        for net in nets:
            preflight.check_gradient(group.classifiers[net])
        return mining.task_of(config.method, config.sections, config.run, nets, config_digest)

    def units(self, config: Config, group: PeerGroup, source: SeedSource) -> list[Unit]:
        from pipeline.kinds import seeded

        class_from = config.sections["search"].class_from
        return seeded.units(config, group, source, functools.partial(seeded.all_right, class_from=class_from))

    def together(self, config: Config) -> int:
        return config.run.lanes  # places of a batch that lack an image are worked on all the same

    def wanted(self, config: Config) -> dict[str, Any]:
        return {"trials": config.sections["search"].trials}

    def tables(self, folder: RunFolder, manifest: Manifest) -> list[Table]:
        from pipeline.kinds.pairs import summary

        return summary.tables(folder, manifest)

    def builder(self) -> Any:
        from tfds_builders.adversarial_pairs import adversarial_pairs_dataset_builder

        return adversarial_pairs_dataset_builder.Builder

    def failures(self, examples: Sequence[Example], run: Recorded, answers: np.ndarray) -> list[list[str]]:
        from pipeline.kinds.pairs import checks

        return checks.failures(examples, run, answers)

    def again(self, example: Example, run: Recorded, nets: Callable[[], PeerGroup]) -> np.ndarray:
        from pipeline.kinds.pairs import checks

        return checks.again(example, run, nets())

    def status(self, examples: Sequence[Example], run: Recorded, answers: np.ndarray, target_net: int) -> list[str]:
        from pipeline.kinds.pairs import checks

        return checks.status(examples, answers, target_net)

    def row(self, example: Example, run: Recorded) -> dict[str, str]:
        from pipeline.kinds import published

        label, wrong = (run.class_names[int(example[name])] for name in ("label", "wrong_class"))
        confidence = f"{published.confidence(example, run):.4f}"
        return {
            "label": label,
            "read as": wrong,
            "confidence": confidence,
            "distortion": f"{example['distortion']:.4f}",
        }

    def pictures(
        self, examples: Sequence[Example], whole: Sequence[Example], run: Recorded, folder: RunFolder
    ) -> list[Picture]:
        from pipeline.kinds.pairs import pictures

        return pictures.pictures(examples, whole, run)

    def about(self, example: Example, run: Recorded) -> str:
        return f"distortion {example['distortion']:.4f} of {example['seed']['id'].decode()}"

    def draw(self, example: Example, run: Recorded, nets: Callable[[], PeerGroup], path: str) -> None:
        from pipeline.report import picture

        names = run.class_names
        title = f"{names[int(example['label'])]} read as {names[int(example['wrong_class'])]}"
        picture.draw_pairs(example["seed_image"][None], example["image"][None], [title], path)


def _check_aim(aim: int | str, num_classes: int) -> None:
    if isinstance(aim, int) and not 0 <= aim < num_classes:
        raise InputError(f"[attack] aim is {aim}, expected a class from 0 to {num_classes - 1}.")


PAIRS = Pairs()

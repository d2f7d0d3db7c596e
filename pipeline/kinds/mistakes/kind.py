"""`high_value_mistakes`: images that one net gets wrong while all its peers get them right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.config.config import Config
from pipeline.config.recorded import Recorded
from pipeline.kinds.kind import HEALED, Example, Kind, Manifest, Task
from pipeline.kinds.mistakes.methods import METHODS
from pipeline.kinds.mistakes.status import LOST, REMAINING, SHARED

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from models.classifier import PeerGroup
    from pipeline.report.page import Picture
    from pipeline.report.tables import Table
    from pipeline.seeds.plan import Unit
    from pipeline.seeds.source import SeedSource
    from pipeline.workdir.ledger import RunFolder

_BATCH = 256  # states of a session that nets see at a time, or fewer large ones


class Mistakes(Kind):
    """High-value mistakes (Baluja, Covell, Sukthankar)."""

    name = "high_value_mistakes"
    noun = "mistakes"
    statuses = (HEALED, REMAINING, SHARED, LOST)
    legend = (
        "healed: all nets are right; remaining: the target net alone is wrong; shared: a peer too; "
        "lost: a peer is wrong, the target net is not"
    )
    checked = (
        *("id", "image", "seed_image", "label", "target_net", "target_digest", "seed/id", "run/seed"),
        "transform",  # as a whole: an operator names what is recorded of its moves together
    )
    rechecked = ("label",)
    whole_group = True
    measures = ("confidence", "margin", "moves")
    chosen = {"grade": "high"}
    drawn = ("label", "wrong_class", "target_net", "transform")
    nothing_found = "no mistake was found: lower the thresholds in [search], or widen the ranges in [operator]."
    methods = METHODS
    starter = """\
[search]
targets = "all"            # every net in turn, or the names of some: ["mlp-10"]
peer_confidence = 0.9      # how sure every peer has to stay of the right class
target_confidence = 0.5    # how sure the target net has to be of a wrong one

[operator]                 # one small random move; a find is several, composed
rotation_degrees = 5.0
translation_pixels = 1.0
scale = 0.05
stretch = 0.05
shear_degrees = 5.0
"""

    def schema(self) -> pa.Schema:
        from pipeline.kinds.mistakes import mining

        return mining.SCHEMA

    def task(
        self, config: Config, group: PeerGroup, class_names: Sequence[str], config_digest: str, folder: RunFolder
    ) -> Task:
        from pipeline.kinds import targets
        from pipeline.kinds.mistakes import mining

        return mining.Task(
            finder=config.method.build(config.sections),
            grading=config.sections["grade"],
            target_nets=targets.places(config, group),
            run_seed=config.run.run_seed,
            lanes=config.run.lanes,
            unit_size=config.run.unit_size,
            config_digest=config_digest,
            folder=folder,
        )

    def check_images(self, config: Config, shape: tuple[int, int, int]) -> None:
        import numpy as np

        config.method.build(config.sections).operator.sources(np.zeros((1, *shape), np.uint8))

    def units(self, config: Config, group: PeerGroup, source: SeedSource) -> list[Unit]:
        from pipeline.kinds import seeded

        return seeded.units(config, group, source, config.method.build(config.sections).usable)

    def wanted(self, config: Config) -> dict[str, Any]:
        return {"trials": config.sections["search"].trials}

    def identity(self, config: Config) -> dict[str, Any]:
        finder = config.method.build(config.sections)
        operator, shapes = finder.operator, finder.operator.composed_shapes
        told = {
            "name": operator.name,
            "parameter_names": list(operator.parameter_names),
            "composed_shapes": {name: list(shape) for name, shape in shapes.items()},
            "compose": finder.compose,
        }
        return {"operator": told}

    def tables(self, folder: RunFolder, manifest: Manifest) -> list[Table]:
        from pipeline.kinds.mistakes import summary

        return summary.tables(folder, manifest)

    def hints(self, folder: RunFolder, manifest: Manifest) -> list[str]:
        from pipeline import records
        from pipeline.kinds import targets
        from pipeline.kinds.mistakes import summary

        alone = summary.alone([net["name"] for net in manifest["nets"]])
        return alone + summary.motionless(records.read_table(folder.trials), targets.names(manifest))

    def builder(self) -> Any:
        from tfds_builders.high_value_mistakes import high_value_mistakes_dataset_builder

        return high_value_mistakes_dataset_builder.Builder

    def failures(self, examples: Sequence[Example], run: Recorded, answers: np.ndarray) -> list[list[str]]:
        from pipeline.kinds.mistakes import checks

        return checks.failures(examples, run, answers)

    def again(self, example: Example, run: Recorded, nets: Callable[[], PeerGroup]) -> np.ndarray:
        from pipeline.kinds.mistakes import checks

        return checks.again(example, run)

    def status(self, examples: Sequence[Example], run: Recorded, answers: np.ndarray, target_net: int) -> list[str]:
        from pipeline.kinds.mistakes import checks

        return checks.status(examples, answers, target_net)

    def row(self, example: Example, run: Recorded) -> dict[str, str]:
        from pipeline.kinds import published

        label, wrong = (run.class_names[int(example[name])] for name in ("label", "wrong_class"))
        return {
            "label": label,
            "read as": wrong,
            "confidence": f"{published.confidence(example, run):.4f}",
            "margin": f"{example['peer_margin']:.4f}",
            "moves": str(len(example["transform"]["parameters"])),
            "grade": example["grade"].decode(),
        }

    def pictures(
        self, examples: Sequence[Example], whole: Sequence[Example], run: Recorded, folder: RunFolder
    ) -> list[Picture]:
        from pipeline.kinds.mistakes import pictures

        return pictures.pictures(examples, whole, run)

    def about(self, example: Example, run: Recorded) -> str:
        return f"{len(example['transform']['parameters'])} moves of {example['seed']['id'].decode()}"

    def draw(self, example: Example, run: Recorded, nets: Callable[[], PeerGroup], path: str) -> None:
        from pipeline.kinds.mistakes import checks

        group = nets()
        checks.draw(example, run, group, path, min(_BATCH, group.batch))


MISTAKES = Mistakes()

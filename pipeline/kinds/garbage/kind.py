"""`garbage_images`: images that are nothing to a person and a class with near certainty to a net."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.config.config import Config
from pipeline.config.recorded import Recorded
from pipeline.kinds.garbage.methods import METHODS
from pipeline.kinds.garbage.status import CERTAIN, SAME_CLASS
from pipeline.kinds.garbage.title import title
from pipeline.kinds.kind import HEALED, Example, Kind, Manifest, Source, Task

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from models.classifier import Classifier, PeerGroup
    from pipeline.progress import Standing
    from pipeline.report.page import Picture
    from pipeline.report.tables import Table
    from pipeline.seeds.plan import Unit
    from pipeline.seeds.source import SeedSource
    from pipeline.workdir.ledger import RunFolder

_GENERATIONS = 200  # that are evolved to see how long it takes


class Garbage(Kind):
    """Garbage images (Nguyen, Yosinski, Clune); a unit of work is an island, not some seed images."""

    name = "garbage_images"
    noun = "garbage images"
    tried = "classes of islands"
    seeded = False
    class_column = "wrong_class"
    statuses = (HEALED, SAME_CLASS, CERTAIN)
    legend = "certain: at least the run's confidence in the class; same class: less; healed: another class"
    checked = ("id", "image", "wrong_class", "target_net", "target_digest", "island", "confidence", "genome")
    rechecked = ("wrong_class",)
    measures = ("confidence", "generation")
    caption = ("read as",)
    questions = {
        "From which images each descends": "lineage {} ID",
        "A contact sheet of one net": "sheet {} --net NET --out sheet.png",
        "A pattern drawn again, at any size": "render {} ID --size 512 --out pattern.png",
    }
    drawn = ("wrong_class", "target_net", "confidence", "encoding", "generation")
    nothing_found = "no class was done: raise generations, or lower confidence, in [garbage]."
    methods = METHODS
    starter = """\
[search]
method = "cppn"            # patterns drawn by small networks; or "direct" (pixels), "ascent"
targets = "all"            # every net in turn, or the names of some: ["mlp-10"]

[garbage]
confidence = 0.99          # how sure a net has to be for an image to be kept
generations = 200
"""
    options = {"islands": ("garbage", "islands")}

    def schema(self) -> pa.Schema:
        from pipeline.kinds.garbage import mining

        return mining.SCHEMA

    def task(
        self, config: Config, group: PeerGroup, class_names: Sequence[str], config_digest: str, folder: RunFolder
    ) -> Task:
        from models import preflight
        from pipeline.kinds import targets
        from pipeline.kinds.garbage import mining

        bred = config.sections["garbage"]
        classes = mining.classes_of(bred.classes, class_names, group.num_classes)
        for net in targets.places(config, group):
            preflight.check_varies(group.classifiers[net])
            if bred.needs_gradient:
                preflight.check_gradient(group.classifiers[net])
        return mining.task_of(config.method, config.sections, config.run, group, classes, config_digest, folder)

    def material(self, config: Config, group: PeerGroup, source: SeedSource) -> Source:
        from pipeline.kinds import targets
        from pipeline.kinds.garbage.islands import Islands

        return Islands(targets.places(config, group))

    def units(self, config: Config, group: PeerGroup, source: SeedSource) -> list[Unit]:
        from pipeline.kinds import targets
        from pipeline.kinds.garbage.islands import Islands

        return Islands(targets.places(config, group)).units(config.sections["garbage"].islands)

    def facts(self, config: Config, group: PeerGroup, source: SeedSource) -> dict[str, Any]:
        from pipeline.kinds.garbage import mining
        from pipeline.seeds.source import has_split

        split = "test" if has_split(source, "test") else config.seeds.splits[0]
        medians = mining.natural_confidence(group, source, split, config.sections["garbage"].population)
        return {"natural_confidence": {"split": split, "images": source.count(split), "medians": medians}}

    def wanted(self, config: Config) -> dict[str, Any]:
        return {"islands": config.sections["garbage"].islands}

    def alike(self, config: Config, group: PeerGroup, units: Sequence[Unit]) -> list[list[Unit]]:
        from pipeline.kinds import targets

        nets = len(targets.places(config, group))
        return [list(units[first::nets]) for first in range(min(nets, len(units)))]

    def size(self, config: Config, unit: Unit) -> int:
        return config.sections["garbage"].generations

    def sample(self, config: Config, unit: Unit) -> tuple[Config, list[Unit]]:
        few = min(config.sections["garbage"].generations, _GENERATIONS)
        return config.with_number("garbage", "generations", few, "check"), [unit]

    def ended(self, chunk: pa.Table) -> bool:
        from pipeline import records

        return set(chunk["outcome"].to_pylist()) == {records.FOUND}

    def standing(self, config: Config, folder: RunFolder, units: Sequence[Unit]) -> Standing:
        from pipeline.kinds.garbage.standing import Generations

        return Generations(folder, len(units), config.sections["garbage"].generations)

    def conclude(self, folder: RunFolder, units: Sequence[int]) -> None:
        from pipeline.kinds.garbage import summary

        summary.draw_curves(folder, units)

    def tables(self, folder: RunFolder, manifest: Manifest) -> list[Table]:
        from pipeline.kinds.garbage import summary

        return summary.tables(folder, manifest)

    def builder(self) -> Any:
        from tfds_builders.garbage_images import garbage_images_dataset_builder

        return garbage_images_dataset_builder.Builder

    def failures(self, examples: Sequence[Example], run: Recorded, answers: np.ndarray) -> list[list[str]]:
        from pipeline.kinds.garbage import checks

        return checks.failures(examples, run, answers)

    def again(self, example: Example, run: Recorded, nets: Callable[[], PeerGroup]) -> np.ndarray:
        from pipeline.kinds.garbage import checks

        return checks.again(example, run, nets())

    def status(self, examples: Sequence[Example], run: Recorded, answers: np.ndarray, target_net: int) -> list[str]:
        from pipeline.kinds.garbage import checks

        return checks.status(examples, run, answers, target_net)

    def fits(self, net: Classifier, num_classes: int) -> bool:
        return net.num_classes in (num_classes, num_classes + 1)  # one that learned from garbage knows a class more

    def batch(self, run: Recorded, usual: int) -> int:
        return run.sections["garbage"].population  # near certainty, the last bits that a batch changes count

    def row(self, example: Example, run: Recorded) -> dict[str, str]:
        return {
            "read as": run.class_names[int(example["wrong_class"])],
            "confidence": f"{example['confidence']:.4f}",
            "generation": str(int(example["generation"])),
            "encoding": example["encoding"].decode(),
        }

    def pictures(
        self, examples: Sequence[Example], whole: Sequence[Example], run: Recorded, folder: RunFolder
    ) -> list[Picture]:
        from pipeline.kinds.garbage import pictures

        sheets = pictures.pictures(examples, whole, run)
        return sheets + pictures.strips(whole, run, folder) + pictures.curves(folder)

    def about(self, example: Example, run: Recorded) -> str:
        born = f"born in generation {example['generation']} on island {example['island']}"
        return f"{title(example, run)}, {born}"

    def draw(self, example: Example, run: Recorded, nets: Callable[[], PeerGroup], path: str) -> None:
        from pipeline.report import picture

        picture.draw_sheet(example["image"][None], [title(example, run)], path)


GARBAGE = Garbage()

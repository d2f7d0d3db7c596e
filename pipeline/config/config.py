"""A task's configuration: the sections that every method has, those of its method, and what they describe."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Sequence
from typing import Any, Literal

from models.errors import InputError
from models.recipe import Training
from models.settings import about, determining, setting
from pipeline.config.method import Method, Sections
from pipeline.config.sections import plain

RUN_SEEDS = (0, 2**32 - 1)  # least and largest
_MEMORY = re.compile(r"(\d+(?:\.\d+)?) ?(kB|MB|GB|TB)")
_UNITS = {"kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


@dataclasses.dataclass(frozen=True)
class Seeds:
    """[seeds]: where the seed images come from."""

    dataset: str = setting("", 'a TFDS name, "mnist", "my_dataset/config:1.2.3"')
    image_folder: str = setting("", "instead of a dataset, a folder SPLIT/CLASS/PICTURE.png")
    splits: tuple[str, ...] = setting(("train",), "the splits to take, each whole")
    resize: Literal["never", "crop", "pad", "stretch"] = setting(
        "never",
        'images whose size is another: set aside ("never"), cut, padded with black, or stretched; but for "never", '
        "pictures of an image folder are turned as EXIF says, and grey and colour become what most images are",
    )
    size: tuple[int, ...] = setting(
        (),
        "with `resize`: height and width of all images, in pixels; by default those of most (of a dataset that "
        "declares no size: of most of its first 100)",
    )
    background: Literal["none", "black", "white"] = setting(
        "none",
        "what stands behind transparent pixels of an image folder's pictures, which else are set aside",
    )
    labeled: bool = setting(True, "whether the labels may be used")
    image_key: str = setting(
        "",
        "the dataset's feature that holds the images; by default \"image\", else the first of the dataset's "
        "`supervised_keys`, else its only image",
    )
    label_key: str = setting(
        "", 'likewise the labels: "label", else the second of `supervised_keys`, else its only class label'
    )


@dataclasses.dataclass(frozen=True)
class Peers:
    """[peers]: the nets, trained here by architecture or loaded from files."""

    architectures: tuple[str, ...] = setting((), 'names of the zoo ("mlp-30", "cnn"), one net each')
    trained_on: tuple[str, ...] = setting(
        (),
        'what each of the architectures learns from, in TFDS\'s split syntax ("train[:50%]"); by default all of them '
        'from the whole of "train", or of the first split if there is none',
    )
    files: tuple[str, ...] = setting((), "instead of architectures, `.keras` files or SavedModel folders")
    names: tuple[str, ...] = setting((), "the files' names in records; by default the file names")
    init_seed: int = setting(
        0, "seed of the first net's weights; the next net has the next seed", low=0, high=2**31 - 1
    )
    from_logits: bool = setting(False, "whether the files give logits")
    signature: str = setting("serving_default", "the SavedModels' signature")
    input_range: tuple[float, ...] = setting(
        (0.0, 1.0), "what black and white are to the files' nets: [-1.0, 1.0], [0.0, 255.0]"
    )
    input_mean: tuple[float, ...] = setting(
        (),
        "instead of `input_range`, what is subtracted from images in [0, 1] before the files' nets see them: one "
        "number, or one for each of a net's channels, [0.485, 0.456, 0.406]; needs `input_std`",
    )
    input_std: tuple[float, ...] = setting(
        (), "with `input_mean`: what they are divided by after that, likewise: [0.229, 0.224, 0.225]"
    )
    resize: bool = setting(
        False,
        "whether images are brought to the size and channels of each of the files' nets: bilinear; grey is repeated, "
        "colour becomes its luma",
    )


@dataclasses.dataclass(frozen=True)
class Judge:
    """[judge]: a stronger net outside the group that grades what is found."""

    architecture: str = setting("", 'a name of the zoo, or "" for none')
    file: str = setting("", "instead, a `.keras` file or SavedModel folder")
    epochs: int = setting(5, "how long it is trained; everything else is as in [training]", low=1, high=10_000)
    init_seed: int = setting(1000, "seed of its weights", low=0, high=2**31 - 1)
    from_logits: bool = setting(False, "whether the file gives logits")
    input_range: tuple[float, ...] = setting((0.0, 1.0), "what black and white are to the file's net")
    input_mean: tuple[float, ...] = setting(
        (), "instead of `input_range`, what is subtracted from images in [0, 1] before the file's net sees them"
    )
    input_std: tuple[float, ...] = setting((), "with `input_mean`: what they are divided by after that")
    resize: bool = setting(False, "whether images are brought to the size and channels of the file's net")


@dataclasses.dataclass(frozen=True)
class Search:
    """[search]: what is looked for; the base of every method's section of this name."""

    method: str = setting("hillclimb", "how it is looked for", determines=False)  # digested by its own name
    targets: str | tuple[str, ...] = setting("all", '"all" nets in turn, or the names of some', determines=False)


@dataclasses.dataclass(frozen=True)
class SeededSearch(Search):
    """[search] of the methods that start from seed images."""

    class_from: Literal["label", "consensus"] = setting(
        "label", '"label" (C is the seed image\'s label) or "consensus" (the class that all nets give it)'
    )
    trials: int = setting(
        0,
        "draw so many seed images at random that all nets get right (scan: that all nets can judge); 0 takes every one",
        low=0,
        high=2**31 - 1,
        determines=False,
    )


@dataclasses.dataclass(frozen=True)
class Run:
    """[run]: how the work is cut; of these only `run_seed` and `lanes` may change a result.

    `memory` may lower `lanes`, and is part of what nets are that learn from more images than it holds.
    """

    run_seed: int = setting(0, "seed of all random numbers of the search", low=RUN_SEEDS[0], high=RUN_SEEDS[1])
    unit_size: int = setting(
        4096,
        "seed images in a work unit, the piece that is lost at most when a worker is killed",
        low=1,
        high=1_000_000,
        determines=False,
    )
    lanes: int = setting(
        2048,
        "candidates that the nets see at a time; lbfgs keeps 2 * `memory` float32 images for each",
        low=1,
        high=1_000_000,
    )
    memory: str = setting(
        "4 GB",
        "how much memory images may take in a process, in kB, MB, GB or TB: training images a quarter of it, and where "
        "there are more, they are read in every epoch anew and mixed within that quarter; the seed images of a unit an "
        "eighth; what nets make of the candidates that they are shown at a time a half; about 1 GB comes on top, of "
        "TensorFlow and Beam",
        determines=False,
    )
    max_set_aside: float = setting(
        0.05,
        "the share of seed images (garbage images: of classes) that may be set aside before the run counts as failed",
        low=0,
        high=1,
        determines=False,
    )

    @property
    def memory_bytes(self) -> int:
        """`memory` in bytes; raises InputError if it is no amount, or less than 1 MB."""
        found = _MEMORY.fullmatch(self.memory)
        size = float(found[1]) * _UNITS[found[2]] if found else 0.0
        if size < _UNITS["MB"]:
            raise InputError(f"[run] memory is {self.memory!r}, expected an amount of at least 1 MB, such as '4 GB'.")
        return int(size)

    def images_of_unit(self, shape: Sequence[int]) -> int:
        """Returns how many uint8 images of a shape fit into an eighth of the memory; at least one."""
        return max(1, self.memory_bytes // 8 // math.prod(shape))


COMMON = {"seeds": Seeds, "peers": Peers, "training": Training, "judge": Judge, "run": Run}  # what every method has


@dataclasses.dataclass(frozen=True)
class Config:
    """A task: its name (the TFDS config name of its datasets), its method, and its sections.

    Attributes:
      task: the name.
      method: what [search] method names.
      seeds, peers, training, judge, run: the sections that every method has.
      sections: those of the method, by name.
    """

    task: str
    method: Method
    seeds: Seeds
    peers: Peers
    training: Training
    judge: Judge
    run: Run
    sections: Sections

    @property
    def targets(self) -> str | tuple[str, ...]:
        """[search] targets."""
        return self.sections["search"].targets

    def with_run_seed(self, run_seed: str, run_id: str) -> Config:
        """Returns the task with another [run] run_seed: "" for its own, a number, or "auto", a function of the run id.

        Raises:
          InputError: `run_seed` is none of these, or "auto" without a run id.
        """
        if not run_seed:
            return self
        if run_seed == "auto" and not run_id:
            raise InputError("--run_seed auto takes the run seed from the run id; give --run_id too.")
        low, high = RUN_SEEDS
        if run_seed != "auto" and not (run_seed.isdecimal() and low <= int(run_seed) <= high):
            raise InputError(f"--run_seed is '{run_seed}', expected 'auto' or a whole number from {low} to {high}.")
        from pipeline import seeding

        number = seeding.derived_run_seed(run_id) if run_seed == "auto" else int(run_seed)
        return dataclasses.replace(self, run=dataclasses.replace(self.run, run_seed=number))

    def with_number(self, section: str, key: str, number: int, option: str) -> Config:
        """Returns the task with another number in a section of its method; `option`, which gave it, for the message.

        Raises:
          InputError: it is out of range.
        """
        settings = self.sections[section]
        low, high = about(type(settings).__dataclass_fields__[key]).range()
        if not low <= number <= high:
            expected = f"a whole number from {plain(low)} to {plain(high)}"
            raise InputError(f"{option} is {number}, expected {expected}.")
        return self.with_section(section, **{key: number})

    def with_section(self, name: str, **values: Any) -> Config:
        """Returns the task with some keys of a section of its method changed."""
        changed = dataclasses.replace(self.sections[name], **values)
        return dataclasses.replace(self, sections={**self.sections, name: changed})

    def result_determining(self) -> dict[str, Any]:
        """Returns the part, JSON-able, that with nets, seed image and run seed determines a result, and nothing else.

        Keys that the method does not read are not part of it, and a key at its default adds nothing.
        """
        sections = {name: {**self._choice(name), **determining(self.sections[name])} for name in self.sections}
        run = {key: value for key, value in determining(self.run).items() if key in self.method.run_keys}
        sections["run"] = {key: value for key, value in run.items() if key != "run_seed"}
        return {"method": self.method.name, **{name: keys for name, keys in sections.items() if keys}}

    def _choice(self, name: str) -> dict[str, Any]:
        """Returns the name by which a section was chosen; nothing where it is the method's first choice."""
        section = self.sections[name]
        return {} if type(section) is self.method.choices(name)[0] else {"name": section.name}

    def to_json(self) -> dict[str, Any]:
        """Returns the sections that the method knows, JSON-able, with defaults; of paths, only the last part."""
        named = self.with_paths(lambda path: path.rstrip("/").rsplit("/", 1)[-1])
        common = {name: getattr(named, name) for name in COMMON}
        sections = {**common, **named.sections}
        return {"task": self.task, **{name: _named(each, dataclasses.asdict(each)) for name, each in sections.items()}}

    def with_paths(self, change: Callable[[str], str]) -> Config:
        """Returns the task with every path, "" where none is given, changed."""
        return dataclasses.replace(
            self,
            seeds=dataclasses.replace(self.seeds, image_folder=change(self.seeds.image_folder)),
            peers=dataclasses.replace(self.peers, files=tuple(change(path) for path in self.peers.files)),
            judge=dataclasses.replace(self.judge, file=change(self.judge.file)),
        )


def _named(section: Any, keys: dict[str, Any]) -> dict[str, Any]:
    """Returns a section's keys, with the `name` by which it was chosen if there was a choice."""
    return {"name": section.name, **keys} if hasattr(section, "name") else keys

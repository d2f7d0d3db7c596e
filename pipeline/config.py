"""A task's configuration: its sections, each key with its default and unit, and what they describe."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

from models.errors import InputError
from models.training import Training
from pipeline import records, seeding
from pipeline.criteria import PeerPressure
from pipeline.search import gradient
from pipeline.search.ascent import GradientAscent
from pipeline.search.cppn_encoding import CPPN
from pipeline.search.direct import Direct
from pipeline.search.elites import Search as GarbageSearch
from pipeline.search.hillclimb import Compose, Hillclimb
from pipeline.search.lbfgs import LBFGS
from pipeline.search.map_elites import Encoding, MapElites
from pipeline.search.unit import ClassFrom
from pipeline.transforms import Affine
from pipeline.verify import Grading

RUN_SEEDS = (0, 2**32 - 1)  # least and largest
ISLANDS = (1, 100_000)  # likewise


@dataclasses.dataclass(frozen=True)
class Seeds:
    """[seeds]: where the seed images come from.

    Attributes:
      dataset: a TFDS name, "mnist", "my_dataset/config:1.2.3".
      image_folder: instead of a dataset, a folder SPLIT/CLASS/PICTURE.png.
      splits: the splits to take, each whole.
      labeled: whether the labels may be used.
      image_key: the dataset's feature that holds the images; by default "image", else the first of the dataset's
        `supervised_keys`, else its only image.
      label_key: likewise the labels: "label", else the second of `supervised_keys`, else its only class label.
    """

    dataset: str = ""
    image_folder: str = ""
    splits: tuple[str, ...] = ("train",)
    labeled: bool = True
    image_key: str = ""
    label_key: str = ""


@dataclasses.dataclass(frozen=True)
class Peers:
    """[peers]: the nets, trained here by architecture or loaded from files.

    Attributes:
      architectures: names of the zoo ("mlp-30", "cnn"), one net each.
      trained_on: what each of the architectures learns from, in TFDS's split syntax ("train[:50%]"); by default all of
        them from the whole of "train", or of the first split if there is none.
      files: instead of architectures, `.keras` files or SavedModel folders.
      names: the files' names in records; by default the file names.
      init_seed: seed of the first net's weights; the next net has the next seed.
      from_logits: whether the files give logits.
      signature: the SavedModels' signature.
    """

    architectures: tuple[str, ...] = ()
    trained_on: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    init_seed: int = 0
    from_logits: bool = False
    signature: str = "serving_default"


@dataclasses.dataclass(frozen=True)
class Judge:
    """[judge]: a stronger net outside the group that grades what is found.

    Attributes:
      architecture: a name of the zoo, or "" for none.
      file: instead, a `.keras` file or SavedModel folder.
      epochs: how long it is trained; everything else is as in [training].
      init_seed: seed of its weights.
      from_logits: whether the file gives logits.
    """

    architecture: str = ""
    file: str = ""
    epochs: int = 5
    init_seed: int = 1000
    from_logits: bool = False


@dataclasses.dataclass(frozen=True)
class Search:
    """[search]: what is looked for, and how long.

    Attributes:
      method: for mistakes "hillclimb", or "scan" (the images as they are, no search); for adversarial pairs "lbfgs",
        "pgd" or "fgsm", which take of this section only `targets` and `class_from`; for garbage images "direct" or
        "cppn" (evolution with this encoding) or "ascent" (along the gradient), which take only `targets`.
      targets: "all" nets in turn, or the names of some.
      class_from: "label" (C is the seed image's label) or "consensus" (the class that all nets give it).
      peer_confidence: least probability of the class that every peer must keep.
      target_confidence: least probability that the target net must give a wrong class.
      patience: candidates in a row without a move that end a trial.
      max_moves: moves that end a trial.
      compose: "matrix" (one resampling of the seed image) or "image" (resampled move by move).
      trials: draw so many seed images at random that all nets get right (scan: that all nets can judge); 0 takes every
        seed image.
    """

    method: Literal["hillclimb", "scan", "lbfgs", "pgd", "fgsm", "direct", "cppn", "ascent"] = "hillclimb"
    targets: str | tuple[str, ...] = "all"
    class_from: ClassFrom = "label"
    peer_confidence: float = 0.9
    target_confidence: float = 0.5
    patience: int = 250
    max_moves: int = 64
    compose: Compose = "matrix"
    trials: int = 0


@dataclasses.dataclass(frozen=True)
class Attack:
    """[attack]: how an image's adversarial twin is made; each method takes the keys that name it.

    Attributes:
      aim: the class that the target net is to give: drawn at "random", the "next" most likely, "untargeted" (any but
        the right one), or a class's number.
      eps: fgsm and pgd: how far a pixel may change (of 1), of which images hold whole grey levels: 25/255 for 0.1; for
        pgd with norm "l2", the largest distortion.
      norm: pgd: "linf" or "l2".
      step_size: pgd: one step, in the unit of `eps`.
      steps: pgd: how many.
      random_start: pgd: start at random within `eps`.
      iterations: lbfgs: most moves toward the minimum of one c.
      memory: lbfgs: curvature pairs kept.
      first_c: lbfgs: where the search for c starts; c weighs the squared change, summed over pixels.
      brackets: lbfgs: most times that c is raised or lowered tenfold.
      bisections: lbfgs: halvings of the bracket.
    """

    aim: int | Literal["random", "next", "untargeted"] = "random"
    eps: float = 0.1
    norm: gradient.Norm = "linf"
    step_size: float = 0.01
    steps: int = 40
    random_start: bool = True
    iterations: int = 150
    memory: int = 10
    first_c: float = 0.01
    brackets: int = 8
    bisections: int = 7

    def attacker(self, method: str) -> gradient.Attack:
        """Returns the attack that this and [search] method describe."""
        if method == "fgsm":
            return gradient.FastGradientSign(self.eps)
        if method == "pgd":
            return gradient.ProjectedGradient(self.norm, self.eps, self.step_size, self.steps, self.random_start)
        return LBFGS(self.iterations, self.memory, self.first_c, self.brackets, self.bisections)


@dataclasses.dataclass(frozen=True)
class Garbage:
    """[garbage]: what is brought to certainty, and how images are made; each method takes the keys that name it.

    Attributes:
      classes: "all", or some classes by number or name.
      confidence: the target net's probability at which a class is done, above 0 and below 1; when all are, the island
        ends.
      generations: most generations (ascent: steps) of an island.
      islands: independent runs for each target net; each gives a champion of every class.
      population: direct, cppn: images of a generation; ascent: images that the nets see when champions are judged.
      mutation_eta: direct, cppn: index of polynomial mutation.
      mutation_rate: direct: share of the pixels that mutate; cppn: share of the weights.
      crossover_rate: direct: share of the children with two parents.
      crossover_eta: direct: index of simulated binary crossover.
      max_hidden: cppn: most hidden nodes of a network.
      add_connection: cppn: share of the children that gain a connection.
      delete_connection: cppn: share that lose one.
      add_neuron: cppn: share that gain a hidden node.
      delete_neuron: cppn: share that lose one.
      activation_rate: cppn: share of the nodes' activations that are drawn again.
      step_size: ascent: root mean square of the pixels' change (of 1) in a step.
      decay: ascent: share of the distance to mid-grey that is lost at every step.
      blur: ascent: standard deviation of the Gaussian blur, in pixels; 0 for none.
      blur_every: ascent: steps from blur to blur.
    """

    classes: Literal["all"] | tuple[int | str, ...] = "all"
    confidence: float = 0.9999
    generations: int = 1000
    islands: int = 1
    population: int = 200
    mutation_eta: float = 15.0
    mutation_rate: float = 0.1
    crossover_rate: float = 0.5
    crossover_eta: float = 10.0
    max_hidden: int = 24
    add_connection: float = 0.5
    delete_connection: float = 0.3
    add_neuron: float = 0.5
    delete_neuron: float = 0.2
    activation_rate: float = 0.1
    step_size: float = 0.02
    decay: float = 0.01
    blur: float = 0.0
    blur_every: int = 4

    def search(self, method: str, shape: tuple[int, int, int], cells: int) -> GarbageSearch:
        """Returns the search that this and [search] method describe, for images (H, W, C) and K cells."""
        if method == "ascent":
            return GradientAscent(shape, cells, self.step_size, self.decay, self.blur, self.blur_every)
        return MapElites(self._encoding(method, shape), self.population)

    def _encoding(self, method: str, shape: tuple[int, int, int]) -> Encoding:
        if method == "direct":
            return Direct(shape, self.mutation_rate, self.mutation_eta, self.crossover_rate, self.crossover_eta)
        return CPPN(
            shape,
            max_hidden=self.max_hidden,
            add_connection=self.add_connection,
            delete_connection=self.delete_connection,
            add_neuron=self.add_neuron,
            delete_neuron=self.delete_neuron,
            weight_rate=self.mutation_rate,
            weight_eta=self.mutation_eta,
            activation_rate=self.activation_rate,
        )


@dataclasses.dataclass(frozen=True)
class Run:
    """[run]: how the work is cut; of these only `run_seed` and `lanes` may change a result.

    Attributes:
      run_seed: seed of all random numbers of the search.
      unit_size: seed images in a work unit, the piece that is lost at most when a worker is killed.
      lanes: candidates that the nets see at a time; lbfgs keeps 2 * `memory` float32 images for each.
      max_set_aside: the share of seed images (garbage images: of classes) that may be set aside before the run counts
        as failed.
    """

    run_seed: int = 0
    unit_size: int = 4096
    lanes: int = 2048
    max_set_aside: float = 0.05


@dataclasses.dataclass(frozen=True)
class Config:
    """A task: its name (the TFDS config name of its datasets) and its sections."""

    task: str
    seeds: Seeds
    peers: Peers
    training: Training
    judge: Judge
    search: Search
    operator: Affine
    grade: Grading
    attack: Attack
    garbage: Garbage
    run: Run

    @property
    def dataset(self) -> str:
        """The dataset that the method fills: `records.MISTAKES`, `PAIRS` or `GARBAGE`."""
        return _METHODS[self.search.method].dataset

    @property
    def dataset_name(self) -> str:
        """ "dataset/task", as TFDS has it."""
        return f"{self.dataset}/{self.task}"

    def searcher(self) -> Hillclimb:
        """Returns the search that [search] and [operator] describe."""
        search = self.search
        criterion = PeerPressure(search.peer_confidence, search.target_confidence)
        return Hillclimb(self.operator, criterion, search.patience, search.max_moves, search.compose)

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
        number = seeding.derived_run_seed(run_id) if run_seed == "auto" else int(run_seed)
        return dataclasses.replace(self, run=dataclasses.replace(self.run, run_seed=number))

    def with_islands(self, islands: int | None) -> Config:
        """Returns the task with another [garbage] islands; None for its own.

        Raises:
          InputError: `islands` is out of range, or the task makes no garbage images.
        """
        if islands is None:
            return self
        if self.dataset != records.GARBAGE:
            raise InputError(
                f"--islands is for garbage images, and [search] method is '{self.search.method}'; leave it out."
            )
        low, high = ISLANDS
        if not low <= islands <= high:
            raise InputError(f"--islands is {islands}, expected a whole number from {low} to {high}.")
        return dataclasses.replace(self, garbage=dataclasses.replace(self.garbage, islands=islands))

    def result_determining(self) -> dict[str, Any]:
        """Returns the part, JSON-able, that with nets, seed image and run seed determines a result.

        It is the method, and "section.key" -> value for those of the keys it takes that differ from their default: a
        key that comes later changes no id of before. So a default is never changed.
        """
        given = {"search.method": self.search.method}
        for key in _METHODS[self.search.method].keys:
            section, name = key.split(".")
            value = getattr(getattr(self, section), name)
            if value != getattr(type(getattr(self, section))(), name):
                given[key] = value
        return given

    def to_json(self) -> dict[str, Any]:
        """Returns the sections that the dataset knows, JSON-able, with defaults; of paths, only the last part."""
        named = dataclasses.asdict(self.with_paths(lambda path: path.rstrip("/").rsplit("/", 1)[-1]))
        return {name: value for name, value in named.items() if _ONLY_FOR.get(name, self.dataset) == self.dataset}

    def with_paths(self, change: Callable[[str], str]) -> Config:
        """Returns the task with every path, "" where none is given, changed."""
        return dataclasses.replace(
            self,
            seeds=dataclasses.replace(self.seeds, image_folder=change(self.seeds.image_folder)),
            peers=dataclasses.replace(self.peers, files=tuple(change(path) for path in self.peers.files)),
            judge=dataclasses.replace(self.judge, file=change(self.judge.file)),
        )


@dataclasses.dataclass(frozen=True)
class _Method:
    """What a [search] method makes, and "section.key" of all that determines how it comes out."""

    dataset: str
    keys: tuple[str, ...]


def _keys(section: str, names: str) -> tuple[str, ...]:
    return tuple(f"{section}.{name}" for name in names.split())


_SCANNED = (*_keys("search", "class_from peer_confidence target_confidence"), "grade.peer_margin", "run.lanes")
_MOVED = (
    *_keys("search", "patience max_moves compose"),
    *_keys("operator", "rotation_degrees translation_pixels scale stretch shear_degrees border"),
    *_keys("grade", "rotation_degrees translation scale stretch shear_degrees"),  # a scan moves nothing
)
_ATTACKED = ("search.class_from", "attack.aim", "run.lanes")
_BRED = _keys("garbage", "classes confidence generations population")
_MUTATED = (*_BRED, *_keys("garbage", "mutation_eta mutation_rate"))
_WIRED = _keys("garbage", "max_hidden add_connection delete_connection add_neuron delete_neuron activation_rate")
_METHODS = {
    "hillclimb": _Method(records.MISTAKES, (*_SCANNED, *_MOVED)),
    "scan": _Method(records.MISTAKES, _SCANNED),
    "lbfgs": _Method(records.PAIRS, (*_ATTACKED, *_keys("attack", "iterations memory first_c brackets bisections"))),
    "pgd": _Method(records.PAIRS, (*_ATTACKED, *_keys("attack", "eps norm step_size steps random_start"))),
    "fgsm": _Method(records.PAIRS, (*_ATTACKED, "attack.eps")),
    "direct": _Method(records.GARBAGE, (*_MUTATED, *_keys("garbage", "crossover_rate crossover_eta"))),
    "cppn": _Method(records.GARBAGE, (*_MUTATED, *_WIRED)),
    "ascent": _Method(records.GARBAGE, (*_BRED, *_keys("garbage", "step_size decay blur blur_every"))),
}
_ONLY_FOR = {  # sections that the other datasets do without
    "operator": records.MISTAKES,
    "grade": records.MISTAKES,
    "attack": records.PAIRS,
    "garbage": records.GARBAGE,
}

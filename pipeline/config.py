"""A task's configuration: one TOML file, every key checked, every mistake told in one sentence."""

from __future__ import annotations

import dataclasses
import os
import re
import tomllib
from collections.abc import Callable
from typing import Any, Literal

from models import zoo
from models.errors import InputError
from models.training import Training
from pipeline import records, seeding
from pipeline.criteria import PeerPressure
from pipeline.search import gradient
from pipeline.search.ascent import GradientAscent
from pipeline.search.cppn import CPPN
from pipeline.search.direct import Direct
from pipeline.search.elites import Search as GarbageSearch
from pipeline.search.hillclimb import Compose, Hillclimb
from pipeline.search.lbfgs import LBFGS
from pipeline.search.map_elites import Encoding, MapElites
from pipeline.search.unit import ClassFrom
from pipeline.sections import Ranges, known, plain, section
from pipeline.transforms import Affine
from pipeline.verify import Grading


@dataclasses.dataclass(frozen=True)
class Seeds:
    """[seeds]: where the seed images come from.

    Attributes:
      dataset: a TFDS name, "mnist", "my_dataset/config:1.2.3".
      image_folder: instead of a dataset, a folder SPLIT/CLASS/PICTURE.png.
      splits: the splits to take, each whole.
      labeled: whether the labels may be used.
    """

    dataset: str = ""
    image_folder: str = ""
    splits: tuple[str, ...] = ("train",)
    labeled: bool = True


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
      trials: draw so many seed images at random that all nets get right; 0 takes every seed image.
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
      eps: fgsm and pgd: how far a pixel may change (of 1); for pgd with norm "l2", the largest distortion.
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
        return _DATASETS[self.search.method]

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
        low, high = (int(limit) for limit in _RANGES["run.run_seed"])
        if run_seed != "auto" and not (run_seed.isdecimal() and low <= int(run_seed) <= high):
            raise InputError(f"--run_seed is '{run_seed}', expected 'auto' or a whole number from {low} to {high}.")
        number = seeding.derived_run_seed(run_id) if run_seed == "auto" else int(run_seed)
        return dataclasses.replace(self, run=dataclasses.replace(self.run, run_seed=number))

    def result_determining(self) -> dict[str, Any]:
        """Returns the part, JSON-able, that with nets, seed image and run seed determines a result."""
        search = {
            key: value for key, value in dataclasses.asdict(self.search).items() if key not in ("targets", "trials")
        }
        if self.dataset == records.PAIRS:
            wanted = {key: search[key] for key in ("method", "class_from")}
            return {"search": wanted, "attack": dataclasses.asdict(self.attack), "lanes": self.run.lanes}
        if self.dataset == records.GARBAGE:
            bred = {key: value for key, value in dataclasses.asdict(self.garbage).items() if key != "islands"}
            return {"search": {"method": search["method"]}, "garbage": bred}
        return {
            "search": search,
            "operator": {"name": self.operator.name, **dataclasses.asdict(self.operator)},
            "grade": dataclasses.asdict(self.grade),
            "lanes": self.run.lanes,
        }

    def to_json(self) -> dict[str, Any]:
        """Returns the sections that the dataset knows, JSON-able, with defaults; of paths, only the last part."""
        named = dataclasses.asdict(_with_paths(self, lambda path: path.rstrip("/").rsplit("/", 1)[-1]))
        return {name: value for name, value in named.items() if _ONLY_FOR.get(name, self.dataset) == self.dataset}


_DATASETS = {
    **dict.fromkeys(("hillclimb", "scan"), records.MISTAKES),
    **dict.fromkeys(("lbfgs", "pgd", "fgsm"), records.PAIRS),
    **dict.fromkeys(("direct", "cppn", "ascent"), records.GARBAGE),
}
_ONLY_FOR = {  # sections that the other datasets do without
    "operator": records.MISTAKES,
    "grade": records.MISTAKES,
    "attack": records.PAIRS,
    "garbage": records.GARBAGE,
}
_SECTIONS: dict[str, Any] = {
    "seeds": Seeds,
    "peers": Peers,
    "training": Training,
    "judge": Judge,
    "search": Search,
    "operator": Affine,
    "grade": Grading,
    "attack": Attack,
    "garbage": Garbage,
    "run": Run,
}
# Least and largest value, in the key's own unit.
_RANGES: Ranges = {
    "peers.init_seed": (0, 2**31 - 1),
    "training.epochs": (1, 10_000),
    "training.batch_size": (1, 1_000_000),
    "training.learning_rate": (1e-8, 100),
    "judge.epochs": (1, 10_000),
    "judge.init_seed": (0, 2**31 - 1),
    "search.peer_confidence": (0, 1),
    "search.target_confidence": (0, 1),
    "search.patience": (1, 1_000_000),
    "search.max_moves": (1, 4096),
    "search.trials": (0, 2**31 - 1),
    "operator.rotation_degrees": (0, 180),
    "operator.translation_pixels": (0, 10_000),
    "operator.scale": (0, 10),
    "operator.stretch": (0, 10),
    "operator.shear_degrees": (0, 80),
    "grade.peer_margin": (0, 1),
    "attack.eps": (1e-6, 1),
    "attack.step_size": (1e-6, 1),
    "attack.steps": (1, 100_000),
    "attack.iterations": (1, 100_000),
    "attack.memory": (1, 100),
    "attack.first_c": (1e-6, 1e6),
    "attack.brackets": (1, 30),
    "attack.bisections": (1, 30),
    "garbage.generations": (1, 10_000_000),
    "garbage.islands": (1, 100_000),
    "garbage.population": (1, 100_000),
    "garbage.mutation_eta": (0, 1000),
    "garbage.mutation_rate": (0, 1),
    "garbage.crossover_rate": (0, 1),
    "garbage.crossover_eta": (0, 1000),
    "garbage.max_hidden": (1, 1000),
    **{f"garbage.{name}": (0, 1) for name in ("add_connection", "delete_connection", "add_neuron", "delete_neuron")},
    "garbage.activation_rate": (0, 1),
    "garbage.step_size": (1e-6, 1),
    "garbage.decay": (0, 1),
    "garbage.blur": (0, 1000),
    "garbage.blur_every": (1, 10_000_000),
    "run.run_seed": (0, 2**32 - 1),
    "run.unit_size": (1, 1_000_000),
    "run.lanes": (1, 1_000_000),
    "run.max_set_aside": (0, 1),
}
_NAME = re.compile(r"[a-z][a-z0-9_]*")


def load(path: str) -> Config:
    """Reads a configuration; paths in it are relative to its folder.

    Raises:
      InputError: the file is missing, not TOML, or has an unknown key, a wrong type or a value out of range.
    """
    try:
        with open(path, "rb") as stream:
            table = tomllib.load(stream)
    except OSError as error:
        raise InputError(
            f"{path}: the configuration cannot be read ({error.strerror}); give --config a TOML file."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: this is not valid TOML: {error}.") from error
    config = _parse(table, path)
    _check(config, path)
    return _with_absolute_paths(config, os.path.dirname(os.path.abspath(path)))


def _parse(table: dict[str, Any], path: str) -> Config:
    known(table, ["task", *_SECTIONS], path, "key or section")
    task = table.get("task", os.path.splitext(os.path.basename(path))[0])
    if not isinstance(task, str) or not _NAME.fullmatch(task):
        raise InputError(f"{path}: task is {task!r}, expected a name of a-z, 0-9 and _ that starts with a letter.")
    sections = {name: section(cls, name, table.get(name, {}), _RANGES, path) for name, cls in _SECTIONS.items()}
    return Config(task, **sections)


def _check(config: Config, path: str) -> None:
    """Checks what no single key can tell."""
    if bool(config.seeds.dataset) == bool(config.seeds.image_folder):
        raise InputError(f"{path}: [seeds] needs either dataset or image_folder; give one of them.")
    if not config.seeds.splits or len(set(config.seeds.splits)) != len(config.seeds.splits):
        raise InputError(f"{path}: [seeds] splits needs at least one split, each once.")
    if bool(config.peers.architectures) == bool(config.peers.files):
        raise InputError(f"{path}: [peers] needs either architectures or files; give one of them.")
    _check_nets(config, path)
    if not config.search.targets:
        raise InputError(f"{path}: [search] targets is empty; give 'all' or the names of some nets.")
    if len(set(config.peers.names)) != len(config.peers.names):
        raise InputError(f"{path}: [peers] names are not all different; give each net its own.")
    if not 0 < config.garbage.confidence < 1:
        raise InputError(
            f"{path}: [garbage] confidence is {plain(config.garbage.confidence)}, expected a probability above 0 and "
            "below 1."
        )
    if not config.garbage.classes:
        raise InputError(f"{path}: [garbage] classes is empty; give 'all' or some classes.")
    if config.garbage.generations * config.garbage.population >= 2**31:
        raise InputError(f"{path}: [garbage] generations * population is 2**31 or more; lower one of them.")
    seeded = config.dataset != records.GARBAGE
    if seeded and config.search.class_from == "label" and not config.seeds.labeled:
        raise InputError(f"{path}: [seeds] labeled = false needs [search] class_from = 'consensus'.")
    if config.seeds.labeled is False and (config.peers.architectures or config.judge.architecture):
        raise InputError(f"{path}: nets cannot be trained with [seeds] labeled = false; give [peers] files.")


def _check_nets(config: Config, path: str) -> None:
    nets = config.peers.architectures or config.peers.files
    alone = config.search.method == "scan" and config.search.class_from == "consensus"
    least = 3 if alone else 2 if config.dataset == records.MISTAKES else 1
    if len(nets) < least:
        raise InputError(f"{path}: [peers] has {len(nets)} net, expected at least {least}: a target and its peers.")
    if config.peers.names and len(config.peers.names) != len(config.peers.files):
        raise InputError(
            f"{path}: [peers] names has {len(config.peers.names)} entries for {len(config.peers.files)} files; "
            "give one each."
        )
    if config.peers.trained_on and config.peers.files:
        raise InputError(f"{path}: [peers] trained_on is for architectures, files are trained already; leave it out.")
    if config.peers.trained_on and len(config.peers.trained_on) != len(config.peers.architectures):
        raise InputError(
            f"{path}: [peers] trained_on has {len(config.peers.trained_on)} entries for "
            f"{len(config.peers.architectures)} architectures; give one each."
        )
    if config.judge.architecture and config.judge.file:
        raise InputError(f"{path}: [judge] has both architecture and file; give one of them.")
    for key, architecture in [
        *(("[peers] architectures", name) for name in config.peers.architectures),
        *(("[judge] architecture", name) for name in [config.judge.architecture] if name),
    ]:
        try:
            zoo.check(architecture)
        except InputError as error:
            raise InputError(f"{path}: {key}: {error}") from error


def _with_absolute_paths(config: Config, folder: str) -> Config:
    def absolute(path: str) -> str:
        return path if not path or "://" in path else os.path.normpath(os.path.join(folder, os.path.expanduser(path)))

    return _with_paths(config, absolute)


def _with_paths(config: Config, change: Callable[[str], str]) -> Config:
    return dataclasses.replace(
        config,
        seeds=dataclasses.replace(config.seeds, image_folder=change(config.seeds.image_folder)),
        peers=dataclasses.replace(config.peers, files=tuple(change(path) for path in config.peers.files)),
        judge=dataclasses.replace(config.judge, file=change(config.judge.file)),
    )

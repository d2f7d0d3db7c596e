"""Configuration files: TOML, every key checked, every mistake told in one sentence."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Sequence
from typing import Any

from models import zoo
from models.errors import InputError
from models.training import Training
from pipeline import records
from pipeline.config import ISLANDS, RUN_SEEDS, Attack, Config, Garbage, Judge, Peers, Run, Search, Seeds
from pipeline.search import elites
from pipeline.search.balls import whole_levels
from pipeline.sections import Ranges, known, plain, section
from pipeline.transforms import Affine
from pipeline.verify import Grading

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
    "grade.rotation_degrees": (0, 180),
    "grade.translation": (0, 1000),
    "grade.scale": (0, 1000),
    "grade.stretch": (0, 1000),
    "grade.shear_degrees": (0, 90),
    "attack.eps": (1e-6, 1),
    "attack.step_size": (1e-6, 1),
    "attack.steps": (1, 100_000),
    "attack.iterations": (1, 100_000),
    "attack.memory": (1, 100),
    "attack.first_c": (1e-6, 1e6),
    "attack.brackets": (1, 30),
    "attack.bisections": (1, 30),
    "garbage.generations": (1, 10_000_000),
    "garbage.islands": ISLANDS,
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
    "run.run_seed": RUN_SEEDS,
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
    config = _with_absolute_paths(config, os.path.dirname(os.path.abspath(path)))
    _check_files(config.peers.files, path)
    return config


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
    _check_features(config, path)
    if not config.seeds.splits or len(set(config.seeds.splits)) != len(config.seeds.splits):
        raise InputError(f"{path}: [seeds] splits needs at least one split, each once.")
    if bool(config.peers.architectures) == bool(config.peers.files):
        raise InputError(f"{path}: [peers] needs either architectures or files; give one of them.")
    _check_nets(config, path)
    _check_attack(config, path)
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
    most = elites.most_generations(config.garbage.population)
    if config.search.method != "ascent" and config.garbage.generations > most:  # ascent's population: the classes
        raise InputError(
            f"{path}: [garbage] generations is {config.garbage.generations}, expected at most {most} with population "
            f"{config.garbage.population}; lower one of them."
        )
    candidates = config.search.patience * config.search.max_moves
    if candidates >= 2**31:  # their numbers are int32
        raise InputError(
            f"{path}: [search] patience times max_moves is {candidates}, expected "
            f"less than {2**31} candidates of a trial; lower one of them."
        )
    seeded = config.dataset != records.GARBAGE
    if seeded and config.search.class_from == "label" and not config.seeds.labeled:
        raise InputError(f"{path}: [seeds] labeled = false needs [search] class_from = 'consensus'.")
    if config.seeds.labeled is False and (config.peers.architectures or config.judge.architecture):
        raise InputError(f"{path}: nets cannot be trained with [seeds] labeled = false; give [peers] files.")


def _check_features(config: Config, path: str) -> None:
    for key in ("image_key", "label_key"):
        if config.seeds.image_folder and getattr(config.seeds, key):
            raise InputError(f"{path}: [seeds] {key} is for a dataset's features, a folder has none; leave it out.")
    if config.seeds.label_key and not config.seeds.labeled:
        raise InputError(f"{path}: [seeds] has label_key and labeled = false; leave one of them out.")


def _check_attack(config: Config, path: str) -> None:
    by_pixel = config.search.method == "fgsm" or (config.search.method == "pgd" and config.attack.norm == "linf")
    if by_pixel and not whole_levels(config.attack.eps):
        raise InputError(
            f"{path}: [attack] eps is {plain(config.attack.eps)}, less than one grey level of a stored image; expected "
            "at least 0.003922 (1/255)."
        )


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


def _check_files(files: Sequence[str], path: str) -> None:
    for place, file in enumerate(files):
        if file in files[:place]:
            raise InputError(f"{path}: [peers] files has {file} twice; leave one of them out.")


def _with_absolute_paths(config: Config, folder: str) -> Config:
    def absolute(path: str) -> str:
        return path if not path or "://" in path else os.path.normpath(os.path.join(folder, os.path.expanduser(path)))

    return config.with_paths(absolute)

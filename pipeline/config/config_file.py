"""Configuration files: TOML, every key checked, every mistake told in one sentence."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

from models import recipe, zoo
from models.errors import InputError
from pipeline.config import sections
from pipeline.config.config import COMMON, Config, Judge, Peers, Search, SeededSearch, Seeds
from pipeline.config.method import Method
from pipeline.config.sections import known, section

Methods = Mapping[str, Method]


def load(path: str, methods: Methods) -> Config:
    """Reads a configuration; paths in it are relative to its folder.

    Args:
      path: the TOML file.
      methods: what [search] method can name.

    Raises:
      InputError: the file is missing, not TOML, or has an unknown key, a wrong type or a value out of range.
    """
    config = _parse(sections.read(path), methods, path)
    try:
        _check(config)
        config = _with_absolute_paths(config, os.path.dirname(os.path.abspath(path)))
        _check_files(config.peers.files)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return config


def _parse(table: dict[str, Any], methods: Methods, path: str) -> Config:
    names = dict.fromkeys([*COMMON, *(name for method in methods.values() for name in method.sections)])
    known(table, ["task", *names], path, "key or section")
    task = sections.task_name(table, path)
    for name in names:
        if not isinstance(table.get(name, {}), dict):
            raise InputError(f"{path}: '{name}' is a section, expected [{name}] with keys below it.")
    method = _one_of(methods, table.get("search", {}).get("method", Search.method), f"{path}: [search] method")
    for name in names:
        _check_keys(name, table.get(name, {}), methods, path)
    common = {name: section(cls, name, table.get(name, {}), path) for name, cls in COMMON.items()}
    own = {name: _section(method, name, table.get(name, {}), path) for name in method.sections}
    return Config(task, method, **common, sections=own)


def _check_keys(name: str, table: dict[str, Any], methods: Methods, path: str) -> None:
    """Checks a section's keys, those of other methods too: a file may serve several, one after the other."""
    classes = [COMMON[name]] if name in COMMON else []
    classes += [cls for method in methods.values() for cls in method.choices(name)]
    keys = [key for cls in classes for key in _keys(cls)]
    choices = _by_name(classes)
    known(table, list(dict.fromkeys([*(["name"] if choices else []), *keys])), f"{path}: [{name}]", "key")
    if "name" in table:
        _one_of(choices, table["name"], f"{path}: [{name}] name")
    for key, value in table.items():
        _check_key([cls for cls in classes if key in _keys(cls)], name, {key: value}, path)


def _keys(cls: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(cls)]


def _check_key(classes: Sequence[Any], name: str, entry: dict[str, Any], path: str) -> None:
    """Checks that one of the classes that have a key takes its value; the class that is chosen asks again."""
    refused: list[InputError] = []
    for cls in classes:
        try:
            section(cls, name, entry, path)
        except InputError as error:
            refused.append(error)
    if classes and len(refused) == len(classes):
        raise refused[0]


def _section(method: Method, name: str, table: dict[str, Any], path: str) -> Any:
    first = method.choices(name)[0]
    choices = _by_name(method.choices(name))
    chosen = _one_of(choices, table["name"], f"{path}: [{name}] name") if choices and "name" in table else first
    return section(chosen, name, table, path)


def _by_name(classes: Sequence[Any]) -> dict[str, Any]:
    """Returns the dataclasses that a section chooses from by its key `name`; none if there is no choice."""
    return {cls.name: cls for cls in classes if hasattr(cls, "name")}


def _one_of(choices: Mapping[str, Any], name: Any, where: str) -> Any:
    if not (isinstance(name, str) and name in choices):
        raise InputError(f"{where} is {name!r}, expected {' or '.join(repr(choice) for choice in choices)}.")
    return choices[name]


def _check(config: Config) -> None:
    """Checks what no single key can tell."""
    if bool(config.seeds.dataset) == bool(config.seeds.image_folder):
        raise InputError("[seeds] needs either dataset or image_folder; give one of them.")
    _check_features(config.seeds)
    _check_fitting(config.seeds)
    if not config.seeds.splits or len(set(config.seeds.splits)) != len(config.seeds.splits):
        raise InputError("[seeds] splits needs at least one split, each once.")
    if not config.targets:
        raise InputError("[search] targets is empty; give 'all' or the names of some nets.")
    _ = config.run.memory_bytes  # raises what is wrong with it
    _check_peers(config)
    _check_trained(config)
    _check_reading(config)
    config.method.check(config.sections)
    if not config.seeds.labeled:
        _check_unlabeled(config)


def _check_unlabeled(config: Config) -> None:
    search = config.sections["search"]
    if isinstance(search, SeededSearch) and search.class_from == "label":
        raise InputError("[seeds] labeled = false needs [search] class_from = 'consensus'.")
    if config.peers.architectures or config.judge.architecture:
        raise InputError("nets cannot be trained with [seeds] labeled = false; give [peers] files.")


def _check_features(seeds: Seeds) -> None:
    for key in ("image_key", "label_key"):
        if seeds.image_folder and getattr(seeds, key):
            raise InputError(f"[seeds] {key} is for a dataset's features, a folder has none; leave it out.")
    if seeds.label_key and not seeds.labeled:
        raise InputError("[seeds] has label_key and labeled = false; leave one of them out.")


def _check_fitting(seeds: Seeds) -> None:
    if seeds.dataset and seeds.background != Seeds.background:
        raise InputError("[seeds] background is for the pictures of an image_folder; leave it out.")
    if seeds.size and (len(seeds.size) != 2 or min(seeds.size) < 1):
        raise InputError(f"[seeds] size is {list(seeds.size)}, expected height and width in pixels, such as [96, 96].")
    if seeds.size and seeds.resize == "never":
        raise InputError('[seeds] size needs resize = "crop", "pad" or "stretch".')


def _check_peers(config: Config) -> None:
    peers = config.peers
    if bool(peers.architectures) == bool(peers.files):
        raise InputError("[peers] needs either architectures or files; give one of them.")
    nets, least = peers.architectures or peers.files, config.method.least_nets(config.sections)
    if len(nets) < least:
        raise InputError(f"[peers] has {len(nets)} net, expected at least {least}: a target and its peers.")
    if peers.names and len(peers.names) != len(peers.files):
        raise InputError(f"[peers] names has {len(peers.names)} entries for {len(peers.files)} files; give one each.")
    if len(set(peers.names)) != len(peers.names):
        raise InputError("[peers] names are not all different; give each net its own.")


def _check_reading(config: Config) -> None:
    """Checks how nets of files are shown images."""
    given: list[tuple[str, Peers | Judge, Any]] = [
        ("peers", config.peers, config.peers.files),
        ("judge", config.judge, config.judge.file),
    ]
    for name, keys, files in given:
        span = keys.input_range
        if len(span) != 2 or span[0] == span[1]:
            raise InputError(
                f"[{name}] input_range is {list(span)}, expected what black and white are, such as [-1.0, 1.0]."
            )
        _check_moments(name, keys)
        for key in ("input_range", "input_mean", "input_std", "resize"):
            if not files and getattr(keys, key) != getattr(type(keys), key):
                raise InputError(f"[{name}] {key} is for nets from files; leave it out.")


def _check_moments(name: str, keys: Peers | Judge) -> None:
    mean, std = keys.input_mean, keys.input_std
    if bool(mean) != bool(std):
        raise InputError(f"[{name}] needs input_mean and input_std, or neither; give both, such as [0.5] and [0.5].")
    if mean and keys.input_range != type(keys).input_range:
        raise InputError(f"[{name}] has input_range and input_mean, which both say how images are shown; give one.")
    if not all(math.isfinite(value) for value in (*mean, *std)) or (std and min(std) <= 0):
        raise InputError(
            f"[{name}] input_mean is {list(mean)} and input_std {list(std)}, expected finite numbers, and of input_std "
            "positive ones, for images in [0, 1]."
        )


def _check_trained(config: Config) -> None:
    """Checks the nets that are trained here, and on what."""
    peers, judge = config.peers, config.judge
    if peers.trained_on and peers.files:
        raise InputError("[peers] trained_on is for architectures, files are trained already; leave it out.")
    if peers.trained_on and len(peers.trained_on) != len(peers.architectures):
        raise InputError(
            f"[peers] trained_on has {len(peers.trained_on)} entries for {len(peers.architectures)} architectures; "
            "give one each."
        )
    if judge.architecture and judge.file:
        raise InputError("[judge] has both architecture and file; give one of them.")
    recipe.check(config.training)
    named = [("[peers] architectures", name) for name in peers.architectures]
    named += [("[judge] architecture", judge.architecture)] if judge.architecture else []
    for key, architecture in named:
        try:
            zoo.check(architecture)
        except InputError as error:
            raise InputError(f"{key}: {error}") from error


def _check_files(files: Sequence[str]) -> None:
    for place, file in enumerate(files):
        if file in files[:place]:
            raise InputError(f"[peers] files has {file} twice; leave one of them out.")


def _with_absolute_paths(config: Config, folder: str) -> Config:
    def absolute(path: str) -> str:
        return path if not path or "://" in path else os.path.normpath(os.path.join(folder, os.path.expanduser(path)))

    return config.with_paths(absolute)

"""The nets of a run: trained into the workdir or found in files, and loaded as a group of peers and a judge."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from etils import epath

from models import devices, files, loading, preflight, recipe, training
from models.classifier import Classifier, PeerGroup
from models.divergence import DivergedError
from models.errors import InputError
from models.examples import Block, Examples, Held, Streamed, check_labels
from models.recipe import Training
from pipeline import records
from pipeline.config.config import Config, Judge, Peers, Run
from pipeline.config.recorded import Recorded
from pipeline.runs import memory
from pipeline.seeds.source import Part, SeedBatch, SeedSource, check_usable, has_split
from pipeline.workdir.ledger import Workdir

Progress = Callable[[str, int, int, float], None]


@dataclasses.dataclass(frozen=True)
class NetFile:
    """Where a net is and how to read it; small and picklable."""

    name: str
    path: str
    how: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # as `loading.load` takes it


@dataclasses.dataclass(frozen=True)
class NetFiles:
    """The files of a run's nets, what they must fit, images (H, W, C) and K classes (0: not known), and the device."""

    peers: tuple[NetFile, ...]
    judge: NetFile | None
    shape: tuple[int, int, int]
    num_classes: int
    device: str = "auto"

    def load(self) -> tuple[PeerGroup, PeerGroup | None]:
        """Loads and checks all nets; the judge as a group of one.

        Raises:
          InputError: a file cannot be loaded, a net does not fit the seed images or the others, or two are the same.
        """
        with tf.device(devices.device_name(self.device)):
            group = PeerGroup(tuple(_load(net, self.shape) for net in self.peers))
            judges = [_load(self.judge, self.shape)] if self.judge else []
        _check_different(group)
        preflight.agree([*group.classifiers, *judges], self.shape, self.num_classes or group.num_classes)
        return group, PeerGroup(tuple(judges)) if judges else None


class Finder:
    """Finds the nets of published runs by their digests; loads a file, and compiles a group, once.

    Args:
      workdir: its ledger says where the nets of a run are.
      dataset_name: "dataset/task".
      given: files to look in instead.
    """

    def __init__(self, workdir: Workdir, dataset_name: str, given: Sequence[str] = ()):
        self._workdir, self._dataset_name, self._given = workdir, dataset_name, given
        self._loaded: dict[Any, Classifier] = {}
        self._groups: dict[tuple[Classifier, ...], PeerGroup] = {}

    def load(self, path: str, run: Recorded, name: str = "") -> Classifier:
        """Loads a net as a run's are loaded, under a name; by default that of its file."""
        peers, shape = run.peers, tuple(run["image_shape"])
        key = (path, name, peers, shape)
        if key not in self._loaded:
            self._loaded[key] = loading.load(path, name=name, expected_shape=shape, **_how(peers))
        return self._loaded[key]

    def nets(self, nets: Sequence[dict[str, str]], run: Recorded) -> dict[str, Classifier]:
        """Returns nets of a run, as its manifest tells of them, by name; raises InputError if one is not found."""
        wanted = {net["digest"] for net in nets}
        found: dict[str, Classifier] = {}
        for path in self._paths(run):
            if wanted <= found.keys():
                break
            loaded = self.load(path, run)
            found[loaded.digest] = loaded
        for net in nets:
            if net["digest"] not in found:
                raise InputError(
                    f"net '{net['name']}' of run '{run['run_id']}' (digest {net['digest'][:12]}) was not found; "
                    "name its file with --peers."
                )
        return {net["name"]: dataclasses.replace(found[net["digest"]], name=net["name"]) for net in nets}

    def group(self, run: Recorded) -> PeerGroup:
        """Returns all nets of a run; raises InputError if one is not found."""
        nets = tuple(self.nets(run["nets"], run).values())
        return self._groups.setdefault(nets, PeerGroup(nets))

    def _paths(self, run: Recorded) -> Sequence[str]:
        if self._given:
            return self._given
        manifest = self._workdir.run(self._dataset_name, run["run_id"]).manifest() or {"net_paths": {}}
        paths = [epath.Path(path) for path in manifest["net_paths"].values()]
        # A workdir may have been moved: its own nets first, by name.
        places = [place for path in paths for place in (self._workdir.nets / path.name, path)]
        return [str(place) for place in dict.fromkeys(places) if place.exists()]


def _check_different(group: PeerGroup) -> None:
    names: dict[str, str] = {}
    for net in group.classifiers:
        if (twin := names.setdefault(net.digest, net.name)) != net.name:
            raise InputError(
                f"nets '{twin}' and '{net.name}' ({net.source}) are the same, weight for weight: where one is wrong, "
                "the other is too; leave one of them out."
            )


def _load(net: NetFile, shape: tuple[int, int, int]) -> Any:
    return loading.load(net.path, name=net.name, expected_shape=shape, **net.how)


def _how(section: Peers | Judge) -> dict[str, Any]:
    """Returns how nets of files are loaded, by the keys of their section."""
    keys = ("from_logits", "signature", "input_range", "input_mean", "input_std", "resize")
    return {key: getattr(section, key) for key in keys if hasattr(section, key)}


def prepare(
    config: Config,
    workdir: Workdir,
    source: SeedSource,
    device: str,
    progress: Progress = lambda *_: None,
    train: bool = True,
) -> NetFiles:
    """Trains the nets that are not there yet, and returns the files of all.

    Args:
      config: the task.
      workdir: trained nets go to `WORKDIR/nets`, named by a digest of what makes them.
      source: the seed images; nets learn from their "train" split (else the first of [seeds] splits), or from the parts
        that [peers] trained_on names.
      device: as in `models.devices`.
      progress: called after each step with the net's name, and as `training.train` calls its own.
      train: if not, files that are not there are returned all the same.
    """
    classes = len(source.class_names())
    trainer = _Trainer(workdir, source, device, progress, config.run, train)
    whole = _whole(source, config.seeds.splits)
    if config.peers.architectures:
        seeds = range(config.peers.init_seed, config.peers.init_seed + len(config.peers.architectures))
        names = _unique(config.peers.architectures)
        parts = _parts(source, config.peers.trained_on) or [whole] * len(names)
        jobs = zip(names, config.peers.architectures, seeds, parts, strict=True)
        peers = tuple(
            trainer.net(name, architecture, seed, config.training, part) for name, architecture, seed, part in jobs
        )
    else:
        names = list(config.peers.names) or [epath.Path(path).stem for path in config.peers.files]
        how = _how(config.peers)
        peers = tuple(NetFile(name, path, how) for name, path in zip(names, config.peers.files, strict=True))
    judge = config.judge
    judge_file = NetFile("judge", judge.file, _how(judge)) if judge.file else None
    if judge.architecture:
        judged = dataclasses.replace(config.training, epochs=judge.epochs)
        judge_file = trainer.net(f"judge-{judge.architecture}", judge.architecture, judge.init_seed, judged, whole)
    return NetFiles(peers, judge_file, source.shape(), classes, device)


def learned_splits(config: Config, source: SeedSource) -> tuple[str, ...]:
    """Returns the splits that nets which are trained here learn from; raises InputError if one is not there."""
    return tuple(dict.fromkeys(split for part in learned_parts(config, source) for split, _ in part))


def learned_parts(config: Config, source: SeedSource) -> list[Part]:
    """Returns what nets that are trained here learn from, likewise."""
    if not (config.peers.architectures or config.judge.architecture):
        return []
    parts = _parts(source, config.peers.trained_on)
    if not parts or config.judge.architecture:
        parts.append(_whole(source, config.seeds.splits))
    return parts


def _unique(names: tuple[str, ...]) -> list[str]:
    """Numbers names that come more than once: mlp-30, mlp-30.2, mlp-30.3."""
    seen: dict[str, int] = {}
    unique = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        unique.append(name if seen[name] == 1 else f"{name}.{seen[name]}")
    return unique


def _whole(source: SeedSource, splits: tuple[str, ...]) -> Part:
    split = "train" if "train" in splits or has_split(source, "train") else splits[0]
    return [(split, range(source.count(split)))]


def _parts(source: SeedSource, names: tuple[str, ...]) -> list[Part]:
    try:
        return [source.part(name) for name in names]
    except InputError as error:
        raise InputError(f"[peers] trained_on: {error}") from error


class _Trainer:
    """Trains nets of the zoo on parts of the seed images' dataset, reading them only if a net is missing."""

    def __init__(
        self, workdir: Workdir, source: SeedSource, device: str, progress: Progress, run: Run, may_train: bool
    ):
        self._workdir, self._source, self._may_train = workdir, source, may_train
        self._device, self._progress, self._max_set_aside = device, progress, run.max_set_aside
        self._held = memory.learned_images(run, source.shape())
        self._read: tuple[Part, Examples] | None = None  # the last part, and what is learned from it

    def net(self, name: str, architecture: str, init_seed: int, how: Training, part: Part) -> NetFile:
        """Returns a net's file, trained if it is not there and that is allowed."""
        key = recipe.digest(architecture, init_seed, how, self._digest(part))
        path = self._workdir.nets / f"{name}-{key[:12]}.keras"
        if path.exists():
            files.sweep(path)
        elif self._may_train:
            self._train(path, name, architecture, init_seed, how, part)
        return NetFile(name, str(path))

    def _digest(self, part: Part) -> str:
        """Names all that is learned from: the images of each piece, how they are read, the classes, and the shape."""
        pieces = [[self._source.fingerprint(split), split, rows.start, rows.stop, rows.step] for split, rows in part]
        read = [self._source.reading(), self._source.class_names(), self._source.shape()]
        mixed = [] if self._fits(part) else [self._held]  # their order depends on it
        return records.digest([pieces, *read, *mixed])

    def _fits(self, part: Part) -> bool:
        return _count(part) <= self._held

    def _train(self, path: epath.Path, name: str, architecture: str, init_seed: int, how: Training, part: Part) -> None:
        classes = len(self._source.class_names())
        if not classes:
            raise InputError(f"[seeds] {self._source.name} has no labels to train nets on; give [peers] files instead.")
        examples = self._examples(part)

        def progress(step: int, steps: int, accuracy: float) -> None:
            self._progress(name, step, steps, accuracy)

        recipe = (architecture, init_seed, how, examples, classes)
        try:
            training.cached(path, lambda: training.train(*recipe, self._device, progress, path))
        except DivergedError as error:
            raise InputError(f"Net {name!r}: {error}") from error

    def _examples(self, part: Part) -> Examples:
        if self._read is None or self._read[0] != part:
            reader = _Reader(self._source, part, self._max_set_aside)
            shape = self._source.shape()
            held = reader.all() if self._fits(part) else Streamed(reader.read, _count(part), shape, self._held)
            self._read = part, held
        return self._read[1]


class _Reader:
    """Reads the images of a part to learn from them.

    Args:
      source: the seed images.
      part: the pieces, one after the other.
      most: [run] max_set_aside.
    """

    def __init__(self, source: SeedSource, part: Part, most: float):
        self._source, self._part, self._most = source, part, most
        self._failed: dict[str, str] = {}  # id -> reason, of all that was read so far
        self._lock = threading.Lock()  # of these: streams are read by several threads

    def all(self) -> Held:
        """Reads all of it; raises InputError if too much cannot be used."""
        batches = [self._batch(split, rows) for split, rows in self._part]
        images, labels = zip(*((batch.images, batch.labels) for batch in batches), strict=True)
        return Held(np.concatenate(images), np.concatenate(labels)) if len(images) > 1 else Held(images[0], labels[0])

    def read(self, start: int, stop: int) -> Block:
        """Reads the images from one place of the part up to another.

        Raises:
          InputError: too much of what was read so far cannot be used, or a label is no class.
        """
        blocks, begin = [], 0
        for split, rows in self._part:
            if rows_here := rows[max(0, start - begin) : max(0, stop - begin)]:
                batch = self._batch(split, rows_here)
                places = begin + (np.array(batch.positions, np.int64) - rows.start) // rows.step
                blocks.append(Block(places, batch.images, batch.labels))
            begin += len(rows)
        block = Block(*map(np.concatenate, zip(*blocks, strict=True)))
        check_labels(block.labels, len(self._source.class_names()))
        return block

    def _batch(self, split: str, positions: range) -> SeedBatch:
        batch = self._source.read(split, positions)
        what = f"training images of {self._source.name}"
        with self._lock:
            self._failed.update(batch.failures)
            check_usable(what, list(self._failed.items()), _count(self._part), self._most)
        return batch


def _count(part: Part) -> int:
    return sum(len(positions) for _, positions in part)

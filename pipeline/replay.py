"""Published datasets looked at again: every example checked against given nets, one example re-created."""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from etils import epath

from models import preflight
from models.classifier import PeerGroup
from models.errors import InputError
from pipeline import garbage, pairs, records, seeding, tasks, verify
from pipeline.config import Attack, Garbage, Run, Search
from pipeline.criteria import PeerPressure
from pipeline.islands import Island
from pipeline.search import cppn
from pipeline.transforms import Affine

_TOLERANCE = 1e-3  # by which a probability may differ on another device
_CERTAIN_TOLERANCE = 1e-6  # likewise, near 1

OTHER_PIXELS = "the record renders to other pixels"
OTHER_MOVES = "the run seed draws other moves"
OTHER_ID = "the id does not belong to the record"
OTHER_PROBABILITIES = "the nets give other probabilities than stored"
OTHER_DISTORTION = "the pair's images differ by another distortion than stored"
OTHER_CLASS = "the target net gives another class than stored"
OTHER_STATUS = "the status is none that a recheck gives"


@dataclasses.dataclass(frozen=True)
class Published:
    """A published version of one of our datasets, read with plain TFDS."""

    builder: Any

    @property
    def dataset(self) -> str:
        """`records.MISTAKES`, `PAIRS` or `GARBAGE`."""
        return self.builder.info.name

    @property
    def name(self) -> str:
        """ "dataset/task"."""
        return self.builder.info.full_name.rpartition("/")[0]

    @property
    def version(self) -> str:
        """Such as "1.0.0"."""
        return str(self.builder.info.version)

    def examples(self) -> Iterator[dict[str, Any]]:
        """Yields the examples of all splits, NumPy values."""
        for split in self.builder.info.splits:
            if self.builder.info.splits[split].num_examples:
                yield from tfds.as_numpy(self.builder.as_dataset(split=split))

    def by_run(self) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        """Yields the examples of all splits with their run's id, at most 1,024 of one run at a time."""
        examples = self.examples()
        while chunk := list(itertools.islice(examples, 1024)):
            for run_id in sorted({_run_id(example) for example in chunk}):
                yield run_id, [example for example in chunk if _run_id(example) == run_id]

    def run(self, example: dict[str, Any]) -> dict[str, Any]:
        """Returns the manifest of the run that made an example."""
        return self.runs[_run_id(example)]

    @property
    def runs(self) -> dict[str, dict[str, Any]]:
        """The manifests by run id."""
        return {run["run_id"]: run for run in self.builder.info.metadata["runs"]}

    @property
    def rechecks(self) -> list[dict[str, Any]]:
        """What is told of the rechecks that gave the examples their status, first made first."""
        return self.builder.info.metadata.get("rechecks", [])


def open_dataset(dataset: str, data_dir: epath.Path) -> Published:
    """Opens "DATASET/TASK" or "DATASET/TASK:VERSION" of ours; without a version, the newest.

    Raises:
      InputError: there is no such dataset.
    """
    expected = " or ".join(f"{name}/TASK[:VERSION]" for name in records.SCHEMAS)
    if not dataset.startswith(tuple(f"{name}/" for name in records.SCHEMAS)):
        raise InputError(f"dataset '{dataset}' cannot be checked; expected {expected}.")
    try:
        return Published(tfds.builder(dataset, data_dir=data_dir))
    except (tfds.core.DatasetNotFoundError, tf.errors.NotFoundError, ValueError, AssertionError) as error:
        raise InputError(
            f"dataset '{dataset}' was not found in {data_dir}; expected {expected}. Was it packaged?"
        ) from error
    except Exception as error:  # a damaged version can fail in any way
        raise InputError(
            f"dataset '{dataset}' in {data_dir} is damaged ({preflight.reason(error)}); move that version away and "
            "package it again."
        ) from error


def _operator(run: dict[str, Any]) -> Affine:
    return Affine(**run["config"]["operator"])


def stored_chain(example: dict[str, Any], run: dict[str, Any]) -> verify.Chain:
    """Returns the chain of moves that an example's record states."""
    chain = verify.chain_from_parameters(
        _operator(run), example["transform"]["parameters"], example["seed_image"].shape
    )
    return chain._replace(composed=example["transform"]["composed_matrix"])


def drawn_chain(example: dict[str, Any], run: dict[str, Any]) -> verify.Chain:
    """Returns the chain that the run seed draws for an example's accepted steps."""
    words = np.array(seeding.seed_key(example["seed"]["id"].decode()), np.uint32)
    steps, shape = example["transform"]["steps"], example["seed_image"].shape
    net, run_seed = _target_net(example, run), int(example["run"]["seed"])
    return verify.chain_from_steps(_operator(run), run_seed, words, net, steps, shape)


def render(example: dict[str, Any], run: dict[str, Any]) -> np.ndarray:
    """Re-creates an example's image, uint8 `[H, W, C]`, from its record and seed image, with NumPy alone."""
    border, compose = _operator(run).border, run["config"]["search"]["compose"]
    return verify.render_final(example["seed_image"][None], [stored_chain(example, run)], compose, border)[0]


def attack_again(example: dict[str, Any], run: dict[str, Any], group: PeerGroup) -> np.ndarray:
    """Makes a pair's twin anew, uint8 `[H, W, C]`: the same bytes on the same kind of device and versions."""
    net, words = _target_net(example, run), np.array([seeding.seed_key(example["seed"]["id"].decode())], np.uint32)
    config = run["config"]
    search, attack, how = Search(**config["search"]), Attack(**config["attack"]), Run(**config["run"])
    task = tasks.pairs_task(search, attack, how, (net,), run["config_digest"])
    label, aim = (np.array([example[key]], np.int32) for key in ("label", "aimed_class"))
    return task.miner(group, None).attack(net, example["seed_image"][None], label, aim, words).images[0]


def breed_again(example: dict[str, Any], run: dict[str, Any], group: PeerGroup) -> np.ndarray:
    """Runs an island again up to the birth of a garbage image, uint8 `[H, W, C]`: the same bytes as `attack_again`."""
    config, last = run["config"], {"generations": int(example["generation"])}
    search, bred, how = Search(**config["search"]), Garbage(**config["garbage"] | last), Run(**config["run"])
    classes = garbage.classes_of(bred.classes, run["class_names"], run["num_classes"])
    task = tasks.garbage_task(search, bred, how, group, classes, run["config_digest"], None)
    _, champions = task.miner(group, None).evolve(Island(0, _target_net(example, run), int(example["island"])))
    return champions.images[classes.index(int(example["wrong_class"]))]


def _target_net(example: dict[str, Any], run: dict[str, Any]) -> int:
    """Returns the place of an example's target net among its run's."""
    return [net["name"] for net in run["nets"]].index(example["target_net"].decode())


def _id_failures(example: dict[str, Any], run: dict[str, Any]) -> list[str]:
    made_from = records.made_from(example["seed"]["id"].decode(), example["seed_image"])
    expected = records.example_id(run["config_digest"], run["run_seed"], made_from, example["target_digest"].decode())
    return [OTHER_ID] if example["id"].decode() != expected else []


def _record_failures(example: dict[str, Any], run: dict[str, Any]) -> list[str]:
    """Checks what needs no net."""
    found = []
    if not np.array_equal(render(example, run), example["image"]):
        found.append(OTHER_PIXELS)
    drawn = drawn_chain(example, run)
    same = np.allclose(drawn.parameters, example["transform"]["parameters"], rtol=0, atol=1e-9)
    if not (same and np.allclose(drawn.composed, example["transform"]["composed_matrix"], rtol=0, atol=1e-9)):
        found.append(OTHER_MOVES)
    return found + _id_failures(example, run)


@dataclasses.dataclass(frozen=True)
class Verified:
    """What `check` found: examples looked at, failures by reason, and ids of the first that failed."""

    checked: int
    reasons: dict[str, int]
    failed_ids: tuple[str, ...]


def check(published: Published, groups: dict[str, PeerGroup], batch: int) -> Verified:
    """Checks every example: record, pixels, id, and what its nets say of the stored image.

    Args:
      published: the dataset.
      groups: run id -> the run's nets, in the run's order.
      batch: images that the nets see at a time.
    """
    reasons: collections.Counter[str] = collections.Counter()
    failed: list[str] = []
    checked = 0
    for run_id, mine in published.by_run():
        for example, found in zip(mine, _failures(mine, published, groups[run_id], batch), strict=True):
            reasons.update(found)
            failed += [example["id"].decode()] if found else []
        checked += len(mine)
    return Verified(checked, dict(reasons), tuple(failed[:10]))


def _run_id(example: dict[str, Any]) -> str:
    return example["run"]["id"].decode()


def _failures(examples: list[dict[str, Any]], published: Published, group: PeerGroup, batch: int) -> list[list[str]]:
    """Returns why each example, all of one run, does not hold."""
    run = published.run(examples[0])
    if published.dataset == records.GARBAGE:
        batch = run["config"]["garbage"]["population"]  # near certainty, the last bits that a batch changes count
    probabilities = group.probabilities(np.stack([example["image"] for example in examples]), batch)
    target_nets = np.array([_target_net(example, run) for example in examples])
    found = _CHECKS[published.dataset](examples, run, probabilities, target_nets)
    for place, example in enumerate(examples):
        if np.abs(probabilities[:, place] - example["probabilities_after"]).max() > _TOLERANCE:
            found[place].append(OTHER_PROBABILITIES)
        if example.get("status", b"").decode() not in ("", *records.STATUSES[published.dataset]):
            found[place].append(OTHER_STATUS)
    return found


def _mistake_failures(
    examples: Sequence[dict[str, Any]], run: dict[str, Any], probabilities: np.ndarray, target_nets: np.ndarray
) -> list[list[str]]:
    search = run["config"]["search"]
    criterion = PeerPressure(search["peer_confidence"], search["target_confidence"])
    labels = np.array([example["label"] for example in examples])
    reasons = verify.failures(verify.judge(criterion, probabilities, labels, target_nets))
    return [
        _record_failures(example, run) + [reason] * bool(reason)
        for example, reason in zip(examples, reasons, strict=True)
    ]


def _pair_failures(
    examples: Sequence[dict[str, Any]], run: dict[str, Any], probabilities: np.ndarray, target_nets: np.ndarray
) -> list[list[str]]:
    own = probabilities[target_nets, np.arange(len(examples))]
    labels, aims = (np.array([example[key] for example in examples]) for key in ("label", "aimed_class"))
    misread = pairs.misreads(own, labels, aims)
    found = []
    for place, example in enumerate(examples):
        distortion, largest = pairs.distances(example["image"], example["seed_image"])
        same = np.allclose([distortion, largest], [example["distortion"], example["largest_change"]], atol=1e-6)
        reasons = _id_failures(example, run) + [OTHER_DISTORTION] * (not same)
        reasons += [pairs.NOT_MISREAD] * (not misread[place])
        found.append(reasons + [OTHER_CLASS] * bool(own[place].argmax() != example["wrong_class"]))
    return found


def _garbage_failures(
    examples: Sequence[dict[str, Any]], run: dict[str, Any], probabilities: np.ndarray, target_nets: np.ndarray
) -> list[list[str]]:
    classes = np.array([example["wrong_class"] for example in examples])
    own = probabilities[target_nets, np.arange(len(examples)), classes]
    found = []
    for example, confidence in zip(examples, own, strict=True):
        number, digest = int(example["island"]), example["target_digest"].decode()
        made_of = (run["config_digest"], run["run_seed"], number, int(example["wrong_class"]), digest)
        reasons = [OTHER_ID] * (example["id"].decode() != garbage.example_id(*made_of))
        stated = min(run["config"]["garbage"]["confidence"], float(example["confidence"]))
        genome = example["genome"].decode()
        reasons += [OTHER_PIXELS] * bool(genome and not _draws(genome, example["image"]))
        found.append(reasons + [garbage.NOT_CONFIDENT] * bool(confidence < stated - _CERTAIN_TOLERANCE))
    return found


def _draws(genome: str, image: np.ndarray) -> bool:
    """Tells whether a CPPN's genome renders to an image."""
    try:
        return np.array_equal(cppn.render_at(genome, *image.shape[:2]), image)
    except InputError:
        return False


_CHECKS = {
    records.MISTAKES: _mistake_failures,
    records.PAIRS: _pair_failures,
    records.GARBAGE: _garbage_failures,
}


def find(published: Published, example_id: str) -> dict[str, Any]:
    """Returns the example with an id, or the one whose id starts so; raises InputError if there is not exactly one."""
    matches = [example for example in published.examples() if example["id"].decode().startswith(example_id)]
    if len(matches) != 1:
        raise InputError(
            f"{len(matches)} examples have an id that starts with '{example_id}'; give the whole id of one."
        )
    return matches[0]

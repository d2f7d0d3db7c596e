"""Rounds: mine, retrain every net on what was found, and mine again; all nets are each other's peers.

    WORKDIR/retrained/TASK/rounds/RECIPE-DIGEST/seed-N/          one chain of rounds
        nets/round-R/NAME.keras, ensemble.keras                  the nets after R rounds
        ledger/, datasets/                                       what they were mined for: a run, and a version, a round
        round-R.json                                             how good they are, what was found, what it cost

A chain's folder is a workdir, so its datasets are loaded, verified and replayed like any other. What is there is not
made again.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from etils import epath

from models import devices, loading, training
from models.classifier import Classifier, PeerGroup
from models.errors import InputError
from models.settings import determining
from pipeline import formats, mappings, progress, records
from pipeline.config.config import Config, Judge, Peers
from pipeline.kinds.mistakes.kind import MISTAKES
from pipeline.retrain import experiment
from pipeline.retrain.mistakes import group_vote
from pipeline.retrain.recipe import Recipe
from pipeline.retrain.settings import Plan
from pipeline.retrain.subject import Examiner, Material
from pipeline.runs import nets as run_nets
from pipeline.runs import steps
from pipeline.runs.job import Job
from pipeline.versions import package, published
from pipeline.workdir import ledger
from pipeline.workdir.ledger import Workdir

ENSEMBLE = "ensemble"
Told = Callable[[str, int, int], None]  # what is next, how many rounds are done, and of how many


def check(plan: Plan) -> None:
    """Raises InputError if a retraining file's nets cannot be mined and retrained in turn."""
    if plan.subject.kind != MISTAKES.name:
        raise InputError(
            f"mined has [search] method '{plan.mined.method.name}', expected 'hillclimb', which finds mistakes move by "
            "move."
        )


def run(material: Material, told: Told) -> dict[str, list[list[dict[str, Any]]]]:
    """Goes through the rounds of every recipe and training seed; returns their records.

    Args:
      material: what the nets start from, without mined examples.
      told: called before each round, and at the end.

    Returns:
      recipe -> for each training seed, the records of its rounds, from round 0: the nets as they were.

    Raises:
      InputError: a net is no `.keras` file, or has the ensemble's name.
    """
    _check_nets(material.group)
    plan = material.plan
    examiners, judge = _examiners(material), _judge(material.job)
    results: dict[str, list[list[dict[str, Any]]]] = {name: [] for name in plan.recipes}
    most = plan.retraining.seeds * len(plan.recipes) * (plan.rounds.count + 1)
    done = 0
    for seed in range(plan.retraining.seeds):
        for name in plan.recipes:
            chain: list[dict[str, Any]] = []
            told(f"{name}, seed {seed}, round 0", done, most)
            for record in _Chain(material, examiners, judge, name, seed).rounds():
                done += 1
                told(f"{name}, seed {seed}, round {record['round'] + 1}", done, most)
                chain.append(record)
            results[name].append(chain)
    told("", most, most)
    return results


def _check_nets(group: PeerGroup) -> None:
    for net in group.classifiers:
        experiment.require_keras(net)
    if ENSEMBLE in group.names:
        raise InputError(f"a net is named '{ENSEMBLE}', as all nets together are; name it otherwise in [peers] names.")


def rate(record: Mapping[str, Any]) -> float:
    """Returns the share of a round's trials that found a mistake, mean over the nets, in percent."""
    return float(np.mean([100.0 * mined["found"] / max(mined["trials"], 1) for mined in record["mined"].values()]))


def _examiners(material: Material) -> dict[str, Examiner]:
    """Returns what measures each net, and their ensemble."""
    subject, group = material.plan.subject, material.group
    told = {
        name: subject.examiner(dataclasses.replace(material, target=place)) for place, name in enumerate(group.names)
    }
    name = f"{ENSEMBLE}-{records.digest(list(group.digests))[:12]}.keras"
    path = experiment.folder(material.job.workdir, material.plan.task) / "rounds" / name
    net = _ensemble(path, [classifier.source for classifier in group.classifiers], group.input_shape)
    together = PeerGroup((*group.classifiers, net))
    told[ENSEMBLE] = subject.examiner(dataclasses.replace(material, group=together, target=len(group.names)))
    return told


def _judge(job: Job) -> Judge:
    """Returns the mined task's judge as a file, so that no chain trains it again."""
    judge = run_nets.prepare(job.config, job.workdir, job.source, job.device, progress.training()).judge
    return dataclasses.replace(job.config.judge, architecture="", file=judge.path if judge else "")


def _ensemble(path: epath.Path, nets: list[str], shape: tuple[int, int, int]) -> Classifier:
    loaded = [tf.keras.models.load_model(net, compile=False) for net in nets]
    training.cached(path, lambda: group_vote.ensemble(loaded))
    return loading.load(str(path), name=ENSEMBLE, expected_shape=shape)


class _Chain:
    """The rounds of one recipe with one training seed."""

    def __init__(self, material: Material, examiners: dict[str, Examiner], judge: Judge, name: str, seed: int):
        self._material, self._examiners, self._judge, self._seed = material, examiners, judge, seed
        self._recipe: Recipe = material.plan.recipes[name]
        own = {
            "recipe": {"kind": self._recipe.name, **determining(self._recipe)},
            **experiment.identity(material, examiners[ENSEMBLE]),
            "drawn": _drawn(material.job),
        }
        parent = experiment.folder(material.job.workdir, material.plan.task) / "rounds"
        self._workdir = Workdir.at(str(parent / f"{name}-{records.digest(own)[:8]}" / f"seed-{seed}"))
        self._own = own

    def rounds(self) -> Iterator[dict[str, Any]]:
        """Yields the record of each round until the rate is steady, or all are done."""
        rounds, before = self._material.plan.rounds, None
        for number in range(rounds.count + 1):
            record = self._round(number)
            yield record
            if before is not None and abs(rate(record) - rate(before)) < rounds.steady:
                return
            before = record

    def _round(self, number: int) -> dict[str, Any]:
        path = self._workdir.path / f"round-{number}.json"
        if (there := ledger.read_json(path)) is not None:
            formats.check(there, str(path), "retrain under another task's name")
            return there
        mappings.check()
        if number:
            self._retrain(number)
        job = self._job(number)
        folder = steps.mine(job, f"round-{number}", [])
        packaged = package.package(job.workdir, job.kind.name, job.config.task)
        manifest = folder.manifest()
        assert manifest is not None
        record = {
            "format": formats.FORMAT,
            "round": number,
            "seed": self._seed,
            **self._own,
            "nets": {net["name"]: net["digest"] for net in manifest["nets"]},
            "mined": {name: _mined(manifest, name) for name in manifest["passes"]},
            "dataset": packaged.dataset,
            "examples": sum(packaged.examples.values()),
            "measured": self._measured(number),
        }
        ledger.write_json(path, record)
        return record

    def _file(self, number: int, name: str) -> str:
        """Returns the file of a net after so many rounds."""
        if number == 0 and name != ENSEMBLE:
            return self._material.group.classifiers[self._material.group.names.index(name)].source
        return str(self._workdir.nets / f"round-{number}" / f"{name}.keras")

    def _job(self, number: int) -> Job:
        """Returns the mined task on the nets after so many rounds, with random numbers of its own."""
        mined: Config = self._material.plan.mined
        names = self._material.group.names
        files = tuple(self._file(number, name) for name in names)
        run = dataclasses.replace(mined.run, run_seed=_numbered(mined.run.run_seed, self._seed, number) % 2**32)
        config = dataclasses.replace(mined, peers=Peers(files=files, names=tuple(names)), judge=self._judge, run=run)
        return Job(config, self._workdir, self._material.job.source, self._material.job.device)

    def _retrain(self, number: int) -> None:
        """Retrains every net on what all rounds before found."""
        material = self._material
        if self._recipe.needs_mined():
            dataset = self._round(number - 1)["dataset"]  # and no later version
            material = experiment.with_examples(material, published.open_dataset(dataset, self._workdir.datasets))
        for place, name in enumerate(material.group.names):
            path = epath.Path(self._file(number, name))
            before, seed = self._file(number - 1, name), _numbered(place, self._seed, number)
            training.cached(path, functools.partial(_retrained, material, self._recipe, before, seed))

    def _measured(self, number: int) -> dict[str, dict[str, float]]:
        """Returns the measures of every net after so many rounds, and of their ensemble."""
        names = self._material.group.names
        together = epath.Path(self._file(number, ENSEMBLE))
        _ensemble(together, [self._file(number, name) for name in names], self._material.group.input_shape)
        with tf.device(devices.device_name(self._material.job.device)):
            return {
                name: self._examiners[name].measure(tf.keras.models.load_model(self._file(number, name), compile=False))
                for name in [*names, ENSEMBLE]
            }


def _drawn(job: Job) -> dict[str, Any]:
    """Returns what decides which seed images are tried; JSON-able."""
    config = job.config
    told = {"run_seed": config.run.run_seed, "targets": config.targets, "splits": config.seeds.splits}
    return {**told, "images": job.source.name, **job.kind.wanted(config)}


def _numbered(base: int, seed: int, number: int) -> int:
    """Returns a seed that no other training seed or round has."""
    return base + 1_000 * number + 100_000 * seed


def _mined(manifest: dict[str, Any], name: str) -> dict[str, int]:
    counts = manifest["counts"].get(name, {})
    found = counts.get(records.FOUND, 0)
    trials = sum(counts.get(outcome, 0) for outcome in records.TRIAL_OUTCOMES)
    return {"trials": trials, "found": found, "candidates": manifest["passes"][name]["candidates"]}


def _retrained(material: Material, recipe: Recipe, source: str, seed: int) -> tf.keras.Model:
    return experiment.retrained(material, recipe, source, seed)[0]

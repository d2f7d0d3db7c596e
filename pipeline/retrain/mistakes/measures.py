"""How good a net is: on average, at worst, and when mistakes are searched for.

A net that learned to agree with its peers passes a search that its peers filter, however weak it is. So the search that
counts has one strong net as its only peer, which vouches for the label; the peer-filtered one stands beside it, with
how often the net agrees with its peers. Two more kinds of measures tell whether recipes stand in the same order where
more is searched, and where images are changed as no recipe changes them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from models import kernels
from models.classifier import Classifier, PeerGroup
from models.errors import InputError
from pipeline import seeding
from pipeline.operators.affine import Affine
from pipeline.operators.operator import Operator
from pipeline.retrain import live
from pipeline.retrain.mistakes import chains
from pipeline.retrain.mistakes.chains import Chains
from pipeline.retrain.mistakes.corruptions import CORRUPTIONS
from pipeline.retrain.mistakes.measuring import Measuring
from pipeline.search.moves.hillclimb import Hillclimb
from pipeline.search.moves.lanes import Runner, pad_rows
from pipeline.search.moves.unit import SeedArrays, UnitSearch
from pipeline.seeds.source import SeedBatch

WIDER = 1.5  # times the ranges that the search has
PATIENCE, RESTARTS = 4, 10  # of searches with more effort: times the patience; searches of which the best counts
_LANES = 256  # candidates, likewise, in a search
_MOVED, _WIDE, _WORST = range(3)  # streams of random numbers
_GRID = (31, 5, 5)  # turns from -30 to 30 degrees, shifts from -3 to 3 pixels of 28: Engstrom et al.


class Measured(NamedTuple):
    """Errors and shares in percent, but for candidates.

    Attributes:
      clean_error: on the images as they are.
      moved_error: under random changes, some composed moves within the operator's ranges.
      wide_error: the same with moves that go 1.5 times as far.
      worst_error: the share of images that are misread under one of many random changes.
      grid_error: the share of images that are misread at one of 775 turns and shifts.
      success: of searches with a strong net as the only peer, those that found a mistake.
      candidates: until one was found, restricted mean over all searches.
      success_10 to success_250: found within so many candidates.
      peer_success: of peer-filtered searches, those that found a mistake.
      agreement: of randomly changed images, those that the net reads as its peers do together (by mean probability).
      elastic_error to noise_error: on images that are changed as no recipe does; see `corruptions`.
      usual_success, usual_candidates: `success` and `candidates` on the images that are searched with more effort.
      patient_success, patient_candidates: likewise, with 4 times the patience and the most candidates.
      restarts_success, restarts_candidates: likewise, of the best of 10 searches with random numbers of their own.
    """

    clean_error: float
    moved_error: float
    wide_error: float
    worst_error: float
    grid_error: float
    success: float
    candidates: float
    success_10: float
    success_30: float
    success_100: float
    success_250: float
    peer_success: float
    agreement: float
    elastic_error: float
    perspective_error: float
    thickness_error: float
    blur_error: float
    noise_error: float
    usual_success: float
    usual_candidates: float
    patient_success: float
    patient_candidates: float
    restarts_success: float
    restarts_candidates: float


class Examiner:
    """Measures nets of one architecture; everything is compiled once.

    Args:
      model: a net of the architecture, whose weights are those under examination.
      seeds: the images, which no net has learned from.
      climb: the search as the mined task has it.
      peers: the group that mined.
      target: the net's place in it.
      strong: the net that vouches for labels.
      measuring: how much is measured.
    """

    def __init__(
        self,
        model: tf.keras.Model,
        seeds: SeedBatch,
        climb: Hillclimb,
        peers: PeerGroup,
        target: int,
        strong: Classifier,
        measuring: Measuring,
    ):
        self._model, self._seeds, self._measuring = model, seeds, measuring
        self._operator = climb.operator
        net = live.classifier(model, peers.names[target], peers.input_shape)
        self._net = PeerGroup((net,))
        others = tuple(other for place, other in enumerate(peers.classifiers) if place != target)
        self._peers = PeerGroup(others)
        self._moved = _Moved(self._net, self._operator, seeds.images)
        self._on_grid = _Moved(self._net, _grid_operator(seeds.images.shape[2]), seeds.images[: measuring.grid_images])
        self._votes = self._votes_of_peers()
        self._corrupted = {
            name: corrupt(seeds.images, seeds.ids, measuring.seed, 1.0) for name, corrupt in CORRUPTIONS.items()
        }
        alone, most = PeerGroup((net, strong)), measuring.most_candidates
        searched = _first(seeds, measuring.searched_images)
        self._more = _first(searched, measuring.more_images)
        restarts = _again(self._more, RESTARTS)
        usual = _Compiled(climb, alone, 0, max(len(searched.ids), len(restarts.ids)), measuring.seed)
        self._search = _Search(usual, searched, most)
        self._restarts = _Search(usual, restarts, most)
        patient = dataclasses.replace(climb, patience=PATIENCE * climb.patience)
        self._patient = _Search(
            _Compiled(patient, alone, 0, len(self._more.ids), measuring.seed), self._more, PATIENCE * most
        )
        group = PeerGroup((*peers.classifiers[:target], net, *peers.classifiers[target + 1 :]))
        filtered = _Compiled(climb, group, target, len(searched.ids), measuring.seed)
        self._peer_filtered = _Search(filtered, searched, most)

    def measure(self, model: tf.keras.Model) -> Measured:
        """Returns how good a net of the same architecture is; raises InputError if there is nothing to search on."""
        self._model.set_weights(model.get_weights())
        measuring, labels = self._measuring, self._seeds.labels
        answers = self._changed(_MOVED, measuring.draws, 1.0)
        wide = self._changed(_WIDE, measuring.draws, WIDER)
        worst = self._changed(_WORST, measuring.worst_of, 1.0)
        clean = self._read(self._seeds.images)
        grid = np.stack([self._on_grid.answers(numbers) for numbers in _grid()])
        searched, filtered = self._search.run(), self._peer_filtered.run()
        more = self._more_searched(searched)
        return Measured(
            _percent(clean != labels),
            _percent(answers != labels),
            _percent(wide != labels),
            _percent((worst != labels).any(axis=0)),
            _percent((grid != labels[: grid.shape[1]]).any(axis=0)),
            searched.success(),
            searched.mean(),
            searched.within(10),
            searched.within(30),
            searched.within(100),
            searched.within(250),
            filtered.success(),
            _percent(answers == self._votes),
            **{f"{name}_error": _percent(self._read(images) != labels) for name, images in self._corrupted.items()},
            **{f"{name}_success": found.success() for name, found in more.items()},
            **{f"{name}_candidates": found.mean() for name, found in more.items()},
        )

    def _read(self, images: np.ndarray) -> np.ndarray:
        """Returns the net's classes, int `[B]`, of uint8 images."""
        return self._net.probabilities(images, self._net.batch)[0].argmax(axis=1)

    def _more_searched(self, searched: _Found) -> dict[str, _Found]:
        """Returns what is found on the first images as usual, with more patience, and by restarts."""
        return {
            "usual": searched.first(len(self._more.ids)),
            "patient": self._patient.run(),
            "restarts": self._restarts.run().best_of(RESTARTS),
        }

    def _changed(self, stream: int, draws: int, wider: float) -> np.ndarray:
        """Returns the net's classes of randomly changed images, int `[draws, B]`."""
        return np.stack([self._moved.answers(self._drawn(stream, draw, wider)) for draw in range(draws)])

    def _drawn(self, stream: int, draw: int, wider: float) -> Chains:
        """Returns a random change of each image; beyond the operator's ranges by numbers beyond [0, 1)."""
        moves, seed = self._measuring.moves, tf.constant([self._measuring.seed, 4 * (draw * 3 + stream)])
        numbers, lengths = chains.random(self._operator, len(self._seeds.images), moves, seed)
        return Chains((0.5 + wider * (numbers - 0.5)).numpy(), lengths.numpy())

    def _votes_of_peers(self) -> np.ndarray:
        """Returns the class that the peers' mean probability gives each randomly changed image, `[draws, B]`."""
        votes = []
        for draw in range(self._measuring.draws):
            images = self._moved.images(self._drawn(_MOVED, draw, 1.0))
            votes.append(self._peers.probabilities(images, self._peers.batch).mean(axis=0).argmax(axis=1))
        return np.stack(votes)


def _percent(which: np.ndarray) -> float:
    return 100.0 * float(np.mean(which))


def _grid_operator(width: int) -> Affine:
    return Affine(rotation_degrees=30.0, translation_pixels=3.0 * width / 28, scale=0.0, stretch=0.0, shear_degrees=0.0)


def _grid() -> Iterator[Chains]:
    """Yields the 775 places of the grid as chains of one move, the same for all images."""
    for turn in np.linspace(0.0, 1.0, _GRID[0]):
        for across in np.linspace(0.0, 1.0, _GRID[1]):
            for down in np.linspace(0.0, 1.0, _GRID[2]):
                numbers = np.array([[[turn, across, down, 0.5, 0.5, 0.5]]], np.float32)
                yield Chains(numbers, np.ones(1, np.int32))


class _Moved:
    """Images under given chains of moves, and what a net says of them."""

    def __init__(self, group: PeerGroup, operator: Operator, images: np.ndarray):
        (net,) = group.classifiers
        self._count, self._batch = len(images), min(group.batch, len(images))
        self._sources = kernels.cluster(operator.sources)(
            tf.constant(pad_rows(images, -(-len(images) // self._batch) * self._batch))
        )

        def moved(sources: tf.Tensor, rows: tf.Tensor, numbers: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
            return chains.apply(operator, sources, rows, Chains(numbers, lengths))

        self._render = kernels.cluster(moved)

        def classes(*given: tf.Tensor) -> tf.Tensor:
            return tf.argmax(net.predict(self._render(*given)), axis=1)

        self._classes = kernels.compiled(classes, net.kernels)

    def answers(self, drawn: Chains) -> np.ndarray:
        """Returns the net's classes, `[B]`, of each image under its chain, or under the one that all have."""
        return self._of(self._classes, drawn)

    def images(self, drawn: Chains) -> np.ndarray:
        """Returns the changed images, uint8 `[B, H, W, C]`."""
        return np.rint(self._of(self._render, drawn) * 255.0).astype(np.uint8)

    def _of(self, function: Callable[..., tf.Tensor], drawn: Chains) -> np.ndarray:
        parts, batch = [], self._batch
        for start in range(0, self._count, batch):
            chosen = (
                np.broadcast_to(field[:1], (batch, *field.shape[1:]))
                if len(field) == 1
                else pad_rows(field[start : start + batch], batch)
                for field in drawn
            )
            rows = np.arange(start, start + batch, dtype=np.int32)
            parts.append(function(self._sources, tf.constant(rows), *map(tf.constant, chosen)).numpy())
        return np.concatenate(parts)[: self._count]


def _first(seeds: SeedBatch, count: int) -> SeedBatch:
    return dataclasses.replace(seeds, ids=seeds.ids[:count], images=seeds.images[:count], labels=seeds.labels[:count])


def _again(seeds: SeedBatch, times: int) -> SeedBatch:
    """Returns all images so many times one after the other, each time with ids, and so random numbers, of their own."""
    ids = [f"{seed_id} restart {time}" for time in range(times) for seed_id in seeds.ids]
    images, labels = np.tile(seeds.images, (times, 1, 1, 1)), np.tile(seeds.labels, times)
    return dataclasses.replace(seeds, ids=ids, images=images, labels=labels)


class _Found(NamedTuple):
    """What became of the searches on T images.

    Attributes:
      tried: bool `[T]`, all other nets read the image right; the others do not count.
      found: bool `[T]`, a mistake was found, be it the image as it is.
      candidates: int `[T]`, until it was found; the most that count where nothing was.
      most: that number.
    """

    tried: np.ndarray
    found: np.ndarray
    candidates: np.ndarray
    most: int

    def success(self) -> float:
        """Returns the share that was found, in percent."""
        return _percent(self.found[self.tried])

    def mean(self) -> float:
        """Returns the mean number of candidates, none counted as more than the most."""
        return float(np.minimum(self.candidates, self.most)[self.tried].mean())

    def within(self, budget: int) -> float:
        """Returns the share that was found within so many candidates, in percent."""
        return _percent((self.found & (self.candidates <= budget))[self.tried])

    def first(self, count: int) -> _Found:
        """Returns what became of the first images."""
        return _Found(self.tried[:count], self.found[:count], self.candidates[:count], self.most)

    def best_of(self, times: int) -> _Found:
        """Returns the best of the searches on each image, of images that `_again` repeated."""
        tried, found, candidates = (each.reshape(times, -1) for each in self[:3])
        return _Found(tried[0], found.max(axis=0), candidates.min(axis=0), self.most)


class _Compiled:
    """A search for mistakes of one net of a group, compiled once for at most so many images."""

    def __init__(self, climb: Hillclimb, group: PeerGroup, target: int, images: int, run_seed: int):
        self.search = UnitSearch(group, (target,), "label", run_seed, _LANES, images, climb)
        self.runner: Runner = self.search.runner()
        self.target = target


class _Search:
    """Searches on images; one that found nothing counts as `most` candidates."""

    def __init__(self, compiled: _Compiled, seeds: SeedBatch, most: int):
        words = np.array([seeding.seed_key(seed_id) for seed_id in seeds.ids], np.uint32)
        self._arrays = SeedArrays(seeds.images, seeds.labels, words)
        self._compiled, self._most = compiled, most

    def run(self) -> _Found:
        """Searches on every image that all other nets read right; one that the net misreads as it is takes none."""
        search, target = self._compiled.search, self._compiled.target
        unit = search.run(self._compiled.runner, self._arrays)
        right = unit.probabilities.argmax(axis=-1) == self._arrays.labels
        others = np.delete(right, target, axis=0).all(axis=0)
        if not others.any():
            names = ", ".join(np.delete(search.group.names, target))
            raise InputError(
                f"[measure] images: of the {len(others)} that are searched, none is read rightly by all of {names}; "
                "raise searched_images and more_images, or train these nets longer (the strong one: judge_epochs)."
            )
        results: Any = unit.searched.results
        found: np.ndarray = others & ~right[target]
        candidates = np.zeros(len(others), np.int64)
        found[unit.held] = results.found
        candidates[unit.held] = np.where(results.found, results.drawn, self._most)
        return _Found(found | unit.held, found, candidates, self._most)

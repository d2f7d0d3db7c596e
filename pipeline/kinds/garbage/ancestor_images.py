"""The images of a garbage image's ancestors, bred again from the lineage alone: no net is asked."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from models import kernels
from models.errors import InputError
from pipeline.config.recorded import Recorded
from pipeline.kinds.garbage import islands
from pipeline.kinds.garbage.lineage import Ancestor
from pipeline.kinds.kind import Example

_ROWS = 32  # genomes that are bred at a time


class Island:
    """The images of an island, each made of its parents' genomes and its own random numbers.

    Args:
      example: one of the island's, NumPy values.
      run: that bred it.
    """

    def __init__(self, example: Example, run: Recorded):
        self._search = run.method.build(run.sections, example["image"].shape, run["num_classes"])
        self._key = islands.key(run["run_seed"], example["target_digest"].decode(), int(example["island"]))
        self._first = kernels.cluster(self._search.first)
        self._child = kernels.cluster(self._search.child)
        self._genomes: dict[str, Any] = {}

    def images(self, family: Sequence[Ancestor], shown: Sequence[Ancestor], example: Example) -> np.ndarray:
        """Returns the images of some of a family, uint8 `[S, H, W, C]`.

        Args:
          family: an example and all its ancestors, as `lineage.ancestors` returns them.
          shown: some of these.
          example: the family's last.

        Raises:
          InputError: what is bred is not the stored image.
        """
        new = [one for one in family if one.name not in self._genomes]
        for generation, born in itertools.groupby(new, key=lambda one: one.generation):
            if generation == 0:
                self._begin(list(born))
            else:
                self._breed(list(born))
        if not np.array_equal(self._image(family[-1]), example["image"]):
            raise InputError(
                f"{example['id'].decode()}: its ancestors, bred again on this machine, do not lead to the stored "
                "image; use the kind of device, and the version of this program, that bred it."
            )
        return np.stack([self._image(one) for one in shown])

    def _begin(self, born: Sequence[Ancestor]) -> None:
        self._keep(born, [one.birth for one in born], self._first(self._key))

    def _breed(self, born: Sequence[Ancestor]) -> None:
        """Breeds images of one generation; batches are filled with their last one, to be all of one shape."""
        for start in range(0, len(born), _ROWS):
            some = born[start : start + _ROWS]
            rows = [*some, *[some[-1]] * (_ROWS - len(some))]
            one = self._stacked([row.parents[0] for row in rows])
            other = self._stacked([row.parents[-1] for row in rows])  # an uncrossed child has nothing of it
            births = tf.constant([row.birth for row in rows])
            self._keep(some, range(len(some)), self._child(self._key, births, one, other))

    def _stacked(self, names: Sequence[str]) -> Any:
        return tf.nest.map_structure(lambda *genes: np.stack(genes), *(self._genomes[name] for name in names))

    def _keep(self, born: Sequence[Ancestor], rows: Sequence[int], genomes: Any) -> None:
        fields = tf.nest.map_structure(lambda field: field.numpy(), genomes)
        for one, row in zip(born, rows, strict=True):
            self._genomes[one.name] = tf.nest.map_structure(lambda field, row=row: field[row].copy(), fields)

    def _image(self, one: Ancestor) -> np.ndarray:
        return self._search.image(self._genomes[one.name])

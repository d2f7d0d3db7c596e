"""A dataset of a few images, in TFDS's form."""

from __future__ import annotations

import io

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from pipeline.seeds.source import SeedBatch
from tests.pipeline import nets

TRAIN, TEST, BROKEN, ODD = 23, 5, 6, 3
CLASS_NAMES = ["dark", "light"]


def png(image: np.ndarray) -> bytes:
    """Returns an image as a file."""
    stream = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(stream, "PNG")
    return stream.getvalue()


class TinySeeds(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A dataset of a few images: "train" has a broken one, "odd" one of another size."""

    VERSION = tfds.core.Version("1.2.0")
    name = "tiny_seeds"

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=nets.SHAPE),
            "label": tfds.features.ClassLabel(names=CLASS_NAMES),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        sizes = {"train": TRAIN, "test": TEST, "odd": TEST}
        return {split: self._generate_examples(split, count) for split, count in sizes.items()}

    def _generate_examples(self, split: str, count: int):
        for number, image in enumerate(nets.images(count)):
            data = png(image[:-1] if (split, number) == ("odd", ODD) else image)
            if (split, number) == ("train", BROKEN):
                data = data[: len(data) // 2]
            yield number, {"image": io.BytesIO(data), "label": number % 2}


def row_of(batch: SeedBatch, position: int) -> tuple[str, bytes, int]:
    """Returns (id, pixels, label) of the image at a position."""
    row = batch.positions.index(position)
    return batch.ids[row], batch.images[row].tobytes(), int(batch.labels[row])

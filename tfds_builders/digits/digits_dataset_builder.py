"""`digits`: real handwritten digits in the form of MNIST, with no download."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image
from sklearn import datasets as sklearn_datasets

from tfds_builders.deterministic import DeterministicFiles

_MAX_VALUE = 16  # scikit-learn counts the inked pixels of a 4x4 block: 0 to 16.
_DIGIT_SIZE = 20
_IMAGE_SIZE = 28
_NUM_CLASSES = 10
_TEST_EVERY = 5


def enlarge(digit: np.ndarray) -> np.ndarray:
    """Returns an 8x8 digit of values 0 to 16 as MNIST would show it: uint8 [28, 28, 1], white in a black margin."""
    grey = np.rint(digit * (255 / _MAX_VALUE)).astype(np.uint8)
    enlarged = Image.fromarray(grey).resize((_DIGIT_SIZE, _DIGIT_SIZE), Image.Resampling.BICUBIC)
    margin = (_IMAGE_SIZE - _DIGIT_SIZE) // 2
    return np.pad(np.asarray(enlarged), margin)[..., np.newaxis]


def split_of(index: int) -> str:
    """Returns the split of scikit-learn's digit number `index`: every fifth is for testing."""
    return "test" if index % _TEST_EVERY == _TEST_EVERY - 1 else "train"


class Builder(DeterministicFiles, tfds.core.GeneratorBasedBuilder):
    """Builder of `digits`."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Initial release."}

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(
                        shape=(_IMAGE_SIZE, _IMAGE_SIZE, 1), dtype=np.uint8, encoding_format="png"
                    ),
                    "label": tfds.features.ClassLabel(num_classes=_NUM_CLASSES),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="https://scikit-learn.org/stable/modules/generated/sklearn.datasets.load_digits.html",
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        del dl_manager  # The digits are inside scikit-learn.
        return {split: self._generate_examples(split) for split in ("train", "test")}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        digits = sklearn_datasets.load_digits()
        for index, (digit, label) in enumerate(zip(digits.images, digits.target)):
            if split_of(index) == split:
                yield index, {"image": enlarge(digit), "label": int(label)}

from __future__ import annotations

import numpy as np
import pytest

from models import zoo
from models.errors import InputError
from tests.models import nets


@pytest.mark.parametrize("architecture", ["mlp-4", "mlp-12-10", "cnn"])
@pytest.mark.parametrize("shape", [(28, 28, 1), (8, 8, 3), (1, 2, 1)])
def test_every_architecture_gives_probabilities_for_every_image_size(architecture, shape):
    answers = zoo.build(architecture, shape, 10)(np.ones((2, *shape), np.float32)).numpy()
    assert answers.shape == (2, 10)
    np.testing.assert_allclose(answers.sum(axis=-1), 1.0, atol=1e-6)


def test_an_mlp_has_the_units_of_its_name():
    kernels = [weight.shape for weight in nets.seeded("mlp-12-10", 1).weights if len(weight.shape) == 2]
    assert kernels == [(30, 12), (12, 10), (10, nets.CLASSES)]


@pytest.mark.parametrize(
    ("architecture", "nearest"),
    [("mpl-30", "mlp-30"), ("mlp30", "mlp-30"), ("MLP-20-10", "mlp-20-10"), ("cn", "cnn"), ("mlp-0", "mlp-30")],
)
def test_an_unknown_architecture_lists_the_known_and_the_nearest(architecture, nearest):
    with pytest.raises(InputError, match=f"'{architecture}'; known are 'mlp-H' .*the nearest is '{nearest}'"):
        zoo.build(architecture, nets.SHAPE, nets.CLASSES)


def test_an_architecture_like_no_other_gets_no_suggestion():
    with pytest.raises(InputError, match=r"'transformer'; known are .*'cnn'[.]$"):
        zoo.build("transformer", nets.SHAPE, nets.CLASSES)

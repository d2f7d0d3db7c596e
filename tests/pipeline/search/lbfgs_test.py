import numpy as np
import pytest
import tensorflow as tf

from pipeline.search import gradient
from pipeline.search.gradient import Originals
from pipeline.search.lbfgs import LBFGS
from tests.pipeline.search import attacks

NETS = [(), (20,)]


def _distortions(twins: gradient.Twins, start: Originals) -> np.ndarray:
    return gradient.distortion(tf.constant(twins.images), start.images).numpy()


@pytest.mark.parametrize("hidden", NETS)
def test_as_many_twins_as_scipys_and_no_further_away(hidden):
    model, count, lbfgs = attacks.net(*hidden), 12, LBFGS()
    start = attacks.originals(model, count)
    twins = attacks.attack(lbfgs, model, start)
    reference = [
        attacks.scipy_twin(model, start, row, lbfgs.first_c, lbfgs.brackets, lbfgs.bisections) for row in range(count)
    ]
    assert all(twin is not None for twin in reference) and twins.misread.all()
    theirs = gradient.distortion(tf.constant(np.concatenate(reference)), start.images).numpy()
    print(_distortions(twins, start).mean(), theirs.mean(), twins.evaluations.mean())
    assert _distortions(twins, start).mean() <= 1.02 * theirs.mean()

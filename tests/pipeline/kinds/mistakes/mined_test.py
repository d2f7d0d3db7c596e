from __future__ import annotations

import numpy as np
import pytest

from models.errors import InputError
from pipeline.kinds.mistakes import mined
from pipeline.retrain.mistakes import chains
from pipeline.retrain.mistakes.chains import Chains
from pipeline.versions import published
from pipeline.workdir.ledger import Workdir
from tests.pipeline.conftest import DATASET


@pytest.fixture(scope="module")
def dataset(finished):
    return published.open_dataset(DATASET, Workdir.at(str(finished.path)).datasets)


@pytest.fixture(scope="module")
def examples(dataset):
    return list(dataset.examples())


def test_the_numbers_are_those_that_the_recorded_moves_were_drawn_by(dataset, examples):
    read = mined.read(examples, dataset.runs)
    for row, example in enumerate(examples):
        recorded = example["transform"]["parameters"]
        operator = dataset.run(example).sections["operator"]
        assert read.lengths[row] == len(recorded) > 0
        drawn = operator.parameters(read.numbers[row, : len(recorded)].astype(np.float64), 8, 8)
        np.testing.assert_array_equal(drawn, recorded)
        assert not read.numbers[row, len(recorded) :].any()


def test_a_mined_chain_on_its_own_seed_image_gives_the_mined_image(dataset, examples):
    read = mined.read(examples, dataset.runs)
    operator = dataset.run(examples[0]).sections["operator"]
    rows = np.arange(len(examples), dtype=np.int32)
    made = chains.apply(operator, operator.sources(read.seed_images), rows, Chains(read.numbers, read.lengths))
    apart = np.abs(np.rint(made.numpy() * 255.0) - read.images)
    assert apart.max() <= 1.0  # float32, and what is stored comes from float64
    assert (apart > 0).mean() < 0.01


def test_labels_grades_and_margins_are_those_of_the_examples(dataset, examples):
    read = mined.read(examples[:5], dataset.runs)
    assert read.labels.tolist() == [example["label"] for example in examples[:5]]
    assert read.high.tolist() == [example["grade"] == b"high" for example in examples[:5]]
    np.testing.assert_array_equal(read.peer_margins, [example["peer_margin"] for example in examples[:5]])


def test_no_example_is_one_sentence(dataset):
    with pytest.raises(InputError, match="mine some with `peerpressure run`"):
        mined.read([], dataset.runs)
